"""QTRAN's joint value Q(s, u) and state value V(s), as in PyMARL's QTRAN-base."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from iacjax.networks.dense import Dense
from iacjax.networks.mlp import Mlp


class JointValue(nn.Module):
    """Q of the state and the sum over agents of an encoding of (memory, action); V of the state.

    Two ReLU layers of `hidden_dim` units each (PyMARL's `small`); the encoding is an FC-ReLU-FC as wide as its input.
    """

    hidden_dim: int
    num_actions: int

    @nn.compact
    def __call__(self, hidden: jax.Array, action: jax.Array, state: jax.Array) -> tuple[jax.Array, jax.Array]:
        """hidden f32[..., A, H], action int32[..., A], state f32[..., X] -> (Q f32[...], V f32[...])."""
        chex.assert_equal_shape_prefix([hidden, action], action.ndim)
        x = jnp.concatenate([hidden, jax.nn.one_hot(action, self.num_actions)], -1)
        x = Dense(x.shape[-1], name="encode_2")(nn.relu(Dense(x.shape[-1], name="encode_1")(x))).sum(-2)
        layers = (self.hidden_dim, self.hidden_dim)
        q = Mlp(layers, 1, name="q")(jnp.concatenate([state, x], -1))[..., 0]
        return q, Mlp(layers, 1, name="v")(state)[..., 0]
