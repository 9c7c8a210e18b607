"""The lanes of a sweep: where their rows and policies go, and a group of them as one vmapped program."""

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
from experiments.sweeps.plan import Point, Program
from experiments.training.compile import Compiled
from experiments.training.loop import Group, Job


class Unit(NamedTuple):
    """A point and some of its seeds (all, unless there are more processes than points), and its directory."""

    point: Point
    seeds: tuple[int, ...]
    directory: pathlib.Path


class Lane(NamedTuple):
    """One seed of one unit."""

    unit: Unit
    seed: int


def units_of(program: Program, out: pathlib.Path, processes: int = 1) -> list[Unit]:
    """The units of a program, in order; with fewer points than processes the seeds are cut into blocks too."""
    run = program.settings.run
    seeds = list(range(run.seed, run.seed + run.seeds))
    blocks = 1 if len(program.points) >= processes else min(processes, len(seeds))
    parent = out / run.env.replace(":", "_").replace("/", "_") / run.algo
    units = []
    for point in program.points:
        name = point.name if len(point.name) <= 120 else hashlib.sha256(point.name.encode()).hexdigest()[:16]
        for block in np.array_split(seeds, blocks):
            part = f"seeds_{block[0]}-{block[-1]}" if blocks > 1 else ""
            units.append(Unit(point, tuple(int(seed) for seed in block), parent / name / part))
    return units


def lane_name(at: int, count: int) -> str:
    """Of a group's checkpoints: its first and its last lane among all of the program's."""
    return f"lanes_{at}-{at + count - 1}"


class UnitSink:
    """Sends the rows of a group, one a lane, to their units' CSV files; those of a diverged lane end.

    Of several processes that train together, all call it with the same rows, and process 0 writes.
    """

    def __init__(self, lanes: Sequence[Lane]):
        self._lanes = lanes
        self._sinks = {lane.unit.directory: CsvSink(lane.unit.directory, lane.unit.seeds) for lane in lanes}
        self.diverged: dict[str, int] = {}  # index of a lane -> iteration of its first number that is not finite

    def write(self, table: str, rows: list[dict[str, float]]) -> None:
        collectives.broadcast_from_main(lambda: self._write(table, rows))

    def _write(self, table: str, rows: list[dict[str, float]]) -> None:
        of: dict[pathlib.Path, list[dict[str, float]]] = {}
        for k, (lane, row) in enumerate(zip(self._lanes, rows, strict=True)):
            if row["iteration"] < self.diverged.get(str(k), math.inf):
                of.setdefault(lane.unit.directory, []).append(row)
        for directory, some in of.items():
            self._sinks[directory].write(table, some)
            self._sinks[directory].close()  # a sweep has more files than a process may hold open

    def trim(self, seeds: tuple[int, ...], iteration: int) -> None:
        collectives.broadcast_from_main(lambda: self._trim(iteration))

    def _trim(self, iteration: int) -> None:
        for sink, seeds in self._by_unit():
            sink.trim(seeds, iteration)

    def digests(self, seeds: tuple[int, ...]) -> dict[str, str]:
        """{k/table: digest of the lanes' rows in the table of their k-th unit}, for a checkpoint."""
        return collectives.broadcast_from_main(self._digests)

    def _digests(self) -> dict[str, str]:
        units = enumerate(self._by_unit())
        return {f"{k}/{table}": value for k, (sink, own) in units for table, value in sink.digests(own).items()}

    def check(self, seeds: tuple[int, ...], iteration: int, known: dict[str, str]) -> None:
        """As `CsvSink.check`; called on process 0 alone."""
        for k, (sink, own) in enumerate(self._by_unit()):
            sink.check(own, iteration, {t: known[f"{k}/{t}"] for t in TABLES if f"{k}/{t}" in known})

    def _by_unit(self) -> list[tuple[CsvSink, tuple[int, ...]]]:
        """The units' files, and the seeds of the lanes that write into each."""
        of: dict[pathlib.Path, list[int]] = {}
        for lane in self._lanes:
            of.setdefault(lane.unit.directory, []).append(lane.seed)
        return [(self._sinks[directory], tuple(seeds)) for directory, seeds in of.items()]

    def sync(self) -> None:
        """Each write closes its file."""

    def close(self) -> None:
        """Nothing is open between two writes."""


class LaneGroup(Group):
    """Trains some lanes of a program; a lane whose numbers are not finite ends, the others go on."""

    def __init__(
        self, job: Job, lanes: Sequence[Lane], programs: Compiled, floats: tuple[str, ...], at: int, watch: Watch
    ):
        """`at` is the place of the first lane among all of the program's; `watch` is told how far it is."""
        self.lanes, self.floats, self.watch = lanes, floats, watch
        self.sink = UnitSink(lanes)
        name = lane_name(at, len(lanes))
        seeds = tuple(lane.seed for lane in lanes)
        super().__init__(job._replace(sinks=[self.sink]), seeds, programs, name, _mark(lanes, job.settings))
        if collectives.process_count() > 1:
            self.checkpoints = sharding.SharedCheckpoints(self.checkpoints)

    def inputs(self) -> Any:
        points = [lane.unit.point for lane in self.lanes]
        with np.errstate(over="ignore"):  # what is too large for a float32 is infinite: that lane diverges
            return self.keys, {n: np.array([p.values[n] for p in points], np.float32) for n in self.floats}

    def _start(self) -> tuple[Any, Progress]:
        states, progress = super()._start()
        self.sink.diverged = progress.diverged
        return states, progress

    def _chunk_length(self, due: int) -> int:
        length = super()._chunk_length
        return collectives.broadcast_from_main(lambda: length(due))  # hangs on a clock

    def _policy_files(self) -> list[pathlib.Path]:
        return [lane.unit.directory / "policy" / f"seed_{lane.seed}.npz" for lane in self.lanes]

    def further(self, spent: float) -> list[str]:
        steps = min(self.slowest, self.job.settings.run.total_steps)
        return self.watch.at(steps * len(self.lanes), spent)

    def _check_finite(self, values: dict[str, np.ndarray], at: int) -> None:
        bad = {name: ~np.isfinite(value) for name, value in values.items()}
        for k in np.flatnonzero(np.any([mask.any(axis=0) for mask in bad.values()], axis=0)):
            row, name = min((int(mask[:, k].argmax()), name) for name, mask in bad.items() if mask[:, k].any())
            if self.progress.diverged.setdefault(str(k), at + row + 1) > at:
                text = f"{name} is not finite at iteration {at + row + 1}; this lane ends, the others go on"
                self.job.console.say(f"diverged {self.lanes[k].unit.point.name}, seed {self.seeds[k]}: {text}")
        values |= {name: np.where(bad[name], 0.0, value) for name, value in values.items()}

    def _save_policies(self, params: Any) -> None:
        collectives.broadcast_from_main(lambda: self._write_policies(params))

    def _write_policies(self, params: Any) -> None:
        import jax

        from iacjax.policy import save_policy

        params = jax.device_get(params)
        of: dict[pathlib.Path, list[int]] = {}
        for k, lane in enumerate(self.lanes):
            of.setdefault(lane.unit.directory, []).append(k)
        for directory, index in of.items():
            settings, seeds = self.lanes[index[0]].unit.point.settings, tuple(self.seeds[k] for k in index)
            some = jax.tree.map(lambda x, index=index: x[np.array(index)], params)
            name, options = settings.run.algo, settings.run.env_options
            save_policy(directory / "policy", name, settings.algorithm, self.job.env.spec, seeds, some, options)


def _mark(lanes: Sequence[Lane], settings: Settings) -> str:
    """Fingerprint of the lanes' configurations and seeds, for their checkpoints."""
    alike = Settings(dataclasses.replace(settings.run, seeds_per_batch=0), settings.algorithm)
    text = json.dumps([fingerprint(alike), [(lane.unit.point.values, lane.seed) for lane in lanes]])
    return hashlib.sha256(text.encode()).hexdigest()[:12]
