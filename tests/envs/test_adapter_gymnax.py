"""gymnax's environments as ours: the contract, and step by step what gymnax itself does."""

import gymnax
import jax
import numpy as np
import pytest

from envs.adapters.names import GYMNAX
from envs.base import ConfigError
from envs.check import check_env
from envs.registry import make_env
from tests.helpers.by_hand import Original, agree


def hand(name, **fields):
    """`reset` and `step` of the original, which resets by itself: its `final_observation` is the true successor."""
    theirs, params = gymnax.make(name)
    params = params.replace(**fields)

    def reset(key):
        obs, inner = theirs.reset(key, params)
        return Original(inner, [obs])

    step_env = jax.jit(theirs.step_env)

    def step(key, original, action):
        obs, inner, reward, terminated, _ = step_env(key, original.inner, action[0], params)
        truncated = bool(theirs.is_truncated(inner, params)) and not terminated
        return Original(inner, [obs], float(reward), bool(terminated), truncated)

    return reset, step


def alone(original, ts, e):
    assert ts.alive.all() and ts.avail.all()


@pytest.mark.parametrize(
    "name, fields, terminated, truncated",
    [
        ("CartPole-v1", {"max_steps_in_episode": 15}, 1, 1),  # both ends: random play falls after about 20 steps
        ("Pendulum-v1", {"max_steps_in_episode": 12}, 0, 6),  # 37 time steps of 2 environments: 12, 24, 36 are ends
        ("MountainCarContinuous-v0", {"max_steps_in_episode": 12}, 0, 6),
    ],
)
def test_steps_as_gymnax_does(name, fields, terminated, truncated):
    counts = agree(make_env(f"gymnax:{name}", **fields), *hand(name, **fields), alone, steps=37)
    assert counts.terminated >= terminated
    assert counts.truncated == truncated if terminated == 0 else counts.truncated >= truncated


def test_the_successor_at_a_boundary_is_gymnax_s_final_observation():
    theirs, params = gymnax.make("Pendulum-v1")
    params = params.replace(max_steps_in_episode=1)
    env = make_env("gymnax:Pendulum-v1", max_steps_in_episode=1)
    state, _ = env.reset(jax.random.key(0), 2)
    action = np.full((2, 1, 1), 1.5, np.float32)
    _, ts = env.step(jax.random.key(1), state, action)
    key = jax.random.split(jax.random.key(1), 2)[0]
    inner = jax.tree.map(lambda x: x[0], state.inner)
    *_, truncated, info = theirs.step(key, inner, action[0, 0], params)
    assert bool(truncated) and bool(ts.truncated[0])
    np.testing.assert_allclose(ts.obs[0, 0], info["final_observation"], rtol=1e-6)


@pytest.mark.parametrize("name", ["CartPole-v1", "Pendulum-v1"])
def test_keeps_the_contract(name):
    check_env(make_env(f"gymnax:{name}", max_steps_in_episode=12))


@pytest.mark.slow
@pytest.mark.parametrize("name", GYMNAX)
def test_all_of_them_keep_the_contract(name):
    check_env(make_env(f"gymnax:{name}"), steps=40)


def test_spaces():
    spec = make_env("gymnax:Pendulum-v1").spec
    assert (spec.num_agents, spec.obs_dim, spec.horizon, spec.state_is_obs) == (1, 3, 200, True)
    assert (spec.action.dim, spec.action.low, spec.action.high) == (1, -2.0, 2.0)
    assert make_env("gymnax:Acrobot-v1").spec.action.num_actions == 3


@pytest.mark.parametrize(
    "name, options, text",
    [
        ("gymnax:CartPole-v0", {}, "did you mean 'gymnax:CartPole-v1'"),
        ("gymnax:CartPole-v1", {"colour": 1}, "does not take these options: colour"),
        ("gymnax:CartPole-v1", {"max_steps_in_episode": 0}, "max_steps_in_episode is 0, give at least 1"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(name, options, text):
    with pytest.raises(ConfigError, match=text) as error:
        make_env(name, **options)
    assert "\n" not in str(error.value)


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "gymnax.registration", None)
    with pytest.raises(ConfigError, match="install it with pip install 'gymnax'"):
        make_env("gymnax:CartPole-v1")
