"""What a claim is tested by: comparisons of methods and levels, with the rule by which each is decided. No jax here.

Statistics: Agarwal et al. 2021 (`experiments.common.stats`). A seed's score is the mean of its last evaluations. Where
speed is claimed it is the env steps to a threshold; a seed that does not reach it is censored at the end of its run.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from experiments.analysis.curves import Curves
from experiments.common.stats import (
    RATE,
    Interval,
    bootstrap_interval,
    interval_text,
    mean_interval,
    probability_of_improvement,
)
from experiments.figures.iac.curves import LAST
from experiments.figures.panels import final_scores

ENOUGH = 5  # seeds, as in both papers; with fewer nothing is decided
YES, NO, OPEN = "confirmed", "refuted", "open"


class Source(NamedTuple):
    """Rows of a figure's file, made with one choice of settings."""

    file: str  # below results/, without .csv
    budget: str
    settings: str  # in words


class Rivals(NamedTuple):
    """`methods` are better than each of `rivals` in each environment."""

    sources: tuple[Source, ...]
    methods: tuple[str, ...]
    rivals: tuple[str, ...]
    envs: tuple[str, ...]
    metric: str = "win_rate"
    threshold: float | None = None  # compares the env steps to this score; None: the final scores

    @property
    def pairs(self) -> list[tuple[str, str, str]]:
        """(environment, method, rival) of every comparison."""
        return [(env, method, rival) for env in self.envs for method in self.methods for rival in self.rivals]

    @property
    def count(self) -> int:
        return len(self.pairs)

    @property
    def bar(self) -> str:
        """What would confirm it."""
        what = "a higher final score than" if self.threshold is None else f"reaching {self.threshold:g} before"
        return f"chance of {what} each rival above 0.5"


class Level(NamedTuple):
    """The final scores of `methods` are at least `least`, or at most `most`, in each environment."""

    sources: tuple[Source, ...]
    methods: tuple[str, ...]
    envs: tuple[str, ...]
    metric: str = "win_rate"
    least: float = -math.inf
    most: float = math.inf

    @property
    def count(self) -> int:
        return len(self.methods) * len(self.envs)

    @property
    def bar(self) -> str:
        """What would confirm it."""
        what = "win rate" if self.metric == "win_rate" else "return"
        return f"final {what} at least {self.least:g}" if math.isfinite(self.least) else f"{what} at most {self.most:g}"


class Evidence(NamedTuple):
    """One comparison as a row of the table: cells of text and a verdict."""

    settings: str
    env: str
    ours: str
    theirs: str
    chance: str  # probability of improvement with its interval; "" for a level
    verdict: str


def running_means(curve: Curves, metric: str) -> np.ndarray:
    """f[T]: the mean of `LAST` evaluations in a row, or of all if there are fewer; the last one is the seed's score."""
    scores = curve.columns[metric]
    count = min(LAST, len(scores))
    return np.convolve(scores, np.ones(count) / count, "valid")


def steps_to(curve: Curves, metric: str, threshold: float) -> float:
    """Env steps at which the mean of `LAST` evaluations in a row first reaches `threshold`; infinite if never."""
    means = running_means(curve, metric)
    reached = np.flatnonzero(means >= threshold - 1e-9)  # 1e-9: sums of rates are not exact
    return float(curve.steps[reached[0] - len(means)]) if reached.size else math.inf


def falls(curve: Curves, metric: str, threshold: float, low: float) -> bool:
    """Whether that mean is below `low` at any time after it has reached `threshold`."""
    means = running_means(curve, metric)
    reached = np.flatnonzero(means >= threshold - 1e-9)
    return bool(reached.size and (means[reached[0] :] < low - 1e-9).any())


def better(ours: np.ndarray, theirs: np.ndarray) -> tuple[Interval, str]:
    """How likely a seed of ours scores higher than one of theirs (ties count half), and the verdict.

    Confirmed if the 95 % interval of the stratified bootstrap lies above one half, refuted if it lies below, with at
    least `ENOUGH` seeds each. Scores may be infinite: two that never arrive are a tie.
    """
    samples = (ours[:, None], theirs[:, None])
    chance = bootstrap_interval(samples, probability_of_improvement)
    if min(len(ours), len(theirs)) < ENOUGH:
        return chance, OPEN
    return chance, YES if chance.low > 0.5 else NO if chance.high < 0.5 else OPEN


def level(scores: np.ndarray, least: float, most: float) -> str:
    """Confirmed if the mean's 95 % interval (Student) lies within [least, most], refuted if it lies outside."""
    if len(scores) < ENOUGH:
        return OPEN
    band = mean_interval(scores)
    if band.low >= least and band.high <= most:
        return YES
    return NO if band.high < least or band.low > most else OPEN


def together(verdicts: Sequence[str], count: int) -> str:
    """Of a claim that says `count` things: refuted if one of them is, confirmed if all are."""
    if NO in verdicts:
        return NO
    return YES if len(verdicts) == count and all(v == YES for v in verdicts) else OPEN


def score_text(scores: np.ndarray, metric: str) -> str:
    """`0.94 [0.75, 1.00], 5 seeds`: the mean and Student's interval; the mean alone of one seed."""
    rate = metric == "win_rate"
    text = interval_text(scores, RATE if rate else (-math.inf, math.inf), ".2f" if rate else ".0f")
    return f"{text}, {len(scores)} seed{'s' * (len(scores) > 1)}"


def arrivals(curves: Sequence[Curves], metric: str, threshold: float, end: float) -> np.ndarray:
    """f[S]: env steps to the threshold; infinite for a seed that has not reached it by `end`."""
    times = np.array([steps_to(c, metric, threshold) for c in curves])
    return np.where(times <= end, times, math.inf)


def times_text(times: np.ndarray, end: float) -> str:
    """`arrives in 4 of 5 seeds, mean at least 0.31 M`: seeds that have not arrived count with `end`."""
    arrived = np.isfinite(times)
    mean = np.where(arrived, times, end).mean() / 1e6
    return f"arrives in {arrived.sum()} of {len(times)} seeds, mean {'' if arrived.all() else 'at least '}{mean:.2f} M"


def compare(
    wanted: Rivals, found: dict[tuple[str, str], list[Curves]], source: Source, name_of: Callable[[str], str]
) -> list[Evidence]:
    """A row for each method, rival and environment of which both have seeds in this source.

    Args:
      found: (method, environment) -> a curve for each seed.
      name_of: names of methods as they are printed.
    """
    rows = []
    for env, method, rival in wanted.pairs:
        mine, other = found.get((method, env), []), found.get((rival, env), [])
        if not mine or not other:
            continue
        if wanted.threshold is None:
            ours, theirs = (final_scores(c, wanted.metric) for c in (mine, other))
            texts = [score_text(scores, wanted.metric) for scores in (ours, theirs)]
        else:
            end = min(float(c.steps[-1]) for c in (*mine, *other))  # who arrives later than that has not arrived
            ours, theirs = (arrivals(x, wanted.metric, wanted.threshold, end) for x in (mine, other))
            texts = [times_text(times, end) for times in (ours, theirs)]
            ours, theirs = -ours, -theirs  # fewer are better
        chance, verdict = better(ours, theirs)
        names = [name_of(name) for name in (method, rival)]
        cell = f"{float(chance.mean):.2f} [{float(chance.low):.2f}, {float(chance.high):.2f}]"
        rows.append(Evidence(source.settings, env, f"{names[0]} {texts[0]}", f"{names[1]} {texts[1]}", cell, verdict))
    return rows


def measure(
    wanted: Level, found: dict[tuple[str, str], list[Curves]], source: Source, name_of: Callable[[str], str]
) -> list[Evidence]:
    """A row for each method and environment that has seeds in this source; arguments as `compare`'s."""
    bound = f"at least {wanted.least:g}" if math.isfinite(wanted.least) else f"at most {wanted.most:g}"
    rows = []
    for env in wanted.envs:
        for method in wanted.methods:
            if curves := found.get((method, env)):
                scores = final_scores(curves, wanted.metric)
                verdict = level(scores, wanted.least, wanted.most)
                text = f"{name_of(method)} {score_text(scores, wanted.metric)}"
                rows.append(Evidence(source.settings, env, text, bound, "", verdict))
    return rows
