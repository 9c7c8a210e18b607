"""When a run logs and evaluates, how many iterations lead there, and how fast it goes."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from envs.errors import ConfigError
from experiments.config.schema import RunConfig, Settings

LOG_ROWS, EVALUATIONS = 500, 50  # a run, where --log-every and --eval-every are 0

RATE_SECONDS = 0.5  # the speed is measured over chunks of at least so long together: one alone may be of one iteration


def evaluation_due(done: int, every: int, total: int) -> int:
    """The env steps, more than `done`, at which the next evaluation is due: each `every`, and at the end.

    It stands after the first iteration at which the slowest seed has made as many.
    """
    return min((done // every + 1) * every, total)


def next_evaluation(done: int, run: RunConfig, times: Sequence[int]) -> int:
    """As `evaluation_due` of a run; where there are `times`, the first of them after `done`, or the run's end."""
    if not times:
        return evaluation_due(done, run.eval_every, run.total_steps)
    return min((time for time in times if done < time < run.total_steps), default=run.total_steps)


def iterations_until(due: int, done: int, rows: int) -> int:
    """Iterations of at most `rows` env steps before the last of which `due` env steps cannot be reached from `done`."""
    return max(1, -(-(due - done) // rows))


class SpeedMeter:
    """Iterations and env steps a second, measured over RATE_SECONDS or more."""

    def __init__(self) -> None:
        self.iterations = self.steps = 0.0  # a second; 0: unknown
        self._since = np.zeros(3)  # iterations, env steps, seconds

    def add(self, iterations: int, steps: int, seconds: float) -> None:
        self._since += (iterations, steps, max(seconds, 1e-9))
        if not self.iterations or self._since[2] >= RATE_SECONDS:
            self.iterations, self.steps = (float(x) for x in self._since[:2] / self._since[2])
            self._since[:] = 0.0


def check_warmup(settings: Settings, plan: Any) -> None:
    """Raises ConfigError where the run would end before its first update."""
    steps, asked = settings.run.total_steps, getattr(settings.algorithm, "warmup", 0)
    if plan.warmup <= steps:
        return
    text = f"{settings.run.algo} would learn nothing in {steps:,} env steps: its first update comes after "
    text += f"{plan.warmup:,}"
    if plan.warmup > asked:
        text += f", when each of {plan.num_envs} environments has shown a whole sequence"
    hint = "or fewer --num-envs" if plan.warmup > asked else "or a smaller --warmup"
    raise ConfigError(f"{text}: give --total-steps {plan.warmup} or more, {hint}")


def resolve(settings: Settings, plan: Any) -> Settings:
    """Puts numbers where 0 meant "about so many a run", so that a continued run keeps them.

    Raises:
      ConfigError: the run would end before its first update.
    """
    check_warmup(settings, plan)
    run = settings.run
    iterations = -(-run.total_steps // plan.steps_per_iteration)
    run = dataclasses.replace(
        run,
        eval_every=run.eval_every or max(plan.steps_per_iteration, run.total_steps // EVALUATIONS),
        log_every=run.log_every or max(1, iterations // LOG_ROWS),
    )
    return Settings(run, settings.algorithm)
