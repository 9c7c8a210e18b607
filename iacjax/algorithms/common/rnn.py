"""Recurrent agents with discrete actions: what they carry from step to step, and their inputs over a batch."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from envs.base import EnvSpec, TimeStep
from iacjax.networks.rnn_agent import RnnAgent
from iacjax.types import Batch


class RnnCarry(NamedTuple):
    """The state of acting in E environments."""

    hidden: jax.Array  # f32[E, A, H]
    last_action: jax.Array  # int32[E, A], -1 before the first


def start_carry(num_envs: int, num_agents: int, hidden_dim: int) -> RnnCarry:
    """The carry before the first step."""
    shape = (num_envs, num_agents)
    return RnnCarry(jnp.zeros((*shape, hidden_dim), jnp.float32), jnp.full(shape, -1, jnp.int32))


def step_agents(
    agents: RnnAgent, params: Any, carry: RnnCarry, timestep: TimeStep, first: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """One step in E environments: (hidden f32[E, A, H], logits or values f32[E, A, U])."""
    last_action = jnp.where(first[:, None], -1, carry.last_action)
    hidden, out = agents.apply(params, carry.hidden, timestep.obs[None], last_action[None], first[None])
    return hidden, out[0]


def init_agents(agents: RnnAgent, key: jax.Array, spec: EnvSpec) -> Any:
    """The agents' initial parameters."""
    count = spec.num_agents
    hidden, obs = jnp.zeros((1, count, agents.hidden_dim)), jnp.zeros((1, 1, count, spec.obs_dim))
    return agents.init(key, hidden, obs, jnp.zeros((1, 1, count), jnp.int32), jnp.zeros((1, 1), bool))


def last_actions(batch: Batch) -> jax.Array:
    """int32[T + 1, B, A]: each row's previous actions, -1 where an episode begins."""
    last = jnp.concatenate([batch.carry0.last_action[None], batch.action])
    return jnp.where(batch.first[..., None], -1, last)
