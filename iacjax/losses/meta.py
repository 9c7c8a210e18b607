"""The exact meta-gradient of learned rewards, first order only (AIIR-MIX section 4; LIIR, Du et al. 2019, eq. 9)."""

from collections.abc import Callable
from typing import Any

import chex
import jax
import jax.numpy as jnp

from iacjax.types import masked_mean


def lookahead_objective(
    log_prob: jax.Array, old_log_prob: jax.Array, advantage_ex: jax.Array, weight: jax.Array, mask: jax.Array
) -> jax.Array:
    """J_ex = mean(prod_i pi'(u_i) / pi(u_i) A_ex): the joint ratio of the living agents on the team's advantage.

    log_prob, old_log_prob, weight f32[T, B, A] (weight 0 for the dead and the padding); advantage_ex, mask f32[T, B].
    """
    chex.assert_equal_shape([log_prob, old_log_prob, weight])
    chex.assert_equal_shape([advantage_ex, mask])
    chex.assert_equal_shape_prefix([weight, mask], 2)
    ratio = jnp.exp(((log_prob - jax.lax.stop_gradient(old_log_prob)) * weight).sum(-1))
    return masked_mean(ratio * advantage_ex, mask)


def meta_gradient(
    log_prob_fn: Callable[[Any], jax.Array],
    advantage_fn: Callable[[Any], jax.Array],
    theta: Any,
    eta: Any,
    advantage_ex: jax.Array,
    weight: jax.Array,
    mask: jax.Array,
    lookahead_lr: float,
) -> tuple[Any, jax.Array]:
    """d J_ex(theta'(eta)) / d eta, divided by the look-ahead's step size, without any second derivative.

        theta' = theta + beta grad_theta mean(log pi_theta A(eta))     look-ahead, plain SGD
        v      = grad_theta' J_ex(theta')
        w      = directional derivative of log pi at theta along v     (one jvp)
        result = grad_eta mean(w A(eta))                               = (d J_ex / d eta) / beta

    A clipped or a normalising optimiser has no place in the look-ahead: through a first Adam or RMSprop step the
    derivative is about 0 or NaN, and a norm clip of an all-zero gradient is NaN.

    Args:
      log_prob_fn: theta -> f32[T, B, A], log-probabilities of the actions taken.
      advantage_fn: eta -> f32[T, B, A], the advantages that the actor trains on.
      theta, eta: parameters of the actor, and of what makes the rewards.
      advantage_ex: f32[T, B], the team's advantage on the extrinsic reward, a constant.
      weight: f32[T, B, A], 0 for dead agents and padding.
      mask: f32[T, B].
      lookahead_lr: beta.

    Returns:
      (gradient of the shape of `eta`, to be ASCENDED; J_ex at theta').
    """
    chex.assert_rank([weight, advantage_ex, mask], [3, 2, 2])
    total = jnp.maximum(weight.sum(), 1.0)
    log_prob, along = jax.linearize(log_prob_fn, theta)
    advantage, advantage_vjp = jax.vjp(advantage_fn, eta)
    chex.assert_equal_shape([log_prob, advantage, weight])
    (ascent,) = jax.linear_transpose(along, theta)(weight * advantage / total)
    ahead = jax.tree.map(lambda p, g: p + lookahead_lr * g, theta, ascent)

    def outer(params):
        return lookahead_objective(log_prob_fn(params), log_prob, advantage_ex, weight, mask)

    objective, v = jax.value_and_grad(outer)(ahead)
    w = along(v)
    return advantage_vjp(weight * w / total)[0], objective
