"""The running normaliser of value targets, by literal numbers."""

import jax
import jax.numpy as jnp
import numpy as np

from iacjax.losses.normaliser import denormalised, init_norm, normalised, update_norm
from iacjax.losses.policy import clipped_policy_loss, normalise


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
