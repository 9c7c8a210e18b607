"""`python -m experiments.benchmark seeds`: training speed against the number of seeds, environments and devices.

Seeds are trained in one program. Each measurement has a process of its own, so that devices, compiling and the peak of
memory are its own too. A column ends where the next one would need more memory than there is. With a clone of JaxMARL
(`--reference-dir`) its IPPO-RNN and QMIX-RNN train as many seeds in one program, on one device, by their own settings.
"""

import argparse
import math
from collections.abc import Sequence
from typing import Any

from benchmarks.arguments import add_json, add_seconds, add_seeds, add_training, check_training, keep, split_name
from benchmarks.job import Job, in_a_process
from benchmarks.references import OURS_ALONE, UPDATES, add_reference, add_renamed, check_reference, load_reference
from experiments.common.arguments import whole
from experiments.common.text import duration, human

LINE = "{:<28} {:>5} {:>4} {:>5} {:>11} {:>8} {:>9} {:>9} {:>10} {:>10} {:>10}"
HEADS = ("training", "envs", "dev", "seeds", "steps/s", "x 1 seed", "s/update", "compile s", "state/seed", "needs")
HEADS += ("peak",)


def our_columns(args: argparse.Namespace) -> list[list[Job]]:
    """Our jobs, in columns of growing seeds; of fewer seeds than devices the environments are split."""
    columns = []
    for algo, preset in map(split_name, args.algo):
        for num_envs in args.num_envs:
            for devices in args.devices:
                job = Job("ours", algo, preset, args.env, 1, num_envs, devices, args.seconds)
                columns.append([job._replace(seeds=seeds) for seeds in args.seeds])
    return columns


def reference_columns(args: argparse.Namespace) -> list[list[Job]]:
    """The jobs of JaxMARL's scripts, in columns of growing seeds; none without a clone."""
    if args.reference_dir is None:
        return []
    map_name, clone = args.env.partition(":")[2], str(args.reference_dir)
    job = Job("", "", "", map_name, 1, reference_dir=clone, reference_updates=args.reference_updates)
    names = load_reference("scripts").SCRIPTS
    chosen = [name for name in names if any(word in name for word in args.references)]
    return [[job._replace(system=name, seeds=seeds) for seeds in args.seeds] for name in chosen]


def measured(job: Job, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The row of a job: measured, named, and compared with one seed of its kind among `rows`."""
    name = f"{job.algo} {job.preset}" if job.system == "ours" else job.system
    asked = {"system": name, "env": job.env, "lanes": job.seeds, "devices": job.devices, "num_envs": job.num_envs}
    row = asked | in_a_process(job)
    if row["status"] != "ok":
        return row
    row["s_per_update"] = row["s_per_iteration"] / row.get("updates_per_iteration", 1)
    same = ("system", "env", "num_envs")
    alone = [r for r in [*rows, row] if r["status"] == "ok" and r["lanes"] == 1 and all(r[n] == row[n] for n in same)]
    return row | {"x_one_lane": row["steps_per_s"] / alone[0]["steps_per_s"] if alone else None}


def predict(rows: Sequence[dict[str, Any]], seeds: int, steps: int) -> list[dict[str, Any]]:
    """Seconds that training `seeds` seeds for `steps` each would take, evaluations and compiling apart.

    One row for each kind of ours (system, environments, devices): the seconds of an iteration are interpolated linearly
    between the measured numbers of seeds; None outside of what was measured.
    """
    import numpy as np

    kinds: dict[tuple, list[dict[str, Any]]] = {}
    for row in rows:
        if row["status"] == "ok" and "steps_per_iteration" in row:
            kinds.setdefault((row["system"], row["num_envs"], row["devices"]), []).append(row)
    found = []
    for (system, num_envs, devices), points in kinds.items():
        points = sorted(points, key=lambda row: row["lanes"])
        counts = [row["lanes"] for row in points]
        seconds = None
        if counts[0] <= seeds <= counts[-1]:
            each = float(np.interp(seeds, counts, [row["s_per_iteration"] for row in points]))
            seconds = each * math.ceil(steps / points[0]["steps_per_iteration"])
        row = {"system": system, "num_envs": num_envs, "devices": devices, "lanes": seeds, "steps": steps}
        found.append(row | {"seconds": seconds, "interpolated": seeds not in counts})
    return found


def line(row: dict[str, Any]) -> str:
    """The row as it is printed."""
    where = (row["system"], row["num_envs"] or "-", row["devices"], row["lanes"])
    if row["status"] != "ok":
        return LINE.format(*where, *[""] * 7).rstrip() + f"  {row['status']}: {row['why']}"
    ratio = "-" if row["x_one_lane"] is None else f"{row['x_one_lane']:.2f}"
    state = row["state_bytes"] // row["lanes"] if "state_bytes" in row else None
    sizes = ["-" if x is None else human(x) for x in (state, row["bytes_needed"], row["peak_bytes"])]
    times = (f"{row['s_per_update']:.3g}", f"{row['compile_s']:.1f}")
    return LINE.format(*where, f"{row['steps_per_s']:,.0f}", ratio, *times, *sizes)


def run_seeds(args: argparse.Namespace) -> int:
    """Measures column after column, prints the table; `--json` holds what is measured so far."""
    check_training(args.env, *args.algo)
    check_reference(args.reference_dir, args.env)
    args.seeds, args.devices = sorted(set(args.seeds)), sorted(set(args.devices))
    if args.reference_dir is None:
        print(OURS_ALONE)
    print(LINE.format(*HEADS))
    rows: list[dict[str, Any]] = []
    for column in [*our_columns(args), *reference_columns(args)]:
        for job in column:
            rows.append(measured(job, rows))
            print(line(rows[-1]), flush=True)
            keep(args.json, table_of(rows, args.note, args.predict_seeds, args.predict_steps))
            if rows[-1]["status"] != "ok":
                break  # more seeds would need more
    for row in predict(rows, args.predict_seeds, args.predict_steps):
        where = f"{row['system']}, {row['num_envs']} environments, {row['devices']} device(s)"
        what = f"{row['lanes']} seeds x {row['steps']:,} env steps"
        if row["seconds"] is None:
            about = "unknown: measure fewer and more --seeds"
        else:
            about = duration(row["seconds"]) + " (interpolated)" * row["interpolated"]
        print(f"predict  {where}: {what}, training alone: {about}")
    return 0


def table_of(rows: Sequence[dict[str, Any]], note: str, seeds: int, steps: int) -> dict[str, Any]:
    """The file of the rows; device, platform and versions are in it once. `seeds`, `steps`: see `predict`."""
    facts: dict[str, Any] = {"note": note}
    for name in ("device", "platform", "versions"):
        facts[name] = next((row[name] for row in rows if name in row), None)
    plain = [{name: value for name, value in row.items() if name not in facts} for row in rows]
    return facts | {"rows": plain, "predictions": predict(rows, seeds, steps)}


def add_parser(commands: Any) -> None:
    """Adds the command `seeds` to the parser of `experiments.benchmark`."""
    seeds = commands.add_parser("seeds", help="training speed against seeds, environments and devices")
    add = seeds.add_argument
    add_training(seeds, several=True)
    add_seeds(seeds, [1, 2, 4, 8, 16])
    count = {"nargs": "+", "type": whole()}
    add(
        "--devices",
        default=[1],
        metavar="D",
        help="devices that seeds, or their environments, are sharded over (default 1)",
        **count,
    )
    environments = "parallel environments per seed; 0: the preset's"
    add("--num-envs", nargs="+", type=whole(0), default=[0], metavar="E", help=environments)
    add_seconds(seeds, 5.0)
    add_reference(seeds, updates=UPDATES)
    which = {"nargs": "+", "default": ["ippo", "qmix"], "choices": ["ippo", "qmix"], "help": "which of its scripts"}
    add_renamed(seeds, "references", "peers", **which)
    add("--predict-seeds", type=whole(), default=5, help="seeds of the run whose time is predicted (default 5)")
    add("--predict-steps", type=whole(), default=2_000_000, help="its env steps per seed (default 2000000)")
    add_json(seeds, note=True)
    seeds.set_defaults(run=run_seeds)
