"""The class for MAPPO's code and its relatives: what `reset` and `step` return, and their spaces."""

import numpy as np
import pytest

from envs.numpy_env import NumpyEnv
from envs.smac_compat import OnPolicyStarCraft2Env, StarCraft2Env
from envs.smax.spawn import spawn
from tests.helpers.scripted_smac import attack_first


@pytest.fixture
def pair():
    """The same battle in both forms, with agents that lose."""
    return OnPolicyStarCraft2Env("3m", seed=3), StarCraft2Env("3m", seed=3)


def test_spaces():
    env = OnPolicyStarCraft2Env("2s3z")
    assert env.observation_space == [[80]] * 5 and env.share_observation_space == [[120]] * 5
    assert [(type(space).__name__, space.n) for space in env.action_space] == [("Discrete", 11)] * 5


def test_it_is_the_same_battle(pair):
    """Observations, the state for each agent, rewards, masks; dones also of the dead."""
    env, plain = pair
    obs, states, avail = env.reset()
    plain.reset()
    over, deaths = False, set()
    while not over:
        np.testing.assert_array_equal(obs, plain.get_obs())
        np.testing.assert_array_equal(states, [plain.get_state()] * 3)
        assert avail == plain.get_avail_actions()
        actions = [row.index(1) for row in avail]  # stand still
        reward, over, _ = plain.step(actions)
        obs, states, rewards, dones, infos, avail = env.step(np.array(actions)[:, None])  # as the code gives them
        assert rewards == [[reward]] * 3
        assert dones == ([True] * 3 if over else [unit.health <= 0 for unit in plain.agents.values()])
        deaths.add(sum(dones))
    assert len(deaths) > 2 and infos[0] == {
        "won": False, "battles_won": 0, "battles_game": 1, "battles_draw": 0, "restarts": 0, "bad_transition": False,
    }  # fmt: skip


def test_a_win_and_a_time_out_are_told(monkeypatch):
    """Enemies with one point of health lose; then a step is made the last one that time allows."""

    def weak(*args, **options):
        battle = spawn(*args, **options)
        return battle._replace(health=battle.health.at[3:].set(1.0))

    monkeypatch.setattr("envs.smax.env.spawn", weak)
    env = OnPolicyStarCraft2Env("3m", seed=2, rules="smac")  # the default's name: an engine of its own
    env.reset()
    over = False
    while not over:
        *_, dones, infos, _ = env.step(attack_first(env.get_avail_actions()))
        over = all(dones)
    assert infos[0]["won"] and infos[0]["battles_won"] == 1 and not infos[0]["bad_transition"]
    env.reset()
    step = NumpyEnv.step
    monkeypatch.setattr(NumpyEnv, "step", lambda game, act: step(game, act)._replace(truncated=np.array([True])))
    *_, dones, infos, _ = env.step([1, 1, 1])
    assert dones == [True] * 3 and infos[2]["bad_transition"] and infos[2]["battles_draw"] == 1


def test_a_seed_given_later(pair):
    """The code gives it after the construction."""
    env, plain = pair
    later = OnPolicyStarCraft2Env("3m", seed=1)
    assert later.seed() == 1 and later.seed(3) == 3
    np.testing.assert_array_equal(later.reset()[1], env.reset()[1])
