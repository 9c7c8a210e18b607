"""The Python API: what `iacjax.make`, `iacjax.train` and `iacjax.evaluate` do.

They take what the commands take, by keyword, and raise `ConfigError` with the line that the commands print. A training
from here is the same program as `python -m experiments.run`: its presets, its loop, its evaluations.
"""

import contextlib
import io
import pathlib
import tempfile
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from envs.errors import ConfigError
from experiments.config.command_line import Command, new_settings, words_of
from experiments.config.env_options import write_env_options
from experiments.config.schema import Settings
from experiments.loggers.csv import read_table
from experiments.runs import find
from experiments.training.reuse import Stopped, train_once

if TYPE_CHECKING:  # they import jax
    from envs.base import Environment
    from experiments.analysis.evaluation import Evaluation
    from iacjax.policy import Policy

Table = dict[str, np.ndarray]


class NamedEnvironment:
    """An environment that `make` has built, with the name and the options by which it can be built again."""

    def __init__(self, built: "Environment", name: str, options: Mapping[str, Any]):
        self.name, self.options = name, dict(options)
        self._built = built

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):  # copy and pickle ask for these before `_built` is set
            raise AttributeError(attribute)
        return getattr(self._built, attribute)

    def __repr__(self) -> str:
        return f"<{' '.join([self.name, *write_env_options(self.options)])}>"


class TrainResult(NamedTuple):
    """What a training leaves. S seeds, K evaluations, R rows of metrics; nan where a seed has none.

    `evaluations` has `env_steps`, `return_mean`, `win_rate`, ... as f[S, K]; `metrics` the means of the learner's
    numbers between two rows, f[S, R], also with `env_steps`.
    """

    policy: "Policy"
    evaluations: Table
    metrics: Table
    directory: pathlib.Path | None  # of the run's files, where they were asked for


def make(name: str, /, **options: Any) -> "Environment":
    """Builds an environment: `make("smax:2s3z")`, `make("predator_prey", num_prey=2)`, `make("my_module:MyEnv")`.

    Args:
      name: of `python -m experiments.run --list`, or MODULE:NAME of a class or function in an importable module.
      options: those of `--env-options`.

    Raises:
      ConfigError: an unknown name or option, or a value that it cannot have.
    """
    from envs.registry import make_env

    return NamedEnvironment(make_env(name, **options), name, options)


def train(
    algo: str,
    env: "str | Environment",
    *,
    run_dir: str | pathlib.Path | None = None,
    reuse: bool = False,
    verbose: bool = True,
    **fields: Any,
) -> TrainResult:
    """Trains, evaluates, and returns the policies and the numbers.

        result = train("aiir_mix", "smax:2s3z", seeds=3, total_steps=500_000, lr=1e-3)
        result.evaluations["win_rate"][:, -1]     # of the three seeds, at the end

    Args:
      algo: algorithm.
      env: what `make` has returned, or a name.
      run_dir: parent of the run directory, as `--run-dir`; None: no files are left.
      reuse: take the newest run in `run_dir` with the same settings instead of training again; if it was interrupted,
        continue it. For cells of notebooks, which are run many times.
      verbose: whether progress is printed.
      fields: all other options of `python -m experiments.run --algo ALGO --help`, by name: preset, seeds,
        total_steps, eval_every, lr, ...

    Raises:
      ConfigError: options that do not exist, cannot be read or do not go together.
      KeyboardInterrupt: it was interrupted; a run with `run_dir` has been saved and can be resumed.
      RuntimeError: a number of the training was not finite.
    """
    from iacjax.policy import load_policy

    if reuse and run_dir is None:
        raise ConfigError("reuse needs run_dir, the folder in which runs are kept")
    name, options = _name_of(env)
    given = {"algo": algo, "env": name, "pictures": False, **fields}
    if options:
        given["env_options"] = write_env_options(options)
    with _parent(run_dir) as parent, contextlib.nullcontext() if verbose else contextlib.redirect_stdout(io.StringIO()):
        settings = new_settings(Command(words_of({**given, "run_dir": parent})))
        directory, code = (train_once if reuse else _train_anew)(settings)
        if code >= 128:
            raise Stopped(f"saved in {directory}" if run_dir else "stopped; without run_dir nothing is kept")
        if code:
            raise RuntimeError("a number of the training is not finite: try a lower learning rate")
        policy = load_policy(directory)
        tables = [_by_seed(directory / f"{each}.csv", policy.seeds) for each in ("eval", "metrics")]
    return TrainResult(policy, *tables, directory if run_dir else None)


def evaluate(
    policy: "Policy", env: "str | Environment | None" = None, episodes: int = 100, seed: int = 0
) -> "list[Evaluation]":
    """Plays greedy episodes with each seed of a policy; a row of numbers for each, with the win rate's interval.

    Args:
      env: another environment of the same sizes; None: the one that it was trained in.
      seed: another number plays other episodes.

    Raises:
      ConfigError: an environment of other sizes than the policy's.
    """
    from experiments.analysis.evaluation import evaluate_policy

    if env is None:
        return evaluate_policy(policy, policy.spec.name, episodes, seed)
    name, options = _name_of(env)
    return evaluate_policy(policy, name, episodes, seed, write_env_options(options) if options is not None else None)


def _name_of(env: "str | Environment") -> tuple[str, Mapping[str, Any] | None]:
    """The name and the options of an environment; of a name alone None."""
    if isinstance(env, str):
        return env, None
    if isinstance(env, NamedEnvironment):
        return env.name, env.options
    kind = type(env).__name__
    raise ConfigError(f"an object of type {kind} has no name: give make('smax:2s3z') or make('MODULE:{kind}')")


def _train_anew(settings: Settings) -> tuple[pathlib.Path, int]:
    """The directory of a new run, and the exit code of its training."""
    from experiments.training.train import train as train_run

    before = list(find.runs(settings))
    code = train_run(settings)
    return next(run for run in find.runs(settings) if run not in before), code


@contextlib.contextmanager
def _parent(run_dir: str | pathlib.Path | None) -> Iterator[str]:
    """The parent of a run directory: the one given, or one that is removed at the end."""
    if run_dir is not None:
        yield str(run_dir)
        return
    with tempfile.TemporaryDirectory(prefix="iacjax-") as directory:
        yield directory


def _by_seed(path: pathlib.Path, seeds: tuple[int, ...]) -> Table:
    """The columns of a table with a row for each seed and moment, f[S, K] each; shorter seeds end in nan."""
    rows = read_table(path)
    of = {seed: [row for row in rows if int(row["seed"]) == seed] for seed in seeds}
    longest = max(map(len, of.values()), default=0)
    columns = [name for name in (rows[0] if rows else ()) if name != "seed"]
    table = {name: np.full((len(seeds), longest), np.nan) for name in columns}
    for s, mine in enumerate(of.values()):
        for name in columns:
            table[name][s, : len(mine)] = [row[name] for row in mine]
    return table
