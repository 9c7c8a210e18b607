"""Our heuristic against SMAC's own: `heuristic_ai` and `heuristic_rest` of the unmodified code play our engine.

Needs `oxwhirl/smac`; says so where it is not installed.
"""

import jax
import numpy as np
import pytest

from envs.smax.battle import ATTACK
from envs.smax.env import Smax
from envs.smax.heuristic import choose, no_targets
from tests.helpers.smac_code import fake_sc2_or_skip

fake_sc2 = fake_sc2_or_skip()

BATTLES = 3


@pytest.mark.slow
@pytest.mark.parametrize("restricted", [False, True])
@pytest.mark.parametrize("name", ["3m", "2s3z", "1c3s5z", "MMM", "3s_vs_5z"])
def test_every_choice_and_order_is_smacs(name, restricted):
    """Each step of a few battles: the actions, and the raw orders that reach the game, of all living agents."""
    env = Smax(name)
    scenario = env.scenario
    game = fake_sc2.make_game(name, seed=1, heuristic_ai=True, heuristic_rest=restricted)
    ours = jax.jit(lambda battle, targets: choose(scenario, battle, targets, restricted))
    orders_of = jax.jit(env.orders)
    compared = 0
    for _ in range(BATTLES):
        game.reset()
        targets, over = no_targets(scenario, 1), False
        while not over:
            before = game._controller.battle
            theirs = [1] * scenario.num_allies  # SMAC writes what it chose into the list
            _, over, _ = game.step(theirs)
            action, targets = ours(before, targets)
            alive = before.health[: scenario.num_allies, 0] > 0
            assert np.asarray(action)[alive, 0].tolist() == np.asarray(theirs)[alive].tolist()
            sent = game._controller.stories[-1][-1].orders
            mine = jax.device_get(orders_of(before, action))
            acts = alive & (action[:, 0] > 0)
            attacks = acts & (mine.kind[:, 0] == ATTACK)
            assert (sent.kind[acts] == mine.kind[acts]).all() and (sent.target[attacks] == mine.target[attacks]).all()
            moves = acts & ~attacks
            np.testing.assert_allclose(sent.goal_x[moves], mine.goal_x[moves], rtol=1e-6)
            np.testing.assert_allclose(sent.goal_y[moves], mine.goal_y[moves], rtol=1e-6)
            compared += int(acts.sum())
    assert compared > 20 * BATTLES
