"""Draws AIIR-MIX's figures 5 and 6 from the rows that `experiments.figures.aiir.episode` saves."""

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from envs.errors import ConfigError
from experiments.analysis import style
from experiments.analysis.style import COLOURS
from experiments.common.files import read_csv, read_json

LETTERS = "abcd"
NUMBERED = 6  # the largest number of agents for which a heat map shows numbers
MOST, APART = len(LETTERS), 3  # snapshots in a row; the least steps between an extreme and its neighbours
WIDTH = 1600  # pixels of a drawn battle; a snapshot shows a part of it


class EpisodeData(NamedTuple):
    """One episode: T + 1 moments, N units, agents (the first A) first. nan where there is no number."""

    types: tuple[str, ...]
    num_agents: int
    units: dict[str, np.ndarray]  # x, y, health, shield, energy, target (index or -1): [T + 1, N]
    r_in: np.ndarray  # [T + 1, A], at the moment after the rewarded action
    attention: np.ndarray  # [T + 1, A, A]

    @property
    def names(self) -> list[str]:
        """The paper's names of agents: s1 is agent 1, a stalker."""
        return [f"{kind[0]}{i + 1}" for i, kind in enumerate(self.types[: self.num_agents])]


def read_episode(table: pathlib.Path) -> EpisodeData:
    """The saved rows as arrays; ConfigError where there are none."""
    rows = read_csv(table)
    if not rows:
        raise ConfigError(f"no episode is saved in {table}: give the command without --redraw")
    return as_data(rows)


def as_data(rows: Sequence[dict[str, Any]]) -> EpisodeData:
    """The rows of `episode.episode_rows`, or their text, as arrays."""
    first = [row for row in rows if str(row["step"]) == "0"]
    types, agents = tuple(row["type"] for row in first), sum(row["side"] == "agent" for row in first)

    def column(name: str) -> np.ndarray:
        return np.array([float(str(row[name]) or "nan") for row in rows]).reshape(-1, len(types))

    units = {name: column(name) for name in ("x", "y", "health", "shield", "energy")}
    units["target"] = column("target").astype(int) - 1
    attention = np.stack([column(f"attention_{j + 1}")[:, :agents] for j in range(agents)], -1)
    return EpisodeData(types, agents, units, column("r_in")[:, :agents], attention)


def moments(data: EpisodeData) -> list[tuple[int, str]]:
    """At most four interesting steps, in order, with the reason: the first death on either side, extremes of r_in.

    An extreme close to another chosen step is skipped, because both would show the same.
    """
    fallen, found = falls(data), {}
    for side, part in (("enemy", slice(data.num_agents, None)), ("agent", slice(data.num_agents))):
        if fallen[:, part].any():
            found.setdefault(int(fallen[:, part].any(1).argmax()), []).append(f"the first {side} dies")
    change = np.diff(data.r_in, axis=0, prepend=np.nan)
    for what, values in (("is the highest", -data.r_in), ("drops most", change), ("is the lowest", data.r_in)):
        step, agent = (int(i) for i in np.unravel_index(np.nanargmin(values), values.shape))
        if step in found or (len(found) < MOST and min((abs(step - t) for t in found), default=APART) >= APART):
            found.setdefault(step, []).append(f"{data.names[agent]}'s $r^{{in}}$ {what}")
    return [(step, "; ".join(found[step])) for step in sorted(found)]


def falls(data: EpisodeData) -> np.ndarray:
    """bool[T + 1, N]: the unit dies in the step that leads to this moment."""
    health = data.units["health"]
    return np.vstack([np.zeros(health.shape[1], bool), (health[:-1] > 0) & (health[1:] <= 0)])


def draw(target: str, table: pathlib.Path, out: pathlib.Path) -> None:
    """Draws `target`, aiir/fig5 or aiir/fig6, from the episode in `table`."""
    data = read_episode(table)
    record = read_json(table.with_suffix(".json"))
    {"aiir/fig5": _rewards_and_attention, "aiir/fig6": _snapshots}[target](data, record, out)


def _note(figure: Any, record: dict[str, Any], text: str) -> None:
    steps = f"after {record['env_steps']:,} steps" if record.get("env_steps") else "from its newest checkpoint"
    end = "won" if record["won"] else "not won"
    text += f" One greedy episode ({end}, {record['steps']} steps) of {record['algo']}, preset {record['preset']}, on "
    text += f"{record['env']}, seed {record['seed']}, {steps}; trained on {record['device']}."
    style.foot_note(figure, text, 200)


def colours(data: EpisodeData) -> Sequence[str]:
    return [COLOURS[i % len(COLOURS)] for i in range(data.num_agents)]


def has_attention(data: EpisodeData) -> bool:
    """Whether any agent attends to another: LIIR's reward net reports each agent's attention on itself."""
    others = ~np.eye(data.num_agents, dtype=bool)
    return bool(np.nansum(data.attention[:, others]) > 0)


def among_the_living(attention: np.ndarray) -> np.ndarray:
    """The weights; nan from and to dead agents."""
    return np.where(attention > 0, attention, np.nan)


def over_uniform(attention: np.ndarray) -> np.ndarray:
    """Each weight in per cent above equal attention to all living agents; nan from and to dead agents."""
    weights = np.where(attention > 0, attention, np.nan)
    return 100.0 * (weights * (attention > 0).sum(-1, keepdims=True) - 1.0)


def _rewards_and_attention(data: EpisodeData, record: dict[str, Any], out: pathlib.Path) -> None:
    """Figure 5: (a) the intrinsic rewards of all agents, (b) whom each zealot attends to."""
    marks, shown = moments(data), has_attention(data)
    attending = [i for i in range(data.num_agents) if data.types[i] == "zealot"] or list(range(data.num_agents))
    figure = style.new_figure(13.0, 7.0 if shown else 4.2)
    grid = figure.add_gridspec(2 if shown else 1, len(attending), height_ratios=[1.25, 1.0][: 2 if shown else 1])
    ax = figure.add_subplot(grid[0, :])
    curves(ax, data, data.r_in, [f"{n} ({kind})" for n, kind in zip(data.names, data.types, strict=False)])
    mark(ax, marks)
    ax.set_ylabel("intrinsic reward $r^{in}_i$", fontsize=10)
    ax.legend(loc="best", fontsize=9)
    if shown:
        _attention(figure, [grid[1, k] for k in range(len(attending))], data, attending, marks)
    _note(figure, record, "A cross: the agent dies; a triangle: an enemy dies; the dotted letters: figure 6." + (
          " Below, each zealot's weights; grey: equal attention to all living agents." if shown else ""))  # fmt: skip
    style.save(figure, out)


def _attention(
    figure: Any, places: Sequence[Any], data: EpisodeData, attending: Sequence[int], marks: Sequence
) -> None:
    """A panel for each agent that attends: its weights over the episode."""
    weights = among_the_living(data.attention)
    panels: list[Any] = []
    for place, i in zip(places, attending, strict=True):
        ax = figure.add_subplot(place, sharey=panels[0] if panels else None)
        panels.append(ax)
        living = np.isfinite(weights[:, i]).sum(-1)
        equal = np.where(living > 0, 1.0 / np.maximum(living, 1), np.nan)
        ax.plot(np.arange(len(equal)), equal, color="#999999", lw=4.0, alpha=0.5, solid_capstyle="butt")
        curves(ax, data, weights[:, i], [f"to {name}" for name in data.names])
        mark(ax, marks)
        ax.set_title(f"attention of {data.names[i]} ({data.types[i]})", fontsize=9, pad=14)
    panels[0].set_ylabel("attention weight", fontsize=9)
    fewest = int(np.argmin([np.isfinite(weights[:, i, i]).sum() for i in attending]))  # of them the legend's room
    panels[fewest].legend(loc="best", fontsize=8)


def _snapshots(data: EpisodeData, record: dict[str, Any], out: pathlib.Path) -> None:
    """Figure 6: snapshots of the battle at the marked steps, below each the attention among the agents."""
    marks, shown = moments(data), has_attention(data)
    figure = style.new_figure(13.0, 6.2 if shown else 3.4)
    grid = figure.add_gridspec(2 if shown else 1, len(marks))
    for k, (step, _) in enumerate(marks):
        ax = figure.add_subplot(grid[0, k])
        snapshot(ax, data, step)
        ax.set_title(title(marks, k), fontsize=8.5)
    if shown:
        weights = over_uniform(data.attention)
        limit = max(float(np.nanmax(np.abs(weights[step]))) for step, _ in marks)
        maps = [figure.add_subplot(grid[1, k]) for k in range(len(marks))]
        for ax, (step, _) in zip(maps, marks, strict=True):
            image = heat_map(ax, data, weights[step], limit)
        maps[0].set_ylabel("attention of", fontsize=9)
        bar = figure.colorbar(image, ax=maps, shrink=0.85)
        bar.set_label("weight against equal attention, %", fontsize=8)
        bar.ax.tick_params(labelsize=7)
    _note(figure, record, "Agents blue, enemies red; an agent's name and the intrinsic reward of the action that led "
          "there." + (" Below: how far each weight is above equal attention to the living agents; one row for each "
          "agent that attends; grey: dead agents." if shown else ""))  # fmt: skip
    style.save(figure, out)


def title(marks: Sequence[tuple[int, str]], k: int) -> str:
    """The title of the k-th picture of `moments`."""
    return f"({LETTERS[k]}) step {marks[k][0]}: {marks[k][1]}"


def curves(ax: Any, data: EpisodeData, values: np.ndarray, labels: Sequence[str]) -> None:
    """One line per agent, values [T + 1, A], with a cross where it dies and a triangle where an enemy dies."""
    steps, fallen = np.arange(len(values)), falls(data)
    types = data.types[: data.num_agents]
    usual = max(types, key=types.count)  # the most frequent type is drawn solid, the others dashed
    for i, (colour, label) in enumerate(zip(colours(data), labels, strict=True)):
        dashes = "-" if data.types[i] == usual else (0, (4, 1.5))
        ax.plot(steps, values[:, i], color=colour, lw=1.7, ls=dashes, label=label)
        last = fallen[:, i] & np.isfinite(values[:, i])
        ax.plot(steps[last], values[last, i], "x", color=colour, ms=8, mew=2.2)
    for step in np.flatnonzero(fallen[:, data.num_agents :].any(1)):
        ax.plot([step], [0.0], marker="^", color="#c0392b", ms=6, transform=ax.get_xaxis_transform(), clip_on=False)
    ax.set_xlim(0, len(values) - 0.5)
    ax.set_xlabel("step of the episode", fontsize=9)
    style.plain(ax)


def mark(ax: Any, marks: Sequence[tuple[int, str]]) -> None:
    """A dotted line at each marked step, with its letter above."""
    for letter, (step, _) in zip(LETTERS, marks, strict=False):
        ax.axvline(step, color="#555555", lw=0.9, ls=":")
        ax.text(step, 1.01, f"({letter})", transform=ax.get_xaxis_transform(), ha="center", va="bottom", fontsize=8)


def heat_map(ax: Any, data: EpisodeData, weights: np.ndarray, limit: float) -> Any:
    """weights [A, A] in per cent above equal attention; one row for each agent that attends."""
    ax.set_facecolor("#d5d8dc")
    image = ax.imshow(weights, cmap="RdBu_r", vmin=-limit, vmax=limit)
    for (i, j), value in np.ndenumerate(weights):
        if np.isfinite(value) and data.num_agents <= NUMBERED:
            colour = "white" if abs(value) > 0.6 * limit else "#222222"
            ax.text(j, i, f"{value:+.1f}", ha="center", va="center", fontsize=7.5, color=colour)
    ax.set_xticks(range(data.num_agents), data.names, fontsize=8)
    ax.set_yticks(range(data.num_agents), data.names, fontsize=8)
    ax.tick_params(length=0)
    ax.set_xlabel("to", fontsize=9)
    return image


def snapshot(ax: Any, data: EpisodeData, step: int) -> None:
    """The battle at one step, drawn as in the videos; at the edge the agents' names and rewards."""
    from envs.smax.canvas import FOOTER, HEADER, WALL
    from envs.smax.canvas import WIDTH as FULL_WIDTH
    from envs.smax.rendering import camera, draw_frame

    scene = _scene(data, step)
    view = camera([scene])
    image = draw_frame(scene, WIDTH, view)
    k = image.width / FULL_WIDTH
    image = image.crop((0, round(HEADER * k), image.width, image.height - round(FOOTER * k)))
    ax.imshow(np.asarray(image), extent=view)
    ax.set_facecolor(WALL)
    x0, x1, y0, y1 = close_up(scene.x[scene.health > 0], scene.y[scene.health > 0])
    ax.set(xlim=(x0, x1), ylim=(y0, y1), xticks=[], yticks=[], aspect="equal")
    living = sorted(np.flatnonzero(scene.health[: data.num_agents] > 0), key=lambda i: -scene.y[i])
    for row, i in enumerate(living):  # in order of their height, so that lines do not cross
        y = y1 - (y1 - y0) * (row + 1) / (len(living) + 1)
        ax.annotate(
            f"{data.names[i]} {data.r_in[step, i]:+.2f}", (scene.x[i], scene.y[i]), (x0 + 0.02 * (x1 - x0), y),
            va="center", fontsize=7.5, color="white",
            arrowprops={"arrowstyle": "-", "color": "#9aa6b8", "lw": 0.6, "shrinkB": 5},
        )  # fmt: skip


def close_up(x: np.ndarray, y: np.ndarray) -> tuple[float, float, float, float]:
    """(x0, x1, y0, y1) around these units, 4 : 3, with space on the left for the agents' names."""
    margin, names = 1.3, 0.2  # map units; share of the width
    width = max((np.ptp(x) + 2 * margin) / (1 - names), (np.ptp(y) + 2 * margin) * 4 / 3, 9.0)
    right = (x.min() + x.max()) / 2 + width * (1 - names) / 2
    middle = (y.min() + y.max()) / 2
    return right - width, right, middle - 0.375 * width, middle + 0.375 * width


def _scene(data: EpisodeData, step: int) -> Any:
    from envs.smax.rendering import BattleScene

    now, before = ({name: values[max(t, 0)] for name, values in data.units.items()} for t in (step, step - 1))
    left = np.where(now["health"] > 0, now["health"] + now["shield"], 0.0)
    lost = np.maximum(before["health"] + before["shield"] - left, 0.0)
    last = len(data.r_in) - 1
    return BattleScene("", data.types, data.num_agents, **now, lost=lost, step=step, limit=last)
