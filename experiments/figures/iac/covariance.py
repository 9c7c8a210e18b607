"""Figure 5: IAC's covariance matrix (eq. 12, before squashing) over training, on three pendulums.

Each matrix is the mean over the states that the exploring policy visits in a few episodes at that time.
"""

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from envs.errors import ConfigError
from experiments.analysis import style
from experiments.common.files import exclusive, read_csv, read_json, write_csv, write_json
from experiments.figures.runs import FigureTraining, Run, make_run
from experiments.figures.spec import Budget, FigureOptions, parse
from experiments.figures.store import number, record_of
from experiments.training.observers import read_seen, train_and_observe

SUMMARY = "Figure 5: the covariance matrix of IAC's joint policy at several times of training, three pendulums."
ENV, EPISODES = "multi_pendulum:3", 8
SHARES = (0.0, 0.02, 0.1, 0.3, 0.6, 1.0)  # of the training, at which to look
COLUMNS = ("budget", "seed", "env_steps", "return_mean", "row", "column", "covariance")
_EXPLORE = "Table 5, but noise correlated in time, and 16 environments with an update every 16 env steps"
BUDGETS = {
    # With the paper's exploration IAC meets no reward on three pendulums in these steps.
    "small": Budget(
        2,
        {ENV: 600_000},
        ("iac",),
        ("explore",),
        "three of the paper's five seeds, its settings and some of its steps",
        settings=_EXPLORE,
    ),
    "paper": Budget(5, {ENV: 1_000_000}, ("iac",), ("paper",), settings="Tables 5 to 7"),
    "tuned": Budget(5, {ENV: 600_000}, ("iac",), ("explore",), "the paper's settings", settings=_EXPLORE),
}


def make_look(env: Any, algorithm: Any) -> Any:
    """(state, key, env steps) -> the covariance f32[A D, A D], mean over visited states; one seed."""
    import jax
    import jax.numpy as jnp

    from iacjax import rollout
    from iacjax.types import Clock

    plan = algorithm.plan._replace(num_envs=EPISODES, rollout_length=env.spec.horizon)
    player = algorithm._replace(plan=plan)

    def look(state, key, steps):
        k_start, k_play = jax.random.split(key)
        runner = rollout.start(env, player, k_start)
        # Acts as after the warm-up, so the first matrix is that of the initial policy, not of uniform actions.
        clock = Clock(jnp.int32(0), jnp.maximum(steps, algorithm.plan.warmup))
        batch = rollout.rollout(env, player, algorithm.policy(state.learner), runner, k_play, clock)[1]
        weight = batch.mask[..., None, None]
        covariance = algorithm.inspect(state.learner, batch)["covariance"]
        return {"covariance": (weight * covariance).sum((0, 1)) / weight.sum((0, 1))}

    return look


def times(total_steps: int) -> list[int]:
    """Env steps at which to observe: after the first iteration, then at `SHARES` of the training."""
    return [max(1, round(share * total_steps)) for share in SHARES]


def command(argv: Sequence[str]) -> int:
    """Trains the missing run of figure 5 and draws it. Returns the exit code."""
    return training(argv).run_and_draw(draw)


def training(argv: Sequence[str]) -> FigureTraining:
    """What the command line `argv` trains."""
    options = parse(argv, SUMMARY, BUDGETS)
    runs = [make_run(options, algo, env, "covariance") for env in options.steps for algo in options.methods]
    look_at = times(runs[0].settings.run.total_steps)
    train = functools.partial(train_and_observe, times=look_at, make_look=make_look)
    return FigureTraining(options, runs, lambda run: keep(options, run), train)


def keep(options: FigureOptions, run: Run) -> None:
    """Writes what was observed in the run; rows of other budgets stay."""
    if run.directory is None:
        return
    rows = []
    for found in read_seen(run.directory):
        for s, steps in enumerate(found["env_steps"]):
            for (row, column), value in np.ndenumerate(found["covariance"][s]):
                cells = (options.budget, s, steps, number(found["return_mean"][s]), row, column, number(value))
                rows.append(dict(zip(COLUMNS, cells, strict=True)))
    if not rows:
        return
    path = options.out.with_suffix(".csv")
    with exclusive(path):
        write_csv(path, [*(r for r in read_csv(path) if r["budget"] != options.budget), *rows], COLUMNS)
        records = read_json(path.with_suffix(".json")).get("runs", [])
        records = [r for r in records if r["budget"] != options.budget]
        records.append(record_of(options.budget, run, options.command))
        write_json(path.with_suffix(".json"), {"runs": records})


def matrices(rows: Sequence[dict[str, str]]) -> dict[tuple[int, int], tuple[np.ndarray, float]]:
    """(seed, env steps) -> covariance f[n, n] and greedy return, from the rows of the csv file."""
    size = 1 + max(int(row["row"]) for row in rows)
    found: dict[tuple[int, int], tuple[np.ndarray, float]] = {}
    for row in rows:
        key = int(row["seed"]), int(row["env_steps"])
        matrix = found.setdefault(key, (np.full((size, size), np.nan), float(row["return_mean"])))[0]
        matrix[int(row["row"]), int(row["column"])] = float(row["covariance"])
    return found


def colour_limit(found: Sequence[np.ndarray]) -> float:
    """The largest covariance of two different agents, which the figure is about. With the agents' variances, which are
    many times larger at first, as the limit, the covariances would be invisible."""
    return max(float(np.abs(m - np.diag(np.diag(m))).max()) for m in found)


def draw(options: FigureOptions) -> None:
    """Heat maps: a row for each seed, a column for each time, one diverging scale for all."""
    table = options.out.with_suffix(".csv")
    rows = [row for row in read_csv(table) if row["budget"] == options.budget]
    if not rows:
        raise ConfigError(f"nothing of budget {options.budget} is saved in {table}: train first, without --redraw")
    found = matrices(rows)
    figure, steps = heat_maps(found)
    record = next(r for r in read_json(table.with_suffix(".json"))["runs"] if r["budget"] == options.budget)
    note = f"{style.env_title(record['env'])}, preset {record['preset']}. Mean over the states of {EPISODES} exploring "
    note += f"episodes; below each, the greedy return. {style.count(record['seeds'], 'seed')}, "
    note += f"{record['total_steps']:,} steps on {record['device']}; {options.note}."
    style.foot_note(figure, note, 28 * steps)
    style.save(figure, options.out)


def heat_maps(found: dict[tuple[int, int], tuple[np.ndarray, float]]) -> tuple[Any, int]:
    """The figure of (seed, env steps) -> (covariance f[n, n], greedy return), one row per seed; and its columns.

    All have one scale with diverging colours: red for positive, blue for negative covariances.
    """
    seeds = sorted({seed for seed, _ in found})
    looks = {seed: sorted(at for other, at in found if other == seed) for seed in seeds}  # by the seed's own env steps
    columns = len(looks[seeds[0]])
    limit = colour_limit([matrix for matrix, _ in found.values()])
    figure = style.new_figure(2.0 * columns + 0.8, 2.15 * len(seeds) + 0.9)
    axes = figure.subplots(len(seeds), columns, squeeze=False)
    for line, seed in zip(axes, seeds, strict=True):
        for ax, at in zip(line, looks[seed], strict=True):
            image = _panel(ax, *found[seed, at], limit, style.count(at, "step") if seed == seeds[0] else "")
        line[0].set_ylabel(f"seed {seed}\nagent", fontsize=8)
    bar = figure.colorbar(image, ax=axes, shrink=0.8, extend="max")
    bar.set_label("covariance, before squashing", fontsize=8)
    bar.ax.tick_params(labelsize=7)
    return figure, columns


def _panel(ax: Any, matrix: np.ndarray, score: float, limit: float, title: str) -> Any:
    image = ax.imshow(matrix, cmap="RdBu_r", vmin=-limit, vmax=limit)
    for (row, column), value in np.ndenumerate(matrix):
        colour = "white" if abs(value) > 0.6 * limit else "#222222"
        ax.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)
    ax.set_xticks(range(len(matrix)), range(1, len(matrix) + 1), fontsize=7)
    ax.set_yticks(range(len(matrix)), range(1, len(matrix) + 1), fontsize=7)
    ax.set_title(title, fontsize=9)
    ax.set_xlabel(f"return {score:.0f}", fontsize=8)
    return image
