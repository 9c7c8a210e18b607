"""Scripted hunters: where they aim, what they earn beside chance, and their table."""

import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.scripted_hunters import Hunt, line, play_hunters
from envs.mpe.predator_prey import po_predator_prey, predator_prey
from envs.mpe.scripted import LEAD, chase, intercept
from experiments import benchmark
from experiments.common.cli import run_command
from experiments.common.stats import Interval


class Seen:
    def __init__(self, *rows):
        self.obs = jnp.asarray(rows, jnp.float32)[None]


def test_they_aim_at_the_nearest_prey():
    """One predator with velocity (1, 0), two prey at (1, 2) and (0.4, -0.2), the nearer with velocity (-1, 0)."""
    env = predator_prey(num_predators=1, num_prey=2, num_landmarks=0)
    seen = Seen([1.0, 0.0, 0.3, 0.3, 1.0, 2.0, 0.4, -0.2, 0.5, 0.5, -1.0, 0.0])
    np.testing.assert_allclose(chase(env, seen)[0, 0], [1.0, -0.5], atol=1e-6)  # along (0.4, -0.2)
    assert LEAD == 0.3  # along (0.4, -0.2) + 0.3 * ((-1, 0) - (1, 0)) = (-0.2, -0.2)
    np.testing.assert_allclose(intercept(env, seen)[0, 0], [-1.0, -1.0], atol=1e-6)


@pytest.mark.parametrize("hunt", [chase, intercept])
def test_they_head_for_the_middle_when_they_see_no_prey(hunt):
    env = po_predator_prey(num_predators=1, num_landmarks=0)
    seen = Seen([0.5, 0.5, 0.6, -0.3, 0.0, 0.0, 0.0, 0.0, 0.0])
    np.testing.assert_allclose(hunt(env, seen)[0, 0], [-1.0, 0.5], atol=1e-6)


def test_a_hunter_earns_more_than_chance():
    hunt, chance = (play_hunters("predator_prey", policy, 32) for policy in ("intercept", "random"))
    assert hunt.per_pair.low > 300 and chance.per_pair.high < 60
    assert 0 < hunt.flat.mean < hunt.per_pair.mean <= hunt.best and hunt.flat.high < 1000


def test_table(capsys):
    hunt = Hunt("predator_prey", "mpe2", "chase", Interval(338.2, 330.1, 346.3), Interval(290.0, 284.0, 296.0), 550.0)
    assert line(hunt) == "| predator_prey | mpe2 | chase | 338 (330 to 346) | 290 (284 to 296) | 550 |"
    assert run_command(benchmark.command, ["scripted", "--env", "predator_prey", "--episodes", "0"]) == 2
    assert "--episodes must be at least 1" in capsys.readouterr().err
