"""Training that is looked at on its way: the learner's insides at chosen times, for figures 2 and 5.

The seeds train in one program, as everywhere. What was seen is kept beside the run's checkpoints, so that a run which
was stopped goes on and sees the rest; one that has ended can be asked by `experiments.insight`, filmed and evaluated.
"""

import contextlib
import pathlib
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from experiments import rundir, startup
from experiments.checkpoint import Checkpoints, Progress
from experiments.config import Settings, fingerprint
from experiments.host_loop import group_name
from experiments.logging.console import Console, duration
from experiments.run import Signals, build, resolve

CHUNK = 256  # iterations of one call, so that Ctrl-C is heard within seconds
Seen = dict[str, np.ndarray]  # [S, ...] each, and `env_steps` [S]
# (env, algorithm) -> a pure function of one seed: (TrainState, key, env steps int32[]) -> named arrays
MakeLook = Callable[[Any, Any], Callable[[Any, Any, Any], dict[str, Any]]]


def due(times: Sequence[int], steps_per_iteration: int, total_steps: int) -> list[int]:
    """Iterations after which to look, ascending, for times in env steps; the last iteration is one of them."""
    last = -(-total_steps // steps_per_iteration)
    return sorted({min(-(-t // steps_per_iteration), last) for t in times} | {last})


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
    startup.prepare_jax(settings.run, print)
    env, algorithm = build(settings)
    settings = resolve(settings, algorithm.plan.steps_per_iteration)
    directory = directory or rundir.create(settings)
    with contextlib.ExitStack() as stack:
        stack.enter_context(rundir.locked(directory))
        rundir.write_json(directory / "config.json", rundir.to_dict(settings))
        rundir.write_json(directory / "versions.json", rundir.versions(startup.describe_device()))
        console = stack.enter_context(Console(directory / "log.txt"))
        console.say(f"dir      {directory}")
        stop = stack.enter_context(Signals().listening())
        session = _Session(settings, directory, env, algorithm, make_look, console)
        return session.train(due(times, algorithm.plan.steps_per_iteration, settings.run.total_steps), stop)


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
        self.look = jax.jit(jax.vmap(make_look(env, algorithm), in_axes=(0, 0, None)))
        self.seeds = tuple(range(run.seed, run.seed + run.seeds))
        self.keys = startup.seed_keys(self.seeds)
        self.trainer = make_trainer(env, algorithm, CHUNK, run.eval_episodes)
        place = directory / "checkpoints" / group_name(self.seeds)
        self.checkpoints = Checkpoints(place, fingerprint(settings), run.checkpoint_every, run.keep_checkpoints)
        found = self.checkpoints.restore(jax.eval_shape(self.trainer.init, self.keys))
        self.states, self.progress = found or (self.trainer.init(self.keys), Progress(seeds=len(self.seeds)))

    def train(self, times: Sequence[int], stop: Signals) -> int:
        """Chunks up to each of `times` (iterations), a look at each, a checkpoint now and then."""
        for until in times:
            while self.progress.iteration < until:
                if not self._chunk(until):
                    return 1
                self._show(times[-1])
                if stop() or self.checkpoints.due():
                    self.checkpoints.save(self.states, self.progress)
                if stop():
                    self._summary("interrupted")
                    self.console.say(f"stopped at iteration {self.progress.iteration}, saved in {self.directory}")
                    return 128 + stop.received
            if self.progress.iteration == until and not self._file().exists():
                self._see()
                self._show(times[-1])
        self._keep()
        self._summary("finished")
        return 0

    def _chunk(self, until: int) -> bool:
        import jax

        began, at = time.monotonic(), self.progress.iteration
        n = min(CHUNK, until - at)
        self.states, metrics, _ = self.trainer.chunk(self.states, np.int32(at), np.int32(n))
        bad = [name for name, value in jax.device_get(metrics).items() if not np.isfinite(value[:n]).all()]
        if bad:
            self.console.say(f"stopped: {bad[0]} is not finite after iteration {at}; {self.directory}")
            return False
        self.progress.iteration += n
        self.progress.train_seconds += time.monotonic() - began
        return True

    def _file(self) -> pathlib.Path:
        return self.directory / "seen" / f"{self.progress.iteration}.npz"

    def _see(self) -> None:
        """Looks, evaluates, and keeps both."""
        import jax

        began, steps = time.monotonic(), self.progress.iteration * self.algorithm.plan.steps_per_iteration
        keys = jax.vmap(jax.random.fold_in, in_axes=(0, None))(self.keys, self.progress.iteration)
        seen = jax.device_get(self.look(self.states, keys, np.int32(steps)))
        returns = np.asarray(self.trainer.evaluate(self.states, keys).returns)
        seen = {**seen, "return_mean": returns.mean(-1), "env_steps": np.full(len(self.seeds), steps)}
        self._file().parent.mkdir(exist_ok=True)
        part = self._file().with_name("part.tmp")  # whole or not at all: a half-written file would be taken for seen
        with part.open("wb") as file:
            np.savez(file, **seen)
        part.replace(self._file())
        self.progress.eval_seconds += time.monotonic() - began
        self.returns = "  return " + " ".join(f"{value:.4g}" for value in seen["return_mean"])

    def _show(self, total: int) -> None:
        """The progress line, after a chunk or a look; `total` is in iterations."""
        done, steps = self.progress.iteration, self.algorithm.plan.steps_per_iteration
        spent = self.progress.train_seconds + self.progress.eval_seconds
        left = duration(spent / max(done, 1) * (total - done))
        text = f"{self.settings.run.algo}  {done * steps:,} steps{self.returns}  ETA {left}"
        self.console.progress(done, total, text)

    def _keep(self) -> None:
        """The last state and its policies, where every run has them."""
        from iacjax.policy import save_policy

        self.checkpoints.save(self.states, self.progress)
        settings, options = self.settings, self.settings.run.env_options
        params, folder = self.algorithm.policy(self.states.learner), self.directory / "policy"
        save_policy(folder, settings.run.algo, settings.algorithm, self.env.spec, self.seeds, params, options)

    def _summary(self, status: str) -> None:
        steps = self.progress.iteration * self.algorithm.plan.steps_per_iteration
        timing = {name: getattr(self.progress, name) for name in ("train_seconds", "eval_seconds", "save_seconds")}
        rows = [{"seed": seed, "env_steps": steps} for seed in self.seeds]
        rundir.write_json(self.directory / "summary.json", {"status": status, "seeds": rows, **timing})
