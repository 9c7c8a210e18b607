"""The picture of `experiments.benchmark growth`: speed above, memory below, a column for each panel; log-log axes.

Dotted: linear cost, from the point of a series that is cheapest by that measure: a series that bends leaves its line.
"""

import pathlib
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from experiments.analysis import style

LEAST_SPAN = 20.0  # of an axis, its upper end over its lower: a bend of a few percent should not look steep
Row = dict[str, Any]


class Panel(NamedTuple):
    """A column: its title, its axis, and by which power of x the cost of an env step grows where it is linear."""

    title: str
    axis: str
    power: int  # 0: the cost of an env step is constant
    linear: str  # what "linear" means here


PANELS = {
    "environments": Panel("environments", "parallel environments", 0, "a constant cost per environment"),
    "agents": Panel("agents", "units on the map", 2, "a constant cost per pair of units"),
    "seeds": Panel("seeds", "seeds in one program", 0, "a constant cost per seed"),
    "length": Panel("length of a rollout", "rows of a rollout", 0, "a constant cost per row"),
}


def label_of(row: Row) -> str:
    """The series that a row belongs to, as the legend names it."""
    if row["env_only"]:
        return f"{'ours' if row['system'] == 'ours' else 'JaxMARL'}, environment alone"
    if row["system"] == "ours":
        return f"ours, training {style.name_of(row['algo'].partition(':')[0])}"
    return f"JaxMARL, training {row['system'].partition(' ')[2].upper().replace('_', '-')}"


def colour_of(row: Row) -> str:
    """The algorithm's colour for our trainings; JaxMARL's series share one."""
    if row["system"] != "ours":
        return style.COLOURS[1] if row["env_only"] else style.COLOURS[4]
    return style.COLOURS[2] if row["env_only"] else style.colour_of(row["algo"].partition(":")[0])


def linear(xs: Sequence[float], ys: Sequence[float], ideal: Callable[[float], float], largest: bool) -> list[float]:
    """`ideal` of xs, scaled to touch the best y: from above where the `largest` is best, else from below."""
    shares = [y / ideal(x) for x, y in zip(xs, ys, strict=True)]
    best = max(shares) if largest else min(shares)
    return [best * ideal(x) for x in xs]


def draw(rows: Sequence[Row], out: pathlib.Path) -> None:
    """Draws the rows into `out`; panels without a measured row are left out.

    Raises:
      ConfigError: the picture cannot be written.
    """
    names = [name for name in PANELS if any(row["panel"] == name and row["status"] == "ok" for row in rows)]
    figure = style.new_figure(max(3.9 * len(names), 5.0), 6.6)
    axes = figure.subplots(2, len(names), squeeze=False, sharex="col")
    shown: dict[str, str] = {}
    for column, name in enumerate(names):
        here = [row for row in rows if row["panel"] == name]
        shown |= _column(axes[:, column], here, PANELS[name])
    axes[0, 0].set_ylabel("env steps per second, all together", fontsize=9)
    axes[1, 0].set_ylabel("memory of the program", fontsize=9)
    _legend(figure, shown)
    style.foot_note(figure, _note(rows, names), width=56 * len(names))
    style.save(figure, out)


def _column(axes: Any, rows: Sequence[Row], panel: Panel) -> dict[str, str]:
    """Draws both measures of a panel. Returns the colour of each series."""
    speed, memory = axes
    shown = {}
    for series in dict.fromkeys(map(label_of, rows)):
        points = sorted((r for r in rows if label_of(r) == series and r["status"] == "ok"), key=lambda r: r["x"])
        if not points:
            continue
        shown[series] = colour = colour_of(points[0])
        _line(speed, points, "steps_per_s", colour, lambda x: x**-panel.power, largest=True)
        sized = [row for row in points if row["bytes"]]
        if sized:
            _line(memory, sized, "bytes", colour, lambda x: x ** max(panel.power, 1), largest=False)
    _axes(axes, rows, panel)
    return shown


def _line(ax: Any, points: Sequence[Row], measure: str, colour: str, ideal: Callable, largest: bool) -> None:
    xs, ys = [row["x"] for row in points], [row[measure] for row in points]
    ax.plot(xs, ys, color=colour, lw=1.8, marker="o", ms=4)
    ax.plot(xs, linear(xs, ys, ideal, largest), color=colour, lw=1.1, ls=":")
    if measure == "steps_per_s":
        low, high = zip(*(row["steps_per_s_range"] for row in points), strict=True)
        ax.vlines(xs, low, high, color=colour, lw=4, alpha=0.3)


def _axes(axes: Any, rows: Sequence[Row], panel: Panel) -> None:
    from matplotlib.ticker import EngFormatter, FixedLocator, LogLocator, NullFormatter, NullLocator

    places = {
        row["x"]: f"{row['env'].partition(':')[2]} ({row['x']})" if panel.power else f"{row['x']:,}" for row in rows
    }
    missing = sorted({row["x"] for row in rows if row["status"] != "ok" and row["system"] == "ours"})
    for ax, unit in zip(axes, ("", "B"), strict=True):
        ax.set_xscale("log")
        ax.set_yscale("log")
        ax.autoscale_view()
        low, high = ax.get_ylim()
        ax.set_ylim(min(low, high / LEAST_SPAN), 1.3 * high)
        ax.yaxis.set_major_locator(LogLocator())
        ax.yaxis.set_major_formatter(EngFormatter(unit))
        ax.xaxis.set_major_locator(FixedLocator(list(places)))
        ax.xaxis.set_minor_locator(NullLocator())
        ax.yaxis.set_minor_formatter(NullFormatter())
        style.plain(ax)
    turned = {"rotation": 50, "ha": "right", "rotation_mode": "anchor"} if panel.power else {}
    axes[1].set_xticks(list(places), list(places.values()), **turned)
    axes[1].set_xlabel(panel.axis, fontsize=9)
    text = f"not measured: {', '.join(f'{x:,}' for x in missing)}" * bool(missing)
    axes[0].set_title(panel.title + (f"\n{text}" if text else ""), fontsize=11)


def _legend(figure: Any, shown: dict[str, str]) -> None:
    from matplotlib.lines import Line2D

    lines = [Line2D([], [], color=colour, lw=2.2, marker="o", ms=4) for colour in shown.values()]
    lines.append(Line2D([], [], color=style.GREY, lw=1.1, ls=":"))
    texts = [*shown, "linear cost"]
    figure.legend(lines, texts, loc="outside upper center", ncols=len(texts), frameon=False, fontsize=9)


def _note(rows: Sequence[Row], names: Sequence[str]) -> str:
    """What is measured, where, and what the dotted lines are."""
    done = [row for row in rows if row["status"] == "ok"]
    envs = {name: sorted({row["env"].partition(":")[2] for row in done if row["panel"] == name}) for name in names}
    counts = {name: sorted({row["num_envs"] for row in done if row["panel"] == name}) for name in names}
    texts = []
    for name in names:
        what = "" if name == "agents" else f"{', '.join(envs[name])}, "
        number = "" if name == "environments" else f"{', '.join(f'{n:,}' for n in counts[name])} environments, "
        texts.append(f"{PANELS[name].title}: {what}{number}dotted {PANELS[name].linear}")
    devices = ", ".join(dict.fromkeys(row["device"] for row in done))
    versions = ", ".join(f"{name} {done[0]['versions'][name]}" for name in ("jax", "jaxlib"))
    text = "; ".join(texts) + ". Dotted lines start at the cheapest point of their series. Speeds are medians, with the"
    return f"{text} range of the repeated calls behind them; {devices}, {versions}."
