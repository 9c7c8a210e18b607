"""What a sweep came to: its rows beside their configuration, the table of its points, the winner as a preset."""

import csv
import math
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.common.files import read_json
from experiments.common.stats import RATE, interval_text
from experiments.config.preset_io import write_preset
from experiments.config.schema import Settings
from experiments.loggers.csv import read_table
from experiments.sweeps.plan import Point
from experiments.sweeps.trials import Unit

TABLES = ("eval", "metrics")
SHOWN = 20  # rows of a table


class LaneResult(NamedTuple):
    """One seed of a point. The scores are means over the last tenth of its evaluations (at least the last)."""

    unit: Unit
    seed: int
    status: str  # finished, diverged, or begun
    env_steps: int
    return_mean: float
    win_rate: float  # nan in worlds without a winner

    @property
    def score(self) -> float:
        """What points are ranked by: the win rate, or the return where nobody wins."""
        return self.return_mean if math.isnan(self.win_rate) else self.win_rate


class PointResult(NamedTuple):
    """A point and its lanes."""

    point: Point
    lanes: tuple[LaneResult, ...]

    @property
    def finished(self) -> list[LaneResult]:
        return [lane for lane in self.lanes if lane.status == "finished"]

    @property
    def rank(self) -> tuple[bool, float]:
        """Sorts the best first: points of which every seed came to its end, by their mean score."""
        scores = [lane.score for lane in self.finished]
        return len(scores) < len(self.lanes), -float(np.mean(scores)) if scores else math.inf


def read_lanes(units: Sequence[Unit]) -> list[LaneResult]:
    """The lanes of all units."""
    return [lane for unit in units for lane in _lanes_of(unit)]


def _lanes_of(unit: Unit) -> list[LaneResult]:
    summary = {"status": "begun", **read_json(unit.directory / "summary.json")}
    by_seed: dict[int, list[dict[str, float]]] = {}
    for row in read_table(unit.directory / "eval.csv"):
        by_seed.setdefault(int(row["seed"]), []).append(row)
    results = []
    for seed in unit.seeds:
        rows = by_seed.get(seed, [])  # none where it diverged before the first
        status = "diverged" if str(seed) in summary.get("diverged", {}) else summary["status"]
        last = rows[-max(1, len(rows) // 10) :] or [{}]
        means = [float(np.mean([row.get(name, math.nan) for row in last])) for name in ("return_mean", "win_rate")]
        results.append(LaneResult(unit, seed, status, int(rows[-1]["env_steps"]) if rows else 0, *means))
    return results


def points_of(lanes: Sequence[LaneResult]) -> list[PointResult]:
    """The lanes by point, the best of each environment first."""
    of: dict[tuple, list[LaneResult]] = {}
    for lane in lanes:
        run = lane.unit.point.settings.run
        of.setdefault((run.env, run.algo, lane.unit.point.name), []).append(lane)
    results = [PointResult(some[0].unit.point, tuple(some)) for some in of.values()]
    return sorted(results, key=lambda result: (result.point.settings.run.env, *result.rank))


def differences(result: PointResult, points: Sequence[PointResult], but: str = "") -> str:
    """In words, the fields (beside `but`) whose values tell a point from others: `lr=0.002 entropy=0.01`."""
    algo = result.point.settings.run.algo
    words = [algo] * any(r.point.settings.run.algo != algo for r in points)
    for name, value in result.point.values.items():
        if name != but and any(r.point.values.get(name) != value for r in points):
            words.append(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}")
    return " ".join(words)


def write_tables(out: pathlib.Path, units: Sequence[Unit], lanes: Sequence[LaneResult]) -> None:
    """lanes.csv (a row a lane), eval.csv and metrics.csv: all rows of all points, their configuration in front."""
    rows = []
    for lane in lanes:
        numbers = {"seed": lane.seed, "status": lane.status, "env_steps": lane.env_steps}
        numbers |= {"return_mean": lane.return_mean, "win_rate": lane.win_rate}
        rows.append({**_columns(lane.unit), **numbers, "directory": str(lane.unit.directory)})
    _write(out / "lanes.csv", rows)
    for table in TABLES:
        every = [{**_columns(unit), **row} for unit in units for row in read_table(unit.directory / f"{table}.csv")]
        _write(out / f"{table}.csv", every)


def _columns(unit: Unit) -> dict[str, Any]:
    run = unit.point.settings.run
    return {"algo": run.algo, "env": run.env, **unit.point.values}


def _write(path: pathlib.Path, rows: list[dict[str, Any]]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    part = path.with_name(path.name + ".part")
    with part.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    part.replace(path)


def _cell(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return "" if math.isnan(value) else format(value, ".8g")


def tables(points: Sequence[PointResult]) -> list[Any]:
    """A rich table an environment: its best points, means over the seeds that finished with 95 % intervals."""
    from rich.table import Table

    made = []
    for env in dict.fromkeys(result.point.settings.run.env for result in points):
        some = [result for result in points if result.point.settings.run.env == env]
        algos = {result.point.settings.run.algo for result in some}
        title = f"{algos.pop()} on {env}" if len(algos) == 1 else env
        title += ": mean of the last tenth of the evaluations, 95 % over seeds"
        table = Table("point", "seeds", "return", "win rate", title=title, pad_edge=False)  # two numbers: 80 columns
        for result in some[:SHOWN]:
            lost = len(result.lanes) - len(result.finished)
            seeds = f"{len(result.lanes)}" + (f" ({lost} diverged)" if lost else "")
            table.add_row(differences(result, some) or result.point.name, seeds, *_texts(result))
        if len(some) > SHOWN:
            table.add_row(f"and {len(some) - SHOWN} more: lanes.csv", "", "", "")
        made.append(table)
    return made


def _texts(result: PointResult) -> tuple[str, str]:
    lanes = result.finished
    if not lanes:
        return "-", "-"
    wins = [lane.win_rate for lane in lanes]
    battle = not any(math.isnan(win) for win in wins)
    returns = interval_text([lane.return_mean for lane in lanes], form=".4g")
    return returns, interval_text(wins, RATE) if battle else "-"


def write_winners(out: pathlib.Path, points: Sequence[PointResult]) -> list[pathlib.Path]:
    """The best point of each environment and algorithm as winners/<env>_<algo>.json; winner.json is the best of all,
    where there is one environment. Points that did not finish win nothing."""
    best: dict[tuple[str, str], PointResult] = {}
    for result in points:
        run = result.point.settings.run
        if result.finished and not result.rank[0]:
            best.setdefault((run.env, run.algo), result)
    written = []
    for (env, algo), result in best.items():
        name = f"{env.replace(':', '_').replace('/', '_')}_{algo}.json"
        written.append(_write_winner(out / "winners" / name, result))
    if len({env for env, _ in best}) == 1:
        written.append(_write_winner(out / "winner.json", next(iter(best.values()))))
    return written


def _write_winner(path: pathlib.Path, result: PointResult) -> pathlib.Path:
    returns, wins = _texts(result)
    what = f"return {returns}" if wins == "-" else f"win rate {wins}"
    settings: Settings = result.point.settings
    write_preset(path, settings, f"{result.point.name}: the best of a sweep, {what} over {len(result.lanes)} seed(s)")
    return path
