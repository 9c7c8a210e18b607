"""Statistics over seeds against SciPy, rliable and by hand."""

import itertools

import numpy as np
import pytest
from scipy import stats

from experiments.common.stats import (
    bootstrap_interval,
    iqm,
    mean,
    mean_interval,
    median,
    optimality_gap,
    performance_profile,
    probability_of_improvement,
)


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


A = (np.arange(20) ** 2 % 23).reshape(5, 4) / 20  # five seeds of four tasks
B = (np.arange(12) ** 3 % 17).reshape(3, 4) / 20  # three of another algorithm


def test_point_estimates_agree_with_rliable():
    # rliable at its head, beside arch 8: metrics.aggregate_mean(A), ... aggregate_optimality_gap(A, 0.5) and
    # probability_of_improvement(A, B)
    assert mean(A) == pytest.approx(0.425)
    assert median(A) == pytest.approx(0.41)
    assert iqm(A) == pytest.approx(0.405)
    assert iqm(B) == pytest.approx(0.36666667)
    assert optimality_gap(A) == pytest.approx(0.575)
    assert optimality_gap(A, 0.5) == pytest.approx(0.17)
    assert probability_of_improvement(A, B) == pytest.approx(0.54166667)


def test_probability_of_improvement_by_hand_and_by_scipy():
    # Task 0: of the pairs 1>0, 1>0, 2>0, 2>0 all are won: 1. Task 1: 3=3 (half), 3<4, 5>3, 5>4: 2.5 / 4 = 0.625.
    got = probability_of_improvement([[1, 3], [2, 5]], [[0, 3], [0, 4]])
    assert got == (1 + 0.625) / 2
    draw = np.random.default_rng(4)
    ours, theirs = draw.integers(0, 6, (7, 3)), draw.integers(0, 6, (4, 3))  # with many ties
    want = [stats.mannwhitneyu(ours[:, t], theirs[:, t]).statistic / (7 * 4) for t in range(3)]
    assert probability_of_improvement(ours, theirs) == pytest.approx(np.mean(want), rel=1e-12)
    assert probability_of_improvement(theirs, ours) == pytest.approx(1 - np.mean(want), rel=1e-12)


def test_profile_by_hand():
    scores = np.array([[0.0, 0.5], [0.5, 1.0]])  # above 0: three of four; above 0.5 (not at it): one; above 1: none
    np.testing.assert_array_equal(performance_profile(scores, [-1, 0, 0.5, 1]), [1, 0.75, 0.25, 0])


def test_area_under_the_profile_is_the_mean():
    """Agarwal et al. 2021, section 4.2; a sum over a fine grid."""
    thresholds = (np.arange(10_000) + 0.5) / 10_000
    assert performance_profile(A, thresholds).mean() == pytest.approx(A.mean(), abs=1e-4)


def test_gap_and_median_by_hand():
    scores = np.array([[0.5, 1.5, 0.0], [0.75, 0.5, 0.0]])
    # to 1: 0.5, 0 (1.5 is above), 1, 0.25, 0.5, 1: 3.25 / 6. Means of the tasks: 0.625, 1, 0: the middle one is 0.625.
    assert optimality_gap(scores) == pytest.approx(3.25 / 6)
    assert median(scores) == 0.625


@pytest.mark.parametrize("statistic", [mean, iqm, median, optimality_gap])
def test_statistics_keep_the_other_axes(statistic):
    scores = np.random.default_rng(5).normal(size=(5, 3, 4))
    np.testing.assert_allclose(statistic(scores), [statistic(scores[..., k]) for k in range(4)], rtol=1e-12)


def test_a_missing_value_is_not_cut_away():
    scores = np.array([[1.0, 2.0], [1.0, np.nan], [1.0, 2.0], [1.0, 2.0]])[:, None]
    np.testing.assert_array_equal(iqm(scores), [1.0, np.nan])


def test_intervals_of_a_curve_are_those_of_its_points():
    """Whole curves are drawn, and by the same seeds whatever lies on the last axis."""
    curves = np.random.default_rng(6).normal(size=(6, 2, 3))
    got = bootstrap_interval(curves, resamples=200)
    for k in range(3):
        np.testing.assert_allclose([x[k] for x in got], bootstrap_interval(curves[..., k], resamples=200), rtol=1e-12)


def test_two_algorithms_are_drawn_each_for_itself():
    """One task, two seeds against one: of the four draws of ours one wins never, two half the time, one always."""
    got = bootstrap_interval((np.array([[0.0], [2.0]]), np.array([[1.0]])), probability_of_improvement, level=0.4)
    assert (got.mean, got.low, got.high) == (0.5, 0.5, 0.5)  # 0.3 and 0.7 lie within the middle half
    got = bootstrap_interval((np.array([[0.0], [2.0]]), np.array([[1.0]])), probability_of_improvement, level=0.6)
    assert (got.low, got.high) == (0.0, 1.0)  # 0.2 and 0.8 without


def test_a_few_seeds_cover_less_than_they_say():
    """Five normal seeds: the percentile interval has half-width 1.96 sqrt(4 / 5) standard errors, P(|t_4| < 1.753)."""
    draws = np.random.default_rng(7).normal(size=(5, 1, 2000))
    got = bootstrap_interval(draws, mean, resamples=400)
    covered = ((got.low <= 0) & (got.high >= 0)).mean()
    want = stats.t.cdf(1.96 * np.sqrt(4 / 5), 4) * 2 - 1  # 0.845
    assert covered == pytest.approx(want, abs=0.025)  # its own standard error is 0.008


def test_intervals_agree_with_rliable():
    # rliable at its head, beside arch 8: library.get_interval_estimates({"a": A}, ..., reps=50000) of its four
    # aggregates, and library.create_performance_profile({"a": A}, [0, 0.2, 0.4, 0.6, 0.8], reps=5000)
    want = {mean: (0.3025, 0.55), median: (0.285, 0.555), iqm: (0.235, 0.585), optimality_gap: (0.45, 0.6975)}
    for statistic, ends in want.items():
        assert bootstrap_interval(A, statistic, resamples=4000)[1:] == pytest.approx(ends, abs=0.013)
    got = bootstrap_interval(A, lambda x: performance_profile(x, [0, 0.2, 0.4, 0.6, 0.8]), resamples=1000)
    np.testing.assert_allclose(got.mean, [0.95, 0.65, 0.45, 0.3, 0.1])
    np.testing.assert_allclose(got.low, [0.85, 0.45, 0.25, 0.1, 0.0], atol=0.051)  # one run of twenty is 0.05
    np.testing.assert_allclose(got.high, [1.0, 0.85, 0.65, 0.5, 0.25], atol=0.051)
    # the same of (A, B) and probability_of_improvement, reps=3000; ours moves in steps of 1 / 60
    ends = bootstrap_interval((A, B), probability_of_improvement, resamples=3000)[1:]
    np.testing.assert_allclose(ends, [0.34166667, 0.73333333], atol=0.03)
