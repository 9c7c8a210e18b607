"""`python -m experiments.benchmark seeds`: training speed against the number of seeds, environments and devices.

Seeds are lanes of one program. Each point has a process of its own, so that devices, compiling and the peak of memory
are its own too. A column ends where the next point would need more memory than there is. With a clone of JaxMARL
(`--peer-dir`) its IPPO-RNN and QMIX-RNN train as many seeds in one program, on one device, with their own settings.
"""

import argparse
import math
from collections.abc import Sequence
from typing import Any

from experiments.benchmarks.point import Job, in_a_process, split_name
from experiments.common.arguments import folder, number, out_file, whole
from experiments.common.files import write_json
from experiments.common.text import duration
from experiments.config.validation import MAX_SEEDS
from iacjax.schema import POSITIVE

LINE = "{:<28} {:>5} {:>4} {:>5} {:>11} {:>8} {:>9} {:>9} {:>10} {:>10} {:>10}"
HEADS = ("training", "envs", "dev", "lanes", "steps/s", "x 1 lane", "s/update", "compile s", "state/lane", "needs")
HEADS += ("peak",)


def our_columns(args: argparse.Namespace) -> list[list[Job]]:
    """Our jobs, in columns of growing lanes; fewer lanes than devices are left out."""
    columns = []
    for algo, preset in map(split_name, args.algo):
        for num_envs in args.num_envs:
            for devices in args.devices:
                job = Job("ours", algo, preset, args.env, 1, num_envs, devices, args.seconds)
                columns.append([job._replace(lanes=lanes) for lanes in args.lanes if lanes >= devices])
    return columns


def peer_columns(args: argparse.Namespace) -> list[list[Job]]:
    """The peers' jobs, in columns of growing lanes; none without a clone."""
    from experiments.benchmarks.peers import PEERS

    if args.peer_dir is None:
        return []
    battle = args.env.partition(":")[2]
    job = Job("", "", "", battle, 1, peer_dir=str(args.peer_dir), peer_updates=args.peer_updates)
    chosen = [name for name in PEERS if any(word in name for word in args.peers)]
    return [[job._replace(system=name, lanes=lanes) for lanes in args.lanes] for name in chosen]


def measured(job: Job, rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The row of a job: measured, named, and compared with one lane of its kind among `rows`."""
    name = f"{job.algo} {job.preset}" if job.system == "ours" else job.system
    asked = {"system": name, "env": job.env, "lanes": job.lanes, "devices": job.devices, "num_envs": job.num_envs}
    row = asked | in_a_process(job)
    if row["status"] != "ok":
        return row
    row["s_per_update"] = row["s_per_iteration"] / row.get("updates_per_iteration", 1)
    same = ("system", "env", "num_envs")
    alone = [r for r in [*rows, row] if r["status"] == "ok" and r["lanes"] == 1 and all(r[n] == row[n] for n in same)]
    return row | {"x_one_lane": row["steps_per_s"] / alone[0]["steps_per_s"] if alone else None}


def predict(rows: Sequence[dict[str, Any]], lanes: int, steps: int) -> list[dict[str, Any]]:
    """Seconds that training `lanes` seeds for `steps` each would take, evaluations and compiling apart.

    One row for each kind of ours (system, environments, devices): an iteration's seconds by a straight line between
    the measured numbers of lanes around; None outside of what was measured.
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
        if counts[0] <= lanes <= counts[-1]:
            each = float(np.interp(lanes, counts, [row["s_per_iteration"] for row in points]))
            seconds = each * math.ceil(steps / points[0]["steps_per_iteration"])
        row = {"system": system, "num_envs": num_envs, "devices": devices, "lanes": lanes, "steps": steps}
        found.append(row | {"seconds": seconds, "interpolated": lanes not in counts})
    return found


def line(row: dict[str, Any]) -> str:
    """The row as it is printed."""
    from experiments.common.text import human

    where = (row["system"], row["num_envs"] or "-", row["devices"], row["lanes"])
    if row["status"] != "ok":
        return LINE.format(*where, *[""] * 7).rstrip() + f"  {row['status']}: {row['why']}"
    ratio = "-" if row["x_one_lane"] is None else f"{row['x_one_lane']:.2f}"
    state = row["state_bytes"] // row["lanes"] if "state_bytes" in row else None
    sizes = ["-" if x is None else human(x) for x in (state, row["bytes_needed"], row["peak_bytes"])]
    times = (f"{row['s_per_update']:.3g}", f"{row['compile_s']:.1f}")
    return LINE.format(*where, f"{row['steps_per_s']:,.0f}", ratio, *times, *sizes)


def check(args: argparse.Namespace) -> None:
    """Raises ConfigError for what cannot be measured, before anything is compiled."""
    from envs.registry import check_name
    from experiments.benchmarks.peers import check_peers_of
    from experiments.config.preset_io import default_settings

    check_name(args.env)
    for word in args.algo:
        default_settings(*split_name(word), args.env)
    check_peers_of(args.peer_dir, args.env)


def run_seeds(args: argparse.Namespace) -> int:
    """Measures column after column, prints the table; `--json` holds what is measured so far."""
    check(args)
    args.lanes, args.devices = sorted(set(args.lanes)), sorted(set(args.devices))
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
    if args.peer_dir is None:
        print("ours alone: --peer-dir with a clone of github.com/FLAIROx/JaxMARL measures its IPPO and QMIX beside it")
    print(LINE.format(*HEADS))
    rows: list[dict[str, Any]] = []
    for column in [*our_columns(args), *peer_columns(args)]:
        for job in column:
            rows.append(measured(job, rows))
            print(line(rows[-1]), flush=True)
            _keep(args, rows)
            if rows[-1]["status"] != "ok":
                break  # more lanes would need more
    for row in predict(rows, args.predict_seeds, args.predict_steps):
        where = f"{row['system']}, {row['num_envs']} environments, {row['devices']} device(s)"
        what = f"{row['lanes']} seeds x {row['steps']:,} env steps"
        if row["seconds"] is None:
            about = "not told: measure --lanes on both sides"
        else:
            about = duration(row["seconds"]) + " (interpolated)" * row["interpolated"]
        print(f"predict  {where}: {what}, training alone: {about}")
    return 0


def _keep(args: argparse.Namespace, rows: Sequence[dict[str, Any]]) -> None:
    """Writes the file: what it was measured on and with is told once."""
    if args.json is None:
        return
    facts: dict[str, Any] = {"note": args.note}
    for name in ("device", "platform", "versions"):
        facts[name] = next((row[name] for row in rows if name in row), None)
    plain = [{name: value for name, value in row.items() if name not in facts} for row in rows]
    facts |= {"rows": plain, "predictions": predict(rows, args.predict_seeds, args.predict_steps)}
    write_json(args.json, facts)


def add_parser(commands: Any) -> None:
    """Adds the command `seeds` to the parser of `experiments.benchmark`."""
    seeds = commands.add_parser("seeds", help="training speed against seeds, environments and devices")
    add = seeds.add_argument
    add("--algo", nargs="+", default=["aiir_mix"], metavar="NAME[:PRESET]", help="default aiir_mix")
    add("--env", default="smax:2s3z", metavar="NAME", help="default smax:2s3z")
    add(
        "--lanes",
        nargs="+",
        type=whole(1, MAX_SEEDS),
        default=[1, 2, 4, 8, 16],
        metavar="S",
        help="seeds in one program",
    )
    add(
        "--devices",
        nargs="+",
        type=whole(),
        default=[1],
        metavar="D",
        help="that the seeds are spread over (default 1)",
    )
    add("--num-envs", nargs="+", type=whole(0), default=[0], metavar="E", help="environments a seed; 0: the preset's")
    add("--seconds", type=number(POSITIVE), default=5.0, help="about so long is each of our timed calls, three a point")
    add("--peer-dir", type=folder, metavar="CLONE", help="clone of github.com/FLAIROx/JaxMARL")
    add("--peers", nargs="+", default=["ippo", "qmix"], choices=["ippo", "qmix"], help="which of its scripts")
    add("--peer-updates", type=whole(), default=3, help="updates of the peers that are timed")
    add("--predict-seeds", type=whole(), default=5, help="seeds of the run whose time is predicted (default 5)")
    add("--predict-steps", type=whole(), default=2_000_000, help="its env steps a seed (default 2000000)")
    add("--note", default="", help="kept in the file, e.g. what else ran on the machine")
    add("--json", type=out_file(parents=True), metavar="FILE", help="write what is measured there")
    seeds.set_defaults(run=run_seeds)
