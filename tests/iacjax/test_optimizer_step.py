"""Optimisers against their formulas, step by step."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from iacjax.algorithms.common.optimizer_step import make_optimizer

GRADS = [np.array([0.5, -2.0, 1e-6]), np.array([0.1, 1.0, 1e-6]), np.array([-0.3, 0.0, 1e-6])]


def run(name, grads, max_norm=1e9):
    rule = make_optimizer(name, 0.01, max_norm)
    params = jnp.zeros(3)
    state = rule.init(params)
    for grad in grads:
        updates, state = rule.update(jnp.asarray(grad, jnp.float32), state, params)
        params = optax.apply_updates(params, updates)
    return params


def test_rmsprop_is_pytorchs():
    """square = .99 square + .01 g^2; p -= lr g / (sqrt(square) + eps), torch.optim.RMSprop(alpha=.99, eps=1e-5)."""
    square, params = np.zeros(3), np.zeros(3)
    for grad in GRADS:
        square = 0.99 * square + 0.01 * grad**2
        params -= 0.01 * grad / (np.sqrt(square) + 1e-5)
    np.testing.assert_allclose(run("rmsprop", GRADS), params, rtol=1e-5)


def test_rmsprop_eps_is_outside_the_root():
    # g = 1e-6: sqrt(.01 * 1e-12) = 1e-7; outside .01 * 1e-6 / (1e-7 + 1e-5) = 9.901e-4, inside it would be 3.2e-6
    np.testing.assert_allclose(run("rmsprop", GRADS[:1])[2], -9.90099e-4, rtol=1e-4)


def test_adam():
    first, second, params = np.zeros(3), np.zeros(3), np.zeros(3)
    for t, grad in enumerate(GRADS, start=1):
        first, second = 0.9 * first + 0.1 * grad, 0.999 * second + 0.001 * grad**2
        params -= 0.01 * (first / (1 - 0.9**t)) / (np.sqrt(second / (1 - 0.999**t)) + 1e-5)
    np.testing.assert_allclose(run("adam", GRADS), params, rtol=1e-4)


def test_radam():
    """Liu et al. 2020, algorithm 2: without the second moment while rho = rho_inf - 2 t b^t / (1 - b^t) is below 5."""
    first, second, params, rectified = np.zeros(3), np.zeros(3), np.zeros(3), 0
    grads, longest = 3 * GRADS, 2 / 0.001 - 1
    for t, grad in enumerate(grads, start=1):
        first, second = 0.9 * first + 0.1 * grad, 0.999 * second + 0.001 * grad**2
        rho, step = longest - 2 * t * 0.999**t / (1 - 0.999**t), first / (1 - 0.9**t)
        if rho >= 5:
            rectified += 1
            r = (rho - 4) * (rho - 2) * longest / ((longest - 4) * (longest - 2) * rho)
            step = np.sqrt(r) * step / (np.sqrt(second / (1 - 0.999**t)) + 1e-8)
        params -= 0.01 * step
    assert 0 < rectified < len(grads)
    np.testing.assert_allclose(run("radam", grads), params, rtol=1e-3, atol=2e-5)  # rho is a small difference


@pytest.mark.parametrize("name", ["adam", "rmsprop", "radam"])
def test_clip_and_zero_gradients(name):
    # |(3, 4, 0)| = 5, clipped to 1: (.6, .8, 0)
    np.testing.assert_allclose(
        run(name, [np.array([3.0, 4.0, 0.0])], max_norm=1.0), run(name, [np.array([0.6, 0.8, 0.0])]), rtol=1e-5
    )
    assert run(name, [np.zeros(3)], max_norm=1.0).tolist() == [0.0, 0.0, 0.0]
    assert jax.tree.all(jax.tree.map(lambda x: bool(jnp.isfinite(x).all()), run(name, [np.zeros(3)])))
