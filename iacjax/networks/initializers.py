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


def orthogonal_blocks(count: int) -> nn.initializers.Initializer:
    """`count` orthogonal matrices f32[N, M] side by side in f32[N, count M], as flax's GRUCell draws its gates.

    One orthogonal matrix of that shape, as PyTorch's `orthogonal_` makes of a GRU's weights, has smaller entries: by
    the root of `count` where the blocks are square.
    """
    draw = orthogonal()

    def init(key: jax.Array, shape: tuple[int, int], dtype=jnp.float32) -> jax.Array:
        block = (shape[0], shape[1] // count)
        return jnp.concatenate([draw(k, block, dtype) for k in jax.random.split(key, count)], axis=1)

    return init
