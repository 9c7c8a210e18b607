"""Intervals and interquartile means against SciPy and by hand."""

import itertools

import numpy as np
import pytest
from scipy import stats

from experiments.stats import bootstrap_interval, iqm, mean_interval


def test_three_seeds_by_hand():
    # mean 2; s = 1; t(0.975, 2) = 4.3027; half = 4.3027 / sqrt(3) = 2.4841
    got = mean_interval(np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose([got.mean, got.low, got.high], [2.0, 2 - 2.4841, 2 + 2.4841], atol=1e-4)


def test_interval_agrees_with_scipy():
    values = np.random.default_rng(0).normal(size=(5, 7))
    want = stats.t.interval(0.9, 4, loc=values.mean(0), scale=stats.sem(values, axis=0))
    got = mean_interval(values, level=0.9)
    np.testing.assert_allclose([got.low, got.high], want, rtol=1e-12)


def test_missing_seeds_are_left_out_and_one_seed_has_no_interval():
    values = np.array([[1.0, 5.0, np.nan], [3.0, np.nan, np.nan]])
    got = mean_interval(values)
    # column 0: mean 2, s = sqrt 2, t(0.975, 1) = 12.7062, half = 12.7062 * sqrt(2) / sqrt(2)
    np.testing.assert_allclose(got.mean, [2.0, 5.0, np.nan])
    np.testing.assert_allclose(got.low, [2 - 12.7062, np.nan, np.nan], atol=1e-4)
    np.testing.assert_allclose(got.high, [2 + 12.7062, np.nan, np.nan], atol=1e-4)


def test_interval_covers_the_mean_as_often_as_it_says():
    draws = np.random.default_rng(1).normal(3.0, 2.0, size=(4, 20_000))
    got = mean_interval(draws)
    covered = ((got.low <= 3.0) & (3.0 <= got.high)).mean()
    assert abs(covered - 0.95) < 0.006  # standard error of 20 000 coin flips at 0.95: 0.0015


def test_iqm_by_hand_and_by_scipy():
    # eight values: two are cut from each end, (3 + 4 + 5 + 6) / 4 = 4.5
    assert iqm(np.array([100.0, 2, 3, 4, 5, 6, 7, -50])) == 4.5
    values = np.random.default_rng(2).normal(size=(5, 3))
    assert iqm(values) == pytest.approx(stats.trim_mean(values, 0.25, axis=None), rel=1e-12)


def test_bootstrap_is_stratified():
    # Each task is constant over seeds, so drawing seeds within a task changes nothing: mean (1 + 5) / 2 = 3, no width.
    got = bootstrap_interval(np.array([[1.0, 5.0]] * 4), statistic=np.mean, resamples=50)
    assert (got.mean, got.low, got.high) == (3.0, 3.0, 3.0)


def test_bootstrap_width_agrees_with_scipy():
    values = np.random.default_rng(3).normal(size=(40, 1))
    got = bootstrap_interval(values, statistic=np.mean, resamples=4000)
    want = stats.bootstrap((values[:, 0],), np.mean, method="percentile", n_resamples=4000, rng=5).confidence_interval
    np.testing.assert_allclose([got.low, got.high], [want.low, want.high], atol=0.02)


def test_bootstrap_of_the_iqm_against_every_resample():
    """Three seeds, two tasks: all 27 x 27 resamples, each cut by SciPy; quantiles of those are the interval's ends."""
    scores = np.array([[0.0, 60.0], [30.0, 80.0], [90.0, 100.0]])
    draws = list(itertools.product(range(3), repeat=3))
    every = [
        stats.trim_mean(np.concatenate([scores[list(a), 0], scores[list(b), 1]]), 0.25) for a in draws for b in draws
    ]
    got = bootstrap_interval(scores, resamples=4000)
    assert got.mean == (30 + 60 + 80 + 90) / 4  # six values: one is cut from each end
    np.testing.assert_allclose([got.low, got.high], np.quantile(every, [0.025, 0.975]), atol=2.6)


def test_bootstrap_of_one_seed_has_no_width():
    got = bootstrap_interval(np.array([[10.0, 50.0]]), resamples=10)
    assert (got.mean, got.low, got.high) == (30.0, 30.0, 30.0)
