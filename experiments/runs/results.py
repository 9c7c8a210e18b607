"""Results of a run: the last evaluations in eval.csv, the summary table, summary.json."""

import math
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from envs.errors import ConfigError
from experiments.common.files import read_json, write_json
from experiments.common.stats import RATE, interval_text
from experiments.loggers.csv import TABLES, read_table
from iacjax.digests import digest, sign

Row = dict[str, float]


class SeedResult(NamedTuple):
    """The last greedy evaluation of one seed; `win_rate` is nan in environments without wins."""

    seed: int
    env_steps: int
    return_mean: float
    win_rate: float
    best_win_rate: float


def last_evaluations(directory: pathlib.Path) -> list[SeedResult]:
    """One row for each seed, from eval.csv; empty if nothing was evaluated yet.

    Raises:
      ConfigError: it is damaged.
    """
    by_seed: dict[int, list[Row]] = {}
    for row in read_table(directory / "eval.csv"):
        by_seed.setdefault(int(row["seed"]), []).append(row)
    results = []
    for seed, rows in sorted(by_seed.items()):
        wins = [row.get("win_rate", math.nan) for row in rows]
        last = rows[-1]
        if "return_mean" not in last:
            raise ConfigError(f"{directory / 'eval.csv'} is damaged (no return_mean): restore it from a copy")
        results.append(SeedResult(seed, int(last["env_steps"]), last["return_mean"], wins[-1], max(wins)))
    return results


def summary_table(results: Sequence[SeedResult]) -> Any:
    """A rich table: a row for each seed, and the mean with its 95 % interval."""
    from rich.table import Table

    has_wins = not any(math.isnan(r.win_rate) for r in results)
    columns = ["seed", "env steps", "return", *(["win rate", "best"] if has_wins else [])]
    table = Table(*columns, title="last greedy evaluation")
    for r in results:
        wins = [f"{r.win_rate:.3f}", f"{r.best_win_rate:.3f}"] if has_wins else []
        table.add_row(str(r.seed), f"{r.env_steps:,}", f"{r.return_mean:.3f}", *wins)
    wins = [interval_text([getattr(r, name) for r in results], RATE) for name in ("win_rate", "best_win_rate")]
    table.add_row("mean, 95 %", "", interval_text([r.return_mean for r in results]), *(wins if has_wins else []))
    return table


def write_summary(directory: pathlib.Path, status: str, timing: dict[str, float]) -> list[SeedResult]:
    """Writes summary.json: `status` (finished, reached_target_win_rate, interrupted), last evaluations, times."""
    results = last_evaluations(directory)
    rows = [{k: None if v != v else v for k, v in r._asdict().items()} for r in results]
    summary = {"status": status, "seeds": rows, **timing, "files": _digests(directory)}
    write_json(directory / "summary.json", sign(summary))
    return results


def check_summary(directory: pathlib.Path) -> None:
    """Raises ConfigError where summary.json is missing, or the csv files are not those that it was written with."""
    file = directory / "summary.json"
    summary = read_json(file)
    if not summary:
        raise ConfigError(f"{file} is not there, but the training has ended: restore it from a copy")
    now = _digests(directory)
    for name, due in summary.get("files", {}).items():
        if now.get(name) != due:
            raise ConfigError(f"{directory / name} was changed since the training ended: restore it from a copy")


def _digests(directory: pathlib.Path) -> dict[str, str]:
    files = [directory / f"{table}.csv" for table in TABLES]
    return {file.name: digest(file.read_bytes()) for file in files if file.exists()}


class _Scored(Protocol):
    return_mean: float
    win_rate: float


def best_seed(results: Sequence[_Scored]) -> int:
    """Index of the result with the best evaluation: win rate where there is one, then return."""
    keys = [(0.0 if math.isnan(r.win_rate) else r.win_rate, r.return_mean) for r in results]
    return keys.index(max(keys))
