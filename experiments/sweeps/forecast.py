"""How long a sweep will take, how much memory it needs and how far it is, for the programs of its queue.

The speed of a program is what it measures itself; before that, what the same program measured in an earlier sweep on
this machine. Programs that were never compiled stay unknown.
"""

import dataclasses
import hashlib
import importlib.metadata
import json
import os
from collections.abc import Sequence

from experiments.common.text import duration, human
from experiments.distributed import collectives
from experiments.sweeps.plan import Program
from experiments.training.runtime import describe_devices
from experiments.training.time_estimates import keep_rate, read_rates

RUNTIME = ("XLA_FLAGS", "JAX_DEFAULT_MATMUL_PRECISION", "JAX_ENABLE_X64", "JAX_DISABLE_JIT")  # set in the user's shell


@dataclasses.dataclass
class Share:
    """The part of one program that this process (or all, where they train together) trains."""

    steps: int  # env steps of all its trials
    key: str = ""  # in rates.json
    done: int = 0  # of the steps
    seconds: float | None = None  # an env step of one trial takes, evaluating and saving included
    bytes: int | None = None  # at a time

    @property
    def left(self) -> float | None:
        """Seconds; None where they are not known."""
        if self.done >= self.steps:
            return 0.0
        return None if self.seconds is None else self.seconds * (self.steps - self.done)


class Forecast:
    """The shares of a queue's programs, in its order."""

    def __init__(self, shares: Sequence[Share]):
        self.shares = list(shares)

    def line(self) -> str:
        """The totals: env steps, time, memory, and for how many programs they are unknown."""
        steps = sum(share.steps - share.done for share in self.shares)
        text = f"queue    {len(self.shares)} program(s), {steps:,} env steps to go"
        seconds, unknown = self._left()
        needs = [share.bytes for share in self.shares if share.bytes is not None]
        if not needs or unknown == len(self.shares):
            return text + (": time and memory unknown until compiled" if unknown else "")
        text += f": about {duration(seconds)}, at most {human(max(needs))} at a time"
        return text + (f"; {unknown} program(s) unknown until compiled" if unknown else "")

    def _left(self) -> tuple[float, int]:
        """Seconds of the programs whose speed is known, and the number of the others."""
        left = [share.left for share in self.shares]
        return sum(x for x in left if x is not None), sum(x is None for x in left)

    def words(self, index: int) -> list[str]:
        """For the progress line, while program `index` of the queue is trained."""
        total = sum(share.steps for share in self.shares)
        seconds, unknown = self._left()
        eta = f"ETA of all {duration(seconds)}"
        if unknown:
            eta += f" and {unknown} program(s) not compiled yet"
        percent = 100 * sum(share.done for share in self.shares) // max(total, 1)
        return [f"program {index + 1} of {len(self.shares)}", f"{percent} % of all", eta]


class Watch:
    """Follows the batches of one program through the queue."""

    def __init__(self, forecast: Forecast, index: int):
        self._forecast, self._index, self._ended = forecast, index, 0
        self.share = forecast.shares[index]

    def predicted(self, seconds: float) -> str | None:
        """Receives the measured seconds of an env step; the line of the whole queue, if it has other programs too."""
        self.share.seconds = seconds
        return self._forecast.line() if len(self._forecast.shares) > 1 else None

    def at(self, steps: int, spent: float) -> list[str]:
        """A batch has done `steps` in `spent` seconds; the words for the progress line."""
        self.share.done, self.share.seconds = self._ended + steps, spent / max(steps, 1)
        return self._forecast.words(self._index) if len(self._forecast.shares) > 1 else []

    def batch_ended(self, steps: int) -> None:
        """A batch has ended, after `steps` env steps of its trials together."""
        self._ended += steps
        self.share.done = self._ended


def make_forecast(programs: Sequence[Program], trials: Sequence[int], finished: Sequence[bool]) -> Forecast:
    """The forecast of a queue, with what earlier sweeps have measured.

    Args:
      trials: number of trials of each program to train here.
      finished: whether each program has ended before.
    """
    kept = collectives.broadcast_from_main(read_rates) if programs[0].settings.run.compile_cache else {}
    shares = []
    for program, count, end in zip(programs, trials, finished, strict=True):
        key = _key(program, count)
        steps = count * program.settings.run.total_steps
        seconds, needed = kept.get(key, (None, None))
        shares.append(Share(steps, key, steps if end else 0, seconds, needed))
    return Forecast(shares)


def keep(share: Share) -> None:
    """Remembers what a program has measured; of processes that train together, the main one does."""
    if share.seconds is not None and share.key and collectives.is_main():
        keep_rate(share.key, share.seconds, share.bytes)


def _key(program: Program, trials: int) -> str:
    """A hash of what the speed of a program depends on: machine, jax, environment, evaluations, configuration, number
    of trials; not the values in which the trials differ."""
    run, algorithm = program.settings.run, dataclasses.asdict(program.settings.algorithm)
    fixed = {name: value for name, value in algorithm.items() if name not in program.floats}
    device = (describe_devices(run.devices, trials), collectives.process_count(), importlib.metadata.version("jax"))
    # With --eval-every 0, a short and a long run have the same key, though the evaluations of the long one are rarer.
    asked = [run.deterministic, run.matmul_precision, run.seeds_per_batch, run.eval_every, run.eval_episodes]
    set_outside = [sorted(set(os.environ.get(name, "").split())) for name in RUNTIME]
    what = [device, set_outside, run.algo, run.env, run.env_options, asked, fixed, trials]
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
