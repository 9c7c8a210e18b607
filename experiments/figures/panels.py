"""A figure of many environments: a panel of learning curves for each, published numbers as dotted lines, and a table of
the final scores."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.analysis import style
from experiments.analysis.curves import Curves
from experiments.common.stats import RATE, interval_text
from experiments.figures.aiir.win_rates import in_percent
from experiments.figures.iac.curves import LAST

SMOOTH = 5  # evaluations in the moving mean of win rates that is drawn


class Panels(NamedTuple):
    """What is drawn, the same whatever is trained so far."""

    envs: tuple[str, ...]  # in the order of the panels
    methods: tuple[str, ...]
    metric: str = "win_rate"  # or return_mean
    names: Mapping[str, str] = {}  # of methods that are no algorithms
    published: Mapping[str, Mapping[str, float]] = {}  # environment -> method -> final score
    columns: int = 4  # panels in a row

    def name_of(self, method: str) -> str:
        """The method's name in legend and table."""
        return self.names.get(method, style.name_of(method))


def draw(panels: Panels, curves: Sequence[Curves], note: str, more: Callable[[Any, str], None] | None = None) -> Any:
    """The figure, of the environments that there are curves of.

    Args:
      note: small print below it.
      more: (axes, environment) draws what else belongs into a panel.
    """
    envs = [env for env in panels.envs if any(c.env == env for c in curves)]
    width = min(len(envs), panels.columns)
    rows = -(-len(envs) // width)
    rates = panels.metric == "win_rate"
    figure = style.new_figure(max(2.9 * width + 0.3, 5.0), 2.7 * rows + 1.2)
    axes = figure.subplots(rows, width, squeeze=False, sharey=rates)
    for ax in axes.flat[len(envs) :]:
        ax.set_visible(False)
    for ax, env in zip(axes.flat, envs, strict=False):
        _panel(ax, panels, env, [c for c in curves if c.env == env])
        if more is not None:
            more(ax, env)
    for ax in axes[:, 0]:
        ax.set_ylabel("test win rate (%)" if rates else "episode return (greedy)", fontsize=9)
    shown = [panels.names.get(name, name) for name in panels.methods if any(c.label == name for c in curves)]
    style.legend(figure, shown, ncols=max(2 * width, 3))
    style.foot_note(figure, note, 45 * max(width, 2))
    return figure


def _panel(ax: Any, panels: Panels, env: str, curves: Sequence[Curves]) -> None:
    named = [c._replace(label=panels.names.get(c.label, c.label)) for c in curves]
    rates = panels.metric == "win_rate"
    if rates:
        style.percentages(ax, [in_percent(c, SMOOTH) for c in named], panels.metric)
    else:
        style.bands(ax, named)
    for method, value in panels.published.get(env, {}).items():
        colour = style.colour_of(panels.names.get(method, method))
        ax.axhline(100 * value if rates else value, color=colour, lw=1.0, ls=":")
    ax.set_title(style.env_title(env), fontsize=10)


def table(panels: Panels, curves: Sequence[Curves]) -> list[str]:
    """Markdown: the final score of each method in each environment, its 95 % interval, and what is published."""
    envs = [env for env in panels.envs if any(c.env == env for c in curves)]
    lines = [f"| method | {' | '.join(style.env_title(env) for env in envs)} |", "|---" * (len(envs) + 1) + "|"]
    for method in panels.methods:
        if any(c.label == method for c in curves):
            cells = [_cell(panels, [c for c in curves if (c.label, c.env) == (method, env)]) for env in envs]
            lines.append(f"| {panels.name_of(method)} | {' | '.join(cells)} |")
    for method in dict.fromkeys(name for env in envs for name in panels.published.get(env, {})):
        values = [panels.published.get(env, {}).get(method) for env in envs]
        cells = ["" if value is None else _number(panels, value) for value in values]
        lines.append(f"| {panels.name_of(method)}, published | {' | '.join(cells)} |")
    return lines


def final_scores(curves: Sequence[Curves], metric: str) -> np.ndarray:
    """f[S]: the mean of each seed's last evaluations."""
    return np.array([np.mean(c.columns[metric][-LAST:]) for c in curves])


def _cell(panels: Panels, curves: Sequence[Curves]) -> str:
    if not curves:
        return ""
    rates = panels.metric == "win_rate"
    return interval_text(final_scores(curves, panels.metric), RATE if rates else (-np.inf, np.inf), _form(panels))


def _number(panels: Panels, value: float) -> str:
    return f"{value:{_form(panels)}}"


def _form(panels: Panels) -> str:
    return ".2f" if panels.metric == "win_rate" else ".0f"
