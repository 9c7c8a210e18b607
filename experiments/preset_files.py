"""Presets as json files, `--preset path/to/winner.json`: what a sweep found best, for the other commands to start from.

The object in such a file has `algo`, `run` and `algorithm` (fields that differ from the defaults) and `summary`.
"""

import dataclasses
import json
import pathlib
from typing import Any

from envs.errors import ConfigError
from experiments.config import RunConfig, Settings
from experiments.presets import Preset
from experiments.rundir import write_json
from iacjax.algorithms import get_entry

PARTS = ("run", "algorithm")
RUN_FIELDS = ("env", "env_options", "total_steps", "eval_every", "eval_episodes")  # of a run, worth keeping


def is_file(name: str) -> bool:
    """Whether a preset's name is that of a file."""
    return name.endswith(".json")


def read_algo(name: str) -> str:
    """The algorithm that the preset in the file `name` is of."""
    return _read(name)["algo"]


def read_preset(name: str, algo: str) -> Preset:
    """The preset in the file `name`.

    Raises:
      ConfigError: no such file, not a preset, of another algorithm, or of fields that this version does not have.
    """
    data = _read(name)
    if data["algo"] != algo:
        raise ConfigError(f"--preset {name} is of {data['algo']}, not of {algo}: leave --algo out, or change it")
    for kind, given in ((RunConfig, data["run"]), (get_entry(algo).config, data["algorithm"])):
        unknown = given.keys() - {field.name for field in dataclasses.fields(kind)}
        if unknown:
            raise ConfigError(f"--preset {name}: there is no field {min(unknown)}: it is of another version")
    run, algorithm = ({k: tuple(v) if isinstance(v, list) else v for k, v in data[part].items()} for part in PARTS)
    return Preset(run, algorithm, str(data.get("summary", "")))


def _read(name: str) -> dict[str, Any]:
    try:
        data = json.loads(pathlib.Path(name).read_text())
    except FileNotFoundError:
        raise ConfigError(f"--preset {name}: there is no such file") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise ConfigError(f"--preset {name} cannot be read: {str(error).splitlines()[0]}") from None
    if not isinstance(data, dict) or not isinstance(data.get("algo"), str):
        raise ConfigError(f"--preset {name} is not a preset: it names no algo")
    if any(not isinstance(data.get(part), dict) for part in PARTS):
        raise ConfigError(f"--preset {name} is not a preset: it needs `run` and `algorithm`, objects of fields")
    return data


def write_preset(path: pathlib.Path, settings: Settings, summary: str) -> None:
    """Writes what of `settings` differs from the defaults as a preset that `--preset` can load."""
    run = {name: getattr(settings.run, name) for name in RUN_FIELDS}
    kept = {"run": _changed(run, RunConfig()), "algorithm": _changed(vars(settings.algorithm), _default(settings))}
    kept["run"]["env"] = settings.run.env
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"algo": settings.run.algo, **kept, "summary": summary})


def _default(settings: Settings) -> Any:
    return get_entry(settings.run.algo).config()


def _changed(values: dict[str, Any], default: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value != getattr(default, name)}
