"""Learning curves of runs, from their directories' `eval.csv` and `config.json`: reading, labels, means over seeds."""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from envs.errors import ConfigError
from experiments.common.files import read_object
from experiments.common.stats import Interval, mean_interval
from experiments.config.env_options import from_saved_options, read_env_options
from experiments.config.schema import RunConfig
from experiments.loggers.csv import read_table
from experiments.runs import custom_environment
from iacjax.schema import check_values, types_of

COLUMNS = ("win_rate", "return_mean")  # of eval.csv
MAX_DIFFERENCES = 3  # named in a label, unless it takes more to distinguish two runs
RUN_FIELDS = {"matmul_precision": "default"}  # fields of a run that change its numbers, as the algorithm's fields do


class Curves(NamedTuple):
    """The evaluations of one seed of one run. K evaluations; nan where a cell was empty."""

    label: str
    env: str  # the task: an environment and those of its options in which tasks differ
    seed: int
    steps: np.ndarray  # f[K] environment steps
    columns: dict[str, np.ndarray]  # f[K] each: win_rate, return_mean


def read_runs(run_dirs: Sequence[str | pathlib.Path]) -> list[Curves]:
    """The curves of runs, one for each run and seed.

    Raises:
      ConfigError: no run there, or one that was never evaluated.
    """
    directories = [pathlib.Path(run_dir) for run_dir in run_dirs]
    configs = [config_of_run(directory) for directory in directories]
    triples = zip(directories, make_tasks(configs), make_labels(configs), strict=True)
    return [curves for directory, task, label in triples for curves in _read_curves(directory, task, label)]


def config_of_run(directory: pathlib.Path) -> dict[str, Any]:
    """config.json of a run of any version, with what older ones leave out.

    Raises:
      ConfigError: there is none, or it is not a run's.
    """
    try:
        config = read_object(directory / "config.json")
        if not isinstance(config.get("algorithm", {}), dict):
            raise ConfigError("algorithm must be an object of fields")
        # Types alone, and of what is there: curves of other versions are drawn too.
        check_values(RunConfig, {k: v for k, v in config.items() if k in types_of(RunConfig)})
        digest = custom_environment.read_digest(directory)
        known = {"algo": config["algo"], "env": config["env"], "digest": digest}
        return {"preset": "default", "algorithm": {}, "env_options": [], **RUN_FIELDS, **config, **known}
    except (FileNotFoundError, NotADirectoryError):
        raise ConfigError(f"no config.json in {directory}: give the directory of a run") from None
    except ConfigError as error:
        raise ConfigError(f"{directory / 'config.json'} is not a run's: {error}") from None
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{directory / 'config.json'} is not a run's ({type(error).__name__}: {error})") from None


def _read_curves(directory: pathlib.Path, env: str, label: str) -> list[Curves]:
    try:
        rows = read_table(directory / "eval.csv")
        seeds = sorted({int(row["seed"]) for row in rows})
        curves = [_curves(label, env, seed, [row for row in rows if row["seed"] == seed]) for seed in seeds]
    except (KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"{directory / 'eval.csv'} cannot be read ({type(error).__name__}: {error})") from None
    if not curves:
        raise ConfigError(f"no evaluations in {directory}: train the run up to its first evaluation")
    return curves


def _curves(label: str, env: str, seed: int, rows: list[dict[str, float]]) -> Curves:
    columns = {name: np.array([row.get(name, np.nan) for row in rows]) for name in COLUMNS}
    return Curves(label, env, seed, np.array([row["env_steps"] for row in rows]), columns)


def make_tasks(configs: Sequence[dict[str, Any]]) -> list[str]:
    """The name of each run's task: its environment, and the options in which the runs on that environment differ. Runs
    in a custom environment that was changed between them belong to two tasks."""
    options, names = [_options(config) for config in configs], []
    for config, own in zip(configs, options, strict=True):
        kin = [k for k, c in enumerate(configs) if c["env"] == config["env"]]
        words = [f"{key}={own[key]}" for key in sorted(own) if any(options[k].get(key) != own[key] for k in kin)]
        digests, digest = {configs[k].get("digest", "") for k in kin} - {""}, config.get("digest", "")
        words += [f"digest={digest[:6]}"] * (len(digests) > 1 and bool(digest))
        names.append(" ".join((config["env"], *words)))
    return names


def _options(config: dict[str, Any]) -> dict[str, str]:
    """The options of a run's environment, written in one way."""
    try:
        found = read_env_options(from_saved_options(config["env"], config.get("env_options", ())))
    except (ConfigError, TypeError, AttributeError) as error:
        raise ConfigError(f"the env_options of a run on {config['env']} cannot be read: {error}") from None
    return {key: str(value).replace(" ", "") for key, value in found.items()}


def make_labels(configs: Sequence[dict[str, Any]]) -> list[str]:
    """The label of each run: its algorithm, its preset if not the default, and the fields that differ between the runs
    of the same algorithm and preset on the same task."""
    labels, tasks = [], make_tasks(configs)
    kin = [(config["algo"], config["preset"], task) for config, task in zip(configs, tasks, strict=True)]
    fields = [{**{k: config.get(k, v) for k, v in RUN_FIELDS.items()}, **config["algorithm"]} for config in configs]
    for config, own, key in zip(configs, fields, kin, strict=True):
        same = [other for other, its in zip(fields, kin, strict=True) if its == key]
        changed = [k for k in own if any(other.get(k) != own[k] for other in same)]
        named = _enough(own, same, changed)
        words = [config["algo"]] + [config["preset"]] * (config["preset"] != "default")
        words += [f"{k}={own[k]}" for k in named] + ["..."] * (len(named) < len(changed))
        labels.append(" ".join(words))
    return labels


def _enough(own: dict[str, Any], same: Sequence[dict[str, Any]], changed: Sequence[str]) -> Sequence[str]:
    """The first MAX_DIFFERENCES of `changed`, or as many as distinguish a run from all others."""
    count = MAX_DIFFERENCES
    others = [other for other in same if any(other.get(k) != own[k] for k in changed)]
    while any(all(other.get(k) == own[k] for k in changed[:count]) for other in others):
        count += 1
    return changed[:count]


def on_common_steps(curves: Sequence[Curves], name: str) -> tuple[np.ndarray, np.ndarray]:
    """Column `name` of S curves on the union of their steps: steps f[K], values f[S, K].

    Between two evaluations a curve is a straight line; outside its own first and last one it is nan.
    """
    steps = np.unique(np.concatenate([c.steps for c in curves]))
    values = [np.interp(steps, c.steps, c.columns[name], left=np.nan, right=np.nan) for c in curves]
    return steps, np.stack(values)


def mean_over_seeds(curves: Sequence[Curves], name: str) -> tuple[np.ndarray, Interval]:
    """Steps f[K] and the mean of column `name` there with its interval, from where the last seed begins to where the
    first one ends: beyond, a mean would follow those that are left. K = 0 where that is nowhere."""
    steps, values = on_common_steps(curves, name)
    everyone = np.isfinite(values).all(axis=0)
    return steps[everyone], mean_interval(values[:, everyone])
