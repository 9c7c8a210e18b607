"""`python -m experiments.benchmark gpu --out DIR`: what is not measured on a GPU yet, in one call of limited time.

Four tables: training speed against seeds (aiir_mix, and JaxMARL's scripts with a clone of it), against environments
and rows of a rollout, against seeds (iac), and under the settings of the runtime. Each gets a share of the time that is
left when it begins, and what it leaves over goes to the next. Each point has a process of its own, which is ended when
the time is up; the files are written after each point. The same call continues: what is measured stays.
"""

import argparse
import pathlib
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from benchmarks import seeds as seeds_table
from benchmarks import settings as settings_table
from benchmarks.arguments import add_seconds, check_training, keep, kept_rows
from benchmarks.job import Job
from benchmarks.references import add_reference, check_reference, load_reference
from experiments.common.arguments import number, out_folder, whole
from experiments.common.text import duration
from iacjax.schema import POSITIVE

BUDGET = 540.0  # seconds
SHORTEST = 10.0  # seconds; with less left nothing is started
BATCHES = ((64, 32), (256, 32), (1024, 32), (256, 8), (1024, 8), (4096, 8))  # environments, rows of a rollout
Row = dict[str, Any]


class TimedTable(NamedTuple):
    """One table: its file, its share of the time, and its points in columns; a column ends at what does not fit."""

    file: str
    share: float
    columns: list[list[tuple[str, Job]]]  # (name of the point, what is measured)
    measure: Callable[[str, Job, Sequence[Row]], Row]  # (name, job, rows before it) -> row
    line: Callable[[Row], str]


def _named(job: Job) -> tuple[str, Job]:
    changes = "".join(f" {name}={value}" for name, value in job.changes)
    return f"{job.algo or job.system} {job.env} seeds={job.seeds} envs={job.num_envs}{changes}", job


def _measure_seeds(name: str, job: Job, rows: Sequence[Row]) -> Row:
    return seeds_table.measured(job, rows) | dict(job.changes)


def _measure_setting(name: str, job: Job, rows: Sequence[Row]) -> Row:
    setting = next(setting for setting in settings_table.SETTINGS if setting.name == name)
    default = next((row for row in rows if row["setting"] == "default" and row["status"] == "ok"), {})
    if name != "default" and not default:
        return {"setting": name, "status": "left out", "why": "the default was not measured"}
    row = settings_table.measured(setting, job, default.get("platform", ""))
    return settings_table.compared(setting, row, default or row)


def tables(args: argparse.Namespace) -> list[TimedTable]:
    """The tables in the order in which they are measured."""
    job = Job("ours", "aiir_mix", "default", "smax:2s3z", 1, seconds=args.seconds)
    seeds = [[_named(job._replace(seeds=count)) for count in args.seeds]]
    if args.reference_dir is not None:
        script = Job("", "", "", "2s3z", 1, reference_dir=str(args.reference_dir))
        for name in load_reference("scripts").TIMED:
            seeds.append([_named(script._replace(system=name, seeds=count)) for count in args.seeds])
    batch = [_named(job._replace(num_envs=num_envs, changes=(("rollout_length", rows),))) for num_envs, rows in BATCHES]
    iac = job._replace(algo="iac", env="multi_pendulum:2")
    runtime = job._replace(seeds=4, updates=50)
    return [
        TimedTable("seeds_gpu.json", 0.45, seeds, _measure_seeds, seeds_table.line),
        TimedTable("batch_gpu.json", 0.4, [[point] for point in batch], _measure_seeds, _batch_line),
        TimedTable("seeds_gpu_iac.json", 0.3, [[_named(iac._replace(seeds=n)) for n in (1, 5, 64)]], _measure_seeds,
             seeds_table.line),
        TimedTable("settings_gpu.json", 1.0, [[(setting.name, runtime)] for setting in settings_table.SETTINGS],
             _measure_setting, settings_table.line),
    ]  # fmt: skip


def _batch_line(row: Row) -> str:
    return f"{seeds_table.line(row)}  rows {row['rollout_length']}"


def points(table: TimedTable, rows: dict[str, Row], left: Callable[[], float]) -> Iterator[tuple[str, Job]]:
    """The points that are still to be measured. A column ends at a point that did not fit or was not in time.

    Args:
      rows: those that are there, by their points' names; the caller adds each that it measures.
      left: () -> seconds that are left for this table.
    """
    for column in table.columns:
        for name, job in column:
            row = rows.get(name, {})
            tried = row.get("status") in ("ok", "does not fit", "failed")
            if not tried and row.get("limit_s", 0.0) < left() and left() > SHORTEST:
                yield name, job
                row = rows[name]
            if row.get("status") not in ("ok", "failed", "left out"):
                break


def run_table(table: TimedTable, directory: pathlib.Path, note: str, deadline: float) -> None:
    """Measures what is missing of a table until the deadline (by `time.monotonic`), and writes its file after each."""
    file = directory / table.file
    rows = {row["point"]: row for row in kept_rows(file, {"point", "status"})}

    def left() -> float:
        return deadline - time.monotonic()

    print(f"\n{table.file}: {len(rows)} points are there, {duration(max(left(), 0))} for the others")
    for name, job in points(table, rows, left):
        began = time.monotonic()
        row = table.measure(name, job._replace(limit=left()), [r for r in rows.values() if r["point"] != name])
        rows[name] = {"point": name} | row | {"took_s": round(time.monotonic() - began, 1)}
        print(table.line(rows[name]), flush=True)
        keep(file, {"note": note, "command": sys.argv, "rows": list(rows.values())})
    done = ("ok", "failed")
    missing = [name for column in table.columns for name, _ in column if rows.get(name, {}).get("status") not in done]
    if missing:
        print(f"skipped: {'; '.join(missing)}", flush=True)


def run_gpu(args: argparse.Namespace) -> int:
    """Measures table after table until the time is up."""
    check_training("smax:2s3z", "aiir_mix")
    check_reference(args.reference_dir, "smax:2s3z")
    end = time.monotonic() + args.budget
    print(
        f"{duration(args.budget)} in all; files go to {args.out}; the same call continues, --budget gives it more time"
    )
    for table in tables(args):
        now = time.monotonic()
        run_table(table, args.out, args.note, now + table.share * (end - now))
    return 0


def add_parser(commands: Any) -> None:
    """Adds the command `gpu` to the parser of `experiments.benchmark`."""
    gpu = commands.add_parser("gpu", help="what is to be measured on a GPU, in one call of limited time")
    add = gpu.add_argument
    add("--out", type=out_folder, default=pathlib.Path("results/gpu"), metavar="DIR", help="default results/gpu")
    add("--budget", type=number(POSITIVE), default=BUDGET, metavar="SECONDS", help=f"in all (default {BUDGET:g})")
    many = {"nargs": "+", "type": whole(), "default": [1, 4, 16, 64, 256, 1024], "metavar": "S"}
    add("--seeds", help="of aiir_mix and JaxMARL's scripts (default 1 4 16 64 256 1024)", **many)
    add_seconds(gpu, 2.0)
    add_reference(gpu)
    add("--note", default="", help="kept in the files, e.g. what else ran on the machine")
    gpu.set_defaults(run=run_gpu)
