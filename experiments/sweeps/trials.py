"""The trials of a sweep: where their rows and policies go, and a batch of them as one vmapped program."""

import dataclasses
import hashlib
import json
import math
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.config.schema import Settings, fingerprint
from experiments.distributed import collectives, sharding
from experiments.loggers.csv import TABLES, CsvSink
from experiments.runs.checkpoint import Progress
from experiments.sweeps.forecast import Watch
from experiments.sweeps.plan import Configuration, Program
from experiments.training.compile import Compiled
from experiments.training.loop import Group, Job


class SweepRun(NamedTuple):
    """A configuration, some of its seeds (all, unless processes outnumber configurations) and their run directory."""

    configuration: Configuration
    seeds: tuple[int, ...]
    directory: pathlib.Path


class Trial(NamedTuple):
    """One seed of a configuration."""

    run: SweepRun
    seed: int


def runs_of(program: Program, out: pathlib.Path, processes: int = 1) -> list[SweepRun]:
    """The runs of a program, in order; with fewer configurations than processes the seeds are cut into blocks too."""
    run = program.settings.run
    seeds = list(range(run.seed, run.seed + run.seeds))
    blocks = 1 if len(program.configurations) >= processes else min(processes, len(seeds))
    parent = out / run.env.replace(":", "_").replace("/", "_") / run.algo
    runs = []
    for configuration in program.configurations:
        name = configuration.name
        name = name if len(name) <= 120 else hashlib.sha256(name.encode()).hexdigest()[:16]
        for block in np.array_split(seeds, blocks):
            part = f"seeds_{block[0]}-{block[-1]}" if blocks > 1 else ""
            runs.append(SweepRun(configuration, tuple(int(seed) for seed in block), parent / name / part))
    return runs


def batch_name(at: int, count: int) -> str:
    """The name of a batch's checkpoints: its first and its last trial among all of the program."""
    return f"lanes_{at}-{at + count - 1}"


class TrialSink:
    """Sends the rows of a group, one a trial, to their runs' CSV files; those of a diverged trial end.

    Of several processes that train together, all call it with the same rows, and process 0 writes.
    """

    def __init__(self, trials: Sequence[Trial]):
        self._trials = trials
        self._sinks = {trial.run.directory: CsvSink(trial.run.directory, trial.run.seeds) for trial in trials}
        self.diverged: dict[str, int] = {}  # index of a trial -> iteration of its first number that is not finite

    def write(self, table: str, rows: list[dict[str, float]]) -> None:
        collectives.broadcast_from_main(lambda: self._write(table, rows))

    def _write(self, table: str, rows: list[dict[str, float]]) -> None:
        of: dict[pathlib.Path, list[dict[str, float]]] = {}
        for k, (trial, row) in enumerate(zip(self._trials, rows, strict=True)):
            if row["iteration"] < self.diverged.get(str(k), math.inf):
                of.setdefault(trial.run.directory, []).append(row)
        for directory, some in of.items():
            self._sinks[directory].write(table, some)
            self._sinks[directory].close()  # a sweep has more files than a process may hold open

    def trim(self, seeds: tuple[int, ...], iteration: int) -> None:
        collectives.broadcast_from_main(lambda: self._trim(iteration))

    def _trim(self, iteration: int) -> None:
        for sink, seeds in self._by_run():
            sink.trim(seeds, iteration)

    def digests(self, seeds: tuple[int, ...]) -> dict[str, str]:
        """{k/table: digest of the trials' rows in the table of their k-th run}, for a checkpoint."""
        return collectives.broadcast_from_main(self._digests)

    def _digests(self) -> dict[str, str]:
        runs = enumerate(self._by_run())
        return {f"{k}/{table}": value for k, (sink, own) in runs for table, value in sink.digests(own).items()}

    def check(self, seeds: tuple[int, ...], iteration: int, known: dict[str, str]) -> None:
        """As `CsvSink.check`; called on process 0 alone."""
        for k, (sink, own) in enumerate(self._by_run()):
            sink.check(own, iteration, {t: known[f"{k}/{t}"] for t in TABLES if f"{k}/{t}" in known})

    def _by_run(self) -> list[tuple[CsvSink, tuple[int, ...]]]:
        """The runs' files, and the seeds of the trials that write into each."""
        of: dict[pathlib.Path, list[int]] = {}
        for trial in self._trials:
            of.setdefault(trial.run.directory, []).append(trial.seed)
        return [(self._sinks[directory], tuple(seeds)) for directory, seeds in of.items()]

    def sync(self) -> None:
        """Each write closes its file."""

    def close(self) -> None:
        """Nothing is open between two writes."""


class LaneGroup(Group):
    """Trains some trials of a program; a trial whose numbers are not finite ends, the others go on."""

    def __init__(
        self, job: Job, trials: Sequence[Trial], programs: Compiled, floats: tuple[str, ...], at: int, watch: Watch
    ):
        """`at` is the place of the first trial among all of the program's; `watch` is told how far it is."""
        self.trials, self.floats, self.watch = trials, floats, watch
        self.sink = TrialSink(trials)
        name = batch_name(at, len(trials))
        seeds = tuple(trial.seed for trial in trials)
        super().__init__(job._replace(sinks=[self.sink]), seeds, programs, name, _mark(trials, job.settings))
        if collectives.process_count() > 1:
            self.checkpoints = sharding.SharedCheckpoints(self.checkpoints)

    def inputs(self) -> Any:
        configurations = [trial.run.configuration for trial in self.trials]
        with np.errstate(over="ignore"):  # what is too large for a float32 is infinite: that trial diverges
            return self.keys, {n: np.array([p.values[n] for p in configurations], np.float32) for n in self.floats}

    def _start(self) -> tuple[Any, Progress]:
        states, progress = super()._start()
        self.sink.diverged = progress.diverged
        return states, progress

    def _chunk_length(self, due: int) -> int:
        length = super()._chunk_length
        return collectives.broadcast_from_main(lambda: length(due))  # hangs on a clock

    def _policy_files(self) -> list[pathlib.Path]:
        return [trial.run.directory / "policy" / f"seed_{trial.seed}.npz" for trial in self.trials]

    def further(self, spent: float) -> list[str]:
        steps = min(self.slowest, self.job.settings.run.total_steps)
        return self.watch.at(steps * len(self.trials), spent)

    def _check_finite(self, values: dict[str, np.ndarray], at: int) -> None:
        bad = {name: ~np.isfinite(value) for name, value in values.items()}
        for k in np.flatnonzero(np.any([mask.any(axis=0) for mask in bad.values()], axis=0)):
            row, name = min((int(mask[:, k].argmax()), name) for name, mask in bad.items() if mask[:, k].any())
            if self.progress.diverged.setdefault(str(k), at + row + 1) > at:
                text = f"{name} is not finite at iteration {at + row + 1}; this trial ends, the others go on"
                self.job.console.say(f"diverged {self.trials[k].run.configuration.name}, seed {self.seeds[k]}: {text}")
        values |= {name: np.where(bad[name], 0.0, value) for name, value in values.items()}

    def _save_policies(self, params: Any) -> None:
        collectives.broadcast_from_main(lambda: self._write_policies(params))

    def _write_policies(self, params: Any) -> None:
        import jax

        from iacjax.policy import save_policy

        params = jax.device_get(params)
        of: dict[pathlib.Path, list[int]] = {}
        for k, trial in enumerate(self.trials):
            of.setdefault(trial.run.directory, []).append(k)
        for directory, index in of.items():
            settings, seeds = self.trials[index[0]].run.configuration.settings, tuple(self.seeds[k] for k in index)
            some = jax.tree.map(lambda x, index=index: x[np.array(index)], params)
            name, options = settings.run.algo, settings.run.env_options
            save_policy(directory / "policy", name, settings.algorithm, self.job.env.spec, seeds, some, options)


def _mark(trials: Sequence[Trial], settings: Settings) -> str:
    """Fingerprint of the trials' configurations and seeds, for their checkpoints."""
    alike = Settings(dataclasses.replace(settings.run, seeds_per_batch=0), settings.algorithm)
    text = json.dumps([fingerprint(alike), [(trial.run.configuration.values, trial.seed) for trial in trials]])
    return hashlib.sha256(text.encode()).hexdigest()[:12]
