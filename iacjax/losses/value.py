"""Losses of value predictions, unreduced."""

import chex
import jax
import jax.numpy as jnp


def huber(error: jax.Array, delta: float) -> jax.Array:
    """error^2 / 2 within +-delta, delta (|error| - delta / 2) beyond; delta 0: error^2 / 2 everywhere."""
    chex.assert_type(error, float)
    size = jnp.abs(error)
    linear = delta * (size - 0.5 * delta)
    return jnp.where((delta > 0.0) & (size > delta), linear, 0.5 * error**2)


def clipped_value_loss(
    value: jax.Array, old_value: jax.Array, target: jax.Array, clip: float, delta: float
) -> jax.Array:
    """PPO's: the larger of the losses of `value` and of `value` kept within +-clip of `old_value`; clip 0: plain."""
    chex.assert_equal_shape([value, old_value, target])
    loss = huber(target - value, delta)
    near = old_value + jnp.clip(value - old_value, -clip, clip)
    return jnp.where(clip > 0.0, jnp.maximum(loss, huber(target - near, delta)), loss)
