"""Agents: observation, last action and agent id in; logits, values of actions or the numbers of a Gaussian out."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from iacjax.networks.dense import Dense, layer_norm
from iacjax.networks.initializers import orthogonal
from iacjax.networks.last_action import action_features
from iacjax.networks.recurrent import ResetGRU


class _AgentNet(nn.Module):
    """FC-ReLU-GRU-FC on f32[T, ..., F] (PyMARL's agent), optionally with the LayerNorms of MAPPO's code.

    Without memory a second FC-ReLU is in the GRU's place.
    """

    hidden_dim: int
    outputs: int
    out_scale: float
    layer_norm: bool
    memory: bool
    free_outputs: int

    @nn.compact
    def __call__(self, carry, x, first):
        x = layer_norm("norm_input")(x) if self.layer_norm else x
        x = nn.relu(Dense(self.hidden_dim, kernel_init=orthogonal(2.0**0.5))(x))
        x = layer_norm("norm_encoder")(x) if self.layer_norm else x
        if self.memory:
            carry, x = ResetGRU(self.hidden_dim)(carry, x, first)
        else:
            x = nn.relu(Dense(self.hidden_dim, kernel_init=orthogonal(2.0**0.5))(x))
        self.sow("intermediates", "hidden", x)  # QTRAN's joint value reads it
        x = layer_norm("norm_memory")(x) if self.layer_norm else x
        x = Dense(self.outputs, kernel_init=orthogonal(self.out_scale))(x)
        if self.free_outputs:
            free = self.param("free", nn.initializers.zeros, (self.free_outputs,))
            x = jnp.concatenate([x, jnp.broadcast_to(free, (*x.shape[:-1], self.free_outputs))], -1)
        return carry, x


def agent_inputs(
    obs: jax.Array, last_action: jax.Array | None, num_actions: int, with_id: bool, ids: jax.Array | None = None
) -> jax.Array:
    """f32[..., A, F]: observation f32[..., A, O], features of the last action if there is one, and the agent's id.

    `last_action` is that of `action_features`; `ids` f32[A, N] one-hot, None: those of A agents.
    """
    inputs = [obs] if last_action is None else [obs, action_features(last_action, num_actions)]
    if with_id:
        ids = jnp.eye(obs.shape[-2]) if ids is None else ids
        inputs.append(jnp.broadcast_to(ids, (*obs.shape[:-1], ids.shape[-1])))
    return jnp.concatenate(inputs, -1)


class RnnAgent(nn.Module):
    """One network for all agents, with the agent's id as input (`shared`), or one for each agent.

    Without `memory` it reads the observation (and the id) alone. `free_outputs` are more outputs, parameters that
    depend on no input.
    """

    hidden_dim: int
    outputs: int  # U with discrete actions
    shared: bool = True
    out_scale: float = 0.01  # of the last layer's orthogonal weights: a policy starts nearly uniform
    layer_norm: bool = False
    memory: bool = True
    free_outputs: int = 0

    @nn.compact
    def __call__(
        self, carry: jax.Array, obs: jax.Array, last_action: jax.Array, first: jax.Array, ids: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """carry f32[B, A, H], obs f32[T, B, A, O], last_action int32[T, B, A] (-1: none) or f32[T, B, A, D], first
        bool[T, B]; ids f32[A, N] one-hot, of A agents of a team of N, None: the whole team.

        Returns (carry, logits, values of actions or whatever else f32[T, B, A, outputs]). With
        `mutable=["intermediates"]` the recurrent states after each row are returned too, f32[T, B, A, H].
        """
        chex.assert_rank([carry, obs, last_action, first], [3, 4, {3, 4}, 2])
        chex.assert_equal_shape_prefix([obs, last_action], 3)
        x = agent_inputs(obs, last_action if self.memory else None, self.outputs, self.shared, ids)
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
        net = net(self.hidden_dim, self.outputs, self.out_scale, self.layer_norm, self.memory, self.free_outputs)
        return net(carry, x, first)
