"""The trials of a sweep: where their rows and policies go, and the loop that trains a batch of them as one program."""

import dataclasses
import hashlib
import json
import math
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.config.schema import RunConfig, Settings, fingerprint
from experiments.distributed import collectives
from experiments.loggers import Sink, open_sinks
from experiments.runs.build import seed_keys
from experiments.sweeps.forecast import Watch
from experiments.sweeps.plan import Configuration, Program
from experiments.training.compile import Compiled
from experiments.training.hooks import Hook, LoopView, RunContext
from experiments.training.loop import TrainingLoop, Values
from experiments.training.policies import PolicyTarget, SavePolicies


class SweepRun(NamedTuple):
    """A configuration, some of its seeds (all, unless processes outnumber configurations) and their run directory."""

    configuration: Configuration
    seeds: tuple[int, ...]
    directory: pathlib.Path
    name: str = ""  # sweep, environment, algorithm and configuration

    def settings(self, run: RunConfig) -> Settings:
        """Those of this run; `run`: what all runs of the program have in common."""
        run = dataclasses.replace(run, seed=self.seeds[0], seeds=len(self.seeds), seeds_per_batch=0)
        return Settings(run, self.configuration.settings.algorithm)


class Trial(NamedTuple):
    """One seed of a configuration."""

    run: SweepRun
    seed: int


def runs_of(program: Program, out: pathlib.Path, processes: int = 1) -> list[SweepRun]:
    """The runs of a program, in order; with fewer configurations than processes the seeds are cut into blocks too."""
    run = program.settings.run
    seeds = list(range(run.seed, run.seed + run.seeds))
    blocks = 1 if len(program.configurations) >= processes else min(processes, len(seeds))
    parent = out / run.env.replace(":", "_").replace("/", "_").replace("|", "_") / run.algo
    runs = []
    for configuration in program.configurations:
        name = configuration.name
        name = name if len(name) <= 120 else hashlib.sha256(name.encode()).hexdigest()[:16]
        for block in np.array_split(seeds, blocks):
            part = f"seeds_{block[0]}-{block[-1]}" if blocks > 1 else ""
            place, whole = parent / name / part, f"{out.name}/{run.env}/{run.algo}/{name}"
            runs.append(SweepRun(configuration, tuple(int(seed) for seed in block), place, whole))
    return runs


def batch_name(at: int, count: int) -> str:
    """The name of a batch's checkpoints: its first and its last trial among all of the program."""
    return f"lanes_{at}-{at + count - 1}"


def _by_run(trials: Sequence[Trial]) -> Iterator[tuple[SweepRun, tuple[int, ...]]]:
    """The runs of a batch, in order, and the indices of their trials."""
    places: dict[pathlib.Path, list[int]] = {}
    for k, trial in enumerate(trials):
        places.setdefault(trial.run.directory, []).append(k)
    for index in places.values():
        yield trials[index[0]].run, tuple(index)


class TrialSinks:
    """Sends the rows of a batch, one per trial, to the sinks of their runs; a diverged trial has no further rows.

    Of several processes that train together, all call it with the same rows, and process 0 writes.
    """

    def __init__(self, trials: Sequence[Trial], run: RunConfig):
        """Raises ConfigError where a package that `run` asks for is not installed."""
        self.diverged: dict[str, int] = {}  # index of a trial -> iteration of its first value that is not finite
        self._runs: list[tuple[list[Sink], tuple[int, ...], tuple[int, ...]]] = []  # sinks, indices, seeds
        collectives.broadcast_from_main(lambda: self._open(trials, run))

    def _open(self, trials: Sequence[Trial], run: RunConfig) -> None:
        for sweep_run, index in _by_run(trials):
            sinks = open_sinks(sweep_run.settings(run), sweep_run.directory, sweep_run.name)
            self._runs.append((sinks, index, tuple(trials[k].seed for k in index)))

    def write(self, table: str, rows: list[dict[str, float]]) -> None:
        collectives.broadcast_from_main(lambda: self._write(table, rows))

    def _write(self, table: str, rows: list[dict[str, float]]) -> None:
        for sinks, index, _ in self._runs:
            some = [rows[k] for k in index if rows[k]["iteration"] < self.diverged.get(str(k), math.inf)]
            for sink in sinks if some else ():
                sink.write(table, some)

    def trim(self, seeds: tuple[int, ...], iteration: int) -> None:
        collectives.broadcast_from_main(lambda: self._trim(iteration))

    def _trim(self, iteration: int) -> None:
        for sinks, _, seeds in self._runs:
            for sink in sinks:
                sink.trim(seeds, iteration)

    def digests(self, seeds: tuple[int, ...]) -> dict[str, str]:
        """{k/table: digest of the trials' rows in the table of their k-th run}."""
        return collectives.broadcast_from_main(self._digests)

    def _digests(self) -> dict[str, str]:
        found = {}
        for k, (sinks, _, seeds) in enumerate(self._runs):
            for sink in sinks:
                found |= {f"{k}/{table}": value for table, value in sink.digests(seeds).items()}
        return found

    def check(self, seeds: tuple[int, ...], iteration: int, known: dict[str, str]) -> None:
        """Called on process 0 alone, which reads the checkpoint."""
        for k, (sinks, _, seeds) in enumerate(self._runs):
            some = {name.removeprefix(f"{k}/"): value for name, value in known.items() if name.startswith(f"{k}/")}
            for sink in sinks:
                sink.check(seeds, iteration, some)

    def sync(self) -> None:
        collectives.broadcast_from_main(self._sync)

    def _sync(self) -> None:
        for sinks, _, _ in self._runs:
            for sink in sinks:
                sink.sync()

    def close(self) -> None:
        for sinks, _, _ in self._runs:
            for sink in sinks:
                sink.close()


class TrialHook(Hook):
    """Ends trials whose values are not finite, while the others continue, and reports the progress of the sweep."""

    def __init__(self, trials: Sequence[Trial], sinks: TrialSinks, watch: Watch):
        self._trials, self._sinks, self._watch = trials, sinks, watch

    def on_start(self, loop: LoopView, restored: Any) -> None:
        self._sinks.diverged = loop.progress.diverged

    def on_chunk(self, loop: LoopView) -> None:
        steps = min(loop.slowest, loop.context.settings.run.total_steps)
        loop.notes = self._watch.at(steps * len(self._trials), loop.seconds)

    def on_end(self, loop: LoopView) -> None:
        self._watch.batch_ended(len(self._trials) * loop.context.settings.run.total_steps)

    def end_diverged(self, loop: LoopView, values: Values, at: int) -> None:
        """The loop's `check_finite`: notes the trials that diverge, and replaces what is not finite by 0."""
        bad = {name: ~np.isfinite(value) for name, value in values.items()}
        for k in np.flatnonzero(np.any([mask.any(axis=0) for mask in bad.values()], axis=0)):
            row, name = min((int(mask[:, k].argmax()), name) for name, mask in bad.items() if mask[:, k].any())
            if loop.progress.diverged.setdefault(str(k), at + row + 1) > at:
                text = f"{name} is not finite at iteration {at + row + 1}; this trial ends, the others continue"
                which = self._trials[k].run.configuration.name
                loop.context.console.say(f"diverged {which}, seed {self._trials[k].seed}: {text}")
        values |= {name: np.where(bad[name], 0.0, value) for name, value in values.items()}


def make_loop(
    context: RunContext, trials: Sequence[Trial], compiled: Compiled, floats: tuple[str, ...], at: int, watch: Watch
) -> TrainingLoop:
    """The loop of a batch of trials.

    Args:
      context: that of the program; its sinks are replaced by those of the trials.
      floats: the fields in which the trials differ, inputs of the compiled functions.
      at: index of the first trial among all of the program.
      watch: receives the progress of the batch.
    """
    sinks = TrialSinks(trials, context.settings.run)
    hook = TrialHook(trials, sinks, watch)
    seeds = tuple(trial.seed for trial in trials)
    configurations = [trial.run.configuration for trial in trials]
    with np.errstate(over="ignore"):  # too large for a float32: infinite, so that trial diverges
        values = {name: np.array([each.values[name] for each in configurations], np.float32) for name in floats}
    targets = [
        PolicyTarget(sweep_run.directory, sweep_run.configuration.settings, tuple(seeds[k] for k in index), index)
        for sweep_run, index in _by_run(trials)
    ]
    return TrainingLoop(
        context._replace(sinks=[sinks]),
        seeds,
        compiled,
        name=batch_name(at, len(trials)),
        fingerprint=_fingerprint(trials, context.settings),
        inputs=(seed_keys(seeds), values),
        hooks=(hook, SavePolicies(targets)),
        check_finite=hook.end_diverged,
    )


def _fingerprint(trials: Sequence[Trial], settings: Settings) -> str:
    """The fingerprint of the trials' configurations and seeds, for their checkpoints."""
    alike = Settings(dataclasses.replace(settings.run, seeds_per_batch=0), settings.algorithm)
    text = json.dumps([fingerprint(alike), [(trial.run.configuration.values, trial.seed) for trial in trials]])
    return hashlib.sha256(text.encode()).hexdigest()[:12]
