"""Checkpoints: the whole TrainState and where the host stands, with orbax, the newest K kept.

A checkpoint is named by its iteration and carries the fingerprint of its run's configuration. What cannot be read,
or is of another run, is moved aside (`refused/`) with a message, and the one before it is used.
"""

import contextlib
import dataclasses
import errno
import logging
import pathlib
import shutil
import time
from collections.abc import Callable, Iterator
from typing import Any

from envs.errors import ConfigError

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


class Checkpoints:
    """The checkpoints of one group of seeds, in `directory`."""

    def __init__(
        self, directory: pathlib.Path, fingerprint: str, every: float, keep: int, say: Callable[[str], None] = print
    ):
        self._directory, self._fingerprint, self._say = directory, fingerprint, say
        self._every, self._keep = every, keep
        self._opened: Any = None
        self._due = time.monotonic() + every

    def _manager(self) -> Any:
        import orbax.checkpoint as ocp  # here: half a second that the first update need not wait for

        if self._opened is None:
            self._directory.mkdir(parents=True, exist_ok=True)
            options = ocp.CheckpointManagerOptions(
                max_to_keep=self._keep,
                enable_async_checkpointing=False,
                cleanup_tmp_directories=True,
                create=False,
                multiprocessing_options=_of_this_process(),
            )
            self._opened = ocp.CheckpointManager(self._directory.absolute(), options=options)
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
                self._manager().save(progress.iteration, args=args)
        except Exception as error:
            if "No space left" in str(error) or "RESOURCE_EXHAUSTED" in str(error):
                raise OSError(errno.ENOSPC, "No space left on device", str(self._directory)) from error
            raise
        now = time.monotonic()
        progress.save_seconds += now - began
        self._due = now + (max(self._every, (now - began) / MAX_SHARE) if self._every else 0.0)

    def latest(self) -> int | None:
        """Iteration of the newest checkpoint, whether or not it can be read."""
        steps = self._steps()
        return steps[-1] if steps else None

    def _steps(self) -> list[int]:
        if not self._directory.is_dir():
            return []
        return sorted(int(path.name) for path in self._directory.iterdir() if path.name.isdigit())

    def restore(self, abstract: Any, rows: int = 0) -> tuple[Any, Progress] | None:
        """The newest checkpoint that can be read and is this run's; None where there is none at all.

        Args:
          abstract: the TrainState's shapes and dtypes.
          rows: of an iteration. A checkpoint that is older than the count of env steps counted them, and goes on so; 0
            where nothing goes on.

        Raises:
          ConfigError: there are checkpoints, but none that can be used.
        """
        steps = self._steps()
        reasons = []
        for step in reversed(steps):
            try:
                found = self._read(step, abstract, rows)
            except Exception as error:  # orbax, tensorstore and json each have their own
                reasons.append(_first_line(error))
                self._say(f"checkpoint {step} is refused ({reasons[-1]}); trying the one before it")
                continue
            for newer in [s for s in steps if s > step]:
                self._set_aside(newer)
            return found
        if steps:
            raise ConfigError(f"no usable checkpoint in {self._directory}: {reasons[0]}")
        return None

    def _read(self, step: int, abstract: Any, rows: int) -> tuple[Any, Progress]:
        import orbax.checkpoint as ocp

        from iacjax.types import without_env_steps

        manager = self._manager()
        record = manager.restore(step, args=ocp.args.Composite(progress=ocp.args.JsonRestore())).progress
        if record.pop("fingerprint", None) != self._fingerprint:
            raise ConfigError("its configuration does not match the run's config.json: restore that file")
        progress = Progress(**record)
        if progress.iteration != step:
            raise ConfigError(f"it says that it is of iteration {progress.iteration}")
        counted = "env_steps" in record
        held = abstract if counted else without_env_steps(abstract)
        args = ocp.args.Composite(state=ocp.args.StandardRestore(_stand_in(held)))
        states = _put_back(manager.restore(step, args=args).state, held)
        return (states, progress) if counted else self._counted(states, progress, rows)

    def _counted(self, states: Any, progress: Progress, rows: int) -> tuple[Any, Progress]:
        """A state that was saved before env steps were counted: each row of its iterations was one for its run."""
        import numpy as np

        from iacjax.types import with_env_steps

        steps = progress.iteration * rows
        if rows:
            text = f"counts a row at each episode's end as a step: on from {steps:,}"
            self._say(f"checkpoint {progress.iteration} {text}")
        progress.env_steps = [steps] * progress.seeds
        return with_env_steps(states, np.full(progress.seeds, steps, np.int32)), progress

    def _set_aside(self, step: int) -> None:
        """Moves a refused checkpoint out of the way, so that the run can save that iteration again."""
        refused = self._directory.parent.parent / "refused"
        refused.mkdir(exist_ok=True)
        target = refused / f"{self._directory.name}-{step}"
        shutil.rmtree(target, ignore_errors=True)
        shutil.move(self._directory / str(step), target)
        self.close()

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
