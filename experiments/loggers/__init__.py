"""Where a run's rows go: always CSV, TensorBoard and Weights & Biases on request, all behind one protocol."""

import pathlib
from collections.abc import Sequence
from typing import Protocol

from experiments.config.schema import RunConfig, Settings
from experiments.loggers.csv import CsvSink

Row = dict[str, float]


class Sink(Protocol):
    """Receives rows of two tables, `metrics` and `eval`; each row has iteration, env_steps and seed."""

    def write(self, table: str, rows: list[Row]) -> None:
        """Appends the rows of one iteration, one per seed."""

    def check(self, seeds: Sequence[int], iteration: int, known: dict[str, str]) -> None:
        """Raises ConfigError where the rows of `seeds` up to `iteration` are not those whose `digests` are `known`."""

    def trim(self, seeds: Sequence[int], iteration: int) -> None:
        """Drops the rows of `seeds` after `iteration`, which will be written again. Called once, before any write."""

    def digests(self, seeds: Sequence[int]) -> dict[str, str]:
        """Digests of all rows of `seeds` by a name each, for a checkpoint; empty if the sink keeps none."""

    def sync(self) -> None:
        """Makes the rows written so far survive the death of the process."""

    def close(self) -> None:
        """Closes the sink; no method is called after it."""


def check_sinks(run: RunConfig) -> None:
    """Raises ConfigError where a sink that the run asks for cannot work: before anything is made or compiled."""
    if run.tensorboard:
        from experiments.loggers.tensorboard import check_package

        check_package()
    if run.wandb:
        from experiments.loggers.wandb import log_in

        log_in()


def open_sinks(settings: Settings, directory: pathlib.Path, trials_of: str = "") -> list[Sink]:
    """The sinks that the run asks for, CSV first.

    Args:
      trials_of: if the run belongs to a sweep, the name of its configuration, by which W&B groups its seeds. A sweep
        has more files than a process may hold open, so none stays open between two writes.

    Raises:
      ConfigError: an optional package is not installed.
    """
    run = settings.run
    sinks: list[Sink] = [CsvSink(directory, range(run.seed, run.seed + run.seeds), keep_open=not trials_of)]
    if settings.run.tensorboard:
        from experiments.loggers.tensorboard import TensorboardSink

        sinks.append(TensorboardSink(directory))
    if settings.run.wandb:
        from experiments.loggers.wandb import WandbSink

        sinks.append(WandbSink(settings, directory, trials_of))
    return sinks
