"""IAC's tables 2, 3 and 4: QMIX and QMIXs on the matrix game, with all joint actions visited equally often.

As in the paper, the printed tables have agent 2's actions as rows and agent 1's as columns.

QMIX misses the optimum, although it could represent it. Among functions that are monotone in both Q_i, the paper's
table 2 (-8 where an agent does A, else 0) has a mean squared error of (256 + 4 x 16) / 9 = 35.6. A function with 8 at
(A, A) and -6 everywhere else has a smaller one, 8 x 36 / 9 = 32, and the right best action. Gradient descent finds the
former, because A is worst on average while the mixer is still nearly linear: 12 of 12 seeds with all nine joint actions
at once, 5 of 5 with 2,000 transitions in the replay buffer before the first update. With 128 transitions, whose
averages are random, 2 of 3 seeds found the latter.
"""

from typing import Any, NamedTuple

import numpy as np

from iacjax.algorithms.registry import ALGORITHMS

ACTIONS = "ABC"
METHODS = ("qmix", "qmixs")
ALPHA = 3.0  # of eq. 7; the paper gives none: its table 3 fits 2.4 to 2.6, its table 4 3.0 to 3.2

# The paper's numbers, [u_2][u_1] as printed. Table 2: QMIX's values; tables 3 and 4: policies of QMIX and QMIXs.
PAPER_Q = {"qmix": ((-8.06, -8.05, -8.05), (-8.05, -0.01, -0.01), (-8.05, -0.02, -0.01))}
PAPER_POLICY = {
    "qmix": ((0.01, 0.02, 0.02), (0.02, 0.23, 0.23), (0.01, 0.23, 0.23)),
    "qmixs": ((0.76, 0.01, 0.01), (0.01, 0.05, 0.05), (0.01, 0.05, 0.05)),
}
PAPER_INDIVIDUAL = {"qmix": ((-8.9, -0.6, -0.5), (-8.0, 0.1, 0.2))}  # [agent][u], printed with table 2


class Tables(NamedTuple):
    """For each of `METHODS` (M) and seed (S), over the actions of agent 1 and agent 2 (U each)."""

    payoff: np.ndarray  # f32[U, U]
    q: np.ndarray  # f32[M, S, U, U]: Q_tot
    individual: np.ndarray  # f32[M, S, U, U, 2]: Q_1 and Q_2; QMIX's Q_i depend on u_i alone
    policy: np.ndarray  # f32[M, S, U, U]: eq. 7
    alpha: float
    steps: int


def boltzmann(q: np.ndarray, alpha: float) -> np.ndarray:
    """Eq. 7: exp(Q / alpha) / sum, over the last two axes."""
    weights = np.exp((q - q.max((-2, -1), keepdims=True)) / alpha)
    return weights / weights.sum((-2, -1), keepdims=True)


def make(seeds: int, steps: int, alpha: float = ALPHA) -> Tables:
    """Trains QMIX and QMIXs with `seeds` seeds for `steps` env steps each (preset `uniform`), all in this process."""
    found = [_train(algo, seeds, steps) for algo in METHODS]
    q = np.stack([values["q"] for values in found])
    individual = np.stack([values["individual"] for values in found])
    return Tables(found[0]["payoff"], q, individual, boltzmann(q, alpha), alpha, steps)


def _train(algo: str, seeds: int, steps: int) -> dict[str, np.ndarray]:
    """{payoff [U, U], q [S, U, U], individual [S, U, U, 2]} after a training without output."""
    import jax

    from experiments.config.preset_io import default_settings
    from experiments.runs.build import build
    from experiments.training.loop import train_states
    from experiments.training.runtime import prepare_jax

    settings = default_settings(algo, "uniform")
    prepare_jax(settings.run, print)
    env, algorithm = build(settings)
    states = train_states(env, algorithm, tuple(range(seeds)), steps)
    size = env.spec.action.num_actions
    batch = _all_joint_actions(env)
    shown = jax.jit(jax.vmap(algorithm.inspect, in_axes=(0, None)))(states.learner, batch)
    return {
        "payoff": np.asarray(batch.next.reward).reshape(size, size),
        "q": np.asarray(shown["q"]).reshape(seeds, size, size),
        "individual": np.asarray(shown["individual"]).reshape(seeds, size, size, 2),
    }


def _all_joint_actions(env: Any) -> Any:
    """One step of the game in U x U parallel environments, each with another joint action: a `Batch` with T = 1."""
    import jax
    import jax.numpy as jnp

    from iacjax.types import Batch

    size = env.spec.action.num_actions
    action = jnp.stack(jnp.meshgrid(jnp.arange(size), jnp.arange(size), indexing="ij"), -1).reshape(-1, 2)
    state, before = env.reset(jax.random.key(0), size**2)
    after = env.step(jax.random.key(1), state, action)[1]
    rows = jax.tree.map(lambda a, b: jnp.stack([a, b]), before, after)
    first = jnp.stack([jnp.ones(size**2, bool), jnp.zeros(size**2, bool)])
    return Batch(rows, first, action[None], (), jnp.ones((1, size**2)), ())


def rows(tables: Tables) -> list[dict[str, Any]]:
    """One row per method, seed and joint action."""
    out = []
    for m, seed, u_1, u_2 in np.ndindex(tables.q.shape):
        method, (q_1, q_2) = METHODS[m], tables.individual[m, seed, u_1, u_2]
        row = {"method": method, "seed": seed, "u_1": ACTIONS[u_1], "u_2": ACTIONS[u_2]}
        row |= {"payoff": float(tables.payoff[u_1, u_2]), "q": float(tables.q[m, seed, u_1, u_2])}
        row |= {"q_1": float(q_1), "q_2": float(q_2), "policy": float(tables.policy[m, seed, u_1, u_2])}
        row["paper_q"] = PAPER_Q[method][u_2][u_1] if method in PAPER_Q else ""
        row["paper_policy"] = PAPER_POLICY[method][u_2][u_1]
        out.append({**row, "alpha": tables.alpha, "steps": tables.steps})
    return out


def text(tables: Tables) -> str:
    """The tables, medians over the seeds, compared with the paper's; then the result of each seed."""
    seeds = tables.q.shape[1]
    lines = [
        f"Matrix game, {tables.steps:,} env steps, all joint actions equally often; medians of {seeds} seed(s).",
        "",
    ]
    lines += _table("Table 1: payoff", tables.payoff, None)
    for m, method in enumerate(METHODS):
        q, paper = np.median(tables.q[m], 0), PAPER_Q.get(method)
        title = "Table 2: values of QMIX" if method == "qmix" else "Values of QMIXs (the paper prints none)"
        lines += _table(title, q, paper)
        if method == "qmix":
            lines += _individual_lines(np.median(tables.individual[m], 0))
    for m, method in enumerate(METHODS):
        title = f"Table {3 + m}: policy of {ALGORITHMS[method].display_name}, alpha = {tables.alpha:g}"
        lines += _table(title, np.median(tables.policy[m], 0), PAPER_POLICY[method])
    for m, method in enumerate(METHODS):
        lines.append(
            f"{ALGORITHMS[method].display_name}, seed by seed (the paper's P(A,A): {PAPER_POLICY[method][0][0]:.2f})"
        )
        for seed in range(seeds):
            u_1, u_2 = np.unravel_index(tables.q[m, seed].argmax(), tables.payoff.shape)
            best, pays = f"({ACTIONS[u_1]},{ACTIONS[u_2]})", tables.payoff[u_1, u_2]
            lines.append(
                f"  seed {seed}: P(A,A) = {tables.policy[m, seed, 0, 0]:.3f}; its best is {best}, worth {pays:g}"
            )
    return "\n".join(lines) + "\n"


def _table(title: str, values: np.ndarray, paper: Any) -> list[str]:
    """Lines of a table [u_1, u_2], printed with u_2 as rows, and the paper's table to its right."""
    head = " u2 \\ u1" + "".join(f"{name:>8}" for name in ACTIONS)
    lines = [title, head + ("" if paper is None else "    paper " + head[9:])]
    for u_2, row in enumerate(np.asarray(values).T):
        line = f"{ACTIONS[u_2]:>9}" + "".join(f"{value:8.2f}" for value in row)
        if paper is not None:
            line += "          " + "".join(f"{value:8.2f}" for value in paper[u_2])
        lines.append(line)
    return [*lines, ""]


def _individual_lines(individual: np.ndarray) -> list[str]:
    """QMIX's Q_1(u_1) and Q_2(u_2), compared with the paper's."""
    own = (individual[:, 0, 0], individual[0, :, 1])
    lines = []
    for agent, values in enumerate(own):
        ours = "".join(f"{value:8.2f}" for value in values)
        paper = "".join(f"{value:8.2f}" for value in PAPER_INDIVIDUAL["qmix"][agent])
        lines.append(f"{f'Q_{agent + 1}':>9}{ours}          {paper}")
    return [*lines, ""]
