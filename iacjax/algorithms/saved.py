"""Configurations of runs that were saved by earlier versions. No jax here.

A field that runs did not always have carries in its metadata, under `before`, what such runs did. Read without it, a
saved configuration gets that value, which may differ from today's default; and a field with that value is left out of
a run's fingerprint, so that its checkpoints stay those of the same run.
"""

import dataclasses
from typing import Any


def since(default: Any, before: Any) -> Any:
    """A dataclass field with this default, of which runs from before it had the value `before`."""
    return dataclasses.field(default=default, metadata={"before": before})


def young_fields(kind: Any) -> dict[str, Any]:
    """The fields of `kind` that some saved runs do not have, each with the value that those had."""
    return {f.name: f.metadata["before"] for f in dataclasses.fields(kind) if "before" in f.metadata}


def from_saved(kind: type, data: dict[str, Any]) -> Any:
    """The configuration that was saved as `data`.

    Raises:
      TypeError: a field that `kind` does not have.
    """
    return kind(**{**young_fields(kind), **data})
