"""Figure 7, from figure 4's runs: steps saved on predator-prey and return won on its partial version, over DDPG-MIX."""

import math
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from envs.errors import ConfigError
from experiments.analysis import style
from experiments.analysis.curves import Curves
from experiments.common.files import read_csv, write_csv
from experiments.common.stats import mean_interval
from experiments.figures import spec, store
from experiments.figures.iac import curves
from experiments.figures.runs import FigureTraining, Run
from experiments.figures.spec import FigureOptions

BASE = "ddpg_mix"
METHODS = ("iac", "siaq", "sq", "siq")
SPEED, RETURN = "predator_prey", "po_predator_prey"
# "We set the average reward threshold to 1000"; the small budget ends long before that.
THRESHOLDS = {"paper": 1000.0, "tuned": 1000.0, "small": 200.0}
COLUMNS = ("budget", "algo", "seed", "threshold", "saved_steps", "certain", "return_difference")
SUMMARY = "Figure 7: env steps saved on predator-prey and return won on po_predator_prey, both over DDPG-MIX."


class Saved(NamedTuple):
    """t_DDPG-MIX - t_method of one seed, in env steps. A seed that never reached the threshold counts with its last
    evaluation; the true number is then larger (`certain` "at least"), smaller ("at most") or unknown ("neither got
    there")."""

    steps: float
    certain: str  # exact, at least, at most, neither got there


def budgets() -> dict[str, spec.Budget]:
    """Figure 4's, of the two environments and the five methods that this figure needs."""
    return {
        name: budget._replace(steps={env: budget.steps[env] for env in (SPEED, RETURN)}, methods=(*METHODS, BASE))
        for name, budget in curves.BUDGETS["iac/fig4"].items()
    }


def steps_to(curve: Curves, threshold: float) -> float:
    """Env steps at the first evaluation that reaches `threshold`; nan if none does."""
    reached = np.flatnonzero(curve.columns["return_mean"] >= threshold)
    return float(curve.steps[reached[0]]) if reached.size else math.nan


def saved(base: Curves, method: Curves, threshold: float) -> Saved:
    """What `method` saved over `base`, both of the same seed."""
    t_base, t_method = steps_to(base, threshold), steps_to(method, threshold)
    certain = {
        (False, False): "exact",
        (True, False): "at least",
        (False, True): "at most",
        (True, True): "neither got there",
    }[math.isnan(t_base), math.isnan(t_method)]
    t_base, t_method = (float(c.steps[-1]) if math.isnan(t) else t for c, t in ((base, t_base), (method, t_method)))
    return Saved(t_base - t_method, certain)


def comparison(found: Sequence[Curves], threshold: float) -> list[dict[str, Any]]:
    """A row for each (method, seed) with all four curves: saved steps, and the difference of the final returns."""
    of = {(c.label, c.env, c.seed): c for c in found}
    rows = []
    for algo in METHODS:
        for seed in sorted({c.seed for c in found if c.label == algo}):
            four = [of.get((name, env, seed)) for env in (SPEED, RETURN) for name in (BASE, algo)]
            if any(curve is None for curve in four):
                continue
            gain = saved(four[0], four[1], threshold)
            won = curves.final_return(four[3]) - curves.final_return(four[2])
            rows.append({"algo": algo, "seed": seed, "threshold": threshold, "saved_steps": gain.steps,
                         "certain": gain.certain, "return_difference": won})  # fmt: skip
    return rows


def command(argv: Sequence[str]) -> int:
    """Trains what is missing of figure 4's runs, compares, and draws. Returns the exit code."""
    wanted = training(argv)
    options = wanted.options
    table, threshold = numbers_file(options), options.numbers["threshold"] or THRESHOLDS[options.budget]
    code = 0 if options.redraw else wanted.run_all()
    if code:
        return code
    rows = comparison(store.read_curves(table, options.budget), threshold)
    if not rows:
        raise ConfigError(f"{table} has no method other than {BASE} on both {SPEED} and {RETURN}: train them first")
    write_comparison(options.out.with_suffix(".csv"), options.budget, rows)
    draw(options, rows, threshold)
    return 0


def training(argv: Sequence[str]) -> FigureTraining:
    """What the command line `argv` trains."""
    defaults = ", ".join(f"{value:g} with budget {name}" for name, value in THRESHOLDS.items())
    numbers = {"threshold": (0.0, f"return on predator_prey to reach; 0: {defaults}")}
    options = spec.parse(argv, SUMMARY, budgets(), numbers)
    runs, table = curves.runs_of(options), numbers_file(options)

    def keep(run: Run) -> None:
        store.keep_curves(table, options.budget, run, options.command)

    return FigureTraining(options, runs, keep, record_file=lambda run: table.with_suffix(".json"))


def numbers_file(options: FigureOptions) -> pathlib.Path:
    """Figure 4's file: this figure is made of its runs."""
    return options.out.with_name("fig4.csv")


def write_comparison(path: pathlib.Path, budget: str, rows: Sequence[dict[str, Any]]) -> None:
    """Writes the rows of one budget; the rows of other budgets stay."""
    numbers = ("saved_steps", "return_difference")
    new = [{"budget": budget, **row, **{name: store.number(row[name]) for name in numbers}} for row in rows]
    new = [{**row, "threshold": str(row["threshold"])} for row in new]
    others = [row for row in read_csv(path) if row["budget"] != budget]
    write_csv(path, [*others, *new], COLUMNS)


def draw(options: FigureOptions, rows: Sequence[dict[str, Any]], threshold: float) -> None:
    """Two panels of bars with 95 % intervals over seeds; hatched where a seed did not reach the threshold."""
    algos = [algo for algo in METHODS if any(row["algo"] == algo for row in rows)]
    figure = style.new_figure(8.6, 3.9)
    left, right = figure.subplots(1, 2)
    for x, algo in enumerate(algos):
        mine = [row for row in rows if row["algo"] == algo]
        open_ended = {row["certain"] for row in mine} - {"exact"}
        _bar(left, x, algo, [row["saved_steps"] / 1000 for row in mine], hatch="///" if open_ended else "")
        _bar(right, x, algo, [row["return_difference"] for row in mine])
    left.set_title(f"{style.env_title(SPEED)}: steps saved to reach {threshold:g}", fontsize=10)
    left.set_ylabel("thousand env steps", fontsize=9)
    right.set_title(f"{style.env_title(RETURN)}: return - DDPG-MIX's", fontsize=10)
    right.set_ylabel("episode return", fontsize=9)
    for ax in (left, right):
        ax.axhline(0, color="#444444", lw=0.8)
        ax.set_xticks(range(len(algos)), [style.name_of(algo) for algo in algos])
        style.plain(ax)
    style.foot_note(figure, _small_print(options, rows), 125)
    style.save(figure, options.out)


def _bar(ax: Any, x: int, algo: str, values: Sequence[float], hatch: str = "") -> None:
    band = mean_interval(values)
    half = None if math.isnan(band.low) else float(band.high - band.mean)
    ax.bar(x, float(band.mean), yerr=half, capsize=4, color=style.colour_of(algo), alpha=0.75, hatch=hatch, width=0.6)
    ax.scatter([x] * len(values), values, s=9, color="#222222", zorder=3)


def _small_print(options: FigureOptions, rows: Sequence[dict[str, Any]]) -> str:
    counts: dict[str, int] = {}
    for row in rows:
        if row["certain"] != "exact":
            key = f"{style.name_of(row['algo'])}: {row['certain']}"
            counts[key] = counts.get(key, 0) + 1
    text = curves.small_print(options, numbers_file(options), (*METHODS, BASE), bars=True)
    if counts:
        kinds = "; ".join(f"{key} ({n} seed{'s' * (n > 1)})" for key, n in counts.items())
        text += f" Hatched: the threshold was not reached by all, so that steps count to the end of the run ({kinds})."
    return text
