"""`python -m experiments.benchmark growth`: how speed and memory grow, in four panels.

`environments` and `agents`: the environment alone, under random legal actions, beside JaxMARL's where it has the map.
`seeds` and `length`: a training, against the seeds in one program and the rows of a rollout. Each point is measured in
a process of its own; one that fails is a row with its reason. Points that are not measured again stay in the file.
"""

import argparse
import pathlib
from collections.abc import Iterator, Sequence
from typing import Any

from benchmarks.arguments import (
    add_json,
    add_seconds,
    add_training,
    check_training,
    keep,
    kept_rows,
    split_name,
)
from benchmarks.growth_points import REPEATS, Point, measured
from benchmarks.references import add_reference, check_reference, load_reference
from envs.errors import ConfigError
from experiments.common.arguments import PICTURES, out_file, whole
from experiments.common.text import duration, human
from experiments.config.validation import MAX_SEEDS

PANELS = ("environments", "agents", "seeds", "length")
MAPS = ("3m", "2s3z", "8m", "MMM2", "25m", "27m_vs_30m")
SIZES = {"num_envs": (16, 64, 256, 1024, 4096), "maps": MAPS, "seeds": (1, 4, 16, 64), "lengths": (8, 32, 128, 512)}
QUICK = {"num_envs": (64, 1024), "maps": ("3m", "27m_vs_30m"), "seeds": (1, 4), "lengths": (16, 64)}
BEGIN_SECONDS = {True: 10.0, False: 45.0}  # of starting and compiling a point, by `env_only`
TRAINED_FLOOR = 30.0  # seconds a point, about, of iterations that take longer than --seconds
FILE, PICTURE = pathlib.Path("results/growth.json"), pathlib.Path("results/growth.png")
NAMES = {"panel", "system", "algo", "env", "x", "env_only", "status"}  # that every row has
LINE = "{:<13} {:<19} {:<17} {:>6} {:>12} {:>10} {:>10}"
HEAD = LINE.format("panel", "system", "environment", "at", "steps/s", "bytes", "compile s")


def environment_points(args: argparse.Namespace) -> Iterator[Point]:
    """The panels `environments` and `agents`: ours and, where there is one, JaxMARL's environment."""
    from envs.smax.scenarios import get_scenario

    for system in _systems(args.env):
        for num_envs in args.num_envs:
            yield Point("environments", system, args.env, num_envs, num_envs=num_envs)
    for name in args.maps:
        for system in _systems(f"smax:{name}"):
            yield Point("agents", system, f"smax:{name}", len(get_scenario(name).units), num_envs=args.agents_envs)


def training_points(args: argparse.Namespace) -> Iterator[Point]:
    """The panels `seeds` and `length`; with a clone of JaxMARL its IPPO-RNN too, against seeds."""
    algo, preset = split_name(args.algo)
    ours = Point("seeds", "ours", args.env, 1, env_only=False, algo=algo, preset=preset)
    for seeds in args.seeds:
        yield ours._replace(x=seeds, seeds=seeds)
    if args.reference_dir is not None:
        name = next(name for name in load_reference("scripts").SCRIPTS if "ippo" in name)
        for seeds in args.seeds:
            yield Point("seeds", name, args.env, seeds, False, seeds=seeds, reference_dir=str(args.reference_dir))
    for length in args.lengths:
        yield ours._replace(panel="length", x=length, rollout_length=length)


def _systems(env: str) -> tuple[str, ...]:
    try:
        reference = load_reference("environments").reference_of(env)
    except ConfigError:
        reference = None
    return ("ours", "jaxmarl") if reference is not None and reference.package == "jaxmarl" else ("ours",)


def points_of(args: argparse.Namespace) -> list[Point]:
    """All points of the panels that were asked for, in the order in which they are measured."""
    points = [*environment_points(args), *training_points(args)]
    return [point for point in points if point.panel in args.panels]


def estimate(points: Sequence[Point], seconds: float) -> float:
    """Seconds that measuring the points takes, roughly, on two cores."""

    def of(point: Point) -> float:
        own = (REPEATS + 1) * seconds if point.env_only else max(3 * seconds, TRAINED_FLOOR * point.seeds / 16)
        return BEGIN_SECONDS[point.env_only] + own

    return sum(map(of, points))


def line(row: dict[str, Any]) -> str:
    """The row as it is printed."""
    where = (row["panel"], row["algo"] or row["system"], row["env"], row["x"])
    if row["status"] != "ok":
        return LINE.format(*where, "", "", "").rstrip() + f"  {row['status']}: {row['why']}"
    size = "-" if row["bytes"] is None else human(row["bytes"])
    return LINE.format(*where, f"{row['steps_per_s']:,.0f}", size, f"{row['compile_s']:.1f}")


def key_of(row: dict[str, Any]) -> tuple[Any, ...]:
    """Names a row's point in the file."""
    return tuple(row[name] for name in ("panel", "system", "algo", "env", "x"))


def measure_points(points: Sequence[Point], args: argparse.Namespace) -> list[dict[str, Any]]:
    """Measures point after point and writes the file after each. Returns all rows, those kept from before too.

    A series ends where a point does not fit: the next one would need still more.
    """
    rows = {key_of(row): row for row in kept_rows(args.json, NAMES)}
    full: set[tuple[str, str]] = set()
    print(HEAD)
    for point in points:
        series = point.panel, point.system
        if series in full:
            row = point.named() | {"status": "left out", "why": "a smaller one did not fit"}
        else:
            row = measured(point, args.seconds) | {"note": args.note}
        if row["status"] == "does not fit":
            full.add(series)
        rows[key_of(row)] = row
        print(line(row), flush=True)
        keep(args.json, {"rows": list(rows.values())})
    return list(rows.values())


def run_growth(args: argparse.Namespace) -> int:
    """Measures, keeps the rows and draws; with --redraw draws what is kept."""
    for name, values in (QUICK if args.quick else SIZES).items():
        setattr(args, name, list(dict.fromkeys(getattr(args, name) or values)))
    if args.redraw:
        rows = kept_rows(args.json, NAMES)
    else:
        check_training(args.env, args.algo)
        for name in args.maps:
            check_training(f"smax:{name}")
        check_reference(args.reference_dir, args.env)
        points = points_of(args)
        print(f"{len(points)} points, about {duration(estimate(points, args.seconds))}; rows go to {args.json}")
        rows = measure_points(points, args)
    if not any(row["status"] == "ok" for row in rows):
        raise ConfigError(f"there is nothing to draw in {args.json}: measure first, without --redraw")
    from benchmarks.growth_picture import draw

    draw(rows, args.out)
    return 0


def add_parser(commands: Any) -> None:
    """Adds the command `growth` to the parser of `experiments.benchmark`."""
    growth = commands.add_parser("growth", help="speed and memory against environments, agents, seeds, rollout length")
    add = growth.add_argument
    add_training(growth)
    add("--panels", nargs="+", choices=PANELS, default=PANELS, help="what to measure (default: all)")
    sizes = {"nargs": "+", "type": whole()}
    add("--num-envs", metavar="E", help=f"of the panel environments (default {_words('num_envs')})", **sizes)
    add("--maps", nargs="+", metavar="MAP", help=f"of the panel agents (default {_words('maps')})")
    add("--agents-envs", type=whole(), default=64, metavar="E", help="environments of each map there (default 64)")
    many = {**sizes, "type": whole(1, MAX_SEEDS), "help": f"of the panel seeds (default {_words('seeds')})"}
    add("--seeds", metavar="S", **many)
    add("--lengths", metavar="T", help=f"rows of a rollout, of the panel length (default {_words('lengths')})", **sizes)
    add("--quick", action="store_true", help="two points a panel, unless others are given")
    add_seconds(growth, 0.5)
    add_reference(growth)
    out = {"type": out_file(*PICTURES, parents=True), "default": PICTURE, "metavar": "FILE"}
    add("--out", help=f"the picture (default {PICTURE})", **out)
    add("--redraw", action="store_true", help="draw the rows that are kept, without measuring")
    add_json(growth, note=True)
    growth.set_defaults(run=run_growth, json=FILE)


def _words(name: str) -> str:
    return " ".join(map(str, SIZES[name]))
