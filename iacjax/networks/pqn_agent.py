"""PQN's recurrent agents: normalised layers, a GRU, values of actions."""

from typing import Literal

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from iacjax.networks.dense import Dense, layer_norm
from iacjax.networks.initializers import orthogonal_blocks
from iacjax.networks.recurrent import ResetGRU
from iacjax.networks.rnn_agent import agent_inputs


class Norm(nn.Module):
    """LayerNorm, BatchNorm with running statistics (`batch_stats`), or nothing."""

    kind: Literal["layer", "batch", "none"]

    @nn.compact
    def __call__(self, x: jax.Array, counted: jax.Array | None) -> jax.Array:
        """f32[..., F] -> f32[..., F].

        Args:
          counted: bool[...], the entries whose statistics normalise a batch and move the running ones; where none is,
            all are. None: by the running statistics, as in acting.
        """
        if self.kind == "layer":
            return layer_norm("layer")(x)
        if self.kind == "none":
            return x
        mask = None if counted is None else (counted | ~counted.any())[..., None]
        return nn.BatchNorm(use_running_average=counted is None, name="batch")(x, mask=mask)


class _AgentNet(nn.Module):
    """(FC-Norm-ReLU) x `layers`, GRU, FC on f32[T, ..., F]; `norm_input` normalises the inputs too."""

    hidden_dim: int
    num_actions: int
    layers: int
    norm: str
    norm_input: bool

    @nn.compact
    def __call__(self, carry, x, first, counted):
        x = Norm(self.norm, name="norm_input")(x, counted) if self.norm_input else x
        for k in range(self.layers):
            x = nn.relu(Norm(self.norm, name=f"norm_{k}")(Dense(self.hidden_dim, name=f"layer_{k}")(x), counted))
        carry, x = ResetGRU(self.hidden_dim, orthogonal_blocks(3), name="gru")(carry, x, first)
        return carry, Dense(self.num_actions, name="values")(x)


class PqnAgent(nn.Module):
    """One network for all agents, with the agent's id as input (`shared`), or one for each agent.

    Initial weights are lecun-normal, those from memory to memory orthogonal gate by gate, as in the official code.
    """

    hidden_dim: int
    num_actions: int
    layers: int = 2
    norm: Literal["layer", "batch", "none"] = "layer"
    norm_input: bool = False
    shared: bool = True

    @nn.compact
    def __call__(
        self,
        carry: jax.Array,
        obs: jax.Array,
        last_action: jax.Array,
        first: jax.Array,
        counted: jax.Array | None = None,
    ) -> tuple[jax.Array, jax.Array]:
        """carry f32[B, A, H], obs f32[T, B, A, O], last_action int32[T, B, A] (-1: none), first bool[T, B].

        Args:
          counted: bool[T, B, A], the entries of a training batch that count for BatchNorm's statistics; None: its
            running statistics. With it apply with `mutable=["batch_stats"]`.

        Returns:
          (carry, values of actions f32[T, B, A, U]).
        """
        chex.assert_rank([carry, obs, last_action, first], [3, 4, 3, 2])
        chex.assert_equal_shape_prefix([obs, last_action], 3)
        x = agent_inputs(obs, last_action, self.num_actions, self.shared)
        first = jnp.broadcast_to(first[..., None], obs.shape[:-1])
        net = _AgentNet
        if not self.shared:
            net = nn.vmap(
                _AgentNet,
                variable_axes={"params": 0, "batch_stats": 0},
                split_rngs={"params": True},
                in_axes=(-2, -2, -1, None if counted is None else -1),
                out_axes=-2,
            )
        net = net(self.hidden_dim, self.num_actions, self.layers, self.norm, self.norm_input, name="net")
        return net(carry, x, first, counted)
