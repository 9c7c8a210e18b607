"""The comparison of algorithms as a table, as notes on the table, and as JSON."""

import json
import math
from collections.abc import Sequence
from typing import Any

from experiments.analysis.scores import ALL, ComparisonOptions, Groups, ScoreRow, shared_tasks
from experiments.common.stats import Interval

FEW = 5  # seeds below which the bootstrap is said to be too narrow


def cell(interval: Interval | None, rate: bool) -> str:
    """`0.905 [0.850, 0.950]`, cut to 0 and 1 for a rate; the value alone where there is no interval."""
    if interval is None:
        return ""
    low, high = (min(max(x, 0.0), 1.0) if rate else x for x in map(float, interval[1:]))
    value = f"{float(interval.mean):.3f}"
    return value if math.isnan(float(interval.low)) else f"{value} [{low:.3f}, {high:.3f}]"


def table(rows: Sequence[ScoreRow], options: ComparisonOptions) -> Any:
    """A rich table: a row for each environment and label."""
    from rich.table import Column, Table

    better = [f"P(higher than {options.against})"] * (options.against is not None)
    gap = ["optimality gap"] * any(row.gap is not None for row in rows)
    columns = ["task", "algorithm", "seeds", "env steps", "mean", "IQM", *better, *gap]
    title = f"{options.metric}, last {options.last} greedy evaluations of each seed; 95 %"
    found = Table(Column(columns[0], overflow="fold"), *columns[1:], title=title)
    for before, row in zip([None, *rows], rows, strict=False):
        if before is not None and before.env != row.env:
            found.add_section()
        rate = options.metric == "win_rate"
        steps = " to ".join(dict.fromkeys(f"{n:,}" for n in row.steps))
        cells = [cell(row.mean, rate), cell(row.iqm, rate)]
        cells += [cell(row.better, True)] * len(better) + [cell(row.gap, rate)] * len(gap)
        found.add_row(row.env if before is None or before.env != row.env else "", row.label, *_size(row, steps), *cells)
    return found


def _size(row: ScoreRow, steps: str) -> tuple[str, str]:
    seeds, tasks = row.scores.shape
    return (f"{seeds}" if tasks == 1 else f"{seeds} x {tasks}"), steps


def notes(groups: Groups, rows: Sequence[ScoreRow], options: ComparisonOptions) -> list[str]:
    """What a reader of the table should know: few seeds, unlike budgets, what is left out, returns rescaled."""
    said = []
    if min(len(row.scores) for row in rows) < FEW:
        said.append(f"fewer than {FEW} seeds: the bootstrap's intervals are too narrow; the mean's are Student's")
    for env in groups:
        steps = [n for row in rows if row.env == env for n in row.steps]
        if max(steps) > 1.1 * min(steps):
            said.append(f"on {env} runs ended after {min(steps):,} to {max(steps):,} env steps")
    shared = shared_tasks(groups)
    if len(shared) < 2 <= len(groups):
        said.append("no rows for all tasks together: fewer than two have runs of every algorithm")
    if len(shared) < 2:
        return said
    if len(shared) < len(groups):
        left = ", ".join(env for env in groups if env not in shared)
        said.append(f"not in {ALL!r}, since not every algorithm has runs there: {left}")
    pooled = {row.label: len(row.scores) for row in rows if row.env == ALL}
    if any(len(groups[env][label]) > count for env in shared for label, count in pooled.items()):
        said.append(f"{ALL!r} takes as many seeds as the task with the fewest has, the first ones of the others")
    if options.metric != "win_rate":
        said.append(f"{ALL!r}: returns put on 0 to 1 by the least and the greatest evaluation on each task")
    return said


def to_json(rows: Sequence[ScoreRow], options: ComparisonOptions) -> str:
    """Every number of the table and the scores; null where there is no interval."""
    data = {**options._asdict(), "level": 0.95, "rows": [_row_dict(row) for row in rows]}
    return json.dumps(data, indent=1, allow_nan=False) + "\n"


def _row_dict(row: ScoreRow) -> dict[str, Any]:
    def numbers(interval: Interval | None) -> list[float | None] | None:
        return interval and [None if math.isnan(x) else float(x) for x in map(float, interval)]

    intervals = {name: numbers(getattr(row, name)) for name in ("mean", "iqm", "better", "gap")}
    return {"env": row.env, "label": row.label, "steps": list(row.steps), **intervals, "scores": row.scores.tolist()}
