"""What the Q-learners share, feed-forward or recurrent: their nets' holder, mixing, exploration, gradient steps."""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from envs.base import EnvSpec
from iacjax.algorithms.common.actor_critic import epsilon_at
from iacjax.algorithms.common.off_policy import copy_every
from iacjax.algorithms.q_learning.config import QmixConfig
from iacjax.distributions import mask_logits
from iacjax.types import Clock, Metrics


class Family(NamedTuple):
    """What the factory fixes."""

    spec: EnvSpec
    config: QmixConfig
    agents: nn.Module
    mixer: nn.Module
    optimizer: optax.GradientTransformation


class Learner(NamedTuple):
    params: dict[str, Any]  # agents; mixer, {} unless it is a network
    target: dict[str, Any]
    opt: Any
    updates: jax.Array  # int32[]


def start_learner(f: Family, params: dict[str, Any]) -> Learner:
    """The learner before its first update, its targets copies of `params`."""
    return Learner(params, jax.tree.map(jnp.copy, params), f.optimizer.init(params), jnp.zeros((), jnp.int32))


def mix(f: Family, params: dict[str, Any], q: jax.Array, state: jax.Array) -> jax.Array:
    """f32[..., A] -> f32[..., K]: the values that learn from the team's reward, A of them for IQL, else one."""
    if f.config.mixer == "iql":
        return q
    if f.config.mixer == "vdn":
        return q.sum(-1, keepdims=True)
    return f.mixer.apply(params["mixer"], q, state)[..., None]


def greedy_actions(q: jax.Array, avail: jax.Array) -> jax.Array:
    """Every agent's best legal action, int32[..., A], of q f32[..., A, U]; in padding its best."""
    return mask_logits(q, avail).argmax(-1).astype(jnp.int32)


def explore_from(greedy: jax.Array, avail: jax.Array, epsilon: jax.Array, key: jax.Array) -> jax.Array:
    """Every agent's greedy action, or with probability `epsilon` a legal one drawn uniformly; int32[..., A]."""
    k_where, k_what = jax.random.split(key)
    where = jax.random.bernoulli(k_where, epsilon, greedy.shape)
    legal = mask_logits(jnp.zeros(avail.shape), avail)
    return jnp.where(where, jax.random.categorical(k_what, legal).astype(jnp.int32), greedy)


def schedules(config: QmixConfig, clock: Clock) -> Metrics:
    """What is logged of every iteration."""
    return {"epsilon": epsilon_at(config, clock)}


def descend(f: Family, learner: Learner, loss: Callable) -> tuple[Learner, Metrics]:
    """One gradient step on `loss` (params -> (scalar, metrics)), and every `target_every` of them the hard copy."""
    (value, metrics), grads = jax.value_and_grad(loss, has_aux=True)(learner.params)
    changes, opt = f.optimizer.update(grads, learner.opt, learner.params)
    params, updates = optax.apply_updates(learner.params, changes), learner.updates + 1
    copied = copy_every(f.config.target_every, updates, params, learner.target)
    return Learner(params, copied, opt, updates), {"loss": value, **metrics}
