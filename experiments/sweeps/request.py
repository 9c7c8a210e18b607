"""What a sweep trains, as requested, and the files that keep it: only the same command resumes a sweep."""

import dataclasses
import json
import pathlib
from typing import Any

from envs.errors import ConfigError
from experiments.common.files import read_json, write_json
from iacjax.digests import sign


@dataclasses.dataclass(frozen=True)
class Request:
    """What the command line asks for: kept in sweep.json, from which every process makes the same plan."""

    algos: tuple[str, ...]
    envs: tuple[str, ...]
    sets: tuple[str, ...] = ()  # NAME=VALUE,... or NAME=LOW..HIGH
    random: int = 0  # configurations drawn; 0: the grid of all values
    draw_seed: int = 0
    preset: str = "default"
    run: tuple[tuple[str, Any], ...] = ()  # fields of RunConfig that were given
    processes: int = 1


def as_json(request: Request) -> dict[str, Any]:
    """The request as it is read back from JSON."""
    return json.loads(json.dumps(dataclasses.asdict(request)))


def read_request(out: pathlib.Path) -> Request:
    """The request of the sweep in `out`, with the fields that say how its jobs work.

    Raises:
      ConfigError: job.json cannot be read.
    """
    data = read_json(out / "job.json")
    try:
        run = tuple((name, tuple(value) if isinstance(value, list) else value) for name, value in data.pop("run"))
        return Request(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()}, run=run)
    except (KeyError, TypeError, ValueError):
        text = f"{out / 'job.json'} is not of a sweep: give the command of the sweep again, which writes it"
        raise ConfigError(text) from None


def _holds(file: pathlib.Path) -> Any:
    try:
        return json.loads(file.read_text())
    except (ValueError, RecursionError):
        raise ConfigError(f"{file} cannot be read: choose another --out, or restore that file") from None


def open_sweep(out: pathlib.Path, request: Request, working: Request) -> None:
    """Makes the directory, or reuses it; ConfigError where it holds another sweep.

    Args:
      request: what is trained; the same whenever the sweep is resumed.
      working: the same with the fields that say how; its jobs read it.
    """
    file = out / "sweep.json"
    try:
        out.mkdir(parents=True, exist_ok=True)
        if file.exists() and _holds(file) != as_json(request):
            raise ConfigError(f"{out} holds another sweep (sweep.json there): choose another --out")
        write_json(file, as_json(request))
        write_json(out / "job.json", sign(as_json(working)))
    except OSError as error:
        raise ConfigError(f"cannot write to {out} ({error.strerror}): choose another --out") from None
