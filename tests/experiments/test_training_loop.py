"""The host's loop by itself: when to evaluate, what is not finite, groups, memory, intervals."""

import numpy as np
import pytest

from envs.errors import ConfigError
from experiments.common.stats import wilson
from experiments.common.text import human
from experiments.config.schema import RunConfig
from experiments.training.memory import fitting_seeds, tree_bytes
from experiments.training.pace import Throughput, evaluation_due, iterations_until
from experiments.training.rows import find_nonfinite, metrics_row
from experiments.training.seed_batches import split


def play_chunks(made, every, total, longest):
    """The iterations after which evaluations stand, and the chunks' ends, where iteration i makes `made[i]` env steps
    of 30 rows and a chunk is at most `longest`."""
    at, done, stand, ends = 0, 0, [], []
    while done < total:
        due = evaluation_due(done, every, total)
        n = min(longest, iterations_until(due, done, 30))
        at, done = at + n, done + sum(made[at : at + n])
        stand += [at] * (done >= due)
        ends.append(at)
    return stand, ends


def test_evaluations_stand_at_the_first_iteration_that_reaches_their_step():
    """Every 100 steps at 30 steps an iteration: 100 -> 4 (120), 200 -> 7 (210), 300 -> 10; the last one, 330, -> 11."""
    assert play_chunks([30] * 20, 100, 330, 100)[0] == [4, 7, 10, 11]


def test_evaluations_more_often_than_iterations_stand_at_each():
    assert play_chunks([30] * 20, 5, 90, 100)[0] == [1, 2, 3]


def test_evaluations_stand_where_they_do_however_the_iterations_are_cut():
    """Of 30 rows 15 to 30 are env steps: each multiple of 70 is met by the first iteration that reaches it; 980 and the
    end, 1000, by the same one."""
    made = np.random.default_rng(0).integers(15, 31, 60).tolist()
    sums = np.cumsum(made)
    first = [int(np.argmax(sums >= due)) + 1 for due in (*range(70, 980, 70), 1000)]
    found = [play_chunks(made, 70, 1000, longest) for longest in (1, 2, 3, 7, 100)]
    assert all(stand == first for stand, _ in found)
    assert len({tuple(ends) for _, ends in found}) > 2


def test_the_speed_is_not_that_of_one_short_chunk():
    """10 iterations of 40 steps in 1 s; then 1 in 0.4 s is too little to tell, and with 5 in 0.2 s it is 6 in 0.6 s."""
    speed = Throughput()
    speed.add(10, 40, 1.0)
    speed.add(1, 4, 0.4)
    assert (speed.iterations, speed.steps) == (10, 40)
    speed.add(5, 20, 0.2)
    assert (speed.iterations, speed.steps) == pytest.approx((10, 40))
    speed.add(1, 4, 0.5)
    assert (speed.iterations, speed.steps) == (2, 8)


def test_nonfinite_is_found_at_its_first_iteration():
    values = {"a": np.zeros((4, 2)), "b": np.zeros((4, 2))}
    assert find_nonfinite(values) is None
    values["a"][3, 0] = np.inf
    values["b"][2, 1] = np.nan
    assert find_nonfinite(values) == (2, 1, "b")


def test_a_window_in_which_no_episode_ended_has_the_columns_of_one_in_which_two_did():
    """Two episodes of 6 and 2 steps with returns 3 and 1, one won: means 4, 2, 0.5; the loss is over 4 iterations."""
    sums = {"episodes": 2.0, "return_sum": 4.0, "length_sum": 8.0, "won_sum": 1.0, "loss": 2.0, "learned": 4.0}
    none = {**dict.fromkeys(sums, 0.0), "loss": 2.0, "learned": 4.0}

    def row(window):
        return metrics_row(window, 4, {"epsilon"}, has_wins=True)

    means = {"episodes": 2.0, "return_mean": 2.0, "length_mean": 4.0, "win_rate": 0.5, "loss": 0.5}
    assert row(sums) == means
    empty = row(none)
    assert empty.keys() == means.keys()
    assert (empty["episodes"], empty["loss"]) == (0.0, 0.5)
    assert all(np.isnan(empty[name]) for name in ("return_mean", "length_mean", "win_rate"))
    # of four iterations one updated: its loss is told, and epsilon's mean over the four; where none did, epsilon alone
    some = row({**sums, "learned": 1.0, "epsilon": 3.0})
    assert (some["loss"], some["epsilon"]) == (2.0, 0.75)
    idle = row({**sums, "loss": 0.0, "learned": 0.0, "epsilon": 3.0})
    assert np.isnan(idle["loss"]) and idle["epsilon"] == 0.75


def test_groups_are_as_equal_as_can_be():
    assert split((0, 1, 2, 3, 4), 2) == [(0, 1), (2, 3), (4,)]
    assert split(tuple(range(9)), 4) == [(0, 1, 2), (3, 4, 5), (6, 7, 8)]
    assert split((7, 8, 9), 3) == [(7, 8, 9)]


def test_seeds_that_fit():
    """2 seeds need 100 bytes, so one needs 50; 90 % of 200 free bytes is 180: three fit."""
    auto, asked = RunConfig(), RunConfig(seeds_per_batch=5)
    assert fitting_seeds(3, 100, 2, auto, 200) == 3
    assert fitting_seeds(5, 100, 2, auto, 200) == 3
    assert fitting_seeds(5, 100, 2, auto, None) == 5
    with pytest.raises(ConfigError, match="use --seeds-per-batch 3"):
        fitting_seeds(5, 100, 2, asked, 200)
    with pytest.raises(ConfigError, match="one seed needs 300 B and 200 B are free"):
        fitting_seeds(1, 300, 1, auto, 200)


def test_bytes():
    assert tree_bytes({"a": np.zeros((3, 4), np.float32), "b": np.zeros(2, bool)}) == 3 * 4 * 4 + 2
    assert (human(12), human(1536), human(3 * 2**30)) == ("12 B", "1.5 KiB", "3.0 GiB")


def test_wilson_interval():
    """9 of 10, z = 1.96: centre (0.9 + 3.8415/20) / 1.38415 = 0.78899, half 1.96 sqrt(.009 + .0096037)/1.38415."""
    assert wilson(9, 10) == pytest.approx((0.59585, 0.98213), abs=1e-4)
    assert wilson(0, 10)[0] == 0.0
    assert wilson(10, 10)[1] == pytest.approx(1.0)
