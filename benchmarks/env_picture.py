"""The picture of `experiments.benchmark env`: env steps per second of StarCraft maps over their units, log-log.

Dotted: a constant cost per pair of units, from the map that is cheapest by that measure.
"""

import pathlib
from collections.abc import Sequence
from typing import Any

from envs.errors import ConfigError
from experiments.analysis import style

Row = dict[str, Any]
POINT = 4.5  # diameter of a map's point, in 1/72 inch like PLACES
# Where a map's name may stand, best first: the offset from its point, and the side of the name that is there.
PLACES = [
    (scale * dx, scale * dy, side)
    for scale in (1.0, 1.7, 2.6, 3.8, 5.2)
    for dx, dy, side in ((5, 4, "left"), (5, -4, "left"), (-5, -5, "right"), (-5, 5, "right"), (7, 0, "left"))
]


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
    return sorted(points, key=lambda point: (point[1], -point[2]))


def draw(rows: Sequence[Row], out: pathlib.Path, num_envs: int, note: str = "") -> None:
    """Draws the rows into `out`.

    Raises:
      ConfigError: there is nothing to draw, or the picture cannot be written.
    """
    from matplotlib.ticker import EngFormatter, FixedLocator, NullFormatter

    points = points_of(rows, num_envs)
    figure = style.new_figure(7.6, 5.0)
    ax = figure.subplots()
    ax.set_xscale("log")
    ax.set_yscale("log")
    for box, colour, label in (
        (True, style.COLOURS[0], "walls are a rectangle"),
        (False, style.COLOURS[1], "other walls"),
    ):
        here = [point for point in points if point[3] == box]
        ax.plot([p[1] for p in here], [p[2] for p in here], "o", ms=POINT, color=colour, label=label)
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
    name_points(figure, ax, [point[:3] for point in points])
    style.save(figure, out)


def name_points(figure: Any, ax: Any, points: Sequence[tuple[str, float, float]]) -> list[Any]:
    """Writes the name of each (name, x, y) of `ax` beside its point, and returns the texts.

    A name stands at the first of PLACES where it covers no point, no line, no other name, not the legend, and is not
    cut off, or where it covers fewest of them. A thin line leads to it from its point. Call this last: it fixes the
    layout of the figure.
    """
    from matplotlib.text import Text
    from matplotlib.transforms import Bbox

    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    centres = [ax.transData.transform(point[1:]) for point in points]
    half = POINT * figure.dpi / 144 + 1
    taken = [Bbox([centre - half, centre + half]) for centre in centres] + [ax.get_legend().get_window_extent()]
    lines = [line.get_path().transformed(line.get_transform()) for line in ax.lines if line.get_linestyle() != "None"]
    texts = []
    for name, x, y in points:
        text = ax.annotate(
            name, (x, y), xytext=(0, 0), textcoords="offset points", fontsize=6.5, color=style.GREY, va="center",
            arrowprops={"arrowstyle": "-", "lw": 0.4, "color": "#999999", "shrinkA": 0, "shrinkB": POINT / 2},
        )  # fmt: skip

        def box_at(dx: float, dy: float, side: str, text: Any = text) -> Any:
            text.set(position=(dx, dy), ha=side)
            text.update_positions(figure.canvas.get_renderer())
            return Text.get_window_extent(text).padded(2)  # the text alone, without the line to its point

        def covers(box: Any) -> int:
            cut = box.x0 < 0 or box.x1 > figure.bbox.x1
            return cut + box.count_overlaps(taken) + sum(line.intersects_bbox(box, filled=False) for line in lines)

        taken.append(box_at(*min(PLACES, key=lambda place: covers(box_at(*place)))))
        texts.append(text)
    return texts
