"""Diagonal Gaussian policies of bounded actions: the Gaussian itself, and tanh of it."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp

LOG_2PI = 1.8378770664093453


def squash_correction(x: jax.Array) -> jax.Array:
    """log (1 - tanh(x)^2) of the value before tanh, f32[...], exact where tanh rounds to 1: the log of tanh's slope."""
    return 2.0 * (jnp.log(2.0) - x - jax.nn.softplus(-2.0 * x))


class Gaussian(NamedTuple):
    """Each agent's diagonal Gaussian. Dimensions outside `mask` bool[A, D] are left out of densities and entropies."""

    mean: jax.Array  # f32[..., A, D]
    log_std: jax.Array

    def at(self, noise: jax.Array) -> jax.Array:
        """The value that unit noise f32[..., A, D] makes, differentiable in both parameters."""
        return self.mean + jnp.exp(self.log_std) * noise

    def sample(self, key: jax.Array) -> jax.Array:
        """A value, f32[..., A, D], differentiable in both parameters."""
        return self.at(jax.random.normal(key, self.mean.shape))

    def log_prob(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        """log density of x f32[..., A, D], f32[..., A]."""
        chex.assert_equal_shape([x, self.mean])
        unit = (x - self.mean) * jnp.exp(-self.log_std)
        return _sum(-0.5 * (unit**2 + LOG_2PI) - self.log_std, mask)

    def squashed_log_prob(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        """log density of tanh(x), f32[..., A], given x before tanh (Haarnoja et al. 2018, eq. 21)."""
        return self.log_prob(x, mask) - _sum(squash_correction(x), mask)

    def entropy(self, mask: jax.Array) -> jax.Array:
        """The entropy, f32[..., A]: the sum over dimensions of 1/2 log(2 pi e sigma^2)."""
        return _sum(0.5 * (1.0 + LOG_2PI) + self.log_std, mask)

    def squashed_entropy(self, noise: jax.Array, mask: jax.Array) -> jax.Array:
        """An estimate of the entropy of tanh of it, f32[..., A], from one unit noise f32[..., A, D] for each.

        H(tanh x) = H(x) + E log tanh'(x) has no closed form. The first term is exact, the second is that of the value
        which the noise makes, so that the gradient too is an unbiased estimate.
        """
        return self.entropy(mask) + _sum(squash_correction(self.at(noise)), mask)


def gaussian(out: jax.Array, sigma_min: float, sigma_max: float) -> Gaussian:
    """The Gaussians of a policy network's output f32[..., A, 2 D]; standard deviations are clipped."""
    mean, log_std = jnp.split(out, 2, -1)
    return Gaussian(mean, jnp.clip(log_std, jnp.log(sigma_min), jnp.log(sigma_max)))


def _sum(each: jax.Array, mask: jax.Array) -> jax.Array:
    return jnp.where(mask, each, 0.0).sum(-1)
