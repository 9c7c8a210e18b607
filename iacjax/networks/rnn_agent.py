"""Recurrent agents with discrete actions: observation, last action and agent id in, logits or values out."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from iacjax.networks.dense import Dense, layer_norm
from iacjax.networks.initializers import orthogonal
from iacjax.networks.recurrent import ResetGRU


class _AgentNet(nn.Module):
    """FC-ReLU-GRU-FC on f32[T, ..., F] (PyMARL's agent), optionally with the LayerNorms of MAPPO's code."""

    hidden_dim: int
    num_actions: int
    out_scale: float
    layer_norm: bool

    @nn.compact
    def __call__(self, carry, x, first):
        x = layer_norm("norm_input")(x) if self.layer_norm else x
        x = nn.relu(Dense(self.hidden_dim, kernel_init=orthogonal(2.0**0.5))(x))
        x = layer_norm("norm_encoder")(x) if self.layer_norm else x
        carry, x = ResetGRU(self.hidden_dim)(carry, x, first)
        self.sow("intermediates", "hidden", x)  # QTRAN's joint value reads it
        x = layer_norm("norm_memory")(x) if self.layer_norm else x
        return carry, Dense(self.num_actions, kernel_init=orthogonal(self.out_scale))(x)


def agent_inputs(obs: jax.Array, last_action: jax.Array, num_actions: int, with_id: bool) -> jax.Array:
    """f32[..., A, F]: observation f32[..., A, O], last action int32[..., A] as one-hot, and the agent's id."""
    num_agents = obs.shape[-2]
    inputs = [obs, jax.nn.one_hot(last_action, num_actions)]
    if with_id:
        inputs.append(jnp.broadcast_to(jnp.eye(num_agents), (*obs.shape[:-1], num_agents)))
    return jnp.concatenate(inputs, -1)


class RnnAgent(nn.Module):
    """One network for all agents, with the agent's id as input (`shared`), or one for each agent."""

    hidden_dim: int
    num_actions: int
    shared: bool = True
    out_scale: float = 0.01  # of the last layer's orthogonal weights: a policy starts nearly uniform
    layer_norm: bool = False

    @nn.compact
    def __call__(
        self, carry: jax.Array, obs: jax.Array, last_action: jax.Array, first: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """carry f32[B, A, H], obs f32[T, B, A, O], last_action int32[T, B, A] (-1: none), first bool[T, B].

        Returns (carry, logits or values of actions f32[T, B, A, U]). With `mutable=["intermediates"]`
        the recurrent states after each row are returned too, f32[T, B, A, H].
        """
        chex.assert_rank([carry, obs, last_action, first], [3, 4, 3, 2])
        chex.assert_equal_shape_prefix([obs, last_action], 3)
        x = agent_inputs(obs, last_action, self.num_actions, self.shared)
        first = jnp.broadcast_to(first[..., None], obs.shape[:-1])
        net = _AgentNet
        if not self.shared:
            net = nn.vmap(
                _AgentNet,
                variable_axes={"params": 0, "intermediates": -2},
                split_rngs={"params": True},
                in_axes=(-2, -2, -1),
                out_axes=-2,
            )
        net = net(self.hidden_dim, self.num_actions, self.out_scale, self.layer_norm)
        return net(carry, x, first)
