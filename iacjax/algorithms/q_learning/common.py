"""What the Q-learners share, feed-forward or recurrent: their networks, mixing, gradient steps."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from envs.base import EnvSpec
from iacjax.algorithms.common.exploration import epsilon_at
from iacjax.algorithms.common.optimizer_step import optimizer_step
from iacjax.algorithms.common.targets import copy_every
from iacjax.algorithms.q_learning.config import QmixConfig
from iacjax.types import Clock, Metrics


class Networks(NamedTuple):
    """The networks and the optimiser, the environment and the configuration."""

    spec: EnvSpec
    config: QmixConfig
    agents: nn.Module
    mixer: nn.Module
    optimizer: optax.GradientTransformation


class Learner(NamedTuple):
    """Parameters, their targets, the state of the one optimiser, and the number of updates."""

    params: dict[str, Any]  # agents; mixer, {} unless it is a network
    target: dict[str, Any]
    opt: Any
    updates: jax.Array  # int32[]


def start_learner(nets: Networks, params: dict[str, Any]) -> Learner:
    """The learner before its first update, its targets copies of `params`."""
    return Learner(params, jax.tree.map(jnp.copy, params), nets.optimizer.init(params), jnp.zeros((), jnp.int32))


def mix(nets: Networks, params: dict[str, Any], q: jax.Array, state: jax.Array) -> jax.Array:
    """f32[..., A] -> f32[..., K]: the values that learn from the team's reward, A of them for IQL, else one."""
    if nets.config.mixer == "iql":
        return q
    if nets.config.mixer == "vdn":
        return q.sum(-1, keepdims=True)
    return nets.mixer.apply(params["mixer"], q, state)[..., None]


def schedules(config: QmixConfig, clock: Clock) -> Metrics:
    """The epsilon of every iteration, for the logs."""
    return {"epsilon": epsilon_at(config, clock)}


def descend(nets: Networks, learner: Learner, loss: Callable) -> tuple[Learner, Metrics]:
    """One gradient step on `loss` (params -> (scalar, metrics)); after every `target_every` the targets are copied."""
    (value, metrics), grads = jax.value_and_grad(loss, has_aux=True)(learner.params)
    params, opt = optimizer_step(nets.optimizer, learner.params, learner.opt, grads)
    updates = learner.updates + 1
    copied = copy_every(nets.config.target_every, updates, params, learner.target)
    return Learner(params, copied, opt, updates), {"loss": value, **metrics}
