"""Feed-forward central critics: state values, whose first layer computes once what all agents share, and twin ones."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from iacjax.networks.dense import Dense
from iacjax.networks.initializers import orthogonal
from iacjax.networks.mlp import AgentLayers

_init = orthogonal(2.0**0.5)


def actions_of_others(action: jax.Array, num_actions: int) -> jax.Array:
    """int32[..., A] (-1: none) -> f32[..., A, A U]: row i all agents' actions one-hot, side by side, its own left 0."""
    num_agents = action.shape[-1]
    others = (1.0 - jnp.eye(num_agents))[..., None] * jax.nn.one_hot(action, num_actions)[..., None, :, :]
    return others.reshape(*action.shape, num_agents * num_actions)


class AgentCritic(nn.Module):
    """V_i of every agent from state, its observation, its last action, its id and (optionally) the others' actions."""

    hidden_dim: int
    num_actions: int

    @nn.compact
    def __call__(
        self, state: jax.Array, obs: jax.Array, last_action: jax.Array, action: jax.Array | None = None
    ) -> jax.Array:
        """state f32[..., X], obs f32[..., A, O], last_action and action int32[..., A] (-1: none) -> f32[..., A]."""
        chex.assert_equal_shape_prefix([obs, last_action], last_action.ndim)
        chex.assert_equal_shape_prefix([obs, state], state.ndim - 1)
        num_agents = obs.shape[-2]
        own = jnp.concatenate([obs, jax.nn.one_hot(last_action, self.num_actions)], -1)
        x = Dense(self.hidden_dim, kernel_init=_init, name="state")(state)[..., None, :]
        x = x + Dense(self.hidden_dim, kernel_init=_init, use_bias=False, name="own")(own)
        x = x + self.param("id", nn.initializers.normal(0.1), (num_agents, self.hidden_dim))
        if action is not None:
            kernel = self.param("others", nn.initializers.normal(0.1), (num_agents, self.num_actions, self.hidden_dim))
            # One product over the others' actions side by side: one for each agent would need a transposition.
            others = actions_of_others(action, self.num_actions).reshape(-1, num_agents * self.num_actions)
            x = x + (others @ kernel.reshape(-1, self.hidden_dim)).reshape(x.shape)
        x = nn.relu(Dense(self.hidden_dim, kernel_init=_init)(nn.relu(x)))
        return Dense(1, kernel_init=orthogonal(1.0))(x)[..., 0]


class TeamCritic(nn.Module):
    """One value of the state for the whole team: V_ex, shared by all agents (eq. 8)."""

    hidden_dim: int

    @nn.compact
    def __call__(self, state: jax.Array) -> jax.Array:
        """state f32[..., X] -> f32[...]."""
        for _ in range(2):
            state = nn.relu(Dense(self.hidden_dim, kernel_init=_init)(state))
        return Dense(1, kernel_init=orthogonal(1.0))(state)[..., 0]


class TwinCritic(nn.Module):
    """Two values of the state and the joint action, each by a network of its own (TD3, SAC)."""

    hidden: tuple[int, ...]

    @nn.compact
    def __call__(self, state: jax.Array, action: jax.Array) -> jax.Array:
        """state f32[..., X], action f32[..., A, D] -> f32[2, ...]."""
        chex.assert_equal_shape_prefix([state, action], state.ndim - 1)
        lead = state.shape[:-1]
        rows = jnp.concatenate([state, action.reshape(*lead, -1)], -1)
        rows = rows.reshape(-1, rows.shape[-1])
        both = jnp.broadcast_to(rows, (2, *rows.shape))
        return AgentLayers((*self.hidden, 1), name="layers")(both).reshape(2, *lead)
