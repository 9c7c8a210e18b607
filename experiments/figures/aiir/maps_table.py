"""Table 1: the paper's four maps compared with ours, and the final win rates on them.

The win rates are from the runs of figures 3 and 4 and others saved with them; missing runs are trained.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from envs.errors import ConfigError
from experiments.analysis import style
from experiments.analysis.curves import Curves
from experiments.common.files import write_csv, write_text
from experiments.common.stats import bootstrap_interval, iqm, mean_interval
from experiments.figures.aiir import win_rates
from experiments.figures.iac.curves import LAST
from experiments.figures.spec import Budget, FigureOptions, parse
from experiments.figures.store import number, read_curves

SUMMARY = "Table 1: the paper's maps and ours, and the final greedy win rates of all methods on them."
BUDGETS: dict[str, Budget] = {
    name: budget._replace(methods=(*win_rates.METHODS, "rmix", "aiir"))
    for name, budget in win_rates.BUDGETS["aiir/fig3"].items()
}


class TableMap(NamedTuple):
    """A row of table 1."""

    allies: str
    enemies: str
    type: str


_2S3Z, _3S5Z = "2 Stalkers 3 Zealots", "3 Stalkers 5 Zealots"
_MMM = "1 Medivac 2 Marauders 7 Marines"
PAPER_MAPS = {
    "2s3z": TableMap(_2S3Z, _2S3Z, "heterogeneous"),
    "3s5z": TableMap(_3S5Z, _3S5Z, "heterogeneous"),
    "8m": TableMap("8 Marines", "8 Marines", "homogeneous"),
    "MMM": TableMap(_MMM, _MMM, "heterogeneous"),
}
# Section 5.2; the paper gives no numbers.
PAPER_SAYS = {
    "aiir_mix": "outperforms all others on all four maps, and its ablations on 8m and 2s3z",
    "liir": "masters 8m; slow and poor on MMM, 2s3z and 3s5z",
    "qmix": "good on MMM, 2s3z and 3s5z, relatively poor on 8m; converges slowly",
    "qtran": "good on MMM and 2s3z, poor on 8m; converges slowly",
    "coma": "fails on MMM, 2s3z and 3s5z",
    "rmix": "slower than LIIR on 8m; below AIIR-MIX",
    "aiir": "slower than LIIR on 8m; below AIIR-MIX",
}
_ORDER = ("medivac", "marauder", "marine", "stalker", "zealot")  # the order in which the paper names units
COLUMNS = ("budget", "algo", "env", "preset", "status", "seeds", "total_steps", "win_rate", "low", "high")
COLUMNS += ("iqm", "iqm_low", "iqm_high", "device", "versions")


def command(argv: Sequence[str]) -> int:
    """Trains the missing runs, prints the table and writes it as Markdown and as csv. Returns the exit code."""
    options = parse(argv, SUMMARY, BUDGETS, family=win_rates.FAMILY, suffix=".md")
    if options.out.suffix == ".csv":
        raise ConfigError(
            "--out must be a Markdown file, e.g. table1.md; a csv file of the same name is written with it"
        )
    return win_rates.win_rate_training(options).run_and_draw(write)


def our_map(name: str) -> TableMap:
    """A map of our SMAX, described as in the paper's table."""
    from envs.smax.scenarios import get_scenario

    scenario = get_scenario(name)
    kinds = set(scenario.allies)
    return TableMap(
        _team(scenario.allies), _team(scenario.enemies), "homogeneous" if len(kinds) == 1 else "heterogeneous"
    )


def _team(units: Sequence[str]) -> str:
    kinds = sorted(set(units), key=lambda u: _ORDER.index(u) if u in _ORDER else len(_ORDER))
    return " ".join(style.count(units.count(kind), kind.capitalize()) for kind in kinds)


def final_win_rate(curve: Curves) -> float:
    """The win rate over a seed's last evaluations, in per cent."""
    return 100 * float(np.mean(curve.columns["win_rate"][-LAST:]))


class MapScore(NamedTuple):
    """Estimates over seeds, in per cent: (value, low, high) each; the bounds are nan for a single seed."""

    mean: tuple[float, float, float]
    iqm: tuple[float, float, float]


def score(finals: np.ndarray) -> MapScore:
    """Mean with Student's t interval, and interquartile mean with the stratified bootstrap's.

    Args:
      finals: f[S, maps] final win rates; with several maps, the mean is over the seeds' means.
    """
    band = mean_interval(finals.mean(axis=1))
    mean = tuple(float(np.clip(x, 0.0, 100.0)) for x in band)
    middle = (iqm(finals), math.nan, math.nan)
    if len(finals) > 1:
        middle = tuple(float(x) for x in bootstrap_interval(finals))
    return MapScore(mean, middle)


def table_of(finals: dict[tuple[str, str, int], float]) -> dict[tuple[str, str], tuple[int, MapScore]]:
    """(algo, env) -> (seeds, score); env `all` pools a method's maps, with the seeds that it has on every map.

    Args:
      finals: final win rate in percent by (algo, env, seed).
    """
    table = {}
    for algo in style.in_order([algo for algo, _, _ in finals]):
        by_map: dict[str, dict[int, float]] = {}
        for (name, env, seed), value in finals.items():
            if name == algo:
                by_map.setdefault(env, {})[seed] = value
        for env, values in by_map.items():
            table[algo, env] = len(values), score(np.array([*values.values()])[:, None])
        common = sorted(set.intersection(*(set(values) for values in by_map.values())))
        if common:
            matrix = np.array([[values[seed] for values in by_map.values()] for seed in common])
            table[algo, "all"] = len(common), score(matrix)
    return table


def cell(value: tuple[float, float, float]) -> str:
    """`94 [75, 100]`, or the value alone."""
    middle, low, high = value
    return f"{middle:.0f}" if math.isnan(low) else f"{middle:.0f} [{low:.0f}, {high:.0f}]"


def write(options: FigureOptions) -> None:
    """Writes both files and prints the first.

    Raises:
      ConfigError: nothing is saved of these methods and maps.
    """
    numbers = win_rates.numbers_file(options)
    curves = win_rates.selected(options, read_curves(numbers, options.budget), BUDGETS)
    records = win_rates.records_of(numbers, options.budget, curves)
    table = table_of({(c.label, c.env, c.seed): final_win_rate(c) for c in curves})
    text = "\n".join([*maps_markdown(), "", *win_markdown(table), "", note(options, records)]) + "\n"
    out = options.out
    write_csv(out.with_suffix(".csv"), csv_rows(options.budget, table, records), COLUMNS)
    write_text(out, text)
    print(text, end="")
    print(f"wrote {out} and {out.with_suffix('.csv')}")


def maps_markdown() -> list[str]:
    """The paper's table 1, compared with our maps."""
    lines = ["| map | ally units | enemy units | type | ours |", "|---" * 5 + "|"]
    for name, paper in PAPER_MAPS.items():
        ours = our_map(name)
        lines.append(f"| {name} | {' | '.join(paper)} | {'the same' if ours == paper else ', '.join(ours)} |")
    return lines


def win_markdown(table: dict[tuple[str, str], tuple[int, MapScore]]) -> list[str]:
    """Final win rates in per cent, one row per method."""
    envs = [env for env in BUDGETS["paper"].steps if any(known == env for _, known in table)]
    maps = [style.env_title(env) for env in envs]
    lines = [f"| method | {' | '.join(maps)} | IQM over the maps | the paper, of its figures 3 and 4 |"]
    lines.append("|---" * (len(maps) + 3) + "|")
    for algo in dict.fromkeys(algo for algo, _ in table):
        mine = [env for env in envs if (algo, env) in table]
        cells = [cell(table[algo, env][1].mean) if env in mine else "" for env in envs]
        over = cell(table[algo, "all"][1].iqm) if (algo, "all") in table else ""
        if over and len(mine) < len(envs):
            over += f", of {len(mine)}"
        lines.append(f"| {style.name_of(algo)} | {' | '.join(cells)} | {over} | {PAPER_SAYS.get(algo, '')} |")
    return lines


def note(options: FigureOptions, records: Sequence[dict]) -> str:
    """The note below the table: what the numbers are and how they were made."""
    seeds = style.span([r["seeds"] for r in records], "seed")
    text = f"Percent of episodes won, greedy, in the last {LAST} evaluations of {win_rates.EVAL_EPISODES} episodes: "
    text += f"mean over {seeds} and its 95 % interval (Student's t, cut at 0 and 100). IQM: interquartile mean over "
    text += "seeds and maps, 95 % interval by the stratified bootstrap (of few seeds, rather too narrow). The paper "
    return text + "prints no numbers of its win rates. " + win_rates.made_with(options, records)


def csv_rows(budget: str, table: dict[tuple[str, str], tuple[int, MapScore]], records: Sequence[dict]) -> list[dict]:
    """One row per (method, map), and one per method over its maps."""
    made = {(r["algo"], r["env"]): r for r in records}
    rows = []
    for (algo, env), (seeds, found) in table.items():
        record = made.get((algo, env), {})
        cells = [number(x) if math.isfinite(x) else "" for x in (*found.mean, *found.iqm)]
        facts = {name: record.get(name, "") for name in COLUMNS}
        numbers = dict(zip(COLUMNS[7:13], cells, strict=True))
        rows.append(facts | {"budget": budget, "algo": algo, "env": env, "seeds": seeds} | numbers)
    return rows
