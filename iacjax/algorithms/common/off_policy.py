"""What off-policy algorithms share: the range and the mask of actions, transitions, the replay's plan."""

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp

from envs.base import ActionSpec, EnvSpec, TimeStep
from iacjax.algorithms.common.config import updates_per_iteration
from iacjax.buffers import normalise_rewards, transition_buffer
from iacjax.types import Batch, Clock, Plan


class ReplayConfig(Protocol):
    """The fields of a configuration that `transition_plan` reads."""

    batch_size: int
    buffer_size: int
    num_envs: int
    rollout_length: int
    updates_per_step: float
    warmup: int


class ActionRange(NamedTuple):
    """The middle and half the width of the range of every action dimension: networks see actions in [-1, 1]."""

    middle: float
    half: float

    def to_env(self, action: jax.Array) -> jax.Array:
        """[-1, 1] -> the environment's range; what lies outside is clipped."""
        return self.middle + self.half * jnp.clip(action, -1.0, 1.0)

    def from_env(self, action: jax.Array) -> jax.Array:
        """The inverse of `to_env`."""
        return (action - self.middle) / self.half


def action_range(spec: ActionSpec) -> ActionRange:
    """The range of a continuous action."""
    return ActionRange((spec.high + spec.low) / 2, (spec.high - spec.low) / 2)


def action_mask(spec: EnvSpec) -> jax.Array:
    """bool[A, D], False on padded dimensions."""
    shape = (spec.num_agents, spec.action.dim)
    return jnp.ones(shape, bool) if spec.action.mask is None else jnp.array(spec.action.mask)


def transition(batch: Batch) -> tuple[TimeStep, TimeStep]:
    """The timestep that was acted on and its true successor, of a replay's batch of one step: [B, ...] each."""
    ts, after = (jax.tree.map(lambda x, t=t: x[t], batch.rows) for t in (0, 1))
    return ts, after


def until_warm(warmup: int, clock: Clock, action: jax.Array, uniform: jax.Array) -> jax.Array:
    """`uniform` actions before the first update, `action` from then on; both f32[..., A, D]."""
    return jnp.where(clock.env_steps >= warmup, action, uniform)


def transition_plan(config: ReplayConfig, state_is_obs: bool, normalised_rewards: bool = False) -> Plan:
    """A replay of single transitions and the updates from it after each rollout.

    Args:
      state_is_obs: the state is not kept; batches have the observations side by side in its place.
      normalised_rewards: batches have the rewards normalised over all that the replay holds.
    """
    num_envs, length = config.num_envs, config.rollout_length
    buffer = transition_buffer(config.buffer_size, config.batch_size, num_envs, length, state_is_obs)
    if normalised_rewards:
        buffer = normalise_rewards(buffer, config.buffer_size, num_envs, length)
    updates = updates_per_iteration(config.updates_per_step, num_envs, length)
    return Plan(num_envs, length, buffer, updates, config.warmup)


def no_carry(num_envs: int) -> tuple[()]:
    """The carry of algorithms that act by the current observation alone."""
    return ()
