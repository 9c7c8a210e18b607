"""Exploration with discrete actions: an epsilon that falls linearly, and epsilon-greedy choices."""

from typing import Protocol

import chex
import jax
import jax.numpy as jnp

from iacjax.distributions import mask_logits
from iacjax.types import Clock


class EpsilonConfig(Protocol):
    """The fields of a configuration that `epsilon_at` reads."""

    epsilon_start: float
    epsilon_end: float
    epsilon_steps: int


def epsilon_at(config: EpsilonConfig, clock: Clock) -> jax.Array:
    """f32[]: linear from `epsilon_start` to `epsilon_end` over `epsilon_steps` env steps."""
    progress = jnp.clip(clock.env_steps / config.epsilon_steps, 0.0, 1.0)
    return jnp.float32(config.epsilon_start + progress * (config.epsilon_end - config.epsilon_start))


def may_explore(config: EpsilonConfig) -> bool:
    """Whether epsilon is ever above 0. A float that is traced, as in a sweep's program, may be."""
    return not all(isinstance(x, int | float) and x == 0 for x in (config.epsilon_start, config.epsilon_end))


def greedy_actions(q: jax.Array, avail: jax.Array) -> jax.Array:
    """Every agent's best legal action, int32[..., A], of values f32[..., A, U]; where none is legal, its best."""
    chex.assert_equal_shape([q, avail])
    return mask_logits(q, avail).argmax(-1).astype(jnp.int32)


def epsilon_greedy(greedy: jax.Array, avail: jax.Array, epsilon: jax.Array, key: jax.Array) -> jax.Array:
    """Every agent's greedy action, or with probability `epsilon` a legal one drawn uniformly.

    Args:
      greedy: int32[..., A]; avail: bool[..., A, U]; epsilon: f32[].

    Returns:
      int32[..., A].
    """
    k_where, k_what = jax.random.split(key)
    where = jax.random.bernoulli(k_where, epsilon, greedy.shape)
    legal = mask_logits(jnp.zeros(avail.shape), avail)
    return jnp.where(where, jax.random.categorical(k_what, legal).astype(jnp.int32), greedy)
