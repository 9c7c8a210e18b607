"""The picture of `experiments.compare`: a row of panels for each task, and one for all tasks together.

IQM over env steps, the performance profile (share of the runs with a score above the threshold), the IQM's intervals,
and how likely a run scores higher than one of another algorithm. Bands (from three seeds on) and bars are 95 %, by the
stratified bootstrap.
"""

import pathlib
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.analysis import scores
from experiments.analysis.scores import ALL, ComparisonOptions, Groups, ScoreRow, with_interval
from experiments.analysis.style import BAND_FROM, COLOURS, colour_of, new_figure
from experiments.common import stats
from experiments.common.files import save_figure

MORE_COLOURS = (*COLOURS, "#111827", "#9cb53a", "#8a5a2b")
CURVE_RESAMPLES = 500  # a band's ends need fewer than a table's
WIDTH, HEIGHT = 4.6, 3.2  # inches a panel
TITLE_WIDTH = 44  # characters


def colours_of(labels: Sequence[str]) -> dict[str, str]:
    """The colour of each label: its algorithm's in the figures, or a free one if an earlier label has that."""
    taken: dict[str, str] = {}
    for label in labels:
        own = colour_of(label.split()[0])
        free = [c for c in (own, *MORE_COLOURS) if c not in taken.values()]
        taken[label] = free[0] if free else own
    return taken


def draw(groups: Groups, rows: Sequence[ScoreRow], options: ComparisonOptions, out: str | pathlib.Path) -> None:
    """Draws the comparison into `out` (its suffix names the format).

    Raises:
      ConfigError: the picture cannot be written.
    """
    tasks = list(dict.fromkeys(row.env for row in rows))
    colours = colours_of(scores.labels_of(groups))
    columns = 3 + (options.against is not None)
    figure = new_figure(WIDTH * columns, 0.5 + HEIGHT * len(tasks) + 0.2 * len(colours) / 4)
    axes = figure.subplots(len(tasks), columns, squeeze=False)
    for line, task in zip(axes, tasks, strict=True):
        here = [row for row in rows if row.env == task]
        _curves(line[0], groups, here, options, colours)
        _profile(line[1], here, options, colours)
        _bars(line[2], here, "iqm", f"{task}: IQM", colours)
        if options.against is not None:
            _bars(line[3], here, "better", f"{task}: P(higher than {options.against})", colours)
            line[3].axvline(0.5, color="#888888", lw=0.8, ls="--")
            line[3].set_xlim(-0.03, 1.03)
        for ax in line:
            ax.grid(alpha=0.25)
            ax.spines[["top", "right"]].set_visible(False)
    _legend(figure, rows, colours)
    save_figure(figure, out)


def _legend(figure: Any, rows: Sequence[ScoreRow], colours: dict[str, str]) -> None:
    from matplotlib.lines import Line2D

    seeds = {label: max(len(row.scores) for row in rows if row.label == label) for label in colours}
    texts = [f"{label} ({n} seed{'s' * (n > 1)})" for label, n in seeds.items()]
    lines = [Line2D([], [], color=colour, lw=2.2) for colour in colours.values()]
    figure.legend(lines, texts, loc="outside lower center", ncols=min(6, len(texts)), frameon=False, fontsize=9)


def _curves(
    ax: Any, groups: Groups, rows: Sequence[ScoreRow], options: ComparisonOptions, colours: dict[str, str]
) -> None:
    task = rows[0].env
    envs = scores.shared_tasks(groups) if task == ALL else [task]
    ranges = scores.task_ranges(groups, envs, options) if task == ALL else [(0.0, 1.0)]
    for row in rows:
        steps, values = scores.curve_scores(groups, row.label, envs, options)
        if len(steps) == 0:
            continue
        few = options._replace(resamples=CURVE_RESAMPLES)
        band = with_interval(scores.rescale(values, ranges), stats.iqm, few, BAND_FROM)
        ax.plot(steps, band.mean, color=colours[row.label], lw=2, marker="o" if steps[0] == steps[-1] else None)
        ax.fill_between(steps, band.low, band.high, color=colours[row.label], alpha=0.15, lw=0)
    _title(ax, f"{task}: IQM over env steps")
    ax.set_xlabel("environment steps")
    ax.set_ylabel(_name(task, options) + f", mean of {options.last} evaluations" * (options.last > 1), fontsize=9)
    ax.ticklabel_format(axis="x", style="sci", scilimits=(0, 3), useMathText=True)
    if options.metric == "win_rate" or task == ALL:
        ax.set_ylim(-0.03, 1.03)


def _profile(ax: Any, rows: Sequence[ScoreRow], options: ComparisonOptions, colours: dict[str, str]) -> None:
    everything = np.concatenate([row.scores.ravel() for row in rows])
    rate = options.metric == "win_rate" or rows[0].env == ALL
    low, high = (0.0, 1.0) if rate else (float(everything.min()), float(everything.max()))
    margin = 0.02 * (high - low or 1.0)
    thresholds = np.linspace(low - margin, high + margin, 201)
    few = options._replace(resamples=CURVE_RESAMPLES)
    for row in rows:
        band = with_interval(row.scores, lambda x: stats.performance_profile(x, thresholds), few, BAND_FROM)
        ax.step(thresholds, band.mean, color=colours[row.label], lw=2, where="post")
        ax.fill_between(thresholds, band.low, band.high, color=colours[row.label], alpha=0.15, lw=0, step="post")
    _title(ax, f"{rows[0].env}: performance profile")
    ax.set_xlabel(f"threshold of the {_name(rows[0].env, options)}")
    ax.set_ylabel("share of runs above it")
    ax.set_ylim(-0.03, 1.03)


def _bars(ax: Any, rows: Sequence[ScoreRow], name: str, title: str, colours: dict[str, str]) -> None:
    """A mark for each label with its interval, the first label on top."""
    shown = [row for row in rows if getattr(row, name) is not None]
    for y, row in enumerate(reversed(shown)):
        value, low, high = map(float, getattr(row, name))
        ax.plot([low, high], [y, y], color=colours[row.label], lw=6, alpha=0.35, solid_capstyle="butt")
        ax.plot([value], [y], color=colours[row.label], marker="|", ms=13, mew=2.5)
    ax.set_yticks(range(len(shown)), [row.label for row in reversed(shown)])
    ax.set_ylim(-0.7, max(len(shown), 1) - 0.3)
    _title(ax, title)


def _title(ax: Any, text: str) -> None:
    ax.set_title(textwrap.fill(text, TITLE_WIDTH), fontsize=11)


def _name(task: str, options: ComparisonOptions) -> str:
    if options.metric == "win_rate":
        return "win rate"
    return "rescaled return" if task == ALL else "episode return"
