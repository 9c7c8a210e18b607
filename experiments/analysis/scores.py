"""The scores of seeds on tasks, and statistics over them with intervals, for `experiments.compare`.

A task is an environment; a score is the mean of a seed's last greedy evaluations. Sources: `experiments.common.stats`;
rescaling returns to a task's own range before tasks are pooled: Gorsane et al. 2022 (arXiv 2209.10485), section 4.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from envs.errors import ConfigError
from experiments.analysis.curves import Curves
from experiments.common import stats

ALL = "all tasks"
METRICS = ("win_rate", "return_mean")
POINTS = 60  # of a curve over env steps
Groups = dict[str, dict[str, list[Curves]]]  # environment -> label -> a curve for each seed, by seed
Range = tuple[float, float]


class ComparisonOptions(NamedTuple):
    """How runs are compared."""

    metric: str
    last: int = 5  # evaluations whose mean is a seed's score
    against: str | None = None
    target: float | None = None  # score from which nothing is missing
    resamples: int = 2000


class ScoreRow(NamedTuple):
    """A label on one task, or on all. An interval has nan bounds where there is one seed."""

    env: str
    label: str
    scores: np.ndarray  # f[S, T]
    steps: tuple[int, int]  # env steps of the shortest and of the longest run
    mean: stats.Interval  # Student's on one task, the bootstrap's over tasks
    iqm: stats.Interval
    better: stats.Interval | None  # how likely a run scores higher than one of `against`
    gap: stats.Interval | None


def choose_metric(curves: Sequence[Curves], asked: str | None = None) -> str:
    """`asked`, or the win rate where every run has one, else the return.

    Raises:
      ConfigError: a run has no such numbers.
    """
    lacking = {name: [c for c in curves if not np.isfinite(c.columns[name]).all()] for name in METRICS}
    metric = asked or (METRICS[1] if lacking[METRICS[0]] else METRICS[0])
    for curve in lacking[metric]:
        raise ConfigError(f"{curve.label} on {curve.env}, seed {curve.seed}, has evaluations without {metric}")
    return metric


def group_runs(curves: Sequence[Curves]) -> Groups:
    """By environment, then by label, then by seed.

    Raises:
      ConfigError: two runs of one label on one environment have a seed in common, which would count twice.
    """
    groups: Groups = {}
    for curve in curves:
        same = groups.setdefault(curve.env, {}).setdefault(curve.label, [])
        if curve.seed in [c.seed for c in same]:
            text = f"seed {curve.seed} of {curve.label} on {curve.env} is in two of the runs"
            raise ConfigError(f"{text}, and would count twice: leave one of them out")
        same.append(curve)
    return {env: {k: sorted(v, key=lambda c: c.seed) for k, v in labels.items()} for env, labels in groups.items()}


def labels_of(groups: Groups) -> list[str]:
    return list(dict.fromkeys(label for labels in groups.values() for label in labels))


def shared_tasks(groups: Groups) -> list[str]:
    """The environments on which every label has runs."""
    return [env for env in groups if len(groups[env]) == len(labels_of(groups))]


def score(curve: Curves, options: ComparisonOptions) -> float:
    return float(np.mean(curve.columns[options.metric][-options.last :]))


def scores_of(groups: Groups, label: str, envs: Sequence[str], options: ComparisonOptions) -> np.ndarray:
    """f[S, T]: of S seeds on T tasks, as many as the task with the fewest has."""
    return _stack([[score(c, options) for c in groups[env][label]] for env in envs])


def _stack(columns: Sequence[Sequence]) -> np.ndarray:
    count = min(len(column) for column in columns)
    return np.stack([np.asarray(column[:count]) for column in columns], axis=1)


def task_ranges(groups: Groups, envs: Sequence[str], options: ComparisonOptions) -> list[Range]:
    """What is 0 and what is 1 on each task: least and greatest evaluation of all runs; a win rate stays what it is."""
    if options.metric == "win_rate":
        return [(0.0, 1.0)] * len(envs)
    values = [np.concatenate([c.columns[options.metric] for v in groups[env].values() for c in v]) for env in envs]
    return [(float(v.min()), float(v.max())) for v in values]


def rescale(scores: np.ndarray, ranges: Sequence[Range]) -> np.ndarray:
    """Scores f[S, T, ...] with each task's range put on 0 to 1."""
    low, high = (np.reshape(x, (-1,) + (1,) * (scores.ndim - 2)) for x in zip(*ranges, strict=True))
    return (scores - low) / np.where(high > low, high - low, 1.0)


def curve_scores(
    groups: Groups, label: str, envs: Sequence[str], options: ComparisonOptions
) -> tuple[np.ndarray, np.ndarray]:
    """Env steps f[K], and what the scores were there, f[S, T, K], by straight lines.

    From the latest first to the earliest last evaluation of the label's runs; K = 0 where that comes before the other.
    """
    curves = [c for env in envs for c in groups[env][label]]
    first, last = max(c.steps[0] for c in curves), min(c.steps[-1] for c in curves)
    steps = np.linspace(first, last, POINTS if first <= last else 0)
    lines = [[np.interp(steps, c.steps, scores_over_steps(c, options)) for c in groups[env][label]] for env in envs]
    return steps, _stack(lines)


def scores_over_steps(curve: Curves, options: ComparisonOptions) -> np.ndarray:
    """f[K]: the mean of an evaluation and those just before it, as many as count for a score; the last is the score."""
    sums = np.concatenate([[0.0], np.cumsum(curve.columns[options.metric])])
    ends = np.arange(1, len(sums))
    starts = np.maximum(ends - options.last, 0)
    return (sums[ends] - sums[starts]) / (ends - starts)


def compare(groups: Groups, options: ComparisonOptions) -> list[ScoreRow]:
    """A row for each environment and label, and for all shared environments together where there are several.

    Raises:
      ConfigError: there is no label `against`.
    """
    labels = labels_of(groups)
    if options.against is not None and options.against not in labels:
        raise ConfigError(f"no runs of {options.against!r} to compare with: --against {' | '.join(map(repr, labels))}")
    rows = [_row(groups, env, label, [env], options) for env in groups for label in groups[env]]
    shared = shared_tasks(groups)
    return rows + [_row(groups, ALL, label, shared, options) for label in labels if len(shared) > 1]


def _row(groups: Groups, name: str, label: str, envs: Sequence[str], options: ComparisonOptions) -> ScoreRow:
    several = name == ALL
    ranges = task_ranges(groups, envs, options) if several else [(0.0, 1.0)]
    scores = rescale(scores_of(groups, label, envs, options), ranges)
    ends = [int(c.steps[-1]) for env in envs for c in groups[env][label]]
    mean = with_interval(scores, stats.mean, options)
    if not several:
        mean = stats.Interval(*(x[0] for x in stats.mean_interval(scores)))
    better = None
    if options.against not in (None, label) and all(options.against in groups[env] for env in envs):
        theirs = rescale(scores_of(groups, options.against, envs, options), ranges)
        better = with_interval((scores, theirs), stats.probability_of_improvement, options)
    target = 1.0 if options.metric == "win_rate" or several else None
    target = target if options.target is None or several else options.target
    gap = None
    if target is not None:
        gap = with_interval(scores, lambda x: stats.optimality_gap(x, target), options)
    iqm = with_interval(scores, stats.iqm, options)
    return ScoreRow(name, label, scores, (min(ends), max(ends)), mean, iqm, better, gap)


def with_interval(
    scores: np.ndarray | tuple[np.ndarray, ...],
    statistic: Callable[..., np.ndarray],
    options: ComparisonOptions,
    seeds: int = 2,
) -> stats.Interval:
    """The bootstrap's interval; nan bounds where a score is of fewer than `seeds`, since one seed shows no spread."""
    parts = scores if isinstance(scores, tuple) else (scores,)
    if min(len(x) for x in parts) >= seeds:
        return stats.bootstrap_interval(scores, statistic, options.resamples)
    value = statistic(*parts)
    return stats.Interval(value, np.full_like(value, np.nan), np.full_like(value, np.nan))
