"""The picture of `experiments.benchmark env`: env steps per second of StarCraft maps over their units, log-log.

Dotted: a constant cost per pair of units, from the map that is cheapest by that measure.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

from envs.errors import ConfigError
from experiments.analysis import style

Row = dict[str, Any]


def points_of(rows: Sequence[Row], num_envs: int) -> list[tuple[str, int, float, bool]]:
    """(map, units, env steps per second, whether its arena is a rectangle) of the rows with `num_envs` environments.

    Raises:
      ConfigError: none of them is of a StarCraft map.
    """
    from envs.smax.scenarios import SCENARIOS

    points = []
    for row in rows:
        family, _, name = row["env"].partition(":")
        if family == "smax" and row["num_envs"] == num_envs:
            scenario = SCENARIOS[name]
            box = scenario.ground.terrain.box is not None
            points.append((name, len(scenario.units), row["ours_steps_per_s"], box))
    if not points:
        raise ConfigError(f"nothing to draw: no StarCraft map was measured with {num_envs} environments")
    return sorted(points, key=lambda point: point[1])


def draw(rows: Sequence[Row], out: pathlib.Path, num_envs: int, note: str = "") -> None:
    """Draws the rows into `out`.

    Raises:
      ConfigError: there is nothing to draw, or the picture cannot be written.
    """
    from matplotlib.ticker import EngFormatter, FixedLocator, NullFormatter

    points = points_of(rows, num_envs)
    figure = style.new_figure(6.6, 4.6)
    ax = figure.subplots()
    ax.set_xscale("log")
    ax.set_yscale("log")
    for box, colour, label in (
        (True, style.COLOURS[0], "walls are a rectangle"),
        (False, style.COLOURS[1], "other walls"),
    ):
        here = [point for point in points if point[3] == box]
        ax.plot([p[1] for p in here], [p[2] for p in here], "o", ms=4.5, color=colour, label=label)
    for name, units, speed, _ in points:
        ax.annotate(name, (units, speed), xytext=(4, 3), textcoords="offset points", fontsize=6.5, color=style.GREY)
    best = max(speed * units**2 for _, units, speed, _ in points)
    ends = [points[0][1], points[-1][1]]
    lowest = min(point[2] for point in points)
    ax.plot(ends, [best / units**2 for units in ends], ls=":", lw=1.1, color=style.GREY, label="constant cost per pair")
    ax.set_ylim(0.6 * lowest, 2.0 * max(point[2] for point in points))
    ax.xaxis.set_major_locator(FixedLocator([3, 5, 10, 20, 30, 50, 66]))
    ax.xaxis.set_major_formatter(EngFormatter())
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.yaxis.set_major_formatter(EngFormatter())
    ax.set_xlabel("units on the map", fontsize=9)
    ax.set_ylabel("env steps per second", fontsize=9)
    style.plain(ax)
    ax.legend(frameon=False, fontsize=8, loc="lower left")
    style.foot_note(figure, f"{num_envs} environments on one core, random legal actions. {note}".strip(), width=90)
    style.save(figure, out)
