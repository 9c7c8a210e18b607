"""The loop on the host: it calls the compiled chunk, and between two chunks it logs, evaluates and saves.

Nothing that is written depends on how the iterations were cut into chunks, so a run that was interrupted and resumed
writes the same rows as one that was not.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from envs.errors import ConfigError
from experiments.common.text import duration
from experiments.distributed import collectives, sharding
from experiments.runs.build import seed_keys
from experiments.runs.checkpoint import Checkpoints, Progress, fingerprints_of
from experiments.training import rows
from experiments.training.compile import CHUNK_CAPACITY, Compiled
from experiments.training.hooks import Hook, LoopView, RunContext
from experiments.training.pace import Throughput, iterations_until, next_evaluation

CHUNK_SECONDS = 5.0
EVALUATION = 0x6576616C  # folded into a seed's key, so that evaluations share no randomness with training

Values = dict[str, np.ndarray]  # [n, S] of n iterations


class Diverged(Exception):
    """A metric became NaN or infinite; the message names it, the seed and the iteration."""


class Interrupted(Exception):
    """The user asked to stop; a checkpoint has been written."""


def batch_name(seeds: Sequence[int]) -> str:
    """The name of a batch of seeds, and of the directory of its checkpoints."""
    return f"seeds_{seeds[0]}-{seeds[-1]}"


def stop_at_nonfinite(loop: LoopView, values: Values, at: int) -> None:
    """Raises Diverged where a value of the iterations after `at` is NaN or infinite."""
    bad = rows.find_nonfinite(values)
    if bad is None:
        return
    row, index, name = bad
    number = values[name][row, index]
    kept = f"the checkpoint of iteration {loop.saved} is kept" if loop.saved >= 0 else "nothing was saved before it"
    raise Diverged(f"{name} is {number} for seed {loop.seeds[index]} at iteration {at + row + 1}; {kept}")


class TrainingLoop:
    """Trains a batch of seeds, in one vmapped program, from their newest checkpoint to the end.

    What hooks use of it is in `LoopView`.
    """

    def __init__(
        self,
        context: RunContext,
        seeds: tuple[int, ...],
        compiled: Compiled,
        *,
        name: str = "",
        fingerprint: str = "",
        inputs: Any = None,
        hooks: Sequence[Hook] = (),
        evaluate_at: Sequence[int] = (),
        check_finite: Callable[[LoopView, Values, int], None] = stop_at_nonfinite,
    ):
        """Nothing is read or written yet.

        Args:
          name: of the directory of the checkpoints; "": that of the seeds.
          fingerprint: of what the checkpoints depend on; "": that of the settings.
          inputs: what `Trainer.init` takes, each leaf [S, ...]; None: the seeds' keys.
          evaluate_at: env steps at which to evaluate, as well as at the end; empty: each `eval_every`.
          check_finite: called with the loop, the values of a chunk and the iterations before it; may raise Diverged, or
            replace values in place.
        """
        run = context.settings.run
        self.context, self.seeds, self.compiled, self.hooks = context, seeds, compiled, tuple(hooks)
        self.keys = seed_keys(seeds)
        self.inputs = self.keys if inputs is None else inputs
        self.name = name or batch_name(seeds)
        self.checkpoint_directory = context.directory / "checkpoints" / self.name
        checkpoints = Checkpoints(
            self.checkpoint_directory,
            [fingerprint] if fingerprint else fingerprints_of(context.settings),
            run.checkpoint_every,
            run.keep_checkpoints,
            context.console.say,
        )
        self.checkpoints = sharding.SharedCheckpoints(checkpoints) if collectives.process_count() > 1 else checkpoints
        self.evaluate_at, self.check_finite = evaluate_at, check_finite
        self.schedules = rows.schedule_names(context.algorithm)
        self.has_wins = "won" in compiled.states.runner.timestep.info
        self.rows = context.algorithm.plan.steps_per_iteration  # per iteration: no seed makes more env steps
        self.throughput = Throughput()
        self.saved = -1  # iteration of the last checkpoint
        self.shown: dict[str, float] = {}  # the newest means, for the progress line
        self.notes: list[str] = []

    @property
    def slowest(self) -> int:
        """Env steps of the seed that has made the fewest. The last observation of an episode takes a row without a
        step, so seeds differ slightly; the slowest one decides when to evaluate and when to end."""
        return min(self.progress.env_steps)

    @property
    def ended(self) -> bool:
        """Whether all env steps are made or the target win rate is reached."""
        return self.slowest >= self.context.settings.run.total_steps or self.progress.reached_target_win_rate

    @property
    def seconds(self) -> float:
        """Seconds of training, evaluation and saving, including those of earlier processes."""
        return self.progress.train_seconds + self.progress.eval_seconds + self.progress.save_seconds

    def train(self) -> Progress:
        """Trains to the end.

        Raises:
          Diverged: a metric is not finite; the last good checkpoint stays.
          Interrupted: the user asked to stop, and a checkpoint was written.
        """
        self._start()
        if not self.ended:  # a finished run was extended
            (self.context.directory / "summary.json").unlink(missing_ok=True)
        while not self.ended:
            due = next_evaluation(self.slowest, self.context.settings.run, self.evaluate_at)
            self._chunk(collectives.broadcast_from_main(lambda due=due: self._chunk_length(due)))
            self._between_chunks(due)
        if self.saved != self.progress.iteration:
            self._save()
        for hook in self.hooks:
            hook.on_end(self)
        return self.progress

    def _start(self) -> None:
        context, layout, seeds = self.context, self.compiled.layout, len(self.seeds)
        found = self.checkpoints.restore(self.compiled.states, self.rows, self._check_rows)
        states, self.progress = found or (None, Progress(seeds=seeds, env_steps=[0] * seeds))
        for hook in self.hooks:
            hook.on_start(self, states)
        for sink in context.sinks:
            sink.trim(self.seeds, self.progress.iteration)
        if states is None:
            self.states = self.compiled.init(layout.shard(self.inputs))
            return
        run, progress = context.settings.run, self.progress
        self.saved = progress.iteration
        context.console.say(f"resumed  {self.name} at iteration {progress.iteration}")
        rows.complete_window(progress.window, progress.iteration % run.log_every, self.schedules, seeds)
        progress.reached_target_win_rate = progress.reached_target_win_rate and run.stop_at > 0
        self.states = layout.shard(states, self.compiled.shardings)

    def _check_rows(self, saved: Progress) -> None:
        for sink in self.context.sinks:
            sink.check(self.seeds, saved.iteration, saved.rows)

    def _chunk_length(self, due: int) -> int:
        """Iterations of which only the last can reach `due` env steps, at most CHUNK_SECONDS of them by this
        process's clock; one if the throughput is unknown."""
        n = self.context.settings.run.chunk_iterations or max(1, int(self.throughput.iterations * CHUNK_SECONDS))
        return min(n, CHUNK_CAPACITY, iterations_until(due, self.slowest, self.rows))

    def _chunk(self, n: int) -> None:
        """Trains `n` iterations and logs them."""
        began, before, at = time.monotonic(), self.progress.env_steps, self.progress.iteration
        self.states, metrics, stats = self.compiled.chunk(self.states, np.int32(at), np.int32(n))
        metrics, stats = self.compiled.layout.fetch((metrics, stats))
        named = {name: getattr(stats, name) for name in rows.STATS} | metrics
        values = {name: np.asarray(value)[:n, : len(self.seeds)] for name, value in named.items()}
        if metrics.keys() & rows.RESERVED:
            name = min(metrics.keys() & rows.RESERVED)
            raise ConfigError(f"the metric {name} is a column of metrics.csv: rename it")
        self.check_finite(self, values, at)
        made = np.asarray(stats.env_steps, np.int64)[:n, : len(self.seeds)].cumsum(0) + before
        values[rows.LEARNED] = self.context.algorithm.plan.is_warm(made)
        for i in range(n):
            self.progress.env_steps = made[i].tolist()
            self._log_iteration({name: value[i] for name, value in values.items()}, at + i + 1)
        self.progress.iteration = at + n
        seconds = time.monotonic() - began
        self.progress.train_seconds += seconds
        self.throughput.add(n, sum(self.progress.env_steps) - sum(before), seconds)

    def _log_iteration(self, values: dict[str, np.ndarray], iteration: int) -> None:
        """Adds an iteration to the window, and writes the window when it is full."""
        window, log_every = self.progress.window, self.context.settings.run.log_every
        rows.add_to_window(window, values)
        if iteration % log_every:
            return
        sums = [{name: value[k] for name, value in window.items()} for k in range(len(self.seeds))]
        found = [rows.metrics_row(each, log_every, self.schedules, self.has_wins) for each in sums]
        self._write("metrics", iteration, found)
        self.progress.window = {}

    def _write(self, table: str, iteration: int, found: list[dict[str, float]]) -> list[dict[str, float]]:
        """Writes one row per seed, with its iteration, env steps and seed in front; returns these rows."""
        where = zip(self.progress.env_steps, self.seeds, found, strict=True)
        whole = [{"iteration": iteration, "env_steps": steps, "seed": seed, **row} for steps, seed, row in where]
        for sink in self.context.sinks:
            sink.write(table, whole)
        kind = "" if table == "metrics" else "greedy "
        for name in ("return_mean", "win_rate"):
            if name in whole[0]:
                self.shown[kind + name] = float(np.mean([row[name] for row in whole]))
        return whole

    def _between_chunks(self, due: int) -> None:
        for hook in self.hooks:
            hook.on_chunk(self)
        if self.slowest >= due:
            self._evaluate()
        stopping = self.context.stop()
        if stopping or self.checkpoints.due():
            self._save()
        self._show()
        if stopping:
            raise Interrupted

    def _evaluate(self) -> None:
        import jax

        play = self.compiled.evaluate.result()  # the first time, waits until it is compiled
        began, progress, layout = time.monotonic(), self.progress, self.compiled.layout
        fold = jax.vmap(jax.random.fold_in, in_axes=(0, None))
        keys = fold(fold(self.keys, EVALUATION), progress.iteration)
        episodes = layout.fetch(play(self.states, layout.shard(keys)))
        found = [rows.evaluation_row(*(x[k] for x in episodes), self.has_wins) for k in range(len(self.seeds))]
        found = self._write("eval", progress.iteration, found)
        target = self.context.settings.run.stop_at
        if self.has_wins and target:
            reached = np.mean([row["win_rate"] for row in found]) >= target
            progress.target_hits = progress.target_hits + 1 if reached else 0
            progress.reached_target_win_rate = progress.target_hits >= 2
        for hook in self.hooks:
            hook.on_evaluation(self, found)
        progress.eval_seconds += time.monotonic() - began

    def _save(self) -> None:
        sinks = self.context.sinks
        for sink in sinks:
            sink.sync()
        self.progress.rows = {name: value for sink in sinks for name, value in sink.digests(self.seeds).items()}
        states = self.compiled.layout.unshard(self.states)
        self.checkpoints.save(states, self.progress)
        for hook in self.hooks:  # if the process dies before, on_start gets these states
            hook.on_save(self, states)
        self.saved = self.progress.iteration

    def _show(self) -> None:
        total = self.context.settings.run.total_steps
        done = min(self.slowest, total)
        parts = [f"{self.slowest:,} steps", f"{self.throughput.steps:,.0f} steps/s"]
        for name, label in (("return_mean", "return"), ("win_rate", "win rate")):
            if name in self.shown:
                greedy = f" (greedy {self.shown['greedy ' + name]:.2f})" if "greedy " + name in self.shown else ""
                last = "-" if np.isnan(self.shown[name]) else f"{self.shown[name]:.2f}"  # no episode has ended lately
                parts.append(f"{label} {last}{greedy}")
        parts += [f"ETA {duration(self.seconds / max(done, 1) * (total - done))}", *self.notes]
        self.context.console.progress(done, total, "  ".join(parts))


def train_states(env: Any, algorithm: Any, seeds: tuple[int, ...], total_steps: int) -> Any:
    """The TrainState after `total_steps` env steps, each leaf [S, ...]; without rows, evaluations or checkpoints."""
    from iacjax.trainer import make_trainer

    size, iteration, done = algorithm.plan.steps_per_iteration, 0, 0
    trainer = make_trainer(env, algorithm, iterations_until(total_steps, 0, size), 1)
    states = trainer.init(seed_keys(seeds))
    while done < total_steps:  # a row at an episode's end is no env step
        n = iterations_until(total_steps, done, size)
        states = trainer.chunk(states, np.int32(iteration), np.int32(n))[0]
        iteration, done = iteration + n, int(np.min(states.env_steps))
    return states
