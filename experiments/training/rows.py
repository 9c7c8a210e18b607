"""Rows of metrics.csv and eval.csv: sums over a window of iterations, and means of one evaluation."""

from collections.abc import Set
from typing import Any

import numpy as np

STATS = ("episodes", "return_sum", "length_sum", "won_sum")  # fields of EpisodeStats
LEARNED = "learned"  # in a window: the iterations that updated
# Columns of metrics.csv and names in windows that no metric may have.
RESERVED = {"iteration", "env_steps", "seed", "return_mean", "length_mean", "win_rate", LEARNED, *STATS}

Window = dict[str, list[float]]  # sums since the last row, one number a seed


def find_nonfinite(values: dict[str, np.ndarray]) -> tuple[int, int, str] | None:
    """(row, seed index, name) of the first value [n, S] that is NaN or infinite; None where all are finite."""
    bad = [(*np.argwhere(~np.isfinite(v))[0], name) for name, v in values.items() if not np.isfinite(v).all()]
    return min(bad, default=None)


def schedule_names(algorithm: Any) -> frozenset[str]:
    """The names of what is logged of every iteration, whether or not it updated."""
    import jax

    from iacjax.types import Clock

    number = jax.ShapeDtypeStruct((), np.int32)
    return frozenset(jax.eval_shape(algorithm.schedules, Clock(number, number)))


def add_to_window(window: Window, values: dict[str, np.ndarray]) -> None:
    """Adds the values [S] of one iteration, in float64."""
    for name, value in values.items():
        window[name] = [a + float(b) for a, b in zip(window.get(name, [0.0] * len(value)), value, strict=True)]


def complete_window(window: Window, iterations: int, schedules: Set[str], seeds: int) -> None:
    """Completes the window of a checkpoint of an older version, which covers the last `iterations` iterations.

    Versions before LEARNED counted every iteration as one that updated. They kept no sums of the schedules, nor did
    runs without a metrics.csv keep any sums: the schedules' means in the next row are NaN.
    """
    if not iterations or LEARNED in window:
        return
    if window:
        window[LEARNED] = [float(iterations)] * seeds
    for name in schedules - window.keys():
        window[name] = [float("nan")] * seeds


def metrics_row(sums: dict[str, float], count: int, schedules: Set[str], has_wins: bool) -> dict[str, float]:
    """One seed's row of a window of `count` iterations.

    An update's metrics are means over the iterations that updated, NaN where none did; schedules are means over all.
    """
    sums = dict(sums)
    episodes, learned = sums.pop("episodes"), sums.pop(LEARNED)
    ended = {name: sums.pop(name) for name in STATS[1:]}
    per_episode = {name: total / episodes if episodes else float("nan") for name, total in ended.items()}
    row = {"episodes": episodes, "return_mean": per_episode["return_sum"], "length_mean": per_episode["length_sum"]}
    if has_wins:
        row["win_rate"] = per_episode["won_sum"]
    counts = {name: count if name in schedules else learned for name in sums}
    return row | {name: total / counts[name] if counts[name] else float("nan") for name, total in sums.items()}


def evaluation_row(returns: np.ndarray, lengths: np.ndarray, won: np.ndarray, has_wins: bool) -> dict[str, float]:
    """One seed's row of an evaluation, from the returns, lengths and wins [episodes] of its episodes."""
    returns, lengths, won = (np.asarray(x, np.float64) for x in (returns, lengths, won))
    row = {"return_mean": returns.mean(), "return_std": returns.std(), "length_mean": lengths.mean()}
    return row | ({"win_rate": won.mean()} if has_wins else {})
