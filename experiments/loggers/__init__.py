"""Where a run's rows go: always CSV, TensorBoard and Weights & Biases on request, all behind one small protocol."""

import pathlib
from typing import Protocol

from experiments.config.schema import RunConfig, Settings
from experiments.loggers.csv import CsvSink

Row = dict[str, float]


class Sink(Protocol):
    """Takes rows of two tables, `metrics` and `eval`; each row has iteration, env_steps and seed."""

    def write(self, table: str, rows: list[Row]) -> None: ...

    def sync(self) -> None:
        """What was written so far survives the death of the process."""

    def close(self) -> None: ...


def check_sinks(run: RunConfig) -> None:
    """Raises ConfigError where a sink that the run asks for cannot work: before anything is made or compiled."""
    if run.tensorboard:
        from experiments.loggers.tensorboard import check_package

        check_package()
    if run.wandb:
        from experiments.loggers.wandb import log_in

        log_in()


def open_sinks(settings: Settings, directory: pathlib.Path) -> list[Sink]:
    """The sinks that the run asks for, CSV first.

    Raises:
      ConfigError: an optional package is not installed.
    """
    run = settings.run
    sinks: list[Sink] = [CsvSink(directory, range(run.seed, run.seed + run.seeds))]
    if settings.run.tensorboard:
        from experiments.loggers.tensorboard import TensorboardSink

        sinks.append(TensorboardSink(directory))
    if settings.run.wandb:
        from experiments.loggers.wandb import WandbSink

        sinks.append(WandbSink(settings, directory))
    return sinks
