"""The running normaliser of value targets, by literal numbers."""

import jax
import jax.numpy as jnp
import numpy as np

from iacjax.losses.policy import clipped_policy_loss, normalise
from iacjax.losses.value_norm import RunningNorm, denormalised, from_raw_moments, init_norm, normalised, update_norm


def test_fresh_is_the_identity():
    x = jnp.array([-3.0, 0.0, 7.0])
    np.testing.assert_array_equal(normalised(init_norm(), x), x)
    np.testing.assert_array_equal(denormalised(init_norm(), x), x)


def test_one_batch_is_debiased():
    # unmasked 1 and 5: mean 3, mean square 13, variance 13 - 9 = 4: (7 - 3) / 2 = 2
    norm = update_norm(init_norm(), jnp.array([1.0, 5.0, 100.0]), jnp.array([1.0, 1.0, 0.0]))
    np.testing.assert_allclose(normalised(norm, jnp.array(7.0)), 2.0, rtol=1e-5)
    np.testing.assert_allclose(denormalised(norm, jnp.array(2.0)), 7.0, rtol=1e-5)


def test_two_batches():
    # batches of mean 0, square 1 and mean 4, square 20, weights .1*.9 = .09 and .1 of .19:
    # mean = .4/.19 = 2.105263, square = (.09 + 2)/.19 = 11, variance = 11 - 4.432133 = 6.567867, std = 2.562785
    norm = update_norm(init_norm(), jnp.array([-1.0, 1.0]), jnp.ones(2))
    norm = update_norm(norm, jnp.array([2.0, 6.0]), jnp.ones(2))
    np.testing.assert_allclose(denormalised(norm, jnp.array([0.0, 1.0])), [2.105263, 4.668048], rtol=1e-5)
    x = jnp.array([-2.0, 0.5, 9.0])
    np.testing.assert_allclose(denormalised(norm, normalised(norm, x)), x, rtol=1e-5, atol=1e-6)


def test_targets_far_from_zero():
    """Mean 1e4 and standard deviation 1: E[x^2] - E[x]^2 in float32 would give 0.25 or nothing."""
    x = 1e4 + np.random.default_rng(0).normal(size=(20, 2000))
    norm = init_norm()
    for batch in x:
        norm = update_norm(norm, jnp.asarray(batch, jnp.float32), jnp.ones(2000))
    low, high = np.asarray(denormalised(norm, jnp.array([0.0, 1.0])))
    weight = 0.1 * 0.9 ** np.arange(19, -1, -1) / (1 - 0.9**20)
    mean = weight @ x.mean(1)
    std = np.sqrt(weight @ ((x - mean) ** 2).mean(1))
    np.testing.assert_allclose(low, mean, atol=0.01)
    np.testing.assert_allclose(high - low, std, atol=0.005)


def test_a_batch_without_targets_changes_nothing():
    norm = update_norm(init_norm(), jnp.array([1.0, 5.0]), jnp.ones(2))
    same = update_norm(norm, jnp.array([100.0, 200.0]), jnp.zeros(2))
    np.testing.assert_array_equal(np.asarray(same), np.asarray(norm))
    fresh = update_norm(init_norm(), jnp.array([100.0, 200.0]), jnp.zeros(2))
    np.testing.assert_array_equal(np.asarray(fresh), np.zeros(3))


def test_a_normaliser_of_raw_moments_goes_on_as_it_is():
    # weight .19, mean .4/.19 = 2.105263, mean square 2.09/.19 = 11: variance 6.567867
    old = RunningNorm(jnp.float32(0.4), jnp.float32(2.09), jnp.float32(0.19))
    np.testing.assert_allclose(
        denormalised(from_raw_moments(old), jnp.array([0.0, 1.0])), [2.105263, 4.668048], rtol=1e-5
    )
    np.testing.assert_array_equal(np.asarray(from_raw_moments(init_norm())), np.zeros(3))


def test_constant_targets_stay_finite():
    # variance 0 is taken as 1e-4: std 0.01
    norm = update_norm(init_norm(), jnp.full(3, 2.0), jnp.ones(3))
    np.testing.assert_allclose(normalised(norm, jnp.array(2.5)), 50.0, rtol=1e-3)


def test_advantages():
    # unmasked 1, 3: mean 2, std 1; the masked entry is moved by the same numbers: 10 - 2 = 8
    x, mask = jnp.array([1.0, 3.0, 10.0]), jnp.array([1.0, 1.0, 0.0])
    np.testing.assert_allclose(normalise(x, mask), [-1.0, 1.0, 8.0], rtol=1e-6)
    grad = jax.grad(lambda x: (normalise(x, mask) * jnp.arange(3.0) * mask).sum())
    assert jnp.isfinite(grad(jnp.full(3, 5.0))).all()  # where nothing varies
    np.testing.assert_array_equal(normalise(jnp.full(3, 5.0), mask), jnp.zeros(3))


def test_clipped_policy_loss():
    # ratios 1.5 and .5 at clip .2. A = 2: -min(3, 2.4) = -2.4, -min(1, 1.6) = -1
    # A = -2: -min(-3, -2.4) = 3, -min(-1, -1.6) = 1.6
    log_prob = jnp.log(jnp.array([1.5, 0.5, 1.5, 0.5]))
    loss = clipped_policy_loss(log_prob, jnp.zeros(4), jnp.array([2.0, 2.0, -2.0, -2.0]), 0.2)
    np.testing.assert_allclose(loss, [-2.4, -1.0, 3.0, 1.6], rtol=1e-6)
    grad = jax.grad(lambda lp: clipped_policy_loss(lp, jnp.zeros(2), jnp.array([2.0, -3.0]), 0.2).sum())
    np.testing.assert_allclose(grad(jnp.zeros(2)), [-2.0, 3.0])  # on policy: -A grad log pi
