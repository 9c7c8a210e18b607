"""Our environments for PettingZoo: its own tests, and what its dictionaries hold."""

import warnings

import numpy as np
import pytest

pettingzoo = pytest.importorskip("pettingzoo", reason="PettingZoo is not installed")

from envs.errors import ConfigError  # noqa: E402
from envs.pettingzoo import parallel_env  # noqa: E402

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # of environments that its tests import
    from pettingzoo.test import parallel_api_test, parallel_seed_test

# Battles; agents that die; continuous actions; one step; padded dimensions and other types of agents.
NAMES = ("smax:3m", "toy:death", "multi_pendulum:2", "matrix_game")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("error")
def test_pettingzoos_own_tests(name):
    """They assert by themselves; what they only warn of is an error here."""
    parallel_api_test(parallel_env(name), num_cycles=100)
    parallel_seed_test(lambda: parallel_env(name), num_cycles=30)


def first_legal(obs):
    return {agent: int(entry["action_mask"].argmax()) for agent, entry in obs.items()}


def test_three_marines():
    env = parallel_env("smax:3m")
    obs, infos = env.reset(seed=0)
    assert env.agents == env.possible_agents == ["agent_0", "agent_1", "agent_2"]
    assert env.action_space("agent_0").n == 9 and env.observation_space("agent_0").contains(obs["agent_0"])
    assert obs["agent_0"]["observation"].shape == (30,) and env.state().shape == (48,)
    assert obs["agent_0"]["action_mask"].tolist() == [0, 1, 1, 1, 1, 1, 0, 0, 0]  # nobody in reach yet
    assert infos["agent_2"] == {"won": False, "dead_allies": 0, "dead_enemies": 0, "illegal_action": False}


def test_the_dead_leave_and_a_defeat_ends_it():
    """Standing still, the marines shoot nobody."""
    env = parallel_env("smax:3m")
    obs, _ = env.reset(seed=0)
    left, steps, before = [], 0, env.agents
    while env.agents:
        before = env.agents
        obs, rewards, terminations, truncations, infos = env.step(first_legal(obs))
        assert set(obs) == set(rewards) == set(terminations) == set(truncations) == set(infos) == set(before)
        left += [agent for agent in before if agent not in env.agents]
        steps += 1
    assert sorted(left) == env.possible_agents and 10 < steps < 60
    assert all(terminations.values()) and not any(truncations.values())
    assert infos[before[0]]["dead_allies"] == 3 and not infos[before[0]]["won"]
    with pytest.raises(AssertionError, match="call reset"):
        env.step({})


def test_the_time_limit_truncates():
    env = parallel_env("multi_pendulum:2", horizon=3)
    env.reset(seed=0)
    for step in range(3):
        results = env.step({agent: np.zeros(1, np.float32) for agent in env.agents})
        assert results[3] == dict.fromkeys(env.possible_agents, step == 2)
    assert not any(results[2].values()) and env.agents == []


def test_actions_that_are_not_legal():
    env = parallel_env("smax:3m")
    env.reset(seed=0)
    infos = env.step({"agent_0": 6, "agent_1": 1, "agent_2": 1})[-1]  # nobody to attack: it stops
    assert [infos[agent]["illegal_action"] for agent in env.agents] == [True, False, False]
    with pytest.raises(AssertionError, match="agent_2: 9 is not in Discrete"):
        env.step({"agent_0": 1, "agent_1": 1, "agent_2": 9})
    with pytest.raises(AssertionError, match="no action of agent_1"):
        env.step({"agent_0": 1, "agent_2": 1})


def test_an_image():
    env = parallel_env("smax:3m", render_mode="rgb_array")
    env.reset(seed=0)
    image = env.render()
    assert image.dtype == np.uint8 and image.ndim == 3 and parallel_env("smax:3m").render() is None


def test_errors_of_one_line():
    with pytest.raises(ConfigError, match="did you mean 'smax:3m'"):
        parallel_env("smac:3m")
    with pytest.raises(ConfigError, match="render_mode=human"):
        parallel_env("smax:3m", render_mode="human")
    with pytest.raises(ConfigError, match="has no renderer"):
        parallel_env("matrix_game", render_mode="rgb_array")
    with pytest.raises(ConfigError, match="given by its name, e.g. 'smax:2s3z', not None"):
        parallel_env(None)
    env = parallel_env("smax:3m")
    for ask in (env.state, lambda: env.step({"agent_0": 1, "agent_1": 1, "agent_2": 1})):
        with pytest.raises(AssertionError, match=r"no episode has been started: call reset\(\) first"):
            ask()
    with pytest.raises(ConfigError, match="seed must be a whole number or None, not 'a'"):
        env.reset(seed="a")
    env.reset(seed=0)
    with pytest.raises(AssertionError, match="give a dict with an action for each agent"):
        env.step([1, 1, 1])
