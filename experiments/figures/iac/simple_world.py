"""Figure 2 (what three methods learn in Simple World, and the paths of their greedy actions) and figure 3 (two fixed
exploration policies; nothing is learned)."""

import functools
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from envs.errors import ConfigError
from experiments.analysis import style
from experiments.common.files import read_csv, read_json, write_csv, write_json
from experiments.figures.runs import Run, make_run, train_all
from experiments.figures.spec import Budget, FigureOptions, parse
from experiments.figures.store import number, record_of
from experiments.training.observers import read_seen, train_and_observe

ENV, METHODS = "simple_world", ("ddpg_mix", "attn_qmix", "iac")
GRID = np.linspace(-10.0, 10.0, 41)  # of either agent's action
FINE = np.linspace(GRID[0], GRID[-1], 161)  # where nothing is saved
LOOKS = 60  # at a path
SUMMARIES = {
    "iac/fig2": "Figure 2: learned values and the paths of the greedy actions in Simple World, three methods.",
    "iac/fig3": "Figure 3: an independent and a collaborative Gaussian over Simple World's reward. Nothing is learned.",
}
PATHS = ("algo", "seed", "env_steps", "u0", "u1")
VALUES = ("algo", "u0", "u1", "q")
_SETTINGS = "Table 6 and appendix B. Not stated there: sigma starts at 0.3, actions end in tanh, 2 heads, 20 k steps"
_BUDGET = Budget(5, {ENV: 20_000}, METHODS, ("simple_world",), settings=_SETTINGS)
BUDGETS = {
    "small": _BUDGET._replace(seeds=3, leaves_out="two of the paper's five seeds (it draws one)"),
    "paper": _BUDGET,
}
# Figure 3: both at the same mean.
MEAN = (-1.0, -1.0)
COVARIANCES = {
    "independent": np.array([[4.0, 0.0], [0.0, 20.0]]),
    "collaborative": np.array([[15.0, 10.0], [10.0, 15.0]]),
}


class Ellipse(NamedTuple):
    """Where a Gaussian's density is exp(-1/2) of its peak: half axes, and the long one's angle to the first action."""

    major: float
    minor: float
    degrees: float  # in [0, 180)


def ellipse(covariance: np.ndarray) -> Ellipse:
    """The one-sigma ellipse of a 2 x 2 covariance matrix."""
    values, vectors = np.linalg.eigh(covariance)
    x, y = vectors[:, 1]
    return Ellipse(math.sqrt(values[1]), math.sqrt(values[0]), math.degrees(math.atan2(y, x)) % 180.0)


def mean_reward(mean: Sequence[float], covariance: np.ndarray, reward: Any) -> float:
    """Expected reward of actions drawn from a Gaussian, by Gauss-Hermite quadrature (64 x 64 points).

    Args:
      reward: actions f[..., 2] -> f[...].
    """
    points, weights = np.polynomial.hermite_e.hermegauss(64)
    grid = np.stack(np.meshgrid(points, points, indexing="ij"), -1)
    actions = np.asarray(mean) + grid @ np.linalg.cholesky(covariance).T
    weight = np.outer(weights, weights) / (2 * math.pi)
    return float((weight * np.asarray(reward(actions), float)).sum())


def command(argv: Sequence[str]) -> int:
    """Makes figure 2 or 3. Returns the exit code."""
    target = argv[0]
    options = parse(argv, SUMMARIES[target], BUDGETS)
    if target == "iac/fig3":
        draw_policies(options)
        return 0
    code = 0
    if not options.redraw:
        runs = [make_run(options, algo, env, "simple_world") for env in options.steps for algo in options.methods]
        look_at = times(runs[0].settings.run.total_steps)
        train = functools.partial(train_and_observe, times=look_at, make_look=make_look)
        code = train_all(options, runs, lambda run: keep(options, run), train)
    if code < 128 or options.out.with_suffix(".csv").exists():
        draw_learned(options)
    return code


def times(total_steps: int) -> list[int]:
    """Env steps at which to observe: after the first iteration, then evenly to the end."""
    return [max(1, round(total_steps * k / LOOKS)) for k in range(LOOKS + 1)]


def _grid_actions(grid: np.ndarray = GRID) -> np.ndarray:
    """f32[G G, 2, 1]: every pair of `grid`, the first agent's action changing slowest."""
    return np.stack(np.meshgrid(grid, grid, indexing="ij"), -1).reshape(-1, 2, 1).astype(np.float32)


def make_look(env: Any, algorithm: Any) -> Any:
    """(state, key, env steps) -> the greedy joint action f32[2], Q_tot f32[G G] of all pairs of `GRID`, and (stochastic
    policies) the joint Gaussian's covariance f32[2, 2] before squashing."""
    import jax
    import jax.numpy as jnp

    from iacjax.types import Batch

    actions = _grid_actions()
    num_envs = len(actions)

    def look(state, key, steps):
        timestep = env.reset(key, num_envs)[1]
        batch = Batch(
            rows=jax.tree.map(lambda x: jnp.stack([x, x]), timestep),
            first=jnp.ones((2, num_envs), bool),
            action=jnp.asarray(actions)[None],
            aux=(),
            mask=jnp.ones((1, num_envs), jnp.float32),
            carry0=algorithm.carry(num_envs),
        )
        seen = algorithm.inspect(state.learner, batch)
        shape = {"covariance": seen["covariance"][0, 0]} if "covariance" in seen else {}
        return {"mean": seen["mean"][0, 0, :, 0], "q": seen["q"][0], **shape}

    return look


def keep(options: FigureOptions, run: Run) -> None:
    """Writes the paths of all seeds and the last values of the first seed; the rows of other methods stay."""
    seen = read_seen(run.directory) if run.directory is not None else []
    if not seen:
        return
    path = options.out.with_suffix(".csv")
    paths = [
        (run.algo, s, int(look["env_steps"][s]), *(number(u) for u in look["mean"][s]))
        for look in seen
        for s in range(len(look["mean"]))
    ]
    pairs = zip(_grid_actions()[..., 0], seen[-1]["q"][0], strict=True)
    values = [(run.algo, *(number(u) for u in pair), number(q)) for pair, q in pairs]
    for file, columns, new in ((path, PATHS, paths), (_values_file(options), VALUES, values)):
        others = [row for row in read_csv(file) if row["algo"] != run.algo]
        write_csv(file, [*others, *(dict(zip(columns, cells, strict=True)) for cells in new)], columns)
    records = read_json(path.with_suffix(".json")).get("runs", [])
    records = [r for r in records if r["algo"] != run.algo] + [record_of(options.budget, run, options.command)]
    write_json(path.with_suffix(".json"), {"runs": records})


def _values_file(options: FigureOptions) -> Any:
    return options.out.with_name(options.out.stem + "_values.csv")


def read_paths(rows: Sequence[dict[str, str]], algo: str) -> list[np.ndarray]:
    """One path f[K, 2] per seed, in order of time."""
    mine = [row for row in rows if row["algo"] == algo]
    seeds = sorted({int(row["seed"]) for row in mine})
    ordered = [sorted((r for r in mine if int(r["seed"]) == s), key=lambda r: int(r["env_steps"])) for s in seeds]
    return [np.array([(float(row["u0"]), float(row["u1"])) for row in path]) for path in ordered]


def reward_landscape() -> np.ndarray:
    """f[F, F]: the true reward at every pair of `FINE`."""
    from envs.toy.matrix_games import simple_world_reward

    return np.asarray(simple_world_reward(_grid_actions(FINE)[..., 0])).reshape(len(FINE), len(FINE))


def landscape(ax: Any, values: np.ndarray, title: str) -> Any:
    """Draws values f[G, G] (the first agent's action first) as colours over both agents' actions; gives the image."""
    ends = (GRID[0], GRID[-1]) * 2
    image = ax.imshow(values.T, extent=ends, origin="lower", cmap="viridis", interpolation="bilinear")
    ax.set_title(title, fontsize=10)
    ax.set_xlabel("action of agent 1", fontsize=9)
    ax.tick_params(labelsize=8)
    return image


def _scale(figure: Any, ax: Any, image: Any) -> None:
    figure.colorbar(image, ax=ax, fraction=0.046, pad=0.03, format="%.3g").ax.tick_params(labelsize=7)


def _path(ax: Any, path: np.ndarray, colour: str, alpha: float = 1.0) -> None:
    ax.plot(*path.T, ":", color=colour, lw=1.6, alpha=alpha)
    ax.plot(*path[0], "o", color="red", ms=6, alpha=alpha)
    ax.plot(*path[-1], "*", color="red", ms=12, alpha=alpha)


def draw_learned(options: FigureOptions) -> None:
    """Figure 2: the true reward, then each method's Q_tot, with the paths of its greedy actions."""
    rows, values = read_csv(options.out.with_suffix(".csv")), read_csv(_values_file(options))
    algos = [algo for algo in METHODS if any(row["algo"] == algo for row in rows)]
    if not algos:
        raise ConfigError(f"nothing is saved in {options.out.with_suffix('.csv')}: train first, without --redraw")
    figure = style.new_figure(3.5 * (len(algos) + 1), 3.9)
    true, *panels = figure.subplots(1, len(algos) + 1, sharey=True)
    _scale(figure, true, landscape(true, reward_landscape(), "the true reward"))
    true.set_ylabel("action of agent 2", fontsize=9)
    for ax, algo in zip(panels, algos, strict=True):
        q = np.array([float(row["q"]) for row in values if row["algo"] == algo]).reshape(len(GRID), len(GRID))
        _scale(figure, ax, landscape(ax, q, f"{style.name_of(algo)}: learned Q_tot"))
        first, *others = read_paths(rows, algo)
        for path in others:
            _path(ax, path, "white", 0.35)
        _path(ax, first, "white")
    records = read_json(options.out.with_suffix(".json")).get("runs", [])
    steps, seeds = (max(r[name] for r in records) for name in ("total_steps", "seeds"))
    note = "Dotted: the greedy joint action over training, red circle at its start, red star at its end; seed 0 and "
    note += f"its Q_tot, the other seeds faint. {style.count(seeds, 'seed')}, {steps:,} steps "
    note += f"on {records[0]['device']}; {options.note}."
    style.foot_note(figure, note, 50 * (len(algos) + 1))
    style.save(figure, options.out)


def draw_policies(options: FigureOptions) -> None:
    """Figure 3: the two Gaussians' one- and two-sigma ellipses over the reward; also writes their numbers."""
    from matplotlib.patches import Ellipse as Patch

    from envs.toy.matrix_games import simple_world_reward

    heights, rows = reward_landscape(), []
    figure = style.new_figure(8.2, 4.1)
    axes = figure.subplots(1, 2, sharey=True)
    for ax, letter, (name, covariance) in zip(axes, "ab", COVARIANCES.items(), strict=True):
        shape, reward = ellipse(covariance), mean_reward(MEAN, covariance, simple_world_reward)
        image = landscape(ax, heights, f"({letter}) {name}: mean reward {reward:.3f}")
        for sigmas, style_of_line in ((1, "-"), (2, "--")):
            size = 2 * sigmas * shape.major, 2 * sigmas * shape.minor
            ax.add_patch(Patch(MEAN, *size, angle=shape.degrees, fill=False, color="white", lw=1.8, ls=style_of_line))
        ax.plot(*MEAN, "+", color="white")
        ax.set_xlim(GRID[0], GRID[-1])
        ax.set_ylim(GRID[0], GRID[-1])
        cells = {"policy": name, "major": shape.major, "minor": shape.minor, "degrees": shape.degrees}
        rows.append({k: v if k == "policy" else number(v) for k, v in {**cells, "mean_reward": reward}.items()})
    axes[0].set_ylabel("action of agent 2", fontsize=9)
    figure.colorbar(image, ax=axes, shrink=0.8, label="reward").ax.tick_params(labelsize=8)
    note = "Not learned: two Gaussians of mean [-1, -1], covariance [4, 0; 0, 20] and [15, 10; 10, 15]; one and two "
    note += "standard deviations. Mean reward: of actions drawn from each, by quadrature."
    style.foot_note(figure, note, 125)
    style.save(figure, options.out)
    write_csv(options.out.with_suffix(".csv"), rows)
