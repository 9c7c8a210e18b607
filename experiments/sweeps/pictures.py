"""Pictures of a sweep: the score over every number that it varies, the learning curves, a heatmap of two numbers.

The score is that of the sweep's table: the win rate, or the return in environments without wins, averaged over the last
tenth of the evaluations and the seeds that finished. Functions that end in `_view` return a matplotlib figure.
"""

import math
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from envs.errors import ConfigError
from experiments.analysis import style
from experiments.analysis.curves import Curves, mean_over_seeds, read_runs
from experiments.analysis.style import COLOURS
from experiments.common.files import save_figure
from experiments.common.stats import RATE, Interval, mean_interval
from experiments.sweeps.plan import make_programs
from experiments.sweeps.request import read_request
from experiments.sweeps.results import ConfigurationResult, differences, group_by_configuration, read_trials
from experiments.sweeps.trials import runs_of

SHOWN_CURVES = 6  # the best configurations, in colour; the others are grey
GREY = "#b3b9c2"
FREE_SCALE = (-math.inf, math.inf)


def read_sweep(out: str | pathlib.Path, env: str = "") -> list[ConfigurationResult]:
    """The results of the sweep in the directory `out`, the best of each environment first.

    Args:
      env: one of its environments, where it has several; "": all.

    Raises:
      ConfigError: no sweep there, or no configuration of it that was evaluated.
    """
    out = pathlib.Path(out)
    if not (out / "job.json").exists():
        raise ConfigError(f"no sweep in {out}: give the directory that experiments.sweep names")
    request = read_request(out)
    runs = [run for p in make_programs(request, str(out)) for run in runs_of(p, out, request.processes)]
    trials = [trial for trial in read_trials(runs) if env in ("", trial.run.configuration.settings.run.env)]
    if not any(trial.env_steps for trial in trials):
        raise ConfigError(
            f"no evaluation {f'of {env} ' if env else ''}in {out} yet: start its command again, it resumes"
        )
    return group_by_configuration(trials)


def numbers(results: Sequence[ConfigurationResult]) -> list[str]:
    """The fields in which the configurations differ and whose values are numbers."""
    names = list(dict.fromkeys(name for result in results for name in result.configuration.values))
    values = {name: [result.configuration.values.get(name) for result in results] for name in names}
    return [name for name in names if len(set(values[name])) > 1 and all(map(_is_number, values[name]))]


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def score_of(results: Sequence[ConfigurationResult]) -> tuple[str, str, tuple[float, float]]:
    """(its name, its column of eval.csv, its bounds)."""
    wins = [trial.win_rate for result in results for trial in result.trials]
    if all(math.isnan(win) for win in wins):
        return "return", "return_mean", FREE_SCALE
    return "win rate", "win_rate", RATE


def interval(result: ConfigurationResult, bounds: tuple[float, float]) -> Interval:
    """Mean and 95 % interval of a configuration's score over the seeds that finished; nan where none did."""
    scores = [trial.score for trial in result.finished]
    band = mean_interval(scores or [math.nan])
    return Interval(band.mean, *(np.clip(bound, *bounds) for bound in band[1:]))


def draw_field(ax: Any, results: Sequence[ConfigurationResult], name: str) -> None:
    """The score over one number: the mean per configuration with its 95 % interval, and a small dot per seed. A line
    joins configurations that differ in this number alone."""
    label, _, bounds = score_of(results)
    groups: dict[str, list[ConfigurationResult]] = {}
    for result in sorted(results, key=lambda r: r.configuration.values[name]):
        groups.setdefault(differences(result, results, but=name), []).append(result)
    xs = sorted({result.configuration.values[name] for result in results})
    to_x, few = _scale(ax, xs), len(groups) <= len(COLOURS)
    for k, (key, group) in enumerate(sorted(groups.items())):
        colour = COLOURS[k] if few else COLOURS[0]
        shift = 0.05 * (k - (len(groups) - 1) / 2) if few else 0.0
        x = np.array([to_x(result.configuration.values[name]) for result in group]) + shift
        mean, low, high = (np.array([getattr(interval(r, bounds), n) for r in group]) for n in Interval._fields)
        ax.plot(x, mean, "o-", color=colour, lw=1.6, ms=5, label=key)
        ax.vlines(x, low, high, color=colour, lw=1.2, alpha=0.5)
        for place, result in zip(x, group, strict=True):
            seeds = [trial.score for trial in result.finished]
            ax.plot([place] * len(seeds), seeds, ".", color=colour, ms=5, alpha=0.5)
    if few and len(groups) > 1:
        where = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "ncols": min(len(groups), 3)}
        ax.legend(fontsize=8, frameon=False, columnspacing=1.2, handletextpad=0.4, **where)
    ax.set(xlabel=name, ylabel=f"{label} (greedy)")
    _plain(ax, bounds)


def _scale(ax: Any, xs: Sequence[float]) -> Callable[[float], float]:
    """Few values stand at equal distances, each with its tick; many on their logarithm or as they are."""
    if len(xs) <= 8:
        ax.set_xticks(range(len(xs)), [f"{x:g}" for x in xs])
        ax.set_xlim(-0.4, len(xs) - 0.6)
        return {x: float(k) for k, x in enumerate(xs)}.__getitem__
    if min(xs) > 0 and max(xs) > 20 * min(xs):
        ax.set_xscale("log")
    return float


def draw_curves(ax: Any, results: Sequence[ConfigurationResult]) -> None:
    """The score over training, mean over the seeds that did not diverge, as far as all of them go.

    The best are in colour, the first with its 95 % interval, the others grey."""
    label, column, bounds = score_of(results)
    some = results[:SHOWN_CURVES]
    for k, result in reversed(list(enumerate(results))):
        curves = _curves_of(result)
        if not curves:
            continue
        (steps, band), colour = mean_over_seeds(curves, column), COLOURS[k] if k < len(some) else GREY
        ax.plot(
            steps,
            band.mean,
            color=colour,
            lw=2.0 if k < len(some) else 1.0,
            label=differences(result, results),
        )
        if k == 0:  # of more than one, the bands would hide the curves
            low, high = (np.clip(bound, *bounds) for bound in band[1:])
            ax.fill_between(steps, low, high, color=colour, alpha=0.12, lw=0)
    handles, names = ax.get_legend_handles_labels()
    best = slice(-1, -len(some) - 1, -1)
    where = {"loc": "upper left", "bbox_to_anchor": (1.0, 1.0), "title": "best first", "title_fontsize": 8}
    ax.legend(handles[best], names[best], fontsize=8, frameon=False, **where)
    ax.ticklabel_format(axis="x", style="sci", scilimits=(0, 3), useMathText=True)
    ax.set(xlabel="environment steps", ylabel=f"{label} (greedy)")
    _plain(ax, bounds)


def _curves_of(result: ConfigurationResult) -> list[Curves]:
    """Of the seeds that have not diverged, or of all where all diverged; none where nothing was evaluated."""
    trials = [trial for trial in result.trials if trial.env_steps]
    trials = [trial for trial in trials if trial.status != "diverged"] or trials
    curves = []
    for directory in dict.fromkeys(trial.run.directory for trial in trials):
        seeds = {trial.seed for trial in trials if trial.run.directory == directory}
        curves += [curve for curve in read_runs([directory]) if curve.seed in seeds]
    return curves


def draw_map(ax: Any, results: Sequence[ConfigurationResult], x: str, y: str) -> Any:
    """The mean score over two numbers: a cell per pair of values, the mean of its configurations; the best framed."""
    label, _, bounds = score_of(results)
    xs, ys = (sorted({result.configuration.values[name] for result in results}) for name in (x, y))
    cells: dict[tuple[int, int], list[float]] = {}
    for result in results:
        at = ys.index(result.configuration.values[y]), xs.index(result.configuration.values[x])
        cells.setdefault(at, []).append(float(interval(result, bounds).mean))
    grid = np.full((len(ys), len(xs)), np.nan)
    for at, means in cells.items():
        grid[at] = np.mean([mean for mean in means if np.isfinite(mean)] or [np.nan])
    image = ax.imshow(grid, cmap="viridis", origin="lower", aspect="auto")
    middle = (np.nanmin(grid) + np.nanmax(grid)) / 2
    for (i, j), value in np.ndenumerate(grid):
        text = f"{value:.2f}" if np.isfinite(value) else "none ended" * ((i, j) in cells)
        ax.text(j, i, text, ha="center", va="center", color="white" if not value > middle else "#111827", fontsize=10)
    ax.set_xticks(range(len(xs)), [f"{value:g}" for value in xs])
    ax.set_yticks(range(len(ys)), [f"{value:g}" for value in ys])
    ax.tick_params(length=0)
    ax.set(xlabel=x, ylabel=y)
    best = np.unravel_index(np.nanargmax(grid), grid.shape)
    ax.add_patch(_frame(best[1], best[0]))
    ax.figure.colorbar(image, ax=ax, pad=0.02).set_label(f"mean {label}", fontsize=9)
    return image


def _frame(x: int, y: int) -> Any:
    from matplotlib.patches import Rectangle

    return Rectangle((x - 0.47, y - 0.47), 0.94, 0.94, fill=False, edgecolor="#e4572e", lw=2.5)


def _plain(ax: Any, bounds: tuple[float, float]) -> None:
    if bounds == RATE:
        ax.set_ylim(-0.03, 1.03)
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=9)


def fields_view(results: Sequence[ConfigurationResult]) -> Any:
    """A panel per number that the sweep varies: `draw_field`. ConfigError where none vary."""
    names = numbers(results)
    if not names:
        raise ConfigError("the configurations differ in no number: give --set NAME=VALUE,VALUE")
    figure = _figure(1.0 + 4.4 * len(names), 3.8)
    for ax, name in zip(figure.subplots(1, len(names), squeeze=False, sharey=True)[0], names, strict=True):
        draw_field(ax, results, name)
    for ax in figure.axes[1:]:
        ax.set_ylabel("")
    return figure


def curves_view(results: Sequence[ConfigurationResult]) -> Any:
    """The learning curves: `draw_curves`."""
    figure = _figure(10.0, 4.2)
    draw_curves(figure.subplots(), results)
    return figure


def map_view(results: Sequence[ConfigurationResult], x: str, y: str) -> Any:
    """The mean score over two numbers: `draw_map`. ConfigError where the sweep does not vary them."""
    missing = [name for name in (x, y) if name not in numbers(results)]
    if missing:
        raise ConfigError(
            f"the sweep varies no number {missing[0]!r}: it varies {', '.join(numbers(results)) or 'none'}"
        )
    figure = _figure(5.6, 3.9)
    draw_map(figure.subplots(), results, x, y)
    return figure


def overview(results: Sequence[ConfigurationResult]) -> Any:
    """A row per environment: the score over each number, at most three of them, and the learning curves."""
    envs = list(dict.fromkeys(result.configuration.settings.run.env for result in results))
    names = numbers(results)[:3]
    figure = _figure(2.8 + 4.0 * (len(names) + 1), 0.4 + 3.6 * len(envs))
    for row, env in zip(figure.subplots(len(envs), len(names) + 1, squeeze=False), envs, strict=True):
        here = [result for result in results if result.configuration.settings.run.env == env]
        for ax, name in zip(row, names, strict=False):
            draw_field(ax, here, name)
        draw_curves(row[-1], here)
        row[0].set_ylabel(f"{env}\n{row[0].get_ylabel()}")
    return figure


def write_overview(path: pathlib.Path, results: Sequence[ConfigurationResult], say: Callable[[str], None]) -> None:
    """Draws `overview` into a file; what cannot be drawn is reported in one line."""
    try:
        save_figure(overview(results), path)
        say(f"wrote    {path}")
    except Exception as error:  # a picture is not worth a sweep's end
        say(f"no {path.name}: {str(error).splitlines()[0] if str(error) else type(error).__name__}")


def _figure(width: float, height: float) -> Any:
    figure = style.new_figure(width, height)
    figure.set_dpi(100)
    return figure
