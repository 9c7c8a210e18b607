"""Finding the run directory of given settings, so that a table or a figure trains only what is missing."""

import pathlib
from collections.abc import Iterator
from typing import Any

from envs.errors import ConfigError
from experiments.common.files import read_json
from experiments.config.schema import CHANGEABLE, Settings, read_config, to_dict

OLD_STATUS = {"stopped_at_bar": "reached_target_win_rate"}  # as older versions wrote it
FINISHED = ("finished", "reached_target_win_rate", *OLD_STATUS)  # values of status in summary.json
# What a run resolves for itself (0 in the settings that were asked for), or what does not change its result.
_IGNORED = (set(CHANGEABLE) - {"total_steps"}) | {"eval_every", "log_every", "seeds_per_batch"}


def _identity(settings: Settings) -> dict[str, Any]:
    return {name: value for name, value in to_dict(settings).items() if name not in _IGNORED}


def runs(settings: Settings) -> Iterator[pathlib.Path]:
    """The directories of runs with these settings below their `run_dir`, the newest first."""
    run = settings.run
    pattern = f"{run.env.replace(':', '_').replace('/', '_')}/{run.algo}/*/config.json"
    for config in sorted(pathlib.Path(run.run_dir).glob(pattern), reverse=True):
        try:
            saved = read_config(config.parent)
        except ConfigError:  # of another version: it is not this run
            continue
        if _identity(saved) == _identity(settings):
            yield config.parent


def newest_run(settings: Settings) -> pathlib.Path | None:
    """The newest of `runs`; None if there is none."""
    return next(runs(settings), None)


def status(directory: pathlib.Path | None) -> str:
    """The state of a run: new (no directory), begun, finished or reached_target_win_rate."""
    if directory is None:
        return "new"
    written = read_json(directory / "summary.json").get("status")
    return OLD_STATUS.get(written, written) if written in FINISHED else "begun"


def env_steps(directory: pathlib.Path) -> int:
    """Env steps of a run, all its seeds together; 0 if it has no summary yet."""
    return sum(seed["env_steps"] for seed in read_json(directory / "summary.json").get("seeds", ()))


def seconds(directory: pathlib.Path) -> float:
    """Wall-clock seconds of a run for training, evaluating and saving."""
    summary = read_json(directory / "summary.json")
    return sum(summary.get(name, 0.0) for name in ("train_seconds", "eval_seconds", "save_seconds"))
