"""lambda-returns over rows whose episodes end inside them."""

import chex
import jax

UNROLL = 8  # rows a turn of the loop: on a GPU they are few kernels, a row alone would be three


def lambda_returns(
    r_t: jax.Array, discount_t: jax.Array, boundary_t: jax.Array, v_t: jax.Array, td_lambda: float
) -> jax.Array:
    """G_{t-1} = r_t + discount_t [(1 - l) v_t + l G_t], with l = lambda, cut to 0 where the episode ends.

    Args:
      r_t: f32[T, ...] consequence of the action at t - 1 (`Batch.next.reward`, or a mixed reward).
      discount_t: f32[T, ...] gamma (1 - terminated), so that no ending enters any loss but through it.
      boundary_t: bool[T, ...] the episode ends at the successor, by its task or by its time limit.
      v_t: f32[T, ...] value of the successor.

    Returns:
      f32[T, ...] the returns; linear in `r_t`, through which a meta-gradient may flow.

    Raises:
      AssertionError: the four are not of the same shape.
    """
    chex.assert_equal_shape([r_t, discount_t, boundary_t, v_t])
    chex.assert_type([boundary_t, v_t], [bool, float])
    trace_t = td_lambda * (1.0 - boundary_t.astype(v_t.dtype))

    def step(g_t, inputs):
        r, discount, trace, v = inputs
        g = r + discount * ((1.0 - trace) * v + trace * g_t)
        return g, g

    return jax.lax.scan(step, v_t[-1], (r_t, discount_t, trace_t, v_t), reverse=True, unroll=UNROLL)[1]
