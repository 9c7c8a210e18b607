"""JSON files: written whole or not at all, and read though users may have edited them. No jax here."""

import json
import pathlib
from typing import Any

from envs.errors import ConfigError
from iacjax.digests import KEY, is_as_signed


def write_json(path: pathlib.Path, data: Any) -> None:
    """Writes `data` whole or not at all."""
    part = path.with_name(path.name + ".part")
    part.write_text(json.dumps(data, indent=1) + "\n")
    part.replace(path)


def write_npz(path: pathlib.Path, arrays: dict[str, Any]) -> None:
    """Writes NumPy arrays by their names, whole or not at all."""
    import numpy as np

    part = path.with_name(path.name + ".part")
    with part.open("wb") as file:
        np.savez(file, **arrays)
    part.replace(path)


def read_json(path: pathlib.Path, kind: type = dict) -> Any:
    """The object (or, as `kind`, the list) in `path`, without its digest if it was signed; empty where there is no such
    file.

    Raises:
      ConfigError: it cannot be read, or was changed since it was signed.
    """
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        return kind()
    except (OSError, ValueError, RecursionError) as error:
        text = str(error).splitlines()[0]
        raise ConfigError(f"{path} cannot be read ({text}): restore it from a copy") from None
    if not isinstance(data, kind) or not is_as_signed(data):
        raise ConfigError(f"{path} was changed since it was written: restore it from a copy")
    return {name: value for name, value in data.items() if name != KEY} if kind is dict else data


def read_object(path: pathlib.Path, what: str = "") -> dict[str, Any]:
    """The object in the file `path`; `what` names the file in errors, by default its path.

    Raises:
      FileNotFoundError: there is no such file.
      ConfigError: it cannot be read, or is no JSON, or no object.
    """
    what = what or str(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(what) from None
    except RecursionError:
        raise ConfigError(f"{what} cannot be read: it is nested too deeply") from None
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, no JSON, an integer of thousands of digits
        raise ConfigError(f"{what} cannot be read: {(str(error).splitlines() or [''])[0]}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{what} cannot be read: it must hold an object, {{...}}")
    return data
