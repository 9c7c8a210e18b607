"""Runs as marl-eval's json (github.com/instadeepai/marl-eval; Gorsane et al. 2022, arXiv 2209.10485).

environment -> task -> algorithm -> run -> step_1 ... step_K, absolute_metrics -> a metric's list of values. marl-eval
takes rectangular data only: every algorithm on every task, as many runs, as many steps.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from envs.errors import ConfigError
from experiments.analysis.curves import Curves
from experiments.analysis.scores import group_runs, labels_of

NAMES = {"return_mean": "return", "win_rate": "win_rate"}  # ours -> theirs


def to_marl_eval(curves: Sequence[Curves], last: int = 5) -> dict[str, Any]:
    """The json's content.

    A list holds one value: the mean over an evaluation's episodes. Where the runs of a task were not evaluated at the
    same env steps, all are put on common ones by straight lines. Where some have more seeds, the first ones are taken.
    `absolute_metrics` are the means of the `last` evaluations: marl-eval's own, ten times as many episodes of the best
    policy, are not in a run directory.

    Raises:
      ConfigError: an algorithm lacks one of the tasks of an environment.
    """
    families: dict[str, list[Curves]] = {}
    for curve in curves:
        families.setdefault(curve.env.split()[0].partition(":")[0], []).append(curve)
    return {family: _environment(family, members, last) for family, members in families.items()}


def _environment(family: str, curves: Sequence[Curves], last: int) -> dict[str, Any]:
    groups = group_runs(curves)
    labels = sorted(labels_of(groups))
    for env, found in groups.items():
        for label in labels:
            if label not in found:
                raise ConfigError(f"marl-eval wants every algorithm on every task of {family}: no {label} on {env}")
    metrics = [name for name in NAMES if all(np.isfinite(c.columns[name]).all() for c in curves)]
    points, seeds = min(len(c.steps) for c in curves), min(len(v) for g in groups.values() for v in g.values())
    return {
        _name(env): _task({k: found[k][:seeds] for k in labels}, metrics, points, last) for env, found in groups.items()
    }


def _name(env: str) -> str:
    """smax:3m -> 3m; its options stay in the name."""
    name, *options = env.split()
    return " ".join((name.partition(":")[2] or name, *options))


def _task(found: dict[str, list[Curves]], metrics: Sequence[str], points: int, last: int) -> dict[str, Any]:
    steps = _common_steps([c for curves in found.values() for c in curves], points)
    return {
        label.replace(",", ""): {f"run_{i + 1}": _run(c, metrics, steps, last) for i, c in enumerate(curves)}
        for label, curves in found.items()
    }


def _common_steps(curves: Sequence[Curves], points: int) -> np.ndarray:
    """f[K]: the runs' own where all have the same, else evenly from the latest first one to the earliest last one."""
    first = curves[0].steps
    if len(first) == points and all(np.array_equal(c.steps, first) for c in curves):
        return first
    low, high = max(c.steps[0] for c in curves), min(c.steps[-1] for c in curves)
    if low > high:
        raise ConfigError(f"runs on {curves[0].env} have no env steps in common: leave the shortest out")
    return np.linspace(low, high, points).round()


def _run(curve: Curves, metrics: Sequence[str], steps: np.ndarray, last: int) -> dict[str, Any]:
    lines = {name: np.interp(steps, curve.steps, curve.columns[name]) for name in metrics}
    run: dict[str, Any] = {
        f"step_{k + 1}": {"step_count": int(step), **{NAMES[m]: [float(v[k])] for m, v in lines.items()}}
        for k, step in enumerate(steps)
    }
    absolute = {NAMES[name]: [float(np.mean(curve.columns[name][-last:]))] for name in metrics}
    return {**run, "absolute_metrics": absolute}
