"""What a training knows, and what may be added to it at fixed moments without changing the loop."""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from experiments.config.schema import Settings
from experiments.loggers import Row, Sink
from experiments.loggers.console import Console
from experiments.runs.checkpoint import Progress
from experiments.training.compile import Compiled


class RunContext(NamedTuple):
    """What a run trains and where it writes; the same for all its batches of seeds."""

    settings: Settings
    directory: pathlib.Path
    algorithm: Any
    env: Any
    sinks: Sequence[Sink]
    console: Console
    stop: Callable[[], bool]  # whether the user has asked to stop


class LoopView(Protocol):
    """What a hook may use of a `TrainingLoop`."""

    context: RunContext
    seeds: tuple[int, ...]
    compiled: Compiled
    checkpoint_directory: pathlib.Path
    keys: Any  # of the seeds, typed keys [S]
    states: Any  # as the compiled functions take them
    progress: Progress
    saved: int  # iteration of the last checkpoint; -1: there is none
    notes: list[str]  # further parts of the progress line, which a hook may set

    @property
    def slowest(self) -> int:
        """Env steps of the seed that has made the fewest."""

    @property
    def seconds(self) -> float:
        """Seconds of training, evaluation and saving, including those of earlier processes."""


class Hook:
    """Base class: every method does nothing. A loop calls its hooks in the order in which they were given.

    Of several processes that train together, all call the hooks, at the same moments.
    """

    def on_start(self, loop: LoopView, restored: Any) -> None:
        """Before anything is written; raise ConfigError to refuse. `restored`: the states of the checkpoint that the
        training resumes from, each leaf [S, ...], or None. `loop.states` is not there yet."""

    def on_chunk(self, loop: LoopView) -> None:
        """A chunk has been trained and its rows have been written."""

    def on_evaluation(self, loop: LoopView, rows: list[Row]) -> None:
        """An evaluation has been made and its rows, one per seed, written; a checkpoint that is due comes after it."""

    def on_save(self, loop: LoopView, states: Any) -> None:
        """A checkpoint of `states` has been written: each leaf [S, ...], in memory of this process."""

    def on_end(self, loop: LoopView) -> None:
        """The training has come to its end and its last checkpoint has been written; not after an interruption."""
