"""Critics that mix the agents' action values into the team's: what IAC's family and FACMAC share.

Parameters are {agents, mixer}: the networks of the individual values, and the mixing network ({} of a sum).
"""

from typing import Any, Protocol

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from envs.base import TimeStep
from iacjax.types import masked_mean


class MixingNetworks(Protocol):
    """The two parts of the critic among an algorithm's networks."""

    critic: nn.Module  # (obs f32[..., A, O], action f32[..., A, D]) -> (Q_i f32[..., A], attention)
    mixer: nn.Module  # (Q_i f32[..., A], state f32[..., X]) -> Q_tot f32[...]


def init_critic(
    nets: MixingNetworks,
    k_agents: jax.Array,
    k_mixer: jax.Array,
    obs: jax.Array,
    action: jax.Array,
    state: jax.Array,
) -> dict[str, Any]:
    """The critic's first parameters, for inputs of these shapes."""
    values = jnp.zeros(obs.shape[:-1])
    return {"agents": nets.critic.init(k_agents, obs, action), "mixer": nets.mixer.init(k_mixer, values, state)}


def individual_values(nets: MixingNetworks, critic: Any, obs: jax.Array, action: jax.Array) -> jax.Array:
    """Q_i f32[..., A] of actions f32[..., A, D] in [-1, 1]."""
    return nets.critic.apply(critic["agents"], obs, action)[0]


def q_tot_of(nets: MixingNetworks, critic: Any, obs: jax.Array, state: jax.Array, action: jax.Array) -> jax.Array:
    """The mixed value f32[...] of actions f32[..., A, D] in [-1, 1] (IAC, eq. 22)."""
    return nets.mixer.apply(critic["mixer"], individual_values(nets, critic, obs, action), state)


def critic_loss(
    nets: MixingNetworks, critic: Any, ts: TimeStep, action: jax.Array, target: jax.Array, mask: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Mean squared error of Q_tot (IAC, eq. 23), f32[]. Also gives Q_tot f32[B].

    `action` f32[B, A, D], `target` f32[B]; `mask` f32[B] is 1 on real transitions.
    """
    chex.assert_equal_shape([target, mask])
    q_tot = q_tot_of(nets, critic, ts.obs, ts.state, action)
    return masked_mean((target - q_tot) ** 2, mask), q_tot
