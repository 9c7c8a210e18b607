"""What may be added to a training at fixed moments, without changing the loop."""

from typing import Any

Loop = Any  # a `TrainingLoop`, whose module imports this one


class Hook:
    """Base class: every method does nothing. A loop calls its hooks in the order in which they were given.

    Of several processes that train together, all call the hooks, at the same moments.
    """

    def on_start(self, loop: Loop, restored: Any) -> None:
        """Before anything is written; raise ConfigError to refuse. `restored`: the states of the checkpoint that the
        training resumes from, each leaf [S, ...], or None."""

    def on_chunk(self, loop: Loop) -> None:
        """A chunk has been trained and its rows have been written."""

    def on_evaluation(self, loop: Loop, rows: list[dict[str, float]]) -> None:
        """An evaluation has been made and its rows, one a seed, have been written; before a checkpoint that is due."""

    def on_save(self, loop: Loop, states: Any) -> None:
        """A checkpoint of `states` has been written: each leaf [S, ...], in memory of this process."""

    def on_end(self, loop: Loop) -> None:
        """The training has come to its end and its last checkpoint has been written; not after an interruption."""
