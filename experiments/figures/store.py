"""The small files that a figure is drawn from: its evaluations in a csv file, and in a json file how each was made.

They are in the repository, so that figures can be drawn again without training.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from envs.errors import ConfigError
from experiments.analysis.curves import Curves
from experiments.common.files import exclusive, read_csv, read_json, write_csv, write_json
from experiments.config.env_options import to_saved_options
from experiments.config.schema import algorithm_fingerprint
from experiments.figures.runs import Run, device_and_versions
from experiments.loggers.csv import read_table
from experiments.runs import find

KEY = ("budget", "algo", "env")  # identifies a record of how a run was made
POINT = (*KEY, "seed", "env_steps")
RETURNS, WIN_RATES = (
    ("return_mean", "return_std"),
    ("win_rate", "return_mean"),
)  # the columns of an evaluation that are saved
COLUMNS = (*POINT, *RETURNS)
Row = dict[str, str]


def number(value: float) -> str:
    """Six digits: enough for any drawing, and small."""
    return format(float(value), ".6g")


def record_of(budget: str, run: Run, command: str) -> dict[str, Any]:
    """How a run was made, for the json file."""
    settings, directory = run.settings.run, run.directory
    options = to_saved_options(settings.env, settings.env_options)
    return {
        "budget": budget,
        "algo": run.method,
        "env": run.env,
        "preset": settings.preset,
        "seeds": settings.seeds,
        "total_steps": settings.total_steps,
        "algorithm": algorithm_fingerprint(run.settings.algorithm),
        **({"env_options": list(options)} if options else {}),
        "status": run.status,
        "hours": round(find.seconds(directory) / 3600, 4),
        **device_and_versions(directory),
        "command": command,
    }


def is_recorded(path: pathlib.Path, budget: str, run: Run) -> bool:
    """Whether the json file `path` says that a run with these settings, with as many seeds or more, was finished."""
    settings = run.settings.run
    options = to_saved_options(settings.env, settings.env_options)
    wanted = (budget, run.method, run.env, settings.preset, settings.total_steps, list(options))
    wanted += (algorithm_fingerprint(run.settings.algorithm),)
    names = (*KEY, "preset", "total_steps", "env_options", "algorithm")
    return any(
        tuple({"env_options": [], **record}.get(name) for name in names) == wanted
        and record["status"] in find.FINISHED
        and record["seeds"] >= settings.seeds
        for record in read_json(path).get("runs", ())
    )


def merged(
    old: Sequence[Row], new: Sequence[Row], was: dict[str, Any] | None, now: dict[str, Any]
) -> tuple[list[Row], dict[str, Any]]:
    """Adds the rows `new` of one run, with the record `now`, to a figure's rows `old`, with the record `was`.

    Seeds with the same preset, algorithm fields, steps and environment options are combined; otherwise the new rows
    replace the old ones. An unfinished run does not replace a finished one.
    """
    mine, others = [], []
    for row in old:
        (mine if all(row[name] == now[name] for name in KEY) else others).append(row)
    if was is None:
        return [*others, *new], now
    if {**now, "command": was["command"], "seeds": was["seeds"]} == was and all(row in mine for row in new):
        return list(old), was  # nothing new: the record keeps the first command
    if was["status"] in find.FINISHED and now["status"] not in find.FINISHED:
        return list(old), was
    if all(was.get(name) == now.get(name) for name in ("preset", "total_steps", "algorithm", "env_options")):
        seeds = {row["seed"] for row in new}
        others += [row for row in mine if row["seed"] not in seeds]
        now = {**now, "seeds": len({row["seed"] for row in mine} | seeds)}
    return [*others, *new], now


def keep_curves(path: pathlib.Path, budget: str, run: Run, command: str, values: Sequence[str] = RETURNS) -> None:
    """Adds the evaluations of a run, finished or not, to the figure's csv file, and its record to the json file.

    Several processes may do so at once. What is there already is not written again.

    Args:
      values: columns of eval.csv to save; the same in every call of a figure.
    """
    if run.directory is None:
        return
    new = [
        {"budget": budget, "algo": run.method, "env": run.env, "seed": str(int(row["seed"])),
         "env_steps": str(int(row["env_steps"])),
         **{name: number(row[name]) for name in values}}
        for row in read_table(run.directory / "eval.csv")
    ]  # fmt: skip
    if not new:
        return
    now = record_of(budget, run, command)
    with exclusive(path):
        records = read_json(path.with_suffix(".json")).get("runs", [])
        was = next((r for r in records if all(r[name] == now[name] for name in KEY)), None)
        old = read_csv(path)
        rows, record = merged(old, new, was, now)
        if (rows, record) == (old, was):
            return
        # Sorted, so that the files differ only where the numbers do.
        rows.sort(key=lambda r: (*(r[name] for name in KEY), int(r["seed"]), int(r["env_steps"])))
        records = sorted([*(r for r in records if r is not was), record], key=lambda r: [r[name] for name in KEY])
        write_csv(path, rows, (*POINT, *values))
        write_json(path.with_suffix(".json"), {"runs": records})


def read_curves(path: pathlib.Path, budget: str) -> list[Curves]:
    """The saved evaluations of a budget, one curve per (method, environment, seed); `label` is the algorithm.

    Raises:
      ConfigError: there are none.
    """
    groups: dict[tuple[str, str, int], list[Row]] = {}
    for row in read_csv(path):
        if row["budget"] == budget:
            groups.setdefault((row["algo"], row["env"], int(row["seed"])), []).append(row)
    if not groups:
        raise ConfigError(f"nothing of budget {budget} is saved in {path}: train first, without --redraw")
    return [
        Curves(algo, env, seed, *_columns(sorted(rows, key=lambda r: int(r["env_steps"]))))
        for (algo, env, seed), rows in groups.items()
    ]


def _columns(rows: Sequence[Row]) -> tuple[Any, dict[str, Any]]:
    steps = np.array([float(row["env_steps"]) for row in rows])
    return steps, {name: np.array([float(row[name]) for row in rows]) for name in rows[0] if name not in POINT}
