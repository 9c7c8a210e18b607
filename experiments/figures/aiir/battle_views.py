"""Pictures of a `RecordedBattle`: each function returns a matplotlib figure, which a notebook shows."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from envs.errors import ConfigError
from experiments.analysis import style
from experiments.figures.aiir.battle import RecordedBattle
from experiments.figures.aiir.episode_drawing import colours, curves, falls, heat_map, mark, moments, snapshot, title

DOTS = 100  # per inch, for small files in notebooks
MOST_AGENTS = 6  # the largest number of agents with a panel each
ABOVE_EQUAL = "attention against equal attention, %"
FALLEN, ENEMY = "#d5d8dc", "#c0392b"


def rewards_view(battle: RecordedBattle) -> Any:
    """Every agent's intrinsic reward over the battle, and below it the team reward.

    A cross: the agent dies. A triangle: an enemy dies. Letters: the moments of `moments_view`.
    """
    data, figure = battle.data, _figure(11.0, 5.2)
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=[2.6, 1.0])
    curves(top, data, data.r_in, [f"{n} ({kind})" for n, kind in zip(data.names, data.types, strict=False)])
    mark(top, moments(data))
    top.axhline(0.0, color="#888888", lw=0.8)
    top.set(xlabel="", ylabel="intrinsic reward $r^{in}_i$")
    top.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), frameon=False, fontsize=9)
    _team_reward(bottom, battle)
    bottom.set(xlabel="step of the battle", ylabel="team\nreward")
    figure.suptitle(battle.summary, fontsize=11)
    return figure


def _team_reward(ax: Any, battle: RecordedBattle) -> None:
    ax.bar(np.arange(battle.steps + 1), battle.reward, width=0.7, color="#6b7280")
    ax.set_xlim(0, battle.steps + 0.5)
    style.plain(ax)


def attention_view(battle: RecordedBattle, agents: Sequence[int] = ()) -> Any:
    """Attention over the battle: one panel for each agent that attends, one row for each agent it attends to.

    Args:
      agents: the agents that attend, from 0; by default all, or of more than MOST_AGENTS the first of each type.

    Raises:
      ConfigError: the reward network has no attention, or there is no such agent.
    """
    data, weights = battle.data, _weights(battle)
    shown = attending(data, agents)
    figure = _figure(11.0, 0.9 + (0.35 + 0.16 * data.num_agents) * len(shown))
    axes = figure.subplots(len(shown), 1, sharex=True, squeeze=False)[:, 0]
    limit = _limit(weights)
    for ax, i in zip(axes, shown, strict=True):
        image = _over_time(ax, data, weights[:, i], limit)
        ax.set_title(f"attention of {data.names[i]} ({data.types[i]}) to", fontsize=9, loc="left", pad=3)
    axes[-1].set_xlabel("step of the battle")
    for step in np.flatnonzero(falls(data)[:, data.num_agents :].any(1)):
        axes[-1].plot([step], [0.0], "^", color=ENEMY, ms=6, transform=axes[-1].get_xaxis_transform(), clip_on=False)
    bar = figure.colorbar(image, ax=axes, aspect=40, pad=0.015, extend="both")
    bar.set_label(ABOVE_EQUAL, fontsize=9)
    bar.ax.tick_params(labelsize=8)
    return figure


def attending(data: Any, agents: Sequence[int]) -> list[int]:
    """`agents`, or if it is None all, or of more than MOST_AGENTS the first of each type."""
    if any(not 0 <= i < data.num_agents for i in agents):
        raise ConfigError(f"agents={tuple(agents)}: there are {data.num_agents}, counted from 0")
    types = data.types[: data.num_agents]
    few = range(data.num_agents) if data.num_agents <= MOST_AGENTS else sorted(types.index(t) for t in set(types))
    return list(agents or few)


def _over_time(ax: Any, data: Any, weights: np.ndarray, limit: float) -> Any:
    """weights [T + 1, A] of one agent: one column per step."""
    ax.set_facecolor(FALLEN)
    rows = data.num_agents
    extent = (-0.5, len(weights) - 0.5, rows - 0.5, -0.5)
    image = ax.imshow(
        weights.T, cmap="RdBu_r", vmin=-limit, vmax=limit, aspect="auto", extent=extent, interpolation="nearest"
    )
    ax.set_yticks(range(rows), data.names, fontsize=8)
    for label, colour in zip(ax.get_yticklabels(), colours(data), strict=True):
        label.set_color(colour)
    ax.set_xlim(0.5, len(weights) - 0.5)
    ax.tick_params(length=0, labelsize=8)
    return image


def moments_view(battle: RecordedBattle) -> Any:
    """Up to four moments side by side: the battle with each agent's intrinsic reward, and below it the attention."""
    data, marks = battle.data, moments(battle.data)
    rows = 2 if battle.has_attention else 1
    figure = _figure(max(3.2 * len(marks), 6.0), 0.4 + 2.7 * rows)
    axes = figure.subplots(rows, len(marks), squeeze=False)
    for k, (step, _) in enumerate(marks):
        snapshot(axes[0, k], data, step)
        axes[0, k].set_title(title(marks, k).replace(": ", "\n", 1), fontsize=9)
    if rows == 2:
        weights = battle.weights
        limit = _limit(weights[[step for step, _ in marks]])
        images = [heat_map(ax, data, weights[step], limit) for ax, (step, _) in zip(axes[1], marks, strict=True)]
        axes[1, 0].set_ylabel("attention of", fontsize=9)
        bar = figure.colorbar(images[0], ax=axes[1], aspect=16, pad=0.015, extend="both")
        bar.set_label("against equal\nattention, %", fontsize=8)
        bar.ax.tick_params(labelsize=7)
    return figure


def step_view(battle: RecordedBattle, step: int) -> Any:
    """One step: the battle, every agent's intrinsic reward and attention, and below the position in the episode.

    Raises:
      ConfigError: the battle has no such step.
    """
    if not 0 <= step <= battle.steps:
        raise ConfigError(f"step {step}: the battle has steps 0 to {battle.steps}")
    data, figure = battle.data, _figure(11.0, 5.2)
    grid = figure.add_gridspec(2, 3, width_ratios=[1.45, 0.75, 1.0], height_ratios=[2.6, 1.0])
    scene, bars, heat = (figure.add_subplot(grid[0, k]) for k in range(3))
    snapshot(scene, data, step)
    scene.set_title(f"step {step} of {battle.steps}", fontsize=10)
    _bars(bars, data, step)
    _attention_now(heat, battle, step)
    below = figure.add_subplot(grid[1, :])
    curves(below, data, data.r_in, data.names)
    below.axvline(step, color="#111827", lw=1.2)
    below.set(xlim=(0, battle.steps + 0.5), xlabel="step of the battle", ylabel="$r^{in}_i$")
    return figure


def _bars(ax: Any, data: Any, step: int) -> None:
    """One bar per living agent, with one scale for the whole battle."""
    now = data.r_in[step]
    ax.barh(range(data.num_agents), np.nan_to_num(now), color=colours(data), height=0.7)
    ax.axvline(0.0, color="#888888", lw=0.8)
    low, high = min(float(np.nanmin(data.r_in)), 0.0), max(float(np.nanmax(data.r_in)), 0.0)
    margin = 0.08 * max(high - low, 1e-6)
    ax.set(xlim=(low - margin, high + margin), ylim=(data.num_agents - 0.5, -0.5))
    alive = data.units["health"][step, : data.num_agents] > 0
    for i in np.flatnonzero(~alive & ~np.isfinite(now)):
        ax.text(0.03, i, "fallen", transform=ax.get_yaxis_transform(), va="center", fontsize=8, color="#888888")
    ax.set_yticks(range(data.num_agents), data.names, fontsize=9)
    style.plain(ax)
    ax.set_title("intrinsic reward $r^{in}_i$", fontsize=10)


def _attention_now(ax: Any, battle: RecordedBattle, step: int) -> None:
    if not battle.has_attention:
        ax.axis("off")
        ax.text(0.5, 0.5, "its reward nets\nhave no attention", ha="center", va="center", color="#888888")
        return
    heat_map(ax, battle.data, battle.weights[step], _limit(battle.weights))
    ax.set_title("attention against equal, %", fontsize=10)
    ax.set_ylabel("of", fontsize=9, labelpad=6)


def _weights(battle: RecordedBattle) -> np.ndarray:
    if not battle.has_attention:
        raise ConfigError(f"the reward nets of {battle.record['algo']} have no attention: give a run of aiir_mix")
    return battle.weights


def _limit(weights: np.ndarray) -> float:
    """The end of the colour scale; a few extreme values may lie beyond it."""
    return max(float(np.nanpercentile(np.abs(weights), 99)), 1e-6)


def _figure(width: float, height: float) -> Any:
    figure = style.new_figure(width, height)
    figure.set_dpi(DOTS)
    return figure
