"""A GRU over time whose state is reset where an episode opens."""

import flax.linen as nn
import jax
import jax.numpy as jnp


class ResetGRU(nn.Module):
    """GRU (Cho et al. 2014, in PyTorch's gate convention) scanned over the leading time axis.

    The input's three projections are one product over all time steps; only the recurrent one is in the scan.
    """

    hidden_dim: int

    @nn.compact
    def __call__(self, carry: jax.Array, x: jax.Array, first: jax.Array) -> tuple[jax.Array, jax.Array]:
        """carry f32[..., H], x f32[T, ..., F], first bool[T, ...] -> (carry, f32[T, ..., H]).

        Where `first[t]`, the carry is zeroed BEFORE step t.
        """
        dim = self.hidden_dim
        gates = nn.Dense(3 * dim, name="input")(x)
        kernel = self.param("recurrent", nn.initializers.orthogonal(), (dim, 3 * dim))
        bias = self.param("candidate_bias", nn.initializers.zeros, (dim,))

        def step(h, inputs):
            gate, opens = inputs
            h = jnp.where(opens[..., None], 0.0, h)
            reset_x, update_x, candidate_x = jnp.split(gate, 3, axis=-1)
            reset_h, update_h, candidate_h = jnp.split(h @ kernel, 3, axis=-1)
            reset = nn.sigmoid(reset_x + reset_h)
            update = nn.sigmoid(update_x + update_h)
            candidate = jnp.tanh(candidate_x + reset * (candidate_h + bias))
            h = (1.0 - update) * candidate + update * h
            return h, h

        return jax.lax.scan(step, carry, (gates, first))
