"""The continuous probes against numbers worked out by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.check import check_env
from envs.registry import make_env
from envs.toy.continuous_probes import CONTINUOUS_PROBES, CONTINUOUS_TOYS

KEY = jax.random.key(0)


def play(name, *actions, num_envs=1):
    """Rows [T + 1, E, ...] of one episode per environment, with the same actions of two agents at every step."""
    env = CONTINUOUS_TOYS[name]()
    action = jnp.tile(jnp.array(actions, jnp.float32)[:, None], (num_envs, 1, 1))
    state, opened = env.reset(KEY, num_envs)
    rows = [opened]
    for _ in range(env.spec.horizon):
        state, timestep = env.step(KEY, state, action)
        rows.append(timestep)
    return jax.tree.map(lambda *x: np.stack(x), *rows)


@pytest.mark.parametrize("name", CONTINUOUS_TOYS)
def test_every_one_keeps_the_contract(name):
    env = CONTINUOUS_TOYS[name]()
    assert env.spec == make_env(f"toy:{name}").spec and env.spec.name == f"toy:{name}"
    assert (env.spec.action.num_actions, env.spec.action.dim, env.spec.num_agents) == (0, 1, 2)
    check_env(env)


def test_every_one_is_a_probe():
    assert set(CONTINUOUS_PROBES) == set(CONTINUOUS_TOYS)


def test_the_best_action_is_a_half():
    # at (0.5, 0.5): 1; (0, 0): 1 - 0.25; (1, 0.5): 1 - (0.25 + 0) / 2; (-1, 0.5): 1 - 2.25 / 2; (9, 0.5): as (1, 0.5)
    pairs = [(0.5, 0.5), (0.0, 0.0), (1.0, 0.5), (-1.0, 0.5), (9.0, 0.5)]
    paid = [float(play("action_continuous", *pair).reward[1, 0]) for pair in pairs]
    assert paid == [1.0, 0.75, 0.875, -0.125, 0.875]


def test_coordination_pays_the_product():
    pairs = [(1.0, 1.0), (-1.0, -1.0), (1.0, -1.0), (0.5, -0.5), (3.0, 1.0)]
    assert [float(play("coordination_continuous", *pair).reward[1, 0]) for pair in pairs] == [1, 1, -1, -0.25, 1]


@pytest.mark.parametrize("name", CONTINUOUS_PROBES)
def test_the_best_policy_reaches_the_best_return_and_value(name):
    """Discounted sums of what the best policy is paid, from every row it acts on, against the probe's value."""
    best = (1.0, 1.0) if name == "coordination_continuous" else (0.5, 0.5)
    gamma, num_envs = 0.9, 256
    rows = play(name, *best, num_envs=num_envs)
    boundary = rows.terminated | rows.truncated
    value = np.where(rows.truncated[-1], 1 / (1 - gamma), 0.0)  # reward 1 for ever where the limit cuts
    for t in reversed(range(len(boundary) - 1)):
        value = rows.reward[t + 1] + gamma * value
        known = np.asarray(CONTINUOUS_PROBES[name].value(gamma, jnp.asarray(rows.obs[t])))
        np.testing.assert_allclose(value[~boundary[t]], known[~boundary[t]], rtol=1e-5)
    returns = rows.reward.sum(0)
    # `variable` has a standard deviation of sqrt(2), `observation` of 1: 5 standard errors of 256 environments
    assert abs(returns.mean() - CONTINUOUS_PROBES[name].best_return) < 5 * 1.5 / 16
