"""Checkpoints: the whole TrainState and where the host stands, with orbax, the newest K kept.

A checkpoint is named by its iteration and carries the fingerprint of its run's configuration and the digests of its
files. What cannot be read, was changed, or is of another run, is moved aside (`refused/`) with a message, and the one
before it is used.
"""

import contextlib
import dataclasses
import errno
import itertools
import logging
import pathlib
import re
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

from envs.errors import ConfigError
from experiments import digests

SAVING = "saving"  # beside the checkpoints: the one that is being written, or that a killed process has left
MAX_SHARE = 0.05  # of the time may go into saving


@dataclasses.dataclass
class Progress:
    """Where the host stands; JSON in every checkpoint."""

    iteration: int = 0  # iterations done
    env_steps: list[int] = dataclasses.field(default_factory=list)  # of each seed
    seeds: int = 1  # in the group
    window: dict[str, list[float]] = dataclasses.field(default_factory=dict)  # sums since the last row of metrics.csv
    bar_hits: int = 0  # evaluations in a row at or above --stop-at
    stopped: bool = False  # the bar was reached
    train_seconds: float = 0.0
    eval_seconds: float = 0.0
    save_seconds: float = 0.0
    diverged: dict[str, int] = dataclasses.field(default_factory=dict)  # of a sweep: lane -> iteration it ended at
    rows: dict[str, str] = dataclasses.field(default_factory=dict)  # digests of the rows written so far (`csv_sink`)


class Checkpoints:
    """The checkpoints of one group of seeds, in `directory`."""

    def __init__(
        self, directory: pathlib.Path, fingerprint: str, every: float, keep: int, say: Callable[[str], None] = print
    ):
        self._directory, self._fingerprint, self._say = directory, fingerprint, say
        self._every, self._keep = every, keep
        self._opened: Any = None
        self._due = time.monotonic() + every

    def _saver(self) -> Any:
        import orbax.checkpoint as ocp  # here: half a second that the first update need not wait for

        if self._opened is None:
            own = {"multiprocessing_options": _of_this_process()}
            handler = ocp.CompositeCheckpointHandler(
                composite_options=ocp.CompositeOptions(**own),
                state=ocp.StandardCheckpointHandler(**own),
                progress=ocp.JsonCheckpointHandler(**own),
            )
            self._opened = ocp.Checkpointer(handler, **own)
        return self._opened

    def due(self) -> bool:
        return time.monotonic() >= self._due

    def save(self, states: Any, progress: Progress) -> None:
        """Saves now, whole or not at all; what it cost decides when the next one is due.

        Raises:
          OSError: the disk is full.
        """
        import orbax.checkpoint as ocp

        began = time.monotonic()
        record = {"fingerprint": self._fingerprint, **dataclasses.asdict(progress)}
        args = ocp.args.Composite(state=ocp.args.StandardSave(_stand_in(states)), progress=ocp.args.JsonSave(record))
        try:
            with _unlogged():
                self._write(str(progress.iteration), args)
        except Exception as error:
            if "No space left" in str(error) or "RESOURCE_EXHAUSTED" in str(error):
                raise OSError(errno.ENOSPC, "No space left on device", str(self._directory)) from error
            raise
        now = time.monotonic()
        progress.save_seconds += now - began
        self._due = now + (max(self._every, (now - began) / MAX_SHARE) if self._every else 0.0)

    def _write(self, name: str, args: Any) -> None:
        """Writes a checkpoint beside the others and, with its digests, gives it its place; removes what is too old."""
        saving = self._directory / SAVING
        for left in (saving, *self._directory.glob("*.orbax-checkpoint-tmp*")):  # the latter by older versions
            shutil.rmtree(left, ignore_errors=True)
        saving.mkdir(parents=True)
        self._saver().save(saving.absolute() / name, args=args)
        digests.write_sums(saving / name)
        (saving / name).replace(self._directory / name)
        saving.rmdir()
        for old in self._steps()[: -self._keep]:
            shutil.rmtree(self._directory / str(old), ignore_errors=True)

    def latest(self) -> int | None:
        """Iteration of the newest checkpoint, whether or not it can be read."""
        steps = self._steps()
        return steps[-1] if steps else None

    def _steps(self) -> list[int]:
        """Iterations of the checkpoints; what is called otherwise (0099, ²) is none of ours."""
        try:
            names = [path.name for path in self._directory.iterdir()]
        except FileNotFoundError:
            return []
        return sorted(int(name) for name in names if re.fullmatch("0|[1-9][0-9]{0,17}", name))

    def restore(
        self, abstract: Any, rows: int = 0, check: Callable[[Progress], None] = lambda progress: None
    ) -> tuple[Any, Progress] | None:
        """The newest checkpoint that can be read and is this run's; None where there is none at all.

        Args:
          abstract: the TrainState's shapes and dtypes.
          rows: of an iteration. A checkpoint that is older than the count of env steps counted them, and goes on so.
          check: raises ConfigError where what else the run has written does not go with a checkpoint.

        Raises:
          ConfigError: there are checkpoints, but none that can be used.
        """
        steps = self._steps()
        reasons = []
        for step in reversed(steps):
            try:
                found = self._read(step, abstract, rows, check)
            except Exception as error:  # orbax, tensorstore and json each have their own
                reasons.append(_first_line(error))
                self._say(f"checkpoint {step} is refused ({reasons[-1]}); trying the one before it")
                continue
            for newer in [s for s in steps if s > step]:
                self._set_aside(newer)
            return found
        if steps:
            text = f"no usable checkpoint in {self._directory}: {reasons[0]}"
            raise ConfigError(f"{text}: restore what was changed from a copy, or start a new run")
        return None

    def _read(self, step: int, abstract: Any, rows: int, check: Callable[[Progress], None]) -> tuple[Any, Progress]:
        import orbax.checkpoint as ocp

        from iacjax.types import without_env_steps

        place, restore = self._directory.absolute() / str(step), self._saver().restore
        digests.check_sums(place)
        record = restore(place, args=ocp.args.Composite(progress=ocp.args.JsonRestore())).progress
        if record.pop("fingerprint", None) != self._fingerprint:
            raise ConfigError("its configuration does not match the run's config.json")
        progress = Progress(**record)
        if progress.iteration != step:
            raise ConfigError(f"it says that it is of iteration {progress.iteration}")
        check(progress)
        counted = "env_steps" in record
        held = abstract if counted else without_env_steps(abstract)
        args = ocp.args.Composite(state=ocp.args.StandardRestore(_stand_in(held)))
        states = _put_back(restore(place, args=args).state, held)
        return (states, progress) if counted else self._brought_up(states, progress, rows)

    def _brought_up(self, states: Any, progress: Progress, rows: int) -> tuple[Any, Progress]:
        """A checkpoint from before env steps were counted, when each row of an iteration was one for its run, and when
        the normalisers of values kept raw moments."""
        import numpy as np

        from iacjax.losses.normaliser import all_from_raw_moments
        from iacjax.types import with_env_steps

        steps = progress.iteration * rows
        self._say(f"checkpoint {progress.iteration} counts a row at each episode's end as a step: on from {steps:,}")
        progress.env_steps = [steps] * progress.seeds
        return with_env_steps(all_from_raw_moments(states), np.full(progress.seeds, steps, np.int32)), progress

    def _set_aside(self, step: int) -> None:
        """Moves a refused checkpoint out of the way, so that the run can save that iteration again."""
        refused = self._directory.parent.parent / "refused"
        refused.mkdir(exist_ok=True)
        name = f"{self._directory.name}-{step}"
        names = itertools.chain([name], (f"{name}-{k}" for k in itertools.count(2)))  # what was refused before stays
        target = next(refused / name for name in names if not (refused / name).exists())
        shutil.move(self._directory / str(step), target)

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()
            self._opened = None


@contextlib.contextmanager
def _unlogged() -> Iterator[None]:
    """Keeps orbax's threads from printing the traceback of each write that fails: it comes as an exception, too."""
    logger = logging.getLogger("absl")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)


def _of_this_process() -> Any:
    """Of several processes, one alone uses a directory: the others need not be waited for."""
    import jax
    from orbax.checkpoint.options import MultiprocessingOptions

    if jax.process_count() == 1:
        return MultiprocessingOptions()
    own = jax.process_index()
    return MultiprocessingOptions(primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"process_{own}")


def _stand_in(tree: Any) -> Any:
    """The tree as orbax takes it. It saves no empty array (a continuous world's masks): one element stands for it.
    Of several processes it takes NumPy arrays alone, so there keys are saved as their data."""
    import jax
    import numpy as np

    alone = jax.process_count() == 1

    def one(leaf):
        shape = leaf.shape if leaf.size else (1,)
        if isinstance(leaf, jax.ShapeDtypeStruct):
            if alone:
                return jax.ShapeDtypeStruct(shape, leaf.dtype)
            if is_key(leaf):
                leaf = jax.eval_shape(jax.random.key_data, leaf)
                shape = leaf.shape
            return np.broadcast_to(np.zeros((), leaf.dtype), shape)  # no memory
        leaf = leaf if leaf.size else np.zeros(shape, leaf.dtype)
        return leaf if alone else np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)

    return jax.tree.map(one, tree)


def _put_back(tree: Any, abstract: Any) -> Any:
    """The inverse of `_stand_in`, given the true shapes."""
    import jax
    import jax.numpy as jnp

    def one(leaf, due):
        if not due.size:
            return jnp.zeros(due.shape, due.dtype)
        return jax.random.wrap_key_data(leaf) if is_key(due) and not is_key(leaf) else leaf

    return jax.tree.map(one, tree, abstract)


def is_key(leaf: Any) -> bool:
    """Whether a leaf (or its shape) is of typed keys."""
    import jax

    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _first_line(error: Exception) -> str:
    text = str(error).strip().splitlines()
    return f"{text[0][:160]}" if text and isinstance(error, ConfigError) else f"damaged: {(text or ['?'])[0][:120]}"
