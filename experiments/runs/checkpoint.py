"""Checkpoints: the whole TrainState (`state_files`) and the progress of the host; the newest K are kept.

A checkpoint is named by its iteration and carries the fingerprint of its run's configuration and the digests of its
files. One that cannot be read, was changed, or is of another run, is moved to `refused/` with a message, and the one
before it is used.
"""

import dataclasses
import errno
import itertools
import json
import pathlib
import re
import shutil
import time
from collections.abc import Callable, Sequence
from typing import Any

from envs.errors import ConfigError
from experiments.common.files import check_sums, write_sums
from experiments.config.schema import Settings, fingerprint
from experiments.runs import state_files

PROGRESS, OLD_PROGRESS = "progress.json", "progress/metadata"  # the latter: written by orbax, in older versions
OLD_NAMES = {"bar_hits": "target_hits", "stopped": "reached_target_win_rate"}  # fields of Progress in older checkpoints
SAVING = "saving"  # directory of the checkpoint that is being written, or that a killed process has left
NOT_DAMAGE = (errno.EMFILE, errno.ENFILE, errno.EACCES, errno.EPERM, errno.EIO)  # errors that may go away
MAX_SHARE = 0.05  # of the time may go into saving


@dataclasses.dataclass
class Progress:
    """The progress of the host; JSON in every checkpoint."""

    iteration: int = 0  # iterations done
    env_steps: list[int] = dataclasses.field(default_factory=list)  # of each seed
    seeds: int = 1  # in the batch
    window: dict[str, list[float]] = dataclasses.field(default_factory=dict)  # sums since the last row of metrics.csv
    target_hits: int = 0  # evaluations in a row at or above --stop-at
    reached_target_win_rate: bool = False  # in two evaluations in a row
    train_seconds: float = 0.0
    eval_seconds: float = 0.0
    save_seconds: float = 0.0
    diverged: dict[str, int] = dataclasses.field(
        default_factory=dict
    )  # in a sweep: index of a trial -> its first bad iteration
    rows: dict[str, str] = dataclasses.field(default_factory=dict)  # digests of the rows (`Sink.digests`)


def fingerprints_of(settings: Settings) -> tuple[str, str]:
    """The fingerprint of a run, and that of older versions, where observed runs did not record the size of batches."""
    unrecorded = Settings(dataclasses.replace(settings.run, seeds_per_batch=0), settings.algorithm)
    return fingerprint(settings), fingerprint(unrecorded)


class Checkpoints:
    """The checkpoints of one batch of seeds, in `directory`."""

    def __init__(
        self,
        directory: pathlib.Path,
        fingerprints: Sequence[str],
        every: float,
        keep: int,
        say: Callable[[str], None] = print,
    ):
        """`fingerprints`: checkpoints are written with the first one and read with any of them."""
        self.directory, self._say = directory, say
        self._fingerprint, self._accepted = fingerprints[0], set(fingerprints)
        self._every, self._keep = every, keep
        self._due = time.monotonic() + every

    def due(self) -> bool:
        return time.monotonic() >= self._due

    def save(self, states: Any, progress: Progress) -> None:
        """Saves atomically; the seconds that it takes decide when the next checkpoint is due.

        Raises:
          OSError: the disk is full, or the like; earlier checkpoints are kept.
        """
        began = time.monotonic()
        record = {"fingerprint": self._fingerprint, **dataclasses.asdict(progress)}
        saving = self.directory / SAVING
        self._clean(saving)
        for place in (self.directory.parent, self.directory, saving):  # no run directory that was moved away
            place.mkdir(exist_ok=True)
        try:
            self._write(saving / str(progress.iteration), states, record)
        finally:
            shutil.rmtree(saving, ignore_errors=True)  # frees a full disk
        for old in self._steps()[: -self._keep]:
            shutil.rmtree(self.directory / str(old), ignore_errors=True)
        now = time.monotonic()
        progress.save_seconds += now - began
        self._due = now + (max(self._every, (now - began) / MAX_SHARE) if self._every else 0.0)

    def _clean(self, saving: pathlib.Path) -> None:
        for left in (saving, *self.directory.glob("*.orbax-checkpoint-tmp*")):  # the latter by older versions
            shutil.rmtree(left, ignore_errors=True)

    def _write(self, place: pathlib.Path, states: Any, record: dict[str, Any]) -> None:
        """Writes a checkpoint and its digests to `place`, then moves it to the others."""
        saver, tree = state_files.saver()
        saver.save(place.absolute(), args=tree(states))
        (place / PROGRESS).write_text(json.dumps(record))
        write_sums(place)
        place.replace(self.directory / place.name)

    def latest(self) -> int | None:
        """Iteration of the newest checkpoint, whether or not it can be read."""
        steps = self._steps()
        return steps[-1] if steps else None

    def _steps(self) -> list[int]:
        """Iterations of the checkpoints; other names (0099, ²) are ignored."""
        try:
            names = [path.name for path in self.directory.iterdir()]
        except FileNotFoundError:
            return []
        return sorted(int(name) for name in names if re.fullmatch("0|[1-9][0-9]{0,17}", name))

    def restore(
        self, abstract: Any, rows: int = 0, check: Callable[[Progress], None] = lambda progress: None
    ) -> tuple[Any, Progress] | None:
        """The newest checkpoint of this run that can be read; None if there is none at all.

        Args:
          abstract: the TrainState's shapes and dtypes.
          rows: per iteration, by which older versions counted env steps; 0 if the training is not resumed.
          check: raises ConfigError if the other files of the run do not match a checkpoint.

        Raises:
          ConfigError: there are checkpoints, but none that can be used.
          OSError: they cannot be read now, but perhaps later: no older one is used instead.
        """
        steps = self._steps()
        reasons = []
        for step in reversed(steps):
            try:
                found = self._read(step, abstract, rows, check)
            except Exception as error:  # zip, zlib, json, NumPy and orbax raise different ones
                if isinstance(error, OSError) and error.errno in NOT_DAMAGE:
                    raise
                reasons.append(_first_line(error))
                self._say(f"checkpoint {step} is refused ({reasons[-1]}); trying the one before it")
                continue
            for newer in [s for s in steps if s > step]:
                self._set_aside(newer)
            return found
        if steps:
            text = f"no usable checkpoint in {self.directory}: {reasons[0]}"
            raise ConfigError(f"{text}: restore what was changed from a copy, or start a new run")
        return None

    def _read(self, step: int, abstract: Any, rows: int, check: Callable[[Progress], None]) -> tuple[Any, Progress]:
        from iacjax.types import without_env_steps

        place = self.directory / str(step)
        check_sums(place)
        current = (place / state_files.STATE).exists()
        record = json.loads((place / (PROGRESS if current else OLD_PROGRESS)).read_text())
        if record.pop("fingerprint", None) not in self._accepted:
            raise ConfigError("its configuration does not match the run's config.json")
        progress = Progress(**{OLD_NAMES.get(name, name): value for name, value in record.items()})
        if progress.iteration != step:
            raise ConfigError(f"its iteration is {progress.iteration}")
        check(progress)
        counted = "env_steps" in record
        held = abstract if counted else without_env_steps(abstract)
        if current:
            saver, tree = state_files.saver()
            states = saver.restore(place.absolute(), args=tree(held))
        else:
            states = state_files.read_orbax_state(place / "state", held)
        return (states, progress) if counted else self._converted(states, progress, rows)

    def _converted(self, states: Any, progress: Progress, rows: int) -> tuple[Any, Progress]:
        """Converts a checkpoint of the version that counted each row of an iteration as an env step, and in which the
        normalisers of values kept raw moments."""
        import numpy as np

        from iacjax.losses.value_norm import all_from_raw_moments
        from iacjax.types import with_env_steps

        steps = progress.iteration * rows
        if rows:
            text = f"counts a row at each episode's end as a step: on from {steps:,}"
            self._say(f"checkpoint {progress.iteration} {text}")
        progress.env_steps = [steps] * progress.seeds
        return with_env_steps(all_from_raw_moments(states), np.full(progress.seeds, steps, np.int32)), progress

    def _set_aside(self, step: int) -> None:
        """Moves a refused checkpoint away, so that the run can save that iteration again."""
        refused = self.directory.parent.parent / "refused"
        refused.mkdir(exist_ok=True)
        name = f"{self.directory.name}-{step}"
        names = itertools.chain([name], (f"{name}-{k}" for k in itertools.count(2)))  # earlier ones stay
        target = next(refused / name for name in names if not (refused / name).exists())
        shutil.move(self.directory / str(step), target)


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{text[0][:500]}" if text and isinstance(error, ConfigError) else f"damaged: {(text or ['?'])[0][:300]}"
