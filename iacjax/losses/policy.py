"""Policy losses and the normalisation of advantages."""

import chex
import jax
import jax.numpy as jnp

from iacjax.types import masked_mean


def normalise(x: jax.Array, mask: jax.Array) -> jax.Array:
    """(x - mean) / std over the entries where `mask` is 1; differentiable, and 0 where nothing varies."""
    chex.assert_equal_rank([x, mask])
    mask = jnp.broadcast_to(mask, x.shape)
    centred = x - masked_mean(x, mask)
    # eps under the root: the gradient of std at a constant x would be infinite.
    return centred * jax.lax.rsqrt(masked_mean(centred**2, mask) + 1e-8)


def clipped_policy_loss(log_prob: jax.Array, old_log_prob: jax.Array, advantage: jax.Array, clip: float) -> jax.Array:
    """PPO's clipped loss, unreduced; with `log_prob == old_log_prob` its gradient is the policy gradient (eq. 6)."""
    chex.assert_equal_shape([log_prob, old_log_prob, advantage])
    ratio = jnp.exp(log_prob - old_log_prob)
    return -jnp.minimum(ratio * advantage, jnp.clip(ratio, 1.0 - clip, 1.0 + clip) * advantage)
