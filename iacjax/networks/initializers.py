"""Initialisers of weights that are safe to vmap over seeds."""

import flax.linen as nn
import jax
import jax.numpy as jnp


def orthogonal(scale: float = 1.0) -> nn.initializers.Initializer:
    """flax's orthogonal initialiser, drawn for one seed after the other under vmap.

    jaxlib's batched QR blocks a thread of the pool that it needs; two at once deadlock on a machine of two cores
    (jaxlib 0.10.2).
    """
    draw = nn.initializers.orthogonal(scale)

    def init(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
        return jax.custom_batching.sequential_vmap(lambda key: draw(key, shape, dtype))(key)

    return init
