"""The unmodified SMAC code under its options, with our engine for a game, against our interface under the same ones.

Needs `oxwhirl/smac`; says so where it is not installed.
"""

import jax
import numpy as np
import pytest

from envs.smax import interface, outcome
from envs.smax.env import Smax
from tests.helpers.smac_code import fake_sc2_or_skip

fake_sc2 = fake_sc2_or_skip()

OPTIONS = (
    {"obs_all_health": False, "obs_own_health": False, "obs_last_action": True, "state_last_action": False},
    {"obs_timestep_number": True, "state_timestep_number": True, "reward": "semisparse"},
    {"obs_instead_of_state": True, "reward_only_positive": False, "reward_defeat": -50, "reward_death_value": 3},
    {"reward": "sparse"},
)


@pytest.mark.parametrize("options", OPTIONS)
def test_a_battle_of_random_actions_reads_the_same(options):
    env, rng = Smax("2s3z", **options), np.random.default_rng(3)
    scenario = env.scenario
    game = fake_sc2.make_game("2s3z", seed=3, enemy_life=0.3, **scenario.options.changed)
    look = jax.jit(lambda units, last, steps: interface.observe(scenario, units, last, steps))

    @jax.jit
    def judge(before, after):
        _, won = outcome.ending(scenario, after)
        return outcome.reward(scenario, outcome.tally(scenario, before), after, won)[0][0]

    game.reset()
    last, over, steps = np.full((5, 1), -1, np.int32), False, 0
    while not over:
        seen = look(game._controller.battle, last, np.asarray([steps]))
        np.testing.assert_allclose(np.stack(game.get_obs()), seen.obs[0], rtol=0, atol=1e-6)
        np.testing.assert_allclose(game.get_state(), seen.state[0], rtol=0, atol=1e-6)
        np.testing.assert_array_equal(game.get_avail_actions(), seen.avail[0])
        before = game._controller.battle
        actions = [int(rng.choice(np.flatnonzero(legal)[-2:])) for legal in game.get_avail_actions()]
        reward, over, _ = game.step(actions)
        assert reward == pytest.approx(float(judge(before, game._controller.battle)), abs=1e-5)
        last, steps = np.asarray(actions, np.int32)[:, None], steps + 1
    assert steps > 10
