"""Claims that are no comparison of learning curves: the matrix game, Simple World, the covariance and the attention."""

import pathlib
from collections.abc import Callable, Sequence

import numpy as np

from experiments.common.files import read_csv
from experiments.figures.claims.comparisons import ENOUGH, NO, OPEN, YES, Evidence

NEAR = 0.9  # share of the greatest reward from which an action counts as at the higher peak
CORRELATED = 0.1  # least correlation that counts as positive
Rows = Sequence[dict[str, str]]


def verdict_of(holds: Sequence[bool]) -> str:
    """Of one truth value per seed: decided only if all seeds agree, and there are enough."""
    if len(holds) < ENOUGH or any(holds) != all(holds):
        return OPEN
    return YES if all(holds) else NO


def _seeds(rows: Rows) -> list[str]:
    return sorted({row["seed"] for row in rows}, key=int)


def _finds_the_optimum(results: pathlib.Path, method: str) -> list[bool]:
    """For each seed, whether the most probable joint action has the greatest payoff."""
    rows = [row for row in read_csv(results / "iac/tables.csv") if row["method"] == method]
    best = max((float(row["payoff"]) for row in rows), default=0.0)
    found = []
    for seed in _seeds(rows):
        chosen = max((row for row in rows if row["seed"] == seed), key=lambda row: float(row["policy"]))
        found.append(float(chosen["payoff"]) == best)
    return found


def matrix_qmix(results: pathlib.Path) -> list[Evidence]:
    """Tables 2 and 3: QMIX does not choose the joint action with the greatest payoff."""
    found = _finds_the_optimum(results, "qmix")
    text = f"QMIX chooses the optimum in {sum(found)} of {len(found)} seeds"
    return [Evidence("uniform visitation", "matrix game", text, "in none", "", verdict_of([not x for x in found]))]


def matrix_qmixs(results: pathlib.Path) -> list[Evidence]:
    """Table 4: QMIXs does."""
    found = _finds_the_optimum(results, "qmixs")
    text = f"QMIXs chooses the optimum in {sum(found)} of {len(found)} seeds"
    return [Evidence("uniform visitation", "matrix game", text, "in all", "", verdict_of(found))]


def simple_world(results: pathlib.Path) -> list[Evidence]:
    """Figure 2: whose last greedy action is near the higher peak."""
    from envs.toy.matrix_games import simple_world_reward
    from experiments.figures.iac.simple_world import read_paths, reward_landscape

    rows, findings = read_csv(results / "iac/fig2.csv"), []
    top = NEAR * float(reward_landscape().max())
    for method, name, wanted in (
        ("iac", "IAC", True),
        ("attn_qmix", "Attn-QMIX", False),
        ("ddpg_mix", "DDPG-MIX", False),
    ):
        ends = [path[-1] for path in read_paths(rows, method)]
        high = [float(np.asarray(simple_world_reward(end)).ravel()[0]) >= top for end in ends]
        text = f"{name} ends at the higher peak in {sum(high)} of {len(high)} seeds"
        bar = "in all" if wanted else "in none"
        findings.append(Evidence("", "Simple World", text, bar, "", verdict_of([x == wanted for x in high])))
    return findings


def covariance(results: pathlib.Path) -> list[Evidence]:
    """Figure 5: whether the agents' actions are positively correlated at the end, for every pair and seed."""
    findings = []
    rows = read_csv(results / "iac/fig5.csv")
    for budget in dict.fromkeys(row["budget"] for row in rows):
        positive, shown = [], []
        for seed in _seeds(mine := [row for row in rows if row["budget"] == budget]):
            last = max(int(row["env_steps"]) for row in mine if row["seed"] == seed)
            cells = [row for row in mine if row["seed"] == seed and int(row["env_steps"]) == last]
            size = 1 + max(int(row["row"]) for row in cells)
            matrix = np.array([float(row["covariance"]) for row in cells]).reshape(size, size)
            scale = np.sqrt(np.diag(matrix))
            pairs = (matrix / np.outer(scale, scale))[np.triu_indices(size, 1)]
            positive.append(bool((pairs >= CORRELATED).all()))
            shown.append(f"{pairs.min():.2f} to {pairs.max():.2f}")
        text = f"correlations at the end, by seed: {'; '.join(shown)}"
        findings.append(
            Evidence(budget, "multi_pendulum:3", text, f"each at least {CORRELATED}", "", verdict_of(positive))
        )
    return findings


def attention(results: pathlib.Path) -> list[Evidence]:
    """Figure 5b of AIIR-MIX: a zealot's mean weights for the other zealots and for the stalkers, one episode."""
    rows = [r for r in read_csv(results / "aiir/episode.csv") if r["side"] == "agent"]
    kinds = [row["type"] for row in rows if row["step"] == "0"]
    to = {"zealot": [], "stalker": []}
    for row in rows:
        if row["type"] != "zealot" or not row["attention_1"]:
            continue
        weights = [float(row[f"attention_{k + 1}"] or 0.0) for k in range(len(kinds))]
        for k, kind in enumerate(kinds):
            if k != int(row["unit"]) - 1 and weights[k] > 0:  # not itself, and alive
                to[kind].append(weights[k])
    means = {kind: float(np.mean(values)) if values else float("nan") for kind, values in to.items()}
    text = f"weights of a zealot for another zealot {means['zealot']:.2f}, for a stalker {means['stalker']:.2f}"
    return [Evidence("tuned settings, one episode of one seed", "smax:2s3z", text, "the first is larger", "", OPEN)]


CHECKS: dict[str, Callable[[pathlib.Path], list[Evidence]]] = {
    "matrix_qmix": matrix_qmix,
    "matrix_qmixs": matrix_qmixs,
    "simple_world": simple_world,
    "covariance": covariance,
    "attention": attention,
}
