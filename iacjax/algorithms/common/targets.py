"""Target networks: hard copies and soft updates every so many steps."""

from typing import Any, Protocol, TypeVar

import jax
import jax.numpy as jnp


class WithTargets(Protocol):
    """A learner, a NamedTuple, that counts its critics' steps; `target` has a copy of some of the networks."""

    params: dict[str, Any]
    target: dict[str, Any]
    critic_steps: jax.Array  # int32[]


LearnerT = TypeVar("LearnerT", bound=WithTargets)


def copy_every(period: int, count: jax.Array, params: Any, target: Any) -> Any:
    """`params` where `count` updates are a whole number of periods, else `target` unchanged."""
    due = count % period == 0
    return jax.tree.map(lambda new, old: jnp.where(due, new, old), params, target)


def move_every(period: int, tau: float, count: jax.Array, params: Any, target: Any) -> Any:
    """`target` moved by `tau` towards `params` where `count` updates are a whole number of periods."""
    due = count % period == 0
    return jax.tree.map(lambda new, old: jnp.where(due, tau * new + (1.0 - tau) * old, old), params, target)


def count_critic_step(learner: LearnerT, every: int) -> LearnerT:
    """Counts a step of the critics, and after every so many (0: never) copies them into their targets."""
    steps = learner.critic_steps + 1
    if not every:
        return learner._replace(critic_steps=steps)
    online = {name: learner.params[name] for name in learner.target}
    return learner._replace(critic_steps=steps, target=copy_every(every, steps, online, learner.target))
