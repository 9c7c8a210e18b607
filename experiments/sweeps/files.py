"""A sweep's own directory: what was asked for, so that the same command goes on and another one is refused."""

import dataclasses
import json
import pathlib
from typing import Any

from envs.errors import ConfigError
from experiments.common.files import read_json, write_json
from experiments.sweeps.plan import Request
from iacjax.digests import sign


def as_json(request: Request) -> dict[str, Any]:
    """The request as json gives it back."""
    return json.loads(json.dumps(dataclasses.asdict(request)))


def read_request(out: pathlib.Path) -> Request:
    """What the sweep in `out` was asked for, and how its jobs are to work.

    Raises:
      ConfigError: job.json cannot be read.
    """
    data = read_json(out / "job.json")
    try:
        run = tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in data.pop("run"))
        return Request(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}, run=run)
    except (KeyError, TypeError, ValueError):
        text = f"{out / 'job.json'} is not a sweep's: give the command of the sweep again, which writes it"
        raise ConfigError(text) from None


def _holds(file: pathlib.Path) -> Any:
    try:
        return json.loads(file.read_text())
    except (ValueError, RecursionError):
        raise ConfigError(f"{file} cannot be read: choose another --out, or restore that file") from None


def open_sweep(out: pathlib.Path, request: Request, working: Request) -> None:
    """Makes the directory, or goes on in it; ConfigError where it holds another sweep."""
    file = out / "sweep.json"
    try:
        out.mkdir(parents=True, exist_ok=True)
        if file.exists() and _holds(file) != as_json(request):
            raise ConfigError(f"{out} holds another sweep (sweep.json there): choose another --out")
        write_json(file, as_json(request))
        write_json(out / "job.json", sign(as_json(working)))
    except OSError as error:
        raise ConfigError(f"cannot write to {out} ({error.strerror}): choose another --out") from None
