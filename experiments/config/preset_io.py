"""Presets by name, or as json files: `--preset path/to/winner.json`, the best settings that a sweep has found.

The object in such a file has `algo`, `run` and `algorithm` (fields that differ from the defaults) and `summary`.
"""

import difflib
import pathlib
from typing import Any

from envs.errors import ConfigError
from envs.values import show
from experiments.common.files import read_object, write_json
from experiments.config.presets import PRESETS, Preset
from experiments.config.schema import RunConfig, Settings
from iacjax.algorithms.registry import get_entry
from iacjax.schema import check_values, types_of

PARTS = ("run", "algorithm")
# Fields of a run that a preset file has.
RUN_FIELDS = ("env", "env_options", "total_steps", "eval_every", "eval_episodes")


def is_file(name: str) -> bool:
    """Whether a preset's name is a file name."""
    return name.endswith(".json")


def read_algo(name: str) -> str:
    """The algorithm of the preset in the file `name`."""
    return _read(name)["algo"]


def read_preset(name: str, algo: str) -> Preset:
    """The preset in the file `name`.

    Raises:
      ConfigError: no such file, not a preset, of another algorithm, of fields that this version does not have, or of
        values that a field cannot have.
    """
    data = _read(name)
    if data["algo"] != algo:
        raise ConfigError(f"--preset {name} is for {data['algo']}, not for {algo}: leave --algo out, or change it")
    run = _fields(name, RunConfig, data["run"], forbidden=("algo", "preset"))
    algorithm = _fields(name, get_entry(algo).config, data["algorithm"])
    return Preset(run, algorithm, str(data.get("summary", "")))


def _fields(name: str, kind: type, given: dict[str, Any], forbidden: tuple[str, ...] = ()) -> dict[str, Any]:
    """The values as the fields' own types: JSON has no tuples, and writes 1 where 1.0 is meant."""
    types = types_of(kind)
    unknown = given.keys() - types.keys() | given.keys() & set(forbidden)
    if unknown:
        raise ConfigError(f"--preset {name}: there is no field {show(min(unknown))}: it is of another version")
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in given.items()}
    try:
        check_values(kind, values)
    except ConfigError as error:
        raise ConfigError(f"--preset {name}: {error}") from None
    return {key: float(value) if types[key] is float else value for key, value in values.items()}


def _read(name: str) -> dict[str, Any]:
    try:
        data = read_object(pathlib.Path(name), f"--preset {name}")
    except FileNotFoundError:
        raise ConfigError(f"--preset {name}: there is no such file") from None
    if not isinstance(data.get("algo"), str):
        raise ConfigError(f"--preset {name} is not a preset: it names no algo")
    if any(not isinstance(data.get(part), dict) for part in PARTS):
        raise ConfigError(f"--preset {name} is not a preset: it needs `run` and `algorithm`, objects of fields")
    return data


def write_preset(path: pathlib.Path, settings: Settings, summary: str) -> None:
    """Writes the fields of `settings` that differ from the defaults, as a preset that `--preset` can load."""
    run = {name: getattr(settings.run, name) for name in RUN_FIELDS}
    fields = {"run": _changed(run, RunConfig()), "algorithm": _changed(vars(settings.algorithm), _default(settings))}
    fields["run"]["env"] = settings.run.env
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, {"algo": settings.run.algo, **fields, "summary": summary})


def _default(settings: Settings) -> Any:
    return get_entry(settings.run.algo).config()


def _changed(values: dict[str, Any], default: Any) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value != getattr(default, name)}


def get_preset(algo: str, name: str, env: str | None = None) -> Preset:
    """The preset `name` of `algo`, or the one in the file `name`, on `env` where one is named.

    Raises:
      ConfigError: an unknown name (the known ones are listed), or a file that is not a preset of `algo`.
    """
    if is_file(name):
        return _on(read_preset(name, algo), env)
    presets = PRESETS.get(algo, {"default": Preset({}, {})})
    if name not in presets:
        near = difflib.get_close_matches(name, presets, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"unknown preset {name!r} of {algo}: {hint}known are {', '.join(sorted(presets))}")
    return _on(presets[name], env)


def _on(preset: Preset, env: str | None) -> Preset:
    """The preset for the environment `env`, without the options of another environment."""
    if env is None or env == preset.run.get("env"):
        return preset
    return preset._replace(run={**{k: v for k, v in preset.run.items() if k != "env_options"}, "env": env})


def default_settings(algo: str, preset: str, env: str | None = None) -> Settings:
    """The configuration before the command line's own fields.

    Raises:
      ConfigError: unknown algorithm or preset.
    """
    entry = get_entry(algo)
    chosen = get_preset(algo, preset, env)
    run = RunConfig(algo=algo, preset=preset, **chosen.run)
    return Settings(run, entry.config(**chosen.algorithm))
