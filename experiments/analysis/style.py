"""How the figures look: names and colours of the methods, the same everywhere, and the bands over seeds."""

import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from experiments.analysis.curves import Curves, mean_over_seeds
from experiments.common.files import save_figure
from iacjax.algorithms.registry import ALGORITHMS

COLOURS = ("#2f6fde", "#e4572e", "#2a9d62", "#8e4ec6", "#d69e2e", "#0f9bb0", "#c2417c", "#6b7280")
GREY = "#444444"  # of what is no algorithm
BAND_FROM = 3  # seeds; Student's interval over two is some ten times as wide as their distance
FAMILY_TITLES = {
    "predator_prey": "Predator-prey",
    "po_predator_prey": "PO-Predator-prey",
    "multi_pendulum": "Multi-pendulum",
    "multi_pendulum_shaped": "Multi-pendulum, shaped",
}
DPI = 150
UNEVEN = 1.05  # the longest seed's steps over the shortest's, from which on seeds have ended apart


def name_of(algo: str) -> str:
    """As the paper writes it; other labels as they are."""
    return ALGORITHMS[algo].display_name if algo in ALGORITHMS else algo


def env_title(env: str) -> str:
    """`multi_pendulum:3` -> Multi-pendulum, N = 3; of other families the last word: `jaxmarl:smax:2s3z` -> 2s3z."""
    family, _, member = env.partition(":")
    if member and not member.isdecimal():
        return member.rpartition(":")[2]
    return FAMILY_TITLES.get(family, family) + (f", N = {member}" if member else "")


def count(number: int, noun: str) -> str:
    """`1 seed`, `2,000 steps`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def span(numbers: Sequence[int], noun: str) -> str:
    """`2 seeds`, `1 to 5 seeds`."""
    low, high = (min(numbers), max(numbers)) if numbers else (0, 0)
    return count(high, noun) if low == high else f"{low:,} to {count(high, noun)}"


def colour_of(algo: str) -> str:
    """The algorithm's own colour, a grey for other labels."""
    return ALGORITHMS[algo].colour if algo in ALGORITHMS else GREY


def in_order(algos: Sequence[str]) -> list[str]:
    """Each once: algorithms first, in the registry's order."""
    found = list(dict.fromkeys(algos))
    return [name for name in ALGORITHMS if name in found] + [name for name in found if name not in ALGORITHMS]


def new_figure(width: float, height: float) -> Any:
    """A figure of `width` x `height` inches that draws without a display."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def foot_note(figure: Any, text: str, width: int = 150) -> None:
    """Small print below the panels: what this figure is and is not."""
    import textwrap

    figure.supxlabel(textwrap.fill(text, width), fontsize=7.5, color="#555555", x=0.01, ha="left")


def save(figure: Any, path: pathlib.Path) -> None:
    """Writes the picture, and the folder that it is in; ConfigError where it cannot be written."""
    save_figure(figure, path, dpi=DPI)
    print(f"wrote {path}")


def seeds_text(seeds: Sequence[int]) -> str:
    """What `bands` and `percentages` show of runs with these numbers of seeds, as text."""
    text = f"Mean over {span(seeds, 'seed')}"
    text += ", shaded its 95 % interval (Student's t)" * (max(seeds, default=0) >= BAND_FROM)
    return text + f", thin lines are seeds (an interval takes {BAND_FROM})" * (min(seeds, default=0) < BAND_FROM)


def bands(ax: Any, curves: Sequence[Curves]) -> None:
    """Return over env steps: a colour for each method, thin lines for seeds, the mean thick, its 95 % interval shaded.

    An interval takes BAND_FROM seeds.
    """
    _mean_and_interval(ax, curves, "return_mean")
    values = np.concatenate([c.columns["return_mean"] for c in curves])  # the seeds set the scale, not the bands
    margin = 0.06 * max(float(np.ptp(values)), 1e-3)
    ax.set_ylim(values.min() - margin, values.max() + margin)
    ax.ticklabel_format(axis="x", style="sci", scilimits=(0, 3), useMathText=True)
    ax.set_xlabel("environment steps", fontsize=9)
    plain(ax)


def percentages(ax: Any, curves: Sequence[Curves], column: str) -> None:
    """The mean over seeds of percentages over millions of steps, on an axis from 0 to 100, where intervals are cut.

    A method of BAND_FROM seeds or more has its interval shaded, one of fewer, or whose seeds ended apart, its seeds as
    thin lines.
    """
    _mean_and_interval(ax, curves, column, (0.0, 100.0), lines_below=BAND_FROM)
    ax.set_ylim(-3, 103)
    ax.set_yticks(range(0, 101, 20))
    ax.set_xlim(left=0)
    ax.set_xlabel("environment steps (M)", fontsize=9)
    plain(ax)


def _mean_and_interval(
    ax: Any,
    curves: Sequence[Curves],
    column: str,
    bounds: tuple[float, float] = (-np.inf, np.inf),
    lines_below: float = np.inf,
) -> None:
    for algo in in_order([c.label for c in curves]):
        group = [c for c in curves if c.label == algo]
        steps, band = mean_over_seeds(group, column)
        ends = [c.steps[-1] for c in group]
        uneven = max(ends) > UNEVEN * min(ends)  # then the seeds show what comes after the end of the mean
        for c in group if uneven or len(group) < lines_below else ():
            ax.plot(c.steps, c.columns[column], color=colour_of(algo), lw=0.5, alpha=0.3)
        ax.plot(steps, band.mean, color=colour_of(algo), lw=1.8)
        if len(group) >= BAND_FROM:
            low, high = (np.clip(bound, *bounds) for bound in (band.low, band.high))
            ax.fill_between(steps, low, high, color=colour_of(algo), alpha=0.13, lw=0)


def plain(ax: Any) -> None:
    """A faint grid, no box."""
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=8)


def legend(figure: Any, algos: Sequence[str], ncols: int = 8) -> None:
    """One legend above all panels."""
    from matplotlib.lines import Line2D

    names = in_order(algos)
    lines = [Line2D([], [], color=colour_of(algo), lw=2.2) for algo in names]
    figure.legend(lines, [name_of(algo) for algo in names], loc="outside upper center", ncols=ncols, frameon=False,
                  fontsize=9)  # fmt: skip
