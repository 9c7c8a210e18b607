"""Statistics over seeds. NumPy and SciPy only.

Sources: Student (1908) for few seeds; Agarwal et al. 2021, "Deep RL at the edge of the statistical precipice",
for the interquartile mean and the stratified bootstrap.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np


class Interval(NamedTuple):
    """An estimate and its interval; the same shape each. The bounds are nan where they cannot be had (one seed)."""

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


def iqm(values: np.ndarray) -> float:
    """Interquartile mean: the mean of what is left when a quarter of all values is cut from each end."""
    ordered = np.sort(np.asarray(values, float), axis=None)
    cut = ordered.size // 4
    return float(ordered[cut : ordered.size - cut].mean())


def bootstrap_interval(
    scores: np.ndarray,
    statistic: Callable[[np.ndarray], float] = iqm,
    resamples: int = 2000,
    level: float = 0.95,
    seed: int = 0,
) -> Interval:
    """`statistic` of `scores` with a percentile interval by the stratified bootstrap.

    Args:
      scores: f[S, tasks]; seeds are drawn with replacement for each task apart, so every task keeps its weight.
      statistic: array of the same shape -> number.
      resamples: bootstrap samples; the interval's ends are quantiles of their statistics.
    """
    scores = np.asarray(scores, float)
    draw = np.random.default_rng(seed)
    columns = np.arange(scores.shape[1])
    samples = [statistic(scores[draw.integers(scores.shape[0], size=scores.shape), columns]) for _ in range(resamples)]
    low, high = np.quantile(samples, [0.5 - level / 2, 0.5 + level / 2])
    return Interval(np.float64(statistic(scores)), low, high)
