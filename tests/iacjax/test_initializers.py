"""Orthogonal weights are orthogonal, and the same for a seed whether or not others are drawn beside it."""

import jax
import numpy as np

from iacjax.networks.initializers import orthogonal


def test_columns_are_orthogonal_and_of_the_asked_length():
    """A [6, 4] draw of scale 2 has W^T W = 4 I."""
    weights = orthogonal(2.0)(jax.random.key(0), (6, 4))
    np.testing.assert_allclose(weights.T @ weights, 4.0 * np.eye(4), atol=1e-5)


def test_a_seed_alone_draws_what_it_draws_among_others():
    keys = jax.random.split(jax.random.key(1), 3)
    together = jax.jit(jax.vmap(lambda key: orthogonal()(key, (5, 3))))(keys)
    alone = [orthogonal()(key, (5, 3)) for key in keys]
    np.testing.assert_array_equal(together, np.stack(alone))
