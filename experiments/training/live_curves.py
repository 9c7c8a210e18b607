"""Drawing curves.png while a run trains, so that its learning can be watched in any image viewer."""

import time

from experiments.analysis.pictures import draw_curves
from experiments.loggers import Row
from experiments.training.hooks import Hook, LoopView

SECONDS = 30.0  # between two drawings, at least
SHARE = 0.01  # of the time may go into drawing


class LiveCurves(Hook):
    """Draws the run's curves at an evaluation, if the last drawing was long enough ago.

    The training waits meanwhile, so the more seeds and evaluations there are to draw, the less often it is done. A run
    of a few seconds draws nothing: it draws its pictures at the end. One failure, such as a full disk, is the last try.
    """

    def __init__(self, seconds: float = SECONDS):
        """`seconds`: between two drawings, at least."""
        self._seconds, self._pause, self._last = seconds, seconds, time.monotonic()
        self._drawn = 0

    def on_evaluation(self, loop: LoopView, rows: list[Row]) -> None:
        began = time.monotonic()
        if began - self._last < self._pause:
            return
        failure = draw_curves(loop.context.directory)
        self._last, self._drawn = time.monotonic(), self._drawn + 1
        if failure:
            loop.context.console.say(failure)
            self._pause = float("inf")
        elif self._drawn > 1:  # the first one loads fonts, which the next ones and those of the run's end need not do
            self._pause = max(self._seconds, (self._last - began) / SHARE)
