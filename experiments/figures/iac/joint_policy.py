"""IAC's internals, for notebooks: the joint policy's ellipse and covariance over training, the critic's attention.

    run_dir = trained(algo="iac", env="simple_world", preset="simple_world", train=joint_policy.watch_actions)
    joint_policy.draw_ellipses(run_dir)

Training is observed as for figures 2 and 5 of the paper; the pictures are matplotlib figures.
"""

import pathlib
from typing import Any

import numpy as np

from envs.errors import ConfigError
from experiments.analysis import style
from experiments.config.schema import Settings, read_config
from experiments.figures.iac import covariance, simple_world
from experiments.training import observers

SIGMAS = ((1, "-"), (2, "--"))  # contours, and their lines
DPI = 100  # for a screen
PENDULUMS = ("multi_pendulum", "multi_pendulum_shaped")
AGENTS = ("#2f6fde", "#e4572e", "#2a9d62", "#8e4ec6", "#d69e2e", "#0f9bb0", "#c2417c", "#6b7280")


def watch_actions(settings: Settings, directory: pathlib.Path | None) -> int:
    """Trains in Simple World and observes the greedy actions, the covariance and the learned values; the exit code."""
    times = simple_world.times(settings.run.total_steps)
    return observers.train_and_observe(settings, directory, times, simple_world.make_look)


def watch_covariance(settings: Settings, directory: pathlib.Path | None) -> int:
    """Trains and observes the mean covariance at a few times (those of figure 5); the exit code."""
    times = covariance.times(settings.run.total_steps)
    return observers.train_and_observe(settings, directory, times, covariance.make_look)


def contour(
    mean: np.ndarray, matrix: np.ndarray, sigmas: float, low: float, high: float, squash: str = "tanh"
) -> np.ndarray:
    """The contour of a joint Gaussian of two actions at some standard deviations, in the environment's units: f[K, 2].

    Args:
      mean: the greedy joint action f[2], in the environment's units: the squashed mean.
      matrix: the covariance f[2, 2] before squashing.
      low, high: the bounds of an action.
      squash: `tanh`, or `none`, which clips to the bounds.
    """
    middle, half = (high + low) / 2, (high - low) / 2
    centre = (np.asarray(mean, float) - middle) / half
    angles = np.linspace(0.0, 2 * np.pi, 361)
    values, vectors = np.linalg.eigh(matrix)
    ring = np.stack([np.cos(angles), np.sin(angles)], -1) * np.sqrt(np.maximum(values, 0.0))
    offsets = sigmas * ring @ vectors.T
    if squash == "none":
        return middle + half * np.clip(centre + offsets, -1.0, 1.0)
    edge = 1.0 - 1e-6  # float32's tanh reaches 1
    return middle + half * np.tanh(np.arctanh(np.clip(centre, -edge, edge)) + offsets)


def _seen(run_dir: str | pathlib.Path, needs: tuple[str, ...], watch: str) -> list[dict[str, np.ndarray]]:
    """What was observed during a run's training; ConfigError where something needed was not."""
    found = observers.read_seen(pathlib.Path(run_dir))
    missing = [name for name in needs if not found or name not in found[0]]
    if missing:
        raise ConfigError(f"no {missing[0]} was observed while {run_dir} was trained: train it with train={watch}")
    return found


def draw_ellipses(run_dir: str | pathlib.Path, seed_index: int = 0, panels: int = 4) -> Any:
    """Simple World at `panels` times of the training of one seed, from its start to its end.

    Colours are the values that the critic has learned by then, grey lines the true reward; white ellipses one and two
    standard deviations of the joint policy, the dotted line the greedy joint action until then.

    Raises:
      ConfigError: the run was not trained with `watch_actions`, or there is no such seed.
    """
    seen = _seen(run_dir, ("mean", "q", "covariance"), "joint_policy.watch_actions")
    config = read_config(pathlib.Path(run_dir)).algorithm
    if not 0 <= seed_index < len(seen[0]["mean"]):
        raise ConfigError(f"no seed index {seed_index}: the run has {len(seen[0]['mean'])} seed(s), counted from 0")
    chosen = _spread(len(seen), panels)
    grid, ends = simple_world.GRID, (simple_world.GRID[0], simple_world.GRID[-1])
    truth = simple_world.reward_landscape().T
    figure = style.new_figure(3.3 * len(chosen), 3.7)
    figure.set_dpi(DPI)
    axes = figure.subplots(1, len(chosen), sharey=True, squeeze=False)[0]
    path = np.array([look["mean"][seed_index] for look in seen])
    for ax, k in zip(axes, chosen, strict=True):
        q = seen[k]["q"][seed_index].reshape(len(grid), len(grid))
        title = f"{style.count(int(seen[k]['env_steps'][seed_index]), 'step')}: greedy reward "
        simple_world.landscape(ax, q, title + f"{seen[k]['return_mean'][seed_index]:.2f}")
        ax.contour(simple_world.FINE, simple_world.FINE, truth, (0.1, 0.3, 0.6, 0.9), colors="#bbbbbb", linewidths=0.7)
        for sigmas, line in SIGMAS:
            curve = contour(path[k], seen[k]["covariance"][seed_index], sigmas, *ends, config.squash)
            ax.plot(*curve.T, line, color="white", lw=1.8)
        ax.plot(*path[: k + 1].T, ":", color="#ffb3a7", lw=1.6)
        ax.plot(*path[k], "o", color="#e4572e", ms=7, mec="white")
        ax.set(xlim=ends, ylim=ends)
    axes[0].set_ylabel("action of agent 2", fontsize=9)
    return figure


def _spread(count: int, wanted: int) -> list[int]:
    """At most `wanted` indices, denser at the start, because most changes happen in the first half of a training."""
    shares = np.linspace(0.0, 1.0, max(wanted, 2)) ** 1.5
    return sorted({round(share * (count - 1)) for share in shares})


def draw_covariances(run_dir: str | pathlib.Path) -> Any:
    """Figure 5 of a run: the mean covariance of each seed at several times of its training.

    Raises:
      ConfigError: the run was not trained with `watch_covariance`.
    """
    seen = _seen(run_dir, ("covariance",), "joint_policy.watch_covariance")
    first = read_config(pathlib.Path(run_dir)).run.seed
    found = {
        (first + s, int(look["env_steps"][s])): (look["covariance"][s], float(look["return_mean"][s]))
        for look in seen
        for s in range(len(look["covariance"]))
    }
    figure, _ = covariance.heat_maps(found)
    figure.set_dpi(DPI)
    return figure


def draw_attention(run_dir: str | pathlib.Path, seed_index: int | None = None, steps: int | None = None) -> Any:
    """The attention of each agent's critic over (the first `steps` of) a greedy episode of one seed (None: the best).

    The first panel shows the angle of each pendulum, or the team reward in other environments. Then one panel per
    agent: its weights on the others, thick the mean over the heads, thin the heads, dashed equal attention.

    Raises:
      ConfigError: the run has no checkpoint, or its critic does not attend to at least two others.
    """
    from experiments.analysis.inspection import inspect_run

    episode, seen = inspect_run(run_dir, seed_index)
    attention = seen.get("attention")
    agents = 0 if attention is None or attention.ndim != 4 else attention.shape[-1]
    if agents < 3 or not attention.any():
        raise ConfigError(f"{run_dir}: its critic has no attention to two or more other agents")
    figure = style.new_figure(9.5, 1.9 + 1.35 * agents)
    figure.set_dpi(DPI)
    top, *panels = figure.subplots(agents + 1, 1, sharex=True, height_ratios=[1.3] + [1.0] * agents)
    _draw_task(top, read_config(pathlib.Path(run_dir)).run.env, episode, agents)
    for i, ax in enumerate(panels):
        for j in [j for j in range(agents) if j != i]:
            ax.plot(attention[:, :, i, j], color=AGENTS[j % len(AGENTS)], lw=0.6, alpha=0.45)
            ax.plot(attention[:, :, i, j].mean(1), color=AGENTS[j % len(AGENTS)], lw=2.2, label=f"agent {j + 1}")
        ax.axhline(1 / (agents - 1), color="#888888", lw=0.8, ls="--")
        ax.set(ylim=(-0.03, 1.03), yticks=(0, 0.5, 1))
        ax.set_ylabel(f"agent {i + 1}'s\nattention", fontsize=8)
        style.plain(ax)
    panels[-1].set_xlabel("step of the episode", fontsize=9)
    panels[-1].set_xlim(0, steps or len(attention))
    return figure


def _draw_task(ax: Any, env: str, episode: Any, agents: int) -> None:
    """The angle of each pendulum, or the reward in other environments; and the colours of the agents."""
    from matplotlib.lines import Line2D

    if env.split(":")[0] in PENDULUMS:
        obs = np.stack([np.asarray(ts.obs[0]) for ts in episode.timesteps])
        for i in range(agents):  # observations are cos, sin, angular velocity; steps across +-180 are not joined
            angle = np.degrees(np.arctan2(obs[:, i, 1], obs[:, i, 0]))
            angle[1:][np.abs(np.diff(angle)) > 180] = np.nan
            ax.plot(angle, color=AGENTS[i % len(AGENTS)], lw=1.6)
        ax.set(ylim=(-185, 185), yticks=(-180, 0, 180))
        ax.set_ylabel("angle from\nupright (°)", fontsize=8)
    else:
        ax.plot(
            range(1, len(episode.timesteps)), [float(ts.reward[0]) for ts in episode.timesteps[1:]], color="#444444"
        )
        ax.set_ylabel("team reward", fontsize=8)
    style.plain(ax)
    lines = [Line2D([], [], color=AGENTS[i % len(AGENTS)], lw=2.2) for i in range(agents)]
    names = [f"agent {i + 1}" for i in range(agents)]
    ax.legend(lines, names, loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=agents, frameon=False, fontsize=8)
