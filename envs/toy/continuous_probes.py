"""Probes with continuous actions: two agents with one action dimension each, in [-1, 1].

The counterparts of the probes in `envs.toy.probes`. Names end in `_continuous`, e.g. `toy:action_continuous`.
"""

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp

from envs.base import ActionSpec, Environment, vectorize
from envs.toy import probes
from envs.toy.probes import PROBES, Probe

GOAL = 0.5  # the best action of `action` and `variable`


def _twin(name: str, **changes) -> Environment:
    """The discrete probe `name` with continuous actions; `changes` replace fields of its `Toy`."""
    toy = probes.TOYS[name]().env
    action = ActionSpec(dim=1, low=-1.0, high=1.0)
    spec = toy.spec._replace(name=f"{toy.spec.name}_continuous", action=action)
    return vectorize(replace(toy, spec=spec, **changes))


def _closeness(t: jax.Array, hidden: jax.Array, action: jax.Array) -> jax.Array:
    return 1.0 - ((jnp.clip(action, -1.0, 1.0) - GOAL) ** 2).mean()


def constant() -> Environment:
    """One step, reward 1 for any action. V = 1."""
    return _twin("constant")


def observation() -> Environment:
    """One step, observation and reward are both +1 or both -1, each half the time. V(obs) = obs."""
    return _twin("observation")


def discounting() -> Environment:
    """Two steps, reward 1 after the second. The observation is t. V(0) = gamma, V(1) = 1."""
    return _twin("discounting")


def time_limit() -> Environment:
    """Reward 1 per step, truncated after 5 steps. V = 1 / (1 - gamma), if the truncation is bootstrapped."""
    return _twin("time_limit")


def action() -> Environment:
    """One step, reward 1 - mean over the agents of (u_i - 0.5)^2.

    The best reward is 1, at u = 0.5. At u = 0 it is 0.75, and under uniform actions 1 - (1/3 + 1/4) = 5/12.
    """
    return _twin("action", reward=_closeness)


def coordination() -> Environment:
    """One step, reward u_0 u_1. The best reward is 1, with both agents at +1 or both at -1.

    While one agent acts at random, the mean reward is 0 for every action of the other.
    """
    return _twin("coordination", reward=lambda t, hidden, action: jnp.clip(action, -1.0, 1.0).prod())


def variable() -> Environment:
    """Episodes of 1 to 5 steps, each length equally likely; the reward of a step is 1 - mean of (u_i - 0.5)^2.

    The best return is the length, 3 on average. The observation is (steps left) / 5; V = 1 + gamma + ..., one term for
    each step left.
    """
    return _twin("variable", reward=_closeness)


CONTINUOUS_TOYS: dict[str, Callable[[], Environment]] = {
    f"{make.__name__}_continuous": make
    for make in (constant, observation, discounting, time_limit, action, coordination, variable)
}
# Best returns and values are those of the discrete probes, because the best rewards are the same.
CONTINUOUS_PROBES: dict[str, Probe] = {name: PROBES[name.removesuffix("_continuous")] for name in CONTINUOUS_TOYS}
