"""The table of win rates: `python -m experiments.reproduce aiir/bars`.

For each map and variant: train, evaluate 100 greedy episodes per seed, write a row of the table. Finished rows stay,
unfinished ones are continued, so the command can be stopped and repeated until the table is full.
"""

import argparse
import dataclasses
import math
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from envs.errors import ConfigError
from experiments.common.arguments import number, out_file
from experiments.common.files import read_csv, read_json, write_bytes, write_csv
from experiments.common.stats import RATE, interval_text
from experiments.config.preset_io import default_settings
from experiments.config.schema import Settings, read_config
from experiments.config.validation import check_run
from experiments.figures.runs import Run, device_and_versions
from experiments.figures.spec import chosen, parser
from experiments.runs import find
from experiments.training import time_estimates
from iacjax.schema import POSITIVE

EPISODES = 100
# Env steps per second, over all seeds and agents of a run: a rough guess for the estimate, used without finished rows.
AGENT_STEPS_PER_SECOND = {"cpu": 20_000, "gpu": 400_000}


class Map(NamedTuple):
    """A map of the table."""

    env: str
    agents: int
    total_steps: int
    bar: float  # greedy win rate to reach


class Table(NamedTuple):
    """The rows that a table has: each variant on each map."""

    algo: str
    maps: dict[str, Map]
    variants: dict[str, str]  # name -> preset


TABLES = {
    "aiir/bars": Table(
        "aiir_mix",
        {
            "3m": Map("smax:3m", 3, 3_000_000, 0.9),
            "8m": Map("smax:8m", 8, 3_000_000, 0.9),
            "2s3z": Map("smax:2s3z", 5, 3_000_000, 0.9),
            "3s5z": Map("smax:3s5z", 8, 5_000_000, 0.8),
            "MMM": Map("smax:MMM", 10, 5_000_000, 0.8),
        },
        {"default": "default", "paper": "paper", "no_intrinsic": "no_intrinsic"},
    )
}


class BarsRow(NamedTuple):
    """One row of the table."""

    map: str
    variant: str
    run: Run

    @property
    def is_finished(self) -> bool:
        return self.run.status in find.FINISHED


def make_rows(table: Table, args: argparse.Namespace) -> list[BarsRow]:
    """The rows that the command line asks for, variant by variant, so that the first maps are compared early."""
    rows = []
    for variant in chosen(args.variants, tuple(table.variants), tuple(table.variants), "--variants"):
        for name in chosen(args.maps, tuple(table.maps), tuple(table.maps), "--maps"):
            the_map = table.maps[name]
            settings = default_settings(table.algo, table.variants[variant], the_map.env)
            run = dataclasses.replace(
                settings.run,
                seeds=args.seeds,
                total_steps=args.total_steps or the_map.total_steps,
                stop_at=the_map.bar if args.stop_at_bar else 0.0,
                run_dir=str(pathlib.Path(args.run_dir) / variant),
            )
            check_run(run)
            rows.append(BarsRow(name, variant, Run(Settings(run, settings.algorithm))))
    return rows


def estimated_hours(row: BarsRow, agents: int, rows: Sequence[BarsRow], platform: str) -> float:
    """Hours that a row takes: by the speed of a finished row (its own variant and map first), or by a rough guess."""
    agents_of = {m.env: m.agents for table in TABLES.values() for m in table.maps.values()}
    speeds = []
    for other in rows:
        facts, count = {"variant": other.variant, "map": other.map}, agents_of[other.run.env]
        speeds += [s._replace(rate=s.rate * count) for s in time_estimates.of_run(other.run.directory, facts)]
    run = row.run.settings.run
    wanted = {"variant": row.variant, "map": row.map}
    work = run.total_steps * run.seeds * agents
    return time_estimates.estimate(work, wanted, speeds, AGENT_STEPS_PER_SECOND[platform]).hours


def result(row: BarsRow, command: str) -> dict[str, str]:
    """The cells of a row; empty where it is not finished."""
    run, directory = row.run.settings.run, row.run.directory
    wins, steps, hours, made = [], [], 0.0, {"device": "", "versions": ""}
    if directory is not None:
        seeds = read_json(directory / "evaluation.json").get("seeds", [])
        wins = [seed["win_rate"] for seed in seeds if seed["win_rate"] is not None]
        steps = [seed["env_steps"] for seed in read_json(directory / "summary.json").get("seeds", ())]
        hours, made = find.seconds(directory) / 3600, device_and_versions(directory)
    cells = {
        "map": row.map,
        "variant": row.variant,
        "seeds": run.seeds,
        "total_steps": run.total_steps,
        "status": row.run.status,
        "win_rate": interval_text(wins, RATE) if wins else "",
        "win_rates": " ".join(f"{win:.2f}" for win in wins),
        "env_steps": max(steps, default=""),
        "hours": f"{hours:.3f}" if hours else "",
        **made,
        "command": command,
    }
    return {name: str(value) for name, value in cells.items()}


def merged(old: Sequence[dict[str, str]], new: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """`new` rows replace the old ones of the same run, but an unfinished row does not replace a finished one."""
    fields = ("map", "variant", "seeds", "total_steps")
    table = {tuple(row[name] for name in fields): row for row in old}
    for row in new:
        key = tuple(row[name] for name in fields)
        if row["status"] in find.FINISHED or table.get(key, row)["status"] not in find.FINISHED:
            table[key] = row
    return list(table.values())


def keep_curve(row: BarsRow, folder: pathlib.Path) -> None:
    """Copies the row's evaluations to the table's directory, so that its curves can be drawn again without training."""
    directory = row.run.directory
    if directory is not None and (directory / "eval.csv").exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / f"{row.map}_{row.variant}.csv", (directory / "eval.csv").read_bytes())


def print_table(rows: Sequence[dict[str, str]], title: str) -> None:
    """Prints the columns that matter most."""
    from rich.console import Console
    from rich.table import Table as RichTable

    shown = ("map", "variant", "status", "seeds", "env_steps", "win_rate", "hours")
    table = RichTable(*shown, title=title)
    for cells in rows:
        table.add_row(*(cells[name] for name in shown))
    Console().print(table)


def write_table(rows: Sequence[BarsRow], out: pathlib.Path, command: str) -> None:
    """Writes the table and prints it; rows of earlier calls stay in it."""
    results = merged(read_csv(out), [result(row, command) for row in rows])
    write_csv(out, results)
    print_table(results, str(out))


def _is_evaluated(directory: pathlib.Path) -> bool:
    """Whether evaluation.json has EPISODES episodes of the current policy: the run may have been continued since."""
    evaluation, policy = directory / "evaluation.json", directory / "policy" / "policy.json"
    seeds = read_json(evaluation).get("seeds", [])
    fresh = evaluation.exists() and evaluation.stat().st_mtime >= policy.stat().st_mtime
    return fresh and bool(seeds) and seeds[0]["episodes"] == EPISODES


def make_row(row: BarsRow) -> int:
    """Trains (or continues) a row and evaluates it. Returns the exit code of the training."""
    from experiments.analysis.evaluation import evaluate_policy, write_evaluation
    from experiments.training.train import train
    from iacjax import load_policy

    if not row.is_finished:
        begun = row.run.directory
        code = train(row.run.settings if begun is None else read_config(begun), begun)
        if code:
            return code
    directory = row.run.directory
    if not _is_evaluated(directory):
        write_evaluation(directory, row.run.env, evaluate_policy(load_policy(directory), row.run.env, EPISODES))
    return 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    options, name = parser(argv[0], __doc__.split("\n\n")[1]), argv[0].replace("/", "_")
    add = options.add_argument
    add("--maps", nargs="+", metavar="MAP", help="only these")
    add("--variants", nargs="+", metavar="VARIANT", help="only these")
    add("--stop-at-bar", action="store_true", help="end a run once two evaluations reach the map's win rate")
    hours = "start no row that would take longer than the rest of these hours"
    add("--budget", type=number(POSITIVE), default=math.inf, metavar="HOURS", help=hours)
    out, default = out_file(parents=True), f"results/{name}.csv"
    add("--out", type=out, default=default, help="table to write (default: %(default)s)")
    options.set_defaults(seeds=5, run_dir=f"runs/{name}")
    return options.parse_args(argv)


def command(argv: Sequence[str]) -> int:
    """Makes the table that `argv` names. Returns the exit code."""
    args = _parse(argv)
    table, again = TABLES[args.target], "python -m experiments.reproduce " + " ".join(argv)
    if args.redraw:
        if not (rows := read_csv(args.out)):
            raise ConfigError(f"there are no rows in {args.out}: train first, without --redraw")
        print_table(rows, str(args.out))
        return 0
    rows = make_rows(table, args)
    platform = time_estimates.platform()
    hours = {row: estimated_hours(row, table.maps[row.map].agents, rows, platform) for row in rows}
    left = [row for row in rows if not row.is_finished]
    print(f"{len(rows)} rows, {len(left)} to train: about {sum(hours[r] for r in left):.1f} hours on this {platform}")
    spent = 0.0
    for row in rows:
        cost = hours[row] if row in left else 0.0
        if spent + cost > args.budget:
            print(f"{row.map} {row.variant} is left for later: about {cost:.1f} hours, over the budget")
            continue
        spent += cost
        code = make_row(row)
        keep_curve(row, args.out.with_suffix(""))
        write_table(rows, args.out, again)
        if code >= 128:
            print(f"stopped; resume with: {again}")
            return code
    write_table(rows, args.out, again)
    return 0
