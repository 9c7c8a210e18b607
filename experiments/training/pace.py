"""When a run logs and evaluates, how many iterations there are until then, and its throughput."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from envs.errors import ConfigError
from experiments.config.schema import RunConfig, Settings

LOG_ROWS, EVALUATIONS = 500, 50  # in a run, if --log-every and --eval-every are 0
RATE_SECONDS = 0.5  # chunks are measured together until they last this long: one may have a single iteration


def evaluation_due(done: int, every: int, total: int) -> int:
    """The env steps, more than `done`, at which the next evaluation is due: every `every`, and at the end.

    It takes place after the first iteration in which the slowest seed reaches them.
    """
    return min((done // every + 1) * every, total)


def next_evaluation(done: int, run: RunConfig, times: Sequence[int]) -> int:
    """As `evaluation_due`, for a run; if there are `times` (env steps), the first of them after `done`, or the end."""
    if not times:
        return evaluation_due(done, run.eval_every, run.total_steps)
    return min((time for time in times if done < time < run.total_steps), default=run.total_steps)


def iterations_until(due: int, done: int, rows: int) -> int:
    """The largest number of iterations, of at most `rows` env steps each, of which only the last can reach `due`."""
    return max(1, -(-(due - done) // rows))


class Throughput:
    """Iterations and env steps per second, measured over RATE_SECONDS or more."""

    def __init__(self) -> None:
        self.iterations = self.steps = 0.0  # per second; 0: unknown
        self._since = np.zeros(3)  # iterations, env steps, seconds

    def add(self, iterations: int, steps: int, seconds: float) -> None:
        self._since += (iterations, steps, max(seconds, 1e-9))
        if not self.iterations or self._since[2] >= RATE_SECONDS:
            self.iterations, self.steps = (float(x) for x in self._since[:2] / self._since[2])
            self._since[:] = 0.0


def check_warmup(settings: Settings, plan: Any) -> None:
    """Raises ConfigError if the run would end before its first update."""
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
    """Replaces 0 in eval_every and log_every by the numbers it stands for, so that a resumed run keeps them.

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
