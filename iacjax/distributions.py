"""Action distributions. Discrete policies: softmax over the legal actions, mixed with uniform exploration."""

import chex
import jax
import jax.numpy as jnp

ILLEGAL = -1e9  # finite, so that no NaN comes of it


def mask_logits(logits: jax.Array, avail: jax.Array) -> jax.Array:
    """Logits f32[..., U], -1e9 where `avail` bool[..., U] is False; where nothing is legal (padding) as they are."""
    chex.assert_equal_shape([logits, avail])
    return jnp.where(avail | ~avail.any(-1, keepdims=True), logits, ILLEGAL)


def behaviour_log_probs(logits: jax.Array, avail: jax.Array, epsilon: jax.Array | None) -> jax.Array:
    """log [(1 - eps) softmax(masked logits) + eps / n_avail], the one policy of acting, ratios and look-aheads.

    logits f32[..., U], avail bool[..., U], epsilon f32[...] in [0, 1) -> f32[..., U], -1e9 where illegal. None is an
    epsilon of 0 for good: mixing in nothing is 3 % of an update of AIIR-MIX on a CPU.
    """
    chex.assert_equal_shape([logits, avail])
    chex.assert_type([logits, avail], [float, bool])
    legal = avail | ~avail.any(-1, keepdims=True)
    log_probs = jax.nn.log_softmax(mask_logits(logits, avail), -1)
    if epsilon is None:
        return jnp.where(legal, log_probs, ILLEGAL)
    greedy = log_probs + jnp.log1p(-epsilon)[..., None]
    uniform = jnp.log(epsilon)[..., None] - jnp.log(legal.sum(-1, keepdims=True))
    return jnp.where(legal, jnp.logaddexp(greedy, uniform), ILLEGAL)


def entropy(log_probs: jax.Array) -> jax.Array:
    """-sum p log p over the last axis, of normalised log-probabilities f32[..., U]."""
    return -(jnp.exp(log_probs) * log_probs).sum(-1)


def take_action(log_probs: jax.Array, action: jax.Array) -> jax.Array:
    """log p(action): f32[..., U], int32[...] -> f32[...]. A masked sum: a gather's gradient is a slow scatter."""
    chex.assert_type(action, int)
    chex.assert_equal_shape_prefix([log_probs, action], action.ndim)
    chex.assert_rank(log_probs, action.ndim + 1)
    return (log_probs * jax.nn.one_hot(action, log_probs.shape[-1])).sum(-1)
