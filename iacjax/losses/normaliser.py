"""A running mean and scale of value targets (ValueNorm of MAPPO, Yu et al. 2022)."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from iacjax.types import masked_mean


class RunningNorm(NamedTuple):
    """Exponential moving first and second moments, debiased by `weight`."""

    mean: jax.Array
    square: jax.Array
    weight: jax.Array


def init_norm() -> RunningNorm:
    return RunningNorm(jnp.zeros((), jnp.float32), jnp.zeros((), jnp.float32), jnp.zeros((), jnp.float32))


def update_norm(norm: RunningNorm, x: jax.Array, mask: jax.Array, decay: float = 0.9) -> RunningNorm:
    """Takes in one batch of targets."""
    batch = RunningNorm(masked_mean(x, mask), masked_mean(x**2, mask), jnp.ones((), jnp.float32))
    return jax.tree.map(lambda old, new: decay * old + (1.0 - decay) * new, norm, batch)


def _moments(norm: RunningNorm) -> tuple[jax.Array, jax.Array]:
    fresh = norm.weight == 0.0
    weight = jnp.where(fresh, 1.0, norm.weight)
    mean = norm.mean / weight
    std = jnp.sqrt(jnp.maximum(norm.square / weight - mean**2, 1e-4))
    return mean, jnp.where(fresh, 1.0, std)


def normalised(norm: RunningNorm, x: jax.Array) -> jax.Array:
    mean, std = _moments(norm)
    return (x - mean) / std


def denormalised(norm: RunningNorm, x: jax.Array) -> jax.Array:
    mean, std = _moments(norm)
    return x * std + mean
