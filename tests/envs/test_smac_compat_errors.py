"""SMAC's class played by our engine: what it refuses, and in which words."""

import numpy as np
import pytest

from envs.errors import ConfigError
from envs.registry import make_env
from envs.smac_compat import StarCraft2Env, VectorStarCraft2Env


def test_actions_that_are_not_legal():
    marines = StarCraft2Env(map_name="3m", seed=1)
    marines.reset()
    for actions, message in (
        ([1, 0, 1], "Agent 1 cannot perform action 0"),
        ([1, 1, 6], "Agent 2 cannot perform action 6"),
        ([-1, 1, 1], "Agent 0 cannot perform action -1"),
        ([1, 1], "2 actions were given for 3 agents"),
        (1, "give a list of 3 action ids, not 1"),
        ([1, 1.5, 1], "Agent 1 cannot perform action 1.5: an action is one whole number"),
        ([1, 1, "up"], "Agent 2 cannot perform action 'up'"),
        (np.eye(9)[[1, 1, 1]], "Agent 0 cannot perform action array"),  # one-hot
    ):
        with pytest.raises(AssertionError, match=message):
            marines.step(actions)
    marines.step(np.array([[1], [1], [1]]))  # one number each is enough


@pytest.mark.parametrize(
    "ask",
    [
        lambda env: env.step([1, 1, 1]),
        lambda env: env.get_obs(),
        lambda env: env.get_obs_agent(0),
        lambda env: env.get_state(),
        lambda env: env.get_avail_actions(),
        lambda env: env.get_avail_agent_actions(0),
        lambda env: env.agents,
        lambda env: env.render(),
    ],
)
def test_before_the_first_reset(ask):
    with pytest.raises(AssertionError, match=r"no battle has been started: call reset\(\) first"):
        ask(StarCraft2Env(map_name="3m"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"map_name": "3n"}, "did you mean 'smax:3m'"),
        ({"step_mul": 4}, "a step is 8 game loops"),
        ({"heuristic_ai": True}, "give their actions"),
        ({"seed": "x"}, "seed must be a whole number"),
        ({"replay_dir": 3}, "replay_dir must be text"),
        ({"obs_agent_id": True}, "does not take these options: obs_agent_id"),
        ({"map_name": None}, "map_name must be text, not None"),
        ({"heuristic_ai": "no"}, "heuristic_ai must be True or False"),
        ({"rules": {"scan_margin": 1.0}}, "give smac, smac_v0, smaclite"),
    ],
)
def test_arguments_that_cannot_be_honoured(arguments, message):
    with pytest.raises(ConfigError, match=message):
        StarCraft2Env(**{"map_name": "3m"} | arguments)


@pytest.mark.parametrize(
    "options",
    [
        {"obs_own_health": False},
        {"obs_instead_of_state": True, "state_last_action": False},
        {"obs_instead_of_state": True, "state_timestep_number": True},
        {"open_loop": True, "obs_last_action": True},
        {"move_amount": 1.5, "obs_pathing_grid": True},
        {"reward": "sparse", "reward_win": 200},
        {"reward": "semisparse", "reward_only_positive": True},
        {"reward_scale_rate": 0},
    ],
)
@pytest.mark.parametrize("build", [StarCraft2Env, lambda **options: VectorStarCraft2Env(2, **options)])
def test_options_that_contradict_each_other_are_those_of_smax(build, options):
    with pytest.raises(ConfigError) as ours:
        build(map_name="3m", **options)
    with pytest.raises(ConfigError) as engines:
        make_env("smax:3m", **options)
    assert str(ours.value) == str(engines.value)


def test_errors_of_many():
    env = VectorStarCraft2Env(2, map_name="3m", auto_reset=False)
    with pytest.raises(AssertionError, match="call reset"):
        env.step(np.ones((2, 3), int))
    env.reset()
    with pytest.raises(AssertionError, match=r"Agent 2 cannot perform action 6 \(battle 1\)"):
        env.step([[1, 1, 1], [1, 1, 6]])
    with pytest.raises(AssertionError, match=r"have the shape \(2,\)"):
        env.step([1, 1])
    with pytest.raises(AssertionError, match=r"Agent 0 cannot perform action 1.5 \(battle 0\)"):
        env.step(np.full((2, 3), 1.5))
    with pytest.raises(AssertionError, match="must be whole numbers"):
        env.step([["stop"] * 3] * 2)
    for count in (0, "3m", 1.5):
        with pytest.raises(ConfigError, match=f"num_envs={count!r}"):
            VectorStarCraft2Env(count)
