"""The host's side of training: call the compiled chunk, and between two chunks log, evaluate, save and listen.

Nothing that is written hangs on how the iterations were cut into chunks, so an interrupted run and one that was left
alone write the same rows.
"""

import pathlib
import time
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from envs.errors import ConfigError
from experiments.common.text import duration
from experiments.config.schema import Settings, fingerprint
from experiments.distributed import collectives
from experiments.loggers import Sink
from experiments.loggers.console import Console
from experiments.runs.build import seed_keys
from experiments.runs.checkpoint import Checkpoints, Progress
from experiments.training.compile import CHUNK_CAPACITY, Compiled
from experiments.training.pace import Speed, evaluation_due, iterations_until

CHUNK_SECONDS = 5.0
STATS = ("episodes", "return_sum", "length_sum", "won_sum")  # fields of EpisodeStats
LEARNED = "learned"  # in a window: the iterations that updated
# Of metrics.csv and of windows: no metric has one of these names.
COLUMNS = {"iteration", "env_steps", "seed", "return_mean", "length_mean", "win_rate", LEARNED, *STATS}
EVALUATION = 0x6576616C  # folded into a seed's key, so that evaluations share no randomness with training


class Diverged(Exception):
    """A metric became NaN or infinite; the message names it, the seed and the iteration."""


class Interrupted(Exception):
    """The user asked to stop; a checkpoint has been written."""


class Job(NamedTuple):
    """What a run trains and where it writes; the same for all its groups of seeds."""

    settings: Settings
    directory: pathlib.Path
    algorithm: Any
    env: Any
    sinks: list[Sink]
    console: Console
    stop: Callable[[], bool]  # has the user asked to stop?


def group_name(seeds: tuple[int, ...]) -> str:
    return f"seeds_{seeds[0]}-{seeds[-1]}"


def find_nonfinite(values: dict[str, np.ndarray]) -> tuple[int, int, str] | None:
    """(row, seed index, name) of the first value [n, S] that is NaN or infinite; None where all are finite."""
    bad = [(*np.argwhere(~np.isfinite(v))[0], name) for name, v in values.items() if not np.isfinite(v).all()]
    return min(bad, default=None)


def _schedules_of(algorithm: Any) -> frozenset[str]:
    """The names of what is logged of every iteration."""
    import jax

    from iacjax.types import Clock

    number = jax.ShapeDtypeStruct((), np.int32)
    return frozenset(jax.eval_shape(algorithm.schedules, Clock(number, number)))


class Group:
    """Trains some seeds, in one vmapped program, from where their checkpoints stand to the end."""

    def __init__(self, job: Job, seeds: tuple[int, ...], programs: Compiled, name: str = "", mark: str = ""):
        """`name` and `mark`: the checkpoints' directory and fingerprint; by default those of the seeds and the run."""
        self.job, self.seeds, self.programs = job, seeds, programs
        self.name = name or group_name(seeds)
        run = job.settings.run
        self.checkpoints = Checkpoints(
            job.directory / "checkpoints" / self.name,
            mark or fingerprint(job.settings),
            run.checkpoint_every,
            run.keep_checkpoints,
            job.console.say,
        )
        self.keys = seed_keys(seeds)
        self.schedules = _schedules_of(job.algorithm)
        self.battle = "won" in programs.states.runner.timestep.info  # the world has winners
        self.rows = job.algorithm.plan.steps_per_iteration  # of an iteration: no seed makes more env steps
        self.speed = Speed()
        self.saved = -1  # iteration of the last checkpoint
        self.shown: dict[str, float] = {}  # what the progress line tells

    @property
    def slowest(self) -> int:
        """Env steps of the seed that has made the fewest. Where episodes end, a row goes to their last observation, so
        seeds differ by a little; the one that lags behind says when to evaluate and when to end."""
        return min(self.progress.env_steps)

    def train(self) -> Progress:
        """Runs to the end.

        Raises:
          Diverged: a metric is not finite; the last good checkpoint stays.
          Interrupted: the user asked to stop, and a checkpoint was written.
        """
        self.states, self.progress = self._start()
        run = self.job.settings.run
        if self.slowest < run.total_steps and not self.progress.stopped:  # a longer run: its end is still to come
            (self.job.directory / "summary.json").unlink(missing_ok=True)
        while self.slowest < run.total_steps and not self.progress.stopped:
            began, before = time.monotonic(), self.progress.env_steps
            due = evaluation_due(self.slowest, run.eval_every, run.total_steps)
            n = self._chunk_length(due)
            self._chunk(n)
            seconds = time.monotonic() - began
            self.progress.train_seconds += seconds
            self.speed.add(n, sum(self.progress.env_steps) - sum(before), seconds)
            self._between_chunks(due)
        if self.saved != self.progress.iteration:
            self._save()
        return self.progress

    def _start(self) -> tuple[Any, Progress]:
        sink, layout = self.job.sinks[0], self.programs.layout
        found = self.checkpoints.restore(
            self.programs.states, self.rows, lambda saved: sink.check(self.seeds, saved.iteration, saved.rows)
        )
        if found is None:
            collectives.broadcast_from_main(self._check_new)
        seeds = len(self.seeds)
        states, progress = found or (None, Progress(seeds=seeds, env_steps=[0] * seeds))
        sink.trim(self.seeds, progress.iteration)
        if found is None:
            return self.programs.init(layout.shard(self.inputs())), progress
        self._save_policies(self.job.algorithm.policy(states.learner))  # where they were lost or not yet saved
        self.saved = progress.iteration
        self.job.console.say(f"resumed  {self.name} at iteration {progress.iteration}")
        if progress.window and LEARNED not in progress.window:  # of an older version: all did, for its run
            progress.window[LEARNED] = [float(progress.iteration % self.job.settings.run.log_every)] * seeds
            progress.window |= {name: [float("nan")] * seeds for name in self.schedules - progress.window.keys()}
        progress.stopped = progress.stopped and self.job.settings.run.stop_at > 0
        return layout.shard(states), progress

    def _check_new(self) -> None:
        """Raises ConfigError where policies, which are saved after a checkpoint, stand without one: to begin anew would
        write over them and drop the rows."""
        for file in self._policy_files():
            if file.exists():
                where = self.job.directory / "checkpoints" / self.name
                text = f"{file} is there, but no checkpoint in {where}: restore it from a copy"
                raise ConfigError(f"{text}, or move {file.parent} away to train from the start")

    def _policy_files(self) -> list[pathlib.Path]:
        return [self.job.directory / "policy" / f"seed_{seed}.npz" for seed in self.seeds]

    def inputs(self) -> Any:
        """What the lanes start from, as `Trainer.init` takes it."""
        return self.keys

    def _chunk_length(self, due: int) -> int:
        """Iterations of which none but the last can reach `due` env steps, at most a few seconds' worth; one where the
        speed is unknown."""
        n = self.job.settings.run.chunk_iterations or max(1, int(self.speed.iterations * CHUNK_SECONDS))
        return min(n, CHUNK_CAPACITY, iterations_until(due, self.slowest, self.rows))

    def _chunk(self, n: int) -> None:
        at = self.progress.iteration
        self.states, metrics, stats = self.programs.chunk(self.states, np.int32(at), np.int32(n))
        metrics, stats = self.programs.layout.fetch((metrics, stats))
        named = {name: getattr(stats, name) for name in STATS} | metrics
        values = {name: np.asarray(value)[:n, : len(self.seeds)] for name, value in named.items()}
        if metrics.keys() & COLUMNS:
            raise ConfigError(f"the metric {min(metrics.keys() & COLUMNS)} is a column of metrics.csv: rename it")
        self._check_finite(values, at)
        made = np.asarray(stats.env_steps, np.int64)[:n, : len(self.seeds)].cumsum(0) + self.progress.env_steps
        values[LEARNED] = self.job.algorithm.plan.is_warm(made)
        for i in range(n):
            self.progress.env_steps = made[i].tolist()
            self._log_iteration({name: value[i] for name, value in values.items()}, at + i + 1)
        self.progress.iteration = at + n

    def _check_finite(self, values: dict[str, np.ndarray], at: int) -> None:
        bad = find_nonfinite(values)
        if bad is None:
            return
        row, index, name = bad
        number = values[name][row, index]
        keep = f"the checkpoint of iteration {self.saved} is kept" if self.saved >= 0 else "nothing was saved before it"
        raise Diverged(f"{name} is {number} for seed {self.seeds[index]} at iteration {at + row + 1}; {keep}")

    def _log_iteration(self, values: dict[str, np.ndarray], iteration: int) -> None:
        """Adds an iteration to the window, one after the other in float64, and writes the window when it is full."""
        window = self.progress.window
        for name, value in values.items():
            window[name] = [a + float(b) for a, b in zip(window.get(name, [0.0] * len(value)), value, strict=True)]
        log_every = self.job.settings.run.log_every
        if iteration % log_every == 0:
            self._write("metrics", [self._metrics_row(k, iteration, log_every) for k in range(len(self.seeds))])
            self.progress.window = {}

    def _where(self, index: int, iteration: int) -> dict[str, float]:
        return {"iteration": iteration, "env_steps": self.progress.env_steps[index], "seed": self.seeds[index]}

    def _metrics_row(self, index: int, iteration: int, count: int) -> dict[str, float]:
        """Of a window of `count` iterations. An update's metrics are means over those that updated; where none has,
        there is nothing to tell. Schedules are told throughout."""
        sums = {name: values[index] for name, values in self.progress.window.items()}
        episodes, learned = sums.pop("episodes"), sums.pop(LEARNED)
        ended = {name: sums.pop(name) for name in STATS[1:]}
        per_episode = {name: total / episodes if episodes else float("nan") for name, total in ended.items()}
        row = {**self._where(index, iteration), "episodes": episodes}
        row |= {"return_mean": per_episode["return_sum"], "length_mean": per_episode["length_sum"]}
        if self.battle:
            row["win_rate"] = per_episode["won_sum"]
        counts = {name: count if name in self.schedules else learned for name in sums}
        return row | {name: total / counts[name] if counts[name] else float("nan") for name, total in sums.items()}

    def _write(self, table: str, rows: list[dict[str, float]]) -> None:
        for sink in self.job.sinks:
            sink.write(table, rows)
        kind = "" if table == "metrics" else "greedy "
        for name in ("return_mean", "win_rate"):
            if name in rows[0]:
                self.shown[kind + name] = float(np.mean([row[name] for row in rows]))

    def _between_chunks(self, due: int) -> None:
        if self.slowest >= due:
            self._evaluate()
        stopping = self.job.stop()
        if stopping or self.checkpoints.due():
            self._save()
        self._show()
        if stopping:
            raise Interrupted

    def _evaluate(self) -> None:
        import jax

        play = self.programs.evaluate.result()  # waits here, once, where it still compiles
        began = time.monotonic()
        run, progress = self.job.settings.run, self.progress
        fold = jax.vmap(jax.random.fold_in, in_axes=(0, None))
        keys = fold(fold(self.keys, EVALUATION), progress.iteration)
        episodes = self.programs.layout.fetch(play(self.states, self.programs.layout.shard(keys)))
        rows = []
        for k in range(len(self.seeds)):
            returns, length, won = (np.asarray(x[k], np.float64) for x in episodes)
            row = {"return_mean": returns.mean(), "return_std": returns.std(), "length_mean": length.mean()}
            row |= {"win_rate": won.mean()} if self.battle else {}
            rows.append({**self._where(k, progress.iteration), **row})
        self._write("eval", rows)
        if self.battle and run.stop_at:
            reached = np.mean([row["win_rate"] for row in rows]) >= run.stop_at
            progress.bar_hits = progress.bar_hits + 1 if reached else 0
            progress.stopped = progress.bar_hits >= 2
        progress.eval_seconds += time.monotonic() - began

    def _save(self) -> None:
        for sink in self.job.sinks:
            sink.sync()
        self.progress.rows = self.job.sinks[0].digests(self.seeds)
        states = self.programs.layout.unshard(self.states)
        self.checkpoints.save(states, self.progress)
        self._save_policies(self.job.algorithm.policy(states.learner))  # a run that is killed before it does it later
        self.saved = self.progress.iteration

    def _save_policies(self, params: Any) -> None:
        """Writes the lanes' policies, parameters [S, ...]."""
        from iacjax.policy import save_policy

        settings = self.job.settings
        run, directory = settings.run, self.job.directory / "policy"
        save_policy(directory, run.algo, settings.algorithm, self.job.env.spec, self.seeds, params, run.env_options)

    def further(self, spent: float) -> list[str]:
        """What else the progress line tells, of a group that has worked for `spent` seconds."""
        return []

    def _show(self) -> None:
        total = self.job.settings.run.total_steps
        done = min(self.slowest, total)
        parts = [f"{self.slowest:,} steps", f"{self.speed.steps:,.0f} steps/s"]
        for name, label in (("return_mean", "return"), ("win_rate", "win rate")):
            if name in self.shown:
                greedy = f" (greedy {self.shown['greedy ' + name]:.2f})" if "greedy " + name in self.shown else ""
                last = "-" if np.isnan(self.shown[name]) else f"{self.shown[name]:.2f}"  # no episode ended of late
                parts.append(f"{label} {last}{greedy}")
        spent = self.progress.train_seconds + self.progress.eval_seconds + self.progress.save_seconds
        parts += [f"ETA {duration(spent / max(done, 1) * (total - done))}", *self.further(spent)]
        self.job.console.progress(done, total, "  ".join(parts))
