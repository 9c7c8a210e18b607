"""The table of win rates: `python -m experiments.reproduce aiir/bars`.

One row a (map, variant): train, evaluate 100 greedy episodes per seed, write the table. Rows that are finished are
kept, one that was begun is continued, so the command can be stopped and given again until the table is full.
"""

import argparse
import dataclasses
import math
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from envs.errors import ConfigError
from experiments.common.arguments import Parser, number, out_file, out_folder, whole
from experiments.common.files import read_csv, read_json, write_bytes, write_csv
from experiments.common.stats import RATE, interval_text
from experiments.config.preset_io import default_settings
from experiments.config.schema import Settings, read_config
from experiments.config.validation import MAX_SEEDS, check_run
from experiments.runs.find import FINISHED, newest_run
from experiments.runs.find import status as run_status
from experiments.training import time_estimates
from iacjax.schema import POSITIVE

EPISODES = 100
# Rough env steps per second, over all seeds and agents of a run, where no finished row tells: for the prediction only.
AGENT_STEPS_PER_SECOND = {"cpu": 20_000, "gpu": 400_000}


class Map(NamedTuple):
    env: str
    agents: int
    total_steps: int
    bar: float  # greedy win rate to reach


class Table(NamedTuple):
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


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table, and where its run stands."""

    map: str
    variant: str
    settings: Settings

    def directory(self) -> pathlib.Path | None:
        """The newest run directory of just this row; None where it was not begun."""
        return newest_run(self.settings)

    def status(self) -> str:
        """See `find.status`."""
        return run_status(self.directory())


def make_rows(table: Table, args: argparse.Namespace) -> list[Row]:
    """The rows that the command line asks for, variant by variant, so that the first maps are compared early."""
    rows = []
    for variant in _chosen(args.variants, table.variants, "--variants"):
        for name in _chosen(args.maps, table.maps, "--maps"):
            chosen = table.maps[name]
            settings = default_settings(table.algo, table.variants[variant], chosen.env)
            run = dataclasses.replace(
                settings.run,
                seeds=args.seeds,
                total_steps=args.total_steps or chosen.total_steps,
                stop_at=chosen.bar if args.stop_at_bar else 0.0,
                run_dir=str(pathlib.Path(args.run_dir) / variant),
            )
            check_run(run)
            rows.append(Row(name, variant, Settings(run, settings.algorithm)))
    return rows


def _chosen(asked: Sequence[str] | None, known: dict, option: str) -> list[str]:
    unknown = [name for name in asked or () if name not in known]
    if unknown:
        raise ConfigError(f"{option}: no {unknown[0]!r} in this table; it has {', '.join(known)}")
    return list(asked or known)


def estimated_hours(row: Row, agents: int, rows: Sequence[Row], platform: str) -> float:
    """Hours that a row takes: by the speed of a finished row (its own variant and map first), or by a rough guess."""
    agents_of = {m.env: m.agents for table in TABLES.values() for m in table.maps.values()}
    speeds = []
    for other in rows:
        facts = {"variant": other.variant, "map": other.map}
        count = agents_of[other.settings.run.env]
        speeds += [s._replace(rate=s.rate * count) for s in time_estimates.of_run(other.directory(), facts)]
    work = row.settings.run.total_steps * row.settings.run.seeds * agents
    wanted = {"variant": row.variant, "map": row.map}
    return time_estimates.estimate(work, wanted, speeds, AGENT_STEPS_PER_SECOND[platform]).hours


def result(row: Row, command: str) -> dict[str, str]:
    """What a row of the table says; empty cells where it is not finished."""
    run, status, directory = row.settings.run, row.status(), row.directory()
    cells = {
        "map": row.map,
        "variant": row.variant,
        "seeds": run.seeds,
        "total_steps": run.total_steps,
        "status": status,
    }
    wins, summary, versions = [], {}, {}
    if directory is not None:
        seeds = read_json(directory / "evaluation.json").get("seeds", [])
        wins = [seed["win_rate"] for seed in seeds if seed["win_rate"] is not None]
        summary, versions = read_json(directory / "summary.json"), read_json(directory / "versions.json")
    hours = sum(summary.get(name, 0.0) for name in ("train_seconds", "eval_seconds", "save_seconds")) / 3600
    cells["win_rate"] = interval_text(wins, RATE) if wins else ""
    cells["win_rates"] = " ".join(f"{win:.2f}" for win in wins)
    cells["env_steps"] = max((seed["env_steps"] for seed in summary.get("seeds", ())), default="")
    cells["hours"] = f"{hours:.3f}" if hours else ""
    cells["device"] = versions.pop("device", "")
    cells["versions"] = " ".join(f"{name}={version}" for name, version in versions.items())
    cells["command"] = command
    return {name: str(value) for name, value in cells.items()}


def merged(old: Sequence[dict[str, str]], new: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """`new` rows in place of the old ones of the same run; the other old rows stay, unfinished new ones wait behind."""
    fields = ("map", "variant", "seeds", "total_steps")
    table = {tuple(row[name] for name in fields): row for row in old}
    for row in new:
        key = tuple(row[name] for name in fields)
        if row["status"] in FINISHED or table.get(key, row)["status"] not in FINISHED:
            table[key] = row
    return list(table.values())


def keep_curve(row: Row, folder: pathlib.Path) -> None:
    """Copies the row's evaluations beside the table, so that its curves can be drawn again without training."""
    directory = row.directory()
    if directory is not None and (directory / "eval.csv").exists():
        folder.mkdir(parents=True, exist_ok=True)
        write_bytes(folder / f"{row.map}_{row.variant}.csv", (directory / "eval.csv").read_bytes())


def write_table(rows: Sequence[Row], out: pathlib.Path, command: str) -> None:
    """Writes the table and prints it; rows that another call made stay in it."""
    from rich.console import Console
    from rich.table import Table as Print

    results = merged(read_csv(out), [result(row, command) for row in rows])
    write_csv(out, results)
    shown = ("map", "variant", "status", "seeds", "env_steps", "win_rate", "hours")
    table = Print(*shown, title=str(out))
    for cells in results:
        table.add_row(*(cells[name] for name in shown))
    Console().print(table)


def _is_evaluated(directory: pathlib.Path) -> bool:
    """Whether evaluation.json is of EPISODES episodes of the policy as it is now: a run may have gone on since."""
    evaluation, policy = directory / "evaluation.json", directory / "policy" / "policy.json"
    seeds = read_json(evaluation).get("seeds", [])
    fresh = evaluation.exists() and evaluation.stat().st_mtime >= policy.stat().st_mtime
    return fresh and bool(seeds) and seeds[0]["episodes"] == EPISODES


def make_row(row: Row) -> int:
    """Trains (or goes on with) a row and evaluates it. Returns the exit code of the training."""
    from experiments.analysis.evaluation import evaluate_policy, write_evaluation
    from experiments.training.train import train
    from iacjax import load_policy

    if row.status() in ("new", "begun"):
        begun = row.directory()
        code = train(row.settings if begun is None else read_config(begun), begun)
        if code:
            return code
    directory = row.directory()
    if not _is_evaluated(directory):
        rows = evaluate_policy(load_policy(directory), row.settings.run.env, EPISODES)
        write_evaluation(directory, row.settings.run.env, rows)
    return 0


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m experiments.reproduce", description=__doc__.split("\n\n")[0])
    parser.add_argument("table", help=f"one of {', '.join(TABLES)}")
    parser.add_argument("--seeds", type=whole(1, MAX_SEEDS), default=5, help="seeds per row (default: %(default)s)")
    parser.add_argument("--maps", nargs="+", metavar="MAP", help="only these")
    parser.add_argument("--variants", nargs="+", metavar="VARIANT", help="only these")
    parser.add_argument("--total-steps", type=whole(0), default=0, help="env steps per seed, not the table's own")
    parser.add_argument("--stop-at-bar", action="store_true", help="end a run once two evaluations reach its bar")
    parser.add_argument(
        "--budget", type=number(POSITIVE), default=math.inf, metavar="HOURS", help="begin no row beyond it"
    )
    parser.add_argument("--run-dir", type=out_folder, help="parent of the runs (default: runs/<table>)")
    parser.add_argument("--out", type=out_file(parents=True), help="table to write (default: results/<table>.csv)")
    args = parser.parse_args(argv)
    if args.table not in TABLES:
        raise ConfigError(f"no table {args.table!r}: known are {', '.join(TABLES)}")
    name = args.table.replace("/", "_")
    args.run_dir, args.out = args.run_dir or f"runs/{name}", args.out or out_file(parents=True)(f"results/{name}.csv")
    return args


def command(argv: Sequence[str]) -> int:
    """Makes the table that `argv` names. Returns the exit code."""
    args = _parse(argv)
    table, again = TABLES[args.table], "python -m experiments.reproduce " + " ".join(argv)
    rows = make_rows(table, args)
    platform = time_estimates.platform()
    hours = {id(r): estimated_hours(r, table.maps[r.map].agents, rows, platform) for r in rows}
    left = [row for row in rows if row.status() in ("new", "begun")]
    print(
        f"{len(rows)} rows, {len(left)} to train: about {sum(hours[id(r)] for r in left):.1f} hours on this {platform}"
    )
    spent, code = 0.0, 0
    for row in rows:
        cost = hours[id(row)] if row in left else 0.0
        if spent + cost > args.budget:
            print(f"{row.map} {row.variant} is left for later: about {cost:.1f} hours, over the budget")
            continue
        spent += cost
        code = make_row(row)
        keep_curve(row, pathlib.Path(args.out).with_suffix(""))
        write_table(rows, pathlib.Path(args.out), again)
        if code >= 128:
            print(f"stopped; go on with: {again}")
            return code
    write_table(rows, pathlib.Path(args.out), again)
    return 0
