"""A GRU over time whose state is reset where an episode opens."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from iacjax.networks.dense import Dense
from iacjax.networks.initializers import orthogonal


class ResetGRU(nn.Module):
    """GRU (Cho et al. 2014, in PyTorch's gate convention) scanned over the leading time axis.

    The input's projections are one product over all time steps; only the recurrent ones are in the scan. Gates are
    kept apart and the step is rematerialised in the backward pass: together 2.2 times as fast on a CPU (320 lanes,
    32 steps, 64 units: 30 against 67 ms a gradient), the residuals being more memory traffic than the step is work.
    """

    hidden_dim: int

    @nn.compact
    def __call__(self, carry: jax.Array, x: jax.Array, first: jax.Array) -> tuple[jax.Array, jax.Array]:
        """carry f32[..., H], x f32[T, ..., F], first bool[T, ...] -> (carry, f32[T, ..., H]).

        Where `first[t]`, the carry is zeroed BEFORE step t.
        """
        dim, length, lanes = self.hidden_dim, x.shape[0], carry.shape[:-1]
        gates = tuple(Dense(dim, name=name)(x).reshape(length, -1, dim) for name in ("reset", "update", "candidate"))
        kernel = self.param("recurrent", orthogonal(), (dim, 3 * dim))
        bias = self.param("candidate_bias", nn.initializers.zeros, (dim,))
        w_reset, w_update, w_candidate = jnp.split(kernel, 3, axis=-1)

        @jax.checkpoint
        def step(h, inputs):
            reset_x, update_x, candidate_x, keep = inputs
            h = h * keep
            reset = nn.sigmoid(reset_x + h @ w_reset)
            update = nn.sigmoid(update_x + h @ w_update)
            candidate = jnp.tanh(candidate_x + reset * (h @ w_candidate + bias))
            h = candidate + update * (h - candidate)
            return h, h

        keep = 1.0 - first.astype(x.dtype).reshape(length, -1, 1)
        carry, hidden = jax.lax.scan(step, carry.reshape(-1, dim), (*gates, keep))
        return carry.reshape(*lanes, dim), hidden.reshape(length, *lanes, dim)
