"""Recurrent agents: what they carry from step to step, and their inputs over a batch."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from envs.base import EnvSpec, TimeStep
from iacjax.networks.last_action import where_none
from iacjax.networks.rnn_agent import RnnAgent
from iacjax.types import Batch


class RnnCarry(NamedTuple):
    """The state of acting in E environments."""

    hidden: jax.Array  # f32[E, A, H]
    last_action: jax.Array  # int32[E, A], -1 before the first; continuous f32[E, A, D] in [-1, 1], then 0


def start_carry(num_envs: int, num_agents: int, hidden_dim: int, action_dim: int = 0) -> RnnCarry:
    """The carry before the first step; `action_dim` is D of continuous actions."""
    shape = (num_envs, num_agents)
    none = jnp.zeros((*shape, action_dim), jnp.float32) if action_dim else jnp.full(shape, -1, jnp.int32)
    return RnnCarry(jnp.zeros((*shape, hidden_dim), jnp.float32), none)


def step_agents(
    agents: RnnAgent, params: Any, carry: RnnCarry, timestep: TimeStep, first: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """One step in E environments: (hidden f32[E, A, H], logits, values or other outputs f32[E, A, U])."""
    last_action = where_none(carry.last_action, first)
    hidden, out = agents.apply(params, carry.hidden, timestep.obs[None], last_action[None], first[None])
    return hidden, out[0]


def init_agents(agents: RnnAgent, key: jax.Array, spec: EnvSpec) -> Any:
    """The agents' initial parameters."""
    carry = start_carry(1, spec.num_agents, agents.hidden_dim, spec.action.dim)
    obs = jnp.zeros((1, 1, spec.num_agents, spec.obs_dim))
    return agents.init(key, carry.hidden, obs, carry.last_action[None], jnp.zeros((1, 1), bool))


def last_actions(batch: Batch) -> jax.Array:
    """int32[T + 1, B, A] or f32[T + 1, B, A, D]: each row's previous actions, none where an episode begins."""
    return where_none(jnp.concatenate([batch.carry0.last_action[None], batch.action]), batch.first)
