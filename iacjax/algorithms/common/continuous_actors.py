"""What off-policy actor-critics with continuous actions share beside IAC: policies that end in tanh and acting by them,
clipping by agent, warm-up actions, means by agent.
"""

from collections.abc import Callable
from typing import Any, Literal, Protocol

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from envs.base import EnvSpec, TimeStep
from iacjax.algorithms.common.off_policy import ActionRange, until_warm
from iacjax.types import Clock


class WarmupConfig(Protocol):
    """The fields of a configuration that `warmup_action` reads."""

    warmup: int
    warmup_actions: Literal["uniform", "policy"]


class ActingNetworks(Protocol):
    """What `greedy` and `act` read of an algorithm's networks."""

    spec: EnvSpec
    config: WarmupConfig
    policy: nn.Module  # obs f32[..., A, O] -> f32[..., A, D or more]: means before tanh first
    mask: jax.Array  # bool[A, D], False on padded dimensions
    range: ActionRange


def clip_each_agent(max_norm: float, per_variable: bool) -> optax.GradientTransformation:
    """Clips gradients whose leaves have the agents as their first axis, agent by agent.

    By the norm of one leaf (`per_variable`, MADDPG's code) or of all of an agent's leaves (MAAC's code).
    """

    def update(grads, state, params=None):
        squares = jax.tree.map(lambda g: (g**2).sum(tuple(range(1, g.ndim))), grads)
        total = sum(jax.tree.leaves(squares))
        norms = jax.tree.map(lambda s: jnp.sqrt(s if per_variable else total), squares)

        def clip(g, norm):
            factor = jnp.minimum(1.0, max_norm / jnp.maximum(norm, 1e-12))
            return g * factor.reshape(-1, *[1] * (g.ndim - 1))

        return jax.tree.map(clip, grads, norms), state

    return optax.GradientTransformation(lambda params: optax.EmptyState(), update)


def warmup_action(config: WarmupConfig, mask: jax.Array, key: jax.Array, clock: Clock, action: jax.Array) -> jax.Array:
    """`action` f32[..., A, D] in [-1, 1]; before the first update uniform ones, if the config says so."""
    if config.warmup_actions == "policy":
        return action
    uniform = jax.random.uniform(key, action.shape, minval=-1.0, maxval=1.0) * mask
    return until_warm(config.warmup, clock, action, uniform)


def greedy(nets: ActingNetworks, actor: Any, obs: jax.Array) -> jax.Array:
    """tanh of the policies' means: obs f32[..., A, O] -> f32[..., A, D] in [-1, 1]."""
    return jnp.tanh(nets.policy.apply(actor, obs)[..., : nets.spec.action.dim]) * nets.mask


def noisy(action: jax.Array, scale: float, mask: jax.Array, key: jax.Array) -> jax.Array:
    """Actions f32[..., A, D] in [-1, 1] plus Gaussian noise of standard deviation `scale`, clipped to [-1, 1]."""
    return jnp.clip(action + scale * jax.random.normal(key, action.shape), -1.0, 1.0) * mask


def act(
    nets: ActingNetworks,
    explore_by: Callable[[Any, Any, jax.Array, jax.Array], jax.Array],
    params: Any,
    carry: Any,
    timestep: TimeStep,
    first: jax.Array,
    key: jax.Array,
    clock: Clock,
    explore: bool,
) -> tuple[Any, jax.Array, Any]:
    """One step in E environments (see `Algorithm.act`), exploring by `explore_by(nets, params, obs, key)`."""
    if not explore:
        return carry, nets.range.to_env(greedy(nets, params, timestep.obs)), ()
    k_policy, k_warm = jax.random.split(key)
    action = explore_by(nets, params, timestep.obs, k_policy)
    return carry, nets.range.to_env(warmup_action(nets.config, nets.mask, k_warm, clock, action)), ()


def agents_mean(x: jax.Array, mask: jax.Array) -> jax.Array:
    """f32[A]: mean of x f32[B, A] over the batch where `mask` f32[B] is 1."""
    chex.assert_rank([x, mask], [2, 1])
    return (x * mask[:, None]).sum(0) / jnp.maximum(mask.sum(), 1.0)


def sample_input(spec: EnvSpec) -> tuple[jax.Array, jax.Array]:
    """Zeros as observations f32[1, A, O] and actions f32[1, A, D], to initialise networks with."""
    return jnp.zeros((1, spec.num_agents, spec.obs_dim)), jnp.zeros((1, spec.num_agents, spec.action.dim))
