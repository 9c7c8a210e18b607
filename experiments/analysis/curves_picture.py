"""The picture of `experiments.plot`: a row of panels for each task (an environment with its options).

Win rate (where there are winners) and return over environment steps. Runs with one label (the algorithm, and whatever
its runs differ in) have one colour: thin lines are seeds, the thick line is their mean, as far as all of them go, the
band its 95 % interval (Student's t, from three seeds on).
"""

import pathlib
import textwrap
from collections import Counter
from collections.abc import Sequence

import numpy as np

from experiments.analysis.curves import Curves, mean_over_seeds, read_runs
from experiments.analysis.style import BAND_FROM, COLOURS
from experiments.common.files import save_figure

PANELS = (("win_rate", "win rate (greedy)"), ("return_mean", "episode return (greedy)"))  # columns of eval.csv
TITLE_WIDTH = 54  # characters of a panel's title, which has the task's options in it


def plot_runs(run_dirs: Sequence[str | pathlib.Path], out: str | pathlib.Path) -> None:
    """Draws the runs into `out` (its suffix names the format).

    Raises:
      ConfigError: a directory that is no evaluated run, or a picture that cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    curves = read_runs(run_dirs)
    envs = list(dict.fromkeys(c.env for c in curves))
    colours = {label: COLOURS[i % len(COLOURS)] for i, label in enumerate(dict.fromkeys(c.label for c in curves))}
    panels = [p for p in PANELS if any(np.isfinite(c.columns[p[0]]).any() for c in curves)] or [PANELS[1]]
    figure = Figure(figsize=(5.6 * len(panels), 0.6 + 3.5 * len(envs)), dpi=130, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots(len(envs), len(panels), squeeze=False)
    for row, env in zip(axes, envs, strict=True):
        here = [c for c in curves if c.env == env]
        for ax, (name, title) in zip(row, panels, strict=True):
            _panel(ax, here, name, title, colours)
    _legend(figure, curves, colours)
    save_figure(figure, out)


def _legend(figure, curves: Sequence[Curves], colours: dict[str, str]) -> None:
    """One legend below all panels, with the most seeds that a label has on any environment."""
    from matplotlib.lines import Line2D

    lines, texts = [], []
    for label, colour in colours.items():
        counts = Counter(c.env for c in curves if c.label == label)
        seeds = max(counts.values())
        lines.append(Line2D([], [], color=colour, lw=2.2))
        texts.append(f"{label} ({seeds} seed{'s' * (seeds > 1)})")
    figure.legend(lines, texts, loc="outside lower center", ncols=3, frameon=False, fontsize=9)


def _panel(ax, curves: Sequence[Curves], name: str, title: str, colours: dict[str, str]) -> None:
    for label, colour in colours.items():
        group = [c for c in curves if c.label == label and np.isfinite(c.columns[name]).any()]
        if not group:
            continue
        steps, band = mean_over_seeds(group, name)
        for c in group:
            ax.plot(c.steps, c.columns[name], color=colour, lw=0.7, alpha=0.35)
        ax.plot(steps, band.mean, color=colour, lw=2.2)
        if len(group) >= BAND_FROM:
            low, high = (np.clip(b, 0, 1) if name == "win_rate" else b for b in (band.low, band.high))
            ax.fill_between(steps, low, high, color=colour, alpha=0.16, lw=0)
    ax.set_title(textwrap.fill(f"{curves[0].env}: {title}", TITLE_WIDTH), fontsize=11)
    ax.set_xlabel("environment steps")
    ax.set_ylabel(title.split(" (")[0])
    ax.ticklabel_format(axis="x", style="sci", scilimits=(0, 3), useMathText=True)
    if name == "win_rate":
        ax.set_ylim(-0.03, 1.03)
    else:  # the seeds set the scale: a band over few seeds may be many times as wide
        values = np.concatenate([c.columns[name] for c in curves])
        margin = 0.06 * float(np.ptp(values[np.isfinite(values)])) if np.isfinite(values).any() else 0.0
        if margin > 0:
            ax.set_ylim(np.nanmin(values) - margin, np.nanmax(values) + margin)
    ax.grid(alpha=0.25)
    ax.spines[["top", "right"]].set_visible(False)
