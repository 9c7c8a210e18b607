"""lambda-returns: literal numbers, the forward view as a slow oracle, and what a time limit does."""

from types import SimpleNamespace

import jax.numpy as jnp
import numpy as np
import pytest

from envs.base import TimeStep
from iacjax.algorithms.common.returns import batch_returns
from iacjax.losses.returns import lambda_returns

R, V = jnp.array([1.0, 2.0, 3.0]), jnp.array([10.0, 20.0, 30.0])  # v of the successors


def returns(terminated=(0, 0, 0), truncated=(0, 0, 0), td_lambda=0.5):
    terminated, truncated = np.array(terminated, bool), np.array(truncated, bool)
    discount = jnp.asarray(0.9 * (1.0 - terminated), jnp.float32)
    return lambda_returns(R, discount, jnp.asarray(terminated | truncated), V, td_lambda)


def test_without_an_ending():
    # G2 = 3 + .9*30 = 30; G1 = 2 + .9(.5*20 + .5*30) = 24.5; G0 = 1 + .9(.5*10 + .5*24.5) = 16.525
    np.testing.assert_allclose(returns(), [16.525, 24.5, 30.0], rtol=1e-6)


def test_truncated_bootstraps_and_cuts():
    # G1 = 2 + .9*20 = 20, whatever follows; G0 = 1 + .9(.5*10 + .5*20) = 14.5
    np.testing.assert_allclose(returns(truncated=(0, 1, 0)), [14.5, 20.0, 30.0], rtol=1e-6)


def test_terminated_ends():
    # G1 = 2; G0 = 1 + .9(.5*10 + .5*2) = 6.4
    np.testing.assert_allclose(returns(terminated=(0, 1, 0)), [6.4, 2.0, 30.0], rtol=1e-6)


def test_lambda_zero_and_one():
    # lambda 0: r + .9 v = 10, 20, 30. lambda 1: 30; 2 + .9*30 = 29; 1 + .9*29 = 27.1
    np.testing.assert_allclose(returns(td_lambda=0.0), [10.0, 20.0, 30.0], rtol=1e-6)
    np.testing.assert_allclose(returns(td_lambda=1.0), [27.1, 29.0, 30.0], rtol=1e-6)


def forward_view(r, discount, boundary, v, lam):
    """(1 - l) sum_n l^(n-1) G^(n), the rest of the weight on the last n before the ending, for one environment."""
    num_steps, out = len(r), np.zeros(len(r))
    for t in range(num_steps):
        rewards, factor, weight = 0.0, 1.0, 1.0
        for k in range(t, num_steps):
            rewards += factor * r[k]
            factor *= discount[k]
            if boundary[k] or k == num_steps - 1:
                out[t] += weight * (rewards + factor * v[k])
                break
            out[t] += weight * (1 - lam) * (rewards + factor * v[k])
            weight *= lam
    return out


@pytest.mark.parametrize("lam", [0.0, 0.3, 0.9, 1.0])
def test_forward_view_on_random_batches(lam):
    rng = np.random.default_rng(3)
    num_steps, lanes, agents = 12, 5, 3
    r, v = rng.normal(size=(2, num_steps, lanes, agents))
    terminated, truncated = rng.random((2, num_steps, lanes)) < 0.15
    boundary, discount = terminated | truncated, 0.95 * (1.0 - terminated)
    each = [np.repeat(x[..., None], agents, -1) for x in (discount, boundary)]
    per_agent = lambda_returns(*map(jnp.asarray, (r, *each, v)), td_lambda=lam)
    team = lambda_returns(*(jnp.asarray(x) for x in (r[..., 0], discount, boundary, v[..., 0])), td_lambda=lam)
    for b in range(lanes):
        for a in range(agents):
            expected = forward_view(r[:, b, a], discount[:, b], boundary[:, b], v[:, b, a], lam)
            np.testing.assert_allclose(per_agent[:, b, a], expected, rtol=2e-5, atol=1e-5)
    np.testing.assert_allclose(team, per_agent[..., 0], rtol=1e-6)


def test_linear_in_the_rewards():
    # doubling r adds what r alone gives (v = 0): 1 + .45(2 + .45*3), 2 + .45*3, 3 = 2.5075, 3.35, 3
    discount, boundary = jnp.full(3, 0.9), jnp.zeros(3, bool)
    once, twice = (lambda_returns(k * R, discount, boundary, V, 0.5) for k in (1, 2))
    np.testing.assert_allclose(twice - once, [2.5075, 3.35, 3.0], rtol=1e-5)


@pytest.mark.parametrize("limit", ["truncate", "terminate"])
def test_time_limit(limit):
    """Environment 0 is truncated after the first of two steps, environment 1 terminated."""
    config = SimpleNamespace(time_limit=limit, gamma=0.9, td_lambda=0.5)
    ending = jnp.array([[True, False], [False, False]])
    r, v = jnp.array([[1.0, 2.0], [3.0, 4.0]]), jnp.array([[10.0, 20.0], [30.0, 40.0]])
    successor = TimeStep(None, None, None, None, r, terminated=ending[:, ::-1], truncated=ending, info={})
    batch = SimpleNamespace(next=successor)
    # bootstrapped 1 + .9*10 = 10, or not: 1; terminated: 2; the last rows 3 + .9*30 = 30 and 4 + .9*40 = 40
    expected = np.array([[10.0 if limit == "truncate" else 1.0, 2.0], [30.0, 40.0]])
    np.testing.assert_allclose(batch_returns(config, batch, r, v), expected, rtol=1e-6)
    agents = batch_returns(config, batch, jnp.stack([r, 2 * r], -1), jnp.stack([v, 2 * v], -1))
    np.testing.assert_allclose(agents, np.stack([expected, 2 * expected], -1), rtol=1e-6)
    team = batch_returns(config, batch, r, jnp.stack([v, v], -1))  # the team's reward is each agent's
    np.testing.assert_allclose(team, np.stack([expected, expected], -1), rtol=1e-6)


@pytest.mark.parametrize("which", range(4))
def test_shapes_that_would_broadcast_are_refused(which):
    """A reward [T, B] against values [T, B, A] would be read as [T, A] where B = A, or as a constant where one is 1."""
    arrays = [jnp.ones((3, 2, 2)), jnp.ones((3, 2, 2)), jnp.zeros((3, 2, 2), bool), jnp.ones((3, 2, 2))]
    assert lambda_returns(*arrays, 0.5).shape == (3, 2, 2)
    for smaller in (arrays[which][..., 0], arrays[which][..., :1]):
        with pytest.raises(AssertionError):
            lambda_returns(*arrays[:which], smaller, *arrays[which + 1 :], 0.5)
