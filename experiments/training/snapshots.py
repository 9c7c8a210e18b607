"""Training that is looked at on its way: the learner's insides at chosen times, for figures 2 and 5.

The seeds train in one program, as everywhere. What was seen is kept beside the run's checkpoints, so that a run which
was stopped goes on and sees the rest; one that has ended can be inspected
(`experiments.analysis.inspection`), recorded and evaluated.
"""

import contextlib
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from experiments.common.files import check_digest, write_json
from experiments.common.text import duration
from experiments.config.schema import Settings, fingerprint
from experiments.loggers.console import Console
from experiments.run import resolve
from experiments.runs.build import build, seed_keys
from experiments.runs.checkpoint import Checkpoints, Progress
from experiments.runs.directory import create_directory, locked, software_versions, write_config
from experiments.training.loop import group_name
from experiments.training.pace import iterations_until
from experiments.training.runtime import describe_device, prepare_jax
from experiments.training.signals import Signals

CHUNK = 256  # iterations of one call, so that Ctrl-C is heard within seconds
Seen = dict[str, np.ndarray]  # [S, ...] each, and `env_steps` [S]
# (env, algorithm) -> a pure function of one seed: (TrainState, key, env steps int32[]) -> named arrays
MakeLook = Callable[[Any, Any], Callable[[Any, Any, Any], dict[str, Any]]]


def due(times: Sequence[int], total_steps: int) -> list[int]:
    """Env steps of the slowest seed at which to look, ascending; the end is one of them."""
    return sorted({min(t, total_steps) for t in times} | {total_steps})


def read(directory: pathlib.Path) -> list[Seen]:
    """What was seen so far, in the order of time."""
    files = sorted((directory / "seen").glob("*.npz"), key=lambda path: int(path.stem))
    return [dict(np.load(file)) for file in files]


def trainer_of(times: Sequence[int], make_look: MakeLook) -> Callable[[Settings, pathlib.Path | None], int]:
    """What `common.train_all` calls to train: (settings, directory or None) -> exit code."""

    def train(settings: Settings, directory: pathlib.Path | None) -> int:
        return train_and_look(settings, directory, times, make_look)

    return train


def train_and_look(
    settings: Settings, directory: pathlib.Path | None, times: Sequence[int], make_look: MakeLook
) -> int:
    """Trains to the end, in a new run directory or on in `directory`; looks after each of `times` env steps.

    Returns 0, 1 where a metric was not finite, or 128 + the signal that stopped it, after saving.
    """
    prepare_jax(settings.run, print)
    env, algorithm = build(settings)
    settings = resolve(settings, algorithm.plan)
    directory = directory or create_directory(settings)
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(directory))
        check_digest(directory / "config.json")
        write_config(directory, settings)
        write_json(directory / "versions.json", software_versions(describe_device()))
        console = stack.enter_context(Console(directory / "log.txt"))
        console.say(f"dir      {directory}")
        stop = stack.enter_context(Signals().listening())
        session = _Session(settings, directory, env, algorithm, make_look, console)
        return session.train(due(times, settings.run.total_steps), stop)


class _Session:
    """One process's part of the training: states, progress, and where they are saved."""

    def __init__(
        self,
        settings: Settings,
        directory: pathlib.Path,
        env: Any,
        algorithm: Any,
        make_look: MakeLook,
        console: Console,
    ):
        import jax

        from iacjax.train import make_trainer

        run = settings.run
        self.settings, self.directory, self.env, self.algorithm = settings, directory, env, algorithm
        self.console, self.returns = console, ""  # of each seed, when last evaluated
        self.look = jax.jit(jax.vmap(make_look(env, algorithm)))
        self.seeds = tuple(range(run.seed, run.seed + run.seeds))
        self.keys = seed_keys(self.seeds)
        self.trainer = make_trainer(env, algorithm, CHUNK, run.eval_episodes)
        place = directory / "checkpoints" / group_name(self.seeds)
        self.checkpoints = Checkpoints(place, fingerprint(settings), run.checkpoint_every, run.keep_checkpoints)
        self.rows, seeds = algorithm.plan.steps_per_iteration, len(self.seeds)
        found = self.checkpoints.restore(jax.eval_shape(self.trainer.init, self.keys), self.rows)
        begin = Progress(seeds=seeds, env_steps=[0] * seeds)
        self.states, self.progress = found or (self.trainer.init(self.keys), begin)

    @property
    def slowest(self) -> int:
        """Env steps of the seed that has made the fewest (see `loop.Group.slowest`)."""
        return min(self.progress.env_steps)

    def train(self, times: Sequence[int], stop: Signals) -> int:
        """Chunks up to each of `times` (env steps), a look at each, a checkpoint now and then."""
        for until in times:
            while self.slowest < until:
                if not self._chunk(until):
                    return 1
                if self.slowest >= until and not self._file().exists():
                    self._see()  # before it is saved: what goes on from a checkpoint has seen it
                self._show(times[-1])
                if stop() or self.checkpoints.due():
                    self.checkpoints.save(self.states, self.progress)
                if stop():
                    self._summary("interrupted")
                    self.console.say(f"stopped at iteration {self.progress.iteration}, saved in {self.directory}")
                    return 128 + stop.received
        self._keep()
        self._summary("finished")
        return 0

    def _chunk(self, until: int) -> bool:
        import jax

        began, at = time.monotonic(), self.progress.iteration
        n = min(CHUNK, iterations_until(until, self.slowest, self.rows))
        self.states, metrics, _ = self.trainer.chunk(self.states, np.int32(at), np.int32(n))
        bad = [name for name, value in jax.device_get(metrics).items() if not np.isfinite(value[:n]).all()]
        if bad:
            self.console.say(f"stopped: {bad[0]} is not finite after iteration {at}; {self.directory}")
            return False
        self.progress.iteration += n
        self.progress.env_steps = np.asarray(self.states.env_steps).tolist()
        self.progress.train_seconds += time.monotonic() - began
        return True

    def _file(self) -> pathlib.Path:
        return self.directory / "seen" / f"{self.progress.iteration}.npz"

    def _see(self) -> None:
        """Looks, evaluates, and keeps both."""
        import jax

        began, steps = time.monotonic(), np.array(self.progress.env_steps, np.int32)
        keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(self.keys, self.progress.iteration)
        seen = jax.device_get(self.look(self.states, keys, steps))
        returns = np.asarray(self.trainer.evaluate(self.states, keys).returns)
        seen = {**seen, "return_mean": returns.mean(-1), "env_steps": steps}
        self._file().parent.mkdir(exist_ok=True)
        part = self._file().with_name("part.tmp")  # whole or not at all: a half-written file would be taken for seen
        with part.open("wb") as file:
            np.savez(file, **seen)
        part.replace(self._file())
        self.progress.eval_seconds += time.monotonic() - began
        self.returns = "  return " + " ".join(f"{value:.4g}" for value in seen["return_mean"])

    def _show(self, total: int) -> None:
        """The progress line, after a chunk; `total` is in env steps."""
        done = min(self.slowest, total)
        spent = self.progress.train_seconds + self.progress.eval_seconds
        left = duration(spent / max(done, 1) * (total - done))
        text = f"{self.settings.run.algo}  {self.slowest:,} steps{self.returns}  ETA {left}"
        self.console.progress(done, total, text)

    def _keep(self) -> None:
        """The last state and its policies, where every run has them."""
        from iacjax.policy import save_policy

        self.checkpoints.save(self.states, self.progress)
        settings, options = self.settings, self.settings.run.env_options
        params, folder = self.algorithm.policy(self.states.learner), self.directory / "policy"
        save_policy(folder, settings.run.algo, settings.algorithm, self.env.spec, self.seeds, params, options)

    def _summary(self, status: str) -> None:
        timing = {name: getattr(self.progress, name) for name in ("train_seconds", "eval_seconds", "save_seconds")}
        steps = self.progress.env_steps
        rows = [{"seed": seed, "env_steps": count} for seed, count in zip(self.seeds, steps, strict=True)]
        write_json(self.directory / "summary.json", {"status": status, "seeds": rows, **timing})
