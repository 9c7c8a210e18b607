"""Gaussian policies: densities and entropies by literal numbers, scipy, and as integrals."""

import jax
import jax.numpy as jnp
import numpy as np
from scipy import stats

from iacjax.gaussian import Gaussian

RNG = np.random.default_rng(0)
MEAN, LOG_STD, X = (jnp.asarray(RNG.normal(size=(5, 3, 2)), jnp.float32) for _ in range(3))
MASK = jnp.array([[True, True], [True, True], [True, False]])  # agent 2 has one dimension
POLICY = Gaussian(MEAN, LOG_STD)


def test_literal():
    # N(1, 2) at 3: -1/2 - log 2 - log sqrt(2 pi) = -0.5 - 0.6931472 - 0.9189385; entropy log 2 + 1.4189385
    policy, mask = Gaussian(jnp.array([[1.0]]), jnp.log(jnp.array([[2.0]]))), jnp.ones((1, 1), bool)
    np.testing.assert_allclose(policy.log_prob(jnp.array([[3.0]]), mask), [-2.1120857], rtol=1e-6)
    np.testing.assert_allclose(policy.entropy(mask), [2.1120857], rtol=1e-6)
    # tanh at 0: slope 1, so -1/8 - log 2 - 0.9189385 = -1.7370857; at 1: slope 1 - 0.7615942^2 = 0.4199743
    np.testing.assert_allclose(policy.squashed_log_prob(jnp.array([[0.0]]), mask), [-1.7370857], rtol=1e-6)
    np.testing.assert_allclose(policy.squashed_log_prob(jnp.array([[1.0]]), mask), [-1.6120857 + 0.8675617], rtol=1e-6)


def test_against_scipy_over_real_dimensions():
    each = stats.norm.logpdf(X, MEAN, np.exp(LOG_STD)) * np.asarray(MASK)
    np.testing.assert_allclose(POLICY.log_prob(X, MASK), each.sum(-1), rtol=1e-5, atol=1e-5)
    slope = np.log(1.0 - np.tanh(np.asarray(X, np.float64)) ** 2) * np.asarray(MASK)
    np.testing.assert_allclose(POLICY.squashed_log_prob(X, MASK), (each - slope).sum(-1), rtol=1e-4, atol=1e-4)
    each = stats.norm.entropy(MEAN, np.exp(LOG_STD)) * np.asarray(MASK)
    np.testing.assert_allclose(POLICY.entropy(MASK), each.sum(-1), rtol=1e-5)


def test_the_squashed_density_integrates_to_one_and_its_entropy_is_the_estimates_mean():
    mask, action = jnp.ones((1, 1), bool), np.linspace(-1, 1, 200_001)[1:-1]
    policy = Gaussian(jnp.full((1, 1), 0.4), jnp.full((1, 1), -0.3))
    wide = jax.tree.map(lambda x: jnp.broadcast_to(x, (len(action), 1, 1)), policy)
    log_p = np.asarray(wide.squashed_log_prob(jnp.arctanh(jnp.asarray(action, jnp.float32))[:, None, None], mask))[:, 0]
    width = action[1] - action[0]
    np.testing.assert_allclose((np.exp(log_p) * width).sum(), 1.0, atol=1e-4)
    exact = -(np.exp(log_p) * log_p * width).sum()
    noise = jax.random.normal(jax.random.key(0), (len(action), 1, 1))
    estimates = np.asarray(wide.squashed_entropy(noise, mask))
    np.testing.assert_allclose(estimates.mean(), exact, atol=4 * estimates.std() / len(action) ** 0.5)
