"""When a run's evaluations are due, how many iterations lead there, and how fast it goes."""

import numpy as np

RATE_SECONDS = 0.5  # the speed is measured over chunks of at least so long together: one alone may be of one iteration


def evaluation_due(done: int, every: int, total: int) -> int:
    """The env steps, more than `done`, at which the next evaluation is due: each `every`, and at the end.

    It stands after the first iteration at which the slowest seed has made as many.
    """
    return min((done // every + 1) * every, total)


def iterations_until(due: int, done: int, rows: int) -> int:
    """Iterations of at most `rows` env steps before the last of which `due` env steps cannot be reached from `done`."""
    return max(1, -(-(due - done) // rows))


class Speed:
    """Iterations and env steps a second, measured over RATE_SECONDS or more."""

    def __init__(self) -> None:
        self.iterations = self.steps = 0.0  # a second; 0: unknown
        self._since = np.zeros(3)  # iterations, env steps, seconds

    def add(self, iterations: int, steps: int, seconds: float) -> None:
        self._since += (iterations, steps, max(seconds, 1e-9))
        if not self.iterations or self._since[2] >= RATE_SECONDS:
            self.iterations, self.steps = (float(x) for x in self._since[:2] / self._since[2])
            self._since[:] = 0.0
