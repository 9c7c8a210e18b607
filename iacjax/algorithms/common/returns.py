"""lambda-returns of a batch, with what a time limit means."""

from typing import Literal, Protocol

import jax
import jax.numpy as jnp

from iacjax.losses.returns import lambda_returns
from iacjax.types import Batch


class ReturnConfig(Protocol):
    """The fields of a configuration that `batch_returns` reads."""

    gamma: float
    td_lambda: float
    time_limit: Literal["truncate", "terminate"]


def batch_returns(config: ReturnConfig, batch: Batch, r_t: jax.Array, v_t: jax.Array) -> jax.Array:
    """lambda-returns of the actions of `batch`; less the values V(s_{t-1}) they are GAE's advantages.

    Args:
      config: its `time_limit` bootstraps at a time limit (truncate), or counts it as an end of the task (terminate).
      r_t: f32[T, B] or f32[T, B, A], the rewards of the actions.
      v_t: f32[T, B] or f32[T, B, A], the values of the successors. A team reward f32[T, B] is every agent's.

    Returns:
      f32 of the shape of `v_t`.
    """
    successor = batch.next
    ended = successor.boundary if config.time_limit == "terminate" else successor.terminated
    inputs = [r_t, config.gamma * (1.0 - ended), successor.boundary]
    inputs = [jnp.broadcast_to(x[..., None] if x.ndim < v_t.ndim else x, v_t.shape) for x in inputs]
    return lambda_returns(*inputs, v_t, config.td_lambda)
