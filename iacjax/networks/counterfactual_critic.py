"""COMA's critic: in one pass, the values of all of an agent's actions, given the others' actual ones."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from iacjax.networks.critic import actions_of_others
from iacjax.networks.dense import Dense
from iacjax.networks.initializers import orthogonal

_init = orthogonal(2.0**0.5)


class CounterfactualCritic(nn.Module):
    """Q_i(s, u_-i, .) from state, last joint action, own observation, id and the others' actions.

    FC-ReLU-FC-ReLU-FC, shared by all agents (PyMARL's). The first layer is a sum, whose part of the state and of the
    last actions is computed once for all agents.
    """

    hidden_dim: int
    num_actions: int

    @nn.compact
    def __call__(self, state: jax.Array, obs: jax.Array, last_action: jax.Array, action: jax.Array) -> jax.Array:
        """state f32[..., X], obs f32[..., A, O], last_action and action int32[..., A] (-1: none) -> f32[..., A, U]."""
        chex.assert_equal_shape([last_action, action])
        chex.assert_equal_shape_prefix([obs, action], action.ndim)
        num_agents = obs.shape[-2]
        joint = num_agents * self.num_actions
        before = jax.nn.one_hot(last_action, self.num_actions).reshape(*state.shape[:-1], joint)
        team = Dense(self.hidden_dim, kernel_init=_init, name="team")(jnp.concatenate([state, before], -1))
        x = Dense(self.hidden_dim, kernel_init=_init, use_bias=False, name="own")(obs) + team[..., None, :]
        x = x + self.param("id", nn.initializers.normal(0.1), (num_agents, self.hidden_dim))
        kernel = self.param("others", nn.initializers.normal(0.1), (joint, self.hidden_dim))
        others = actions_of_others(action, self.num_actions).reshape(-1, joint)
        x = nn.relu(x + (others @ kernel).reshape(x.shape))
        x = nn.relu(Dense(self.hidden_dim, kernel_init=_init, name="second")(x))
        return Dense(self.num_actions, kernel_init=orthogonal(1.0), name="q")(x)
