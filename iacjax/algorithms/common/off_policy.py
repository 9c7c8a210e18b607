"""What the off-policy algorithms share: bounds and masks of actions, transitions, hard copies."""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from envs.base import ActionSpec, EnvSpec, TimeStep
from iacjax.types import Batch


class Bounds(NamedTuple):
    """The middle and half the range of every action dimension: networks see actions in [-1, 1]."""

    middle: float
    half: float

    def to_env(self, action: jax.Array) -> jax.Array:
        """[-1, 1] -> the world's bounds; what lies outside is clipped."""
        return self.middle + self.half * jnp.clip(action, -1.0, 1.0)

    def from_env(self, action: jax.Array) -> jax.Array:
        return (action - self.middle) / self.half


def bounds_of(spec: ActionSpec) -> Bounds:
    return Bounds((spec.high + spec.low) / 2, (spec.high - spec.low) / 2)


def copy_every(period: int, count: jax.Array, params: Any, target: Any) -> Any:
    """`params` where `count` updates are a whole number of periods, else `target` as it was."""
    due = count % period == 0
    return jax.tree.map(lambda new, old: jnp.where(due, new, old), params, target)


def action_mask(spec: EnvSpec) -> jax.Array:
    """bool[A, D], False on padded dimensions."""
    shape = (spec.num_agents, spec.action.dim)
    return jnp.ones(shape, bool) if spec.action.mask is None else jnp.array(spec.action.mask)


def transition(batch: Batch) -> tuple[TimeStep, TimeStep]:
    """What was acted on and its true successor, of the one step of a replay's batch: [B, ...] each."""
    ts, after = (jax.tree.map(lambda x, t=t: x[t], batch.rows) for t in (0, 1))
    return ts, after
