"""Initialisers of weights that are safe to vmap over seeds."""

import flax.linen as nn
import jax
import jax.numpy as jnp


def orthogonal(scale: float = 1.0) -> nn.initializers.Initializer:
    """flax's orthogonal initialiser, drawn seed after seed under vmap.

    jaxlib's batched QR waits for the pool of threads that it runs on; two of them at once, on a machine of two cores,
    wait for ever (jaxlib 0.10.2).
    """
    draw = nn.initializers.orthogonal(scale)

    def init(key: jax.Array, shape: tuple[int, ...], dtype=jnp.float32) -> jax.Array:
        return jax.custom_batching.sequential_vmap(lambda key: draw(key, shape, dtype))(key)

    return init
