"""A running mean and scale of value targets (ValueNorm of MAPPO, Yu et al. 2022, section 5.1).

Differences from MAPPO's code (`onpolicy/utils/valuenorm.py`). Its moments move by 1 - 0.99999 at every gradient step,
debiased, which makes them nearly the average over the whole run. The default here is 1 - 0.9 per batch, so that they
follow returns that change with learned rewards (`value_norm_decay` of MAPPO's preset `paper` is the official rate).
Its variance is at least 1e-2, here 1e-4, since the rewards of some environments are below 0.1. It stores E[x^2], whose
difference from the squared mean is inexact in float32 if the mean is large: 0.25 for mean 1e4 and deviation 1.
Here the squared deviations are stored, and combined as in Chan et al. 1979.
"""

from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from iacjax.types import masked_mean

MIN_VARIANCE = 1e-4


class RunningNorm(NamedTuple):
    """Moving averages that start at 0; divided by `weight` they are debiased."""

    mean: jax.Array
    square: jax.Array  # of the deviations from the mean
    weight: jax.Array


def init_norm() -> RunningNorm:
    """A normaliser before its first batch: the identity."""
    return RunningNorm(jnp.zeros((), jnp.float32), jnp.zeros((), jnp.float32), jnp.zeros((), jnp.float32))


def from_raw_moments(norm: RunningNorm) -> RunningNorm:
    """Converts a normaliser of older checkpoints, whose `square` is that of the targets themselves."""
    chex.assert_equal_shape(list(norm))
    mean = norm.mean / jnp.maximum(norm.weight, 1e-12)
    return norm._replace(square=jnp.maximum(norm.square - norm.mean * mean, 0.0))


def all_from_raw_moments(tree: Any) -> Any:
    """Converts every normaliser in `tree`; see `from_raw_moments`."""
    chex.assert_tree_no_nones(tree)
    is_norm = lambda node: isinstance(node, RunningNorm)  # noqa: E731
    return jax.tree.map(lambda node: from_raw_moments(node) if is_norm(node) else node, tree, is_leaf=is_norm)


def update_norm(norm: RunningNorm, x: jax.Array, mask: jax.Array, decay: float = 0.9) -> RunningNorm:
    """The normaliser after one more batch of targets.

    Args:
      x: f32[...]; mask: broadcasts against it, 0 where there is no target. A batch without any changes nothing.
      decay: what is kept of the averages; 1 - decay is the batch's weight.
    """
    chex.assert_equal_rank([x, mask])
    batch_mean = masked_mean(x, mask)
    batch_variance = masked_mean((x - batch_mean) ** 2, mask)
    weight = decay * norm.weight + (1.0 - decay)
    share = (1.0 - decay) / weight  # of the batch, in the debiased averages
    mean, variance = _moments(norm)
    change = batch_mean - mean
    mean += share * change
    variance = (1.0 - share) * (variance + share * change**2) + share * batch_variance
    new = RunningNorm(weight * mean, weight * variance, weight)
    seen = jnp.sum(mask) > 0
    return jax.tree.map(lambda new, old: jnp.where(seen, new, old), new, norm)


def _moments(norm: RunningNorm) -> tuple[jax.Array, jax.Array]:
    """(mean, variance), debiased; 0 and 0 before the first batch."""
    weight = jnp.where(norm.weight == 0.0, 1.0, norm.weight)
    return norm.mean / weight, norm.square / weight


def _scale(norm: RunningNorm) -> tuple[jax.Array, jax.Array]:
    mean, variance = _moments(norm)
    return mean, jnp.where(norm.weight == 0.0, 1.0, jnp.sqrt(jnp.maximum(variance, MIN_VARIANCE)))


def normalised(norm: RunningNorm, x: jax.Array) -> jax.Array:
    """(x - mean) / deviation, by the running moments."""
    chex.assert_rank(list(norm), 0)
    mean, std = _scale(norm)
    return (x - mean) / std


def denormalised(norm: RunningNorm, x: jax.Array) -> jax.Array:
    """The inverse of `normalised`."""
    chex.assert_rank(list(norm), 0)
    mean, std = _scale(norm)
    return x * std + mean
