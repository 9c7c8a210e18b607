"""Statistics over seeds. NumPy and SciPy only.

Sources: Student (1908) for few seeds; Agarwal et al. 2021, "Deep RL at the edge of the statistical precipice" (NeurIPS,
arXiv 2108.13264; the sections named below are its) for all the others. Scores are f[S, T, ...]: S seeds, T tasks.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

RATE = (0.0, 1.0)  # bounds of a win rate


class Interval(NamedTuple):
    """An estimate and its interval; the same shape each. The bounds are nan where there is no interval (one seed)."""

    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray


def mean_interval(values: np.ndarray, level: float = 0.95) -> Interval:
    """Mean over the first axis (seeds) with Student's t interval.

    Args:
      values: f[S, ...]; nan marks a seed that has no value there, and is left out.
      level: probability that the interval covers the true mean, if the seeds' values are normal.
    """
    from scipy import stats

    values = np.asarray(values, float)
    count = np.isfinite(values).sum(axis=0)
    total = np.where(np.isfinite(values), values, 0.0)
    mean = np.divide(total.sum(axis=0), count, out=np.full(count.shape, np.nan), where=count > 0)
    squares = np.where(np.isfinite(values), (values - mean) ** 2, 0.0).sum(axis=0)
    freedom = np.maximum(count - 1, 1)
    half = stats.t.ppf(0.5 + level / 2, freedom) * np.sqrt(squares / freedom / np.maximum(count, 1))
    half = np.where(count > 1, half, np.nan)
    return Interval(mean, mean - half, mean + half)


def interval_text(
    values: Sequence[float], bounds: tuple[float, float] = (-math.inf, math.inf), form: str = ".3f"
) -> str:
    """`mean [low, high]` over seeds (Student's t, cut to `bounds`), or the mean alone where there is one seed."""
    band = mean_interval(values)
    low, high = max(float(band.low), bounds[0]), min(float(band.high), bounds[1])
    mean = f"{float(band.mean):{form}}"
    return mean if math.isnan(band.low) else f"{mean} [{low:{form}}, {high:{form}}]"


def wilson(successes: float, trials: int) -> tuple[float, float]:
    """95 % interval of a rate (Wilson 1927): of use at 0 and 1 too, where the plain one has no width."""
    z = 1.959964
    rate, scale = successes / trials, 1 + z**2 / trials
    centre = (rate + z**2 / (2 * trials)) / scale
    half = z * math.sqrt(rate * (1 - rate) / trials + z**2 / (4 * trials**2)) / scale
    return max(0.0, centre - half), min(1.0, centre + half)


def mean(scores: np.ndarray) -> np.ndarray:
    """Mean over seeds and tasks: f[S, T, ...] -> f[...]."""
    return _pooled(scores).mean(axis=0)


def iqm(scores: np.ndarray) -> np.ndarray:
    """Interquartile mean: the mean of what is left when a quarter of all values is cut from each end.

    Args:
      scores: f[S] or f[S, T, ...]; seeds and tasks are pooled, the other axes stay. nan where one of them is nan.
    """
    ordered = np.sort(_pooled(scores), axis=0)  # nan comes last
    cut = ordered.shape[0] // 4
    return np.where(np.isnan(ordered[-1]), np.nan, ordered[cut : ordered.shape[0] - cut].mean(axis=0))[()]


def median(scores: np.ndarray) -> np.ndarray:
    """Median over tasks of the mean over seeds: f[S, T, ...] -> f[...]."""
    return np.median(np.mean(np.asarray(scores, float), axis=0), axis=0)


def optimality_gap(scores: np.ndarray, target: float = 1.0) -> np.ndarray:
    """By how much runs miss `target` on average: f[S, T, ...] -> f[...]. What lies above it makes up for nothing."""
    return np.maximum(target - _pooled(scores), 0.0).mean(axis=0)


def performance_profile(scores: np.ndarray, thresholds: np.ndarray) -> np.ndarray:
    """Share of the runs with a score above each threshold: f[S, T], f[K] -> f[K] (score distributions, section 4.2)."""
    return (_pooled(scores)[:, None] > np.asarray(thresholds)).mean(axis=0)


def probability_of_improvement(ours: np.ndarray, theirs: np.ndarray) -> np.ndarray:
    """How likely a run of ours scores higher than one of theirs on the same task, mean over tasks (section 4.3).

    On each task it is the Mann-Whitney U over the number of pairs: a tie counts half.

    Args:
      ours, theirs: f[S, T, ...] and f[R, T, ...]; the seeds need not be as many. Returns f[...].
    """
    ours, theirs = np.asarray(ours, float)[:, None], np.asarray(theirs, float)[None]
    return ((ours > theirs) + 0.5 * (ours == theirs)).mean(axis=(0, 1, 2))


def bootstrap_interval(
    scores: np.ndarray | tuple[np.ndarray, ...],
    statistic: Callable[..., np.ndarray] = iqm,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """`statistic` of `scores` with a percentile interval by the stratified bootstrap.

    Of few seeds it is too narrow: on one task "95 %" cover the mean in 84 % of cases with five seeds, in 75 with three.

    Args:
      scores: f[S, T, ...]; seeds are drawn with replacement for each task apart, so every task keeps its weight. A seed
        is drawn with all that lies on its further axes, such as the points of its curve. A tuple of such arrays is
        drawn each for itself.
      statistic: arrays of the same shapes -> f[...], of any shape.
      resamples: bootstrap samples; the interval's ends are quantiles of their statistics.
    """
    samples = [np.asarray(x, float) for x in (scores if isinstance(scores, tuple) else (scores,))]
    draw = np.random.default_rng(seed)
    drawn = np.stack([statistic(*(_resample(draw, x) for x in samples)) for _ in range(resamples)])
    low, high = np.quantile(drawn, [0.5 - level / 2, 0.5 + level / 2], axis=0)
    return Interval(np.asarray(statistic(*samples))[()], low, high)


def _resample(draw: np.random.Generator, scores: np.ndarray) -> np.ndarray:
    return scores[draw.integers(scores.shape[0], size=scores.shape[:2]), np.arange(scores.shape[1])]


def _pooled(scores: np.ndarray) -> np.ndarray:
    """f[S], or f[S, T, ...] with seeds and tasks in one axis: f[S * T, ...]."""
    scores = np.asarray(scores, float)
    return scores.reshape(-1, *scores.shape[2:])
