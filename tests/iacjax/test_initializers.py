"""Orthogonal weights are orthogonal, and the same for a seed whether or not others are drawn beside it."""

import jax
import numpy as np

from iacjax.networks.initializers import orthogonal, orthogonal_blocks


def test_columns_are_orthogonal_and_of_the_asked_length():
    """A [6, 4] draw of scale 2 has W^T W = 4 I."""
    weights = orthogonal(2.0)(jax.random.key(0), (6, 4))
    np.testing.assert_allclose(weights.T @ weights, 4.0 * np.eye(4), atol=1e-5)


def test_blocks_are_orthogonal_each():
    """Three blocks of [4, 4] with W^T W = I, no two alike; the rows of one orthogonal [4, 12] would have length 1."""
    weights = np.asarray(orthogonal_blocks(3)(jax.random.key(0), (4, 12)))
    blocks = np.split(weights, 3, axis=1)
    for block in blocks:
        np.testing.assert_allclose(block.T @ block, np.eye(4), atol=1e-5)
    np.testing.assert_allclose((weights**2).sum(1), np.full(4, 3.0), rtol=1e-5)
    assert not np.allclose(blocks[0], blocks[1]) and not np.allclose(blocks[1], blocks[2])


def test_a_seed_alone_draws_what_it_draws_among_others():
    keys = jax.random.split(jax.random.key(1), 3)
    together = jax.jit(jax.vmap(lambda key: orthogonal()(key, (5, 3))))(keys)
    alone = [orthogonal()(key, (5, 3)) for key in keys]
    np.testing.assert_array_equal(together, np.stack(alone))
