"""What MADDPG and MAAC share: Gaussians an agent, clipping an agent, soft updates, warm-up, the replay's plan.

Neither reads the global state: their critics know all observations and all actions.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from envs.base import EnvSpec
from iacjax.algorithms.common.config import updates_per_iteration
from iacjax.algorithms.maac.config import MaacConfig
from iacjax.algorithms.maddpg.config import MaddpgConfig
from iacjax.buffers import normalise_rewards, transition_buffer
from iacjax.low_rank_gaussian import LOG_2PI, squash_correction
from iacjax.types import Clock, Plan


class Gaussian(NamedTuple):
    """Each agent's diagonal Gaussian before tanh."""

    mean: jax.Array  # f32[..., A, D]
    log_std: jax.Array

    def sample(self, key: jax.Array) -> jax.Array:
        """A value before tanh, f32[..., A, D], differentiable in both parameters."""
        return self.mean + jnp.exp(self.log_std) * jax.random.normal(key, self.mean.shape)

    def log_prob(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        """log density of tanh(x), f32[..., A], given x before tanh; dimensions outside `mask` [A, D] are left out."""
        unit = (x - self.mean) * jnp.exp(-self.log_std)
        each = -0.5 * (unit**2 + LOG_2PI) - self.log_std - squash_correction(x)
        return jnp.where(mask, each, 0.0).sum(-1)


def gaussian(out: jax.Array, config: MaddpgConfig | MaacConfig) -> Gaussian:
    """Reads what a policy net puts out, f32[..., A, 2 D]."""
    mean, log_std = jnp.split(out, 2, -1)
    return Gaussian(mean, jnp.clip(log_std, jnp.log(config.sigma_min), jnp.log(config.sigma_max)))


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


def move_targets(config: MaddpgConfig | MaacConfig, count: jax.Array, params: Any, target: Any) -> Any:
    """`target` moved by `tau` towards `params` where `count` updates are a whole number of `target_every`."""
    due = count % config.target_every == 0
    return jax.tree.map(
        lambda new, old: jnp.where(due, config.tau * new + (1.0 - config.tau) * old, old), params, target
    )


def until_warm(
    config: MaddpgConfig | MaacConfig, mask: jax.Array, key: jax.Array, clock: Clock, action: jax.Array
) -> jax.Array:
    """`action` f32[..., A, D] in [-1, 1]; before the first update uniform ones, if the config says so."""
    if config.warmup_actions == "policy":
        return action
    uniform = jax.random.uniform(key, action.shape, minval=-1.0, maxval=1.0) * mask
    return jnp.where(clock.env_steps >= config.warmup, action, uniform)


def make_plan(config: MaddpgConfig | MaacConfig, normalised_rewards: bool = False) -> Plan:
    """A replay of single transitions, its rewards normalised over all that it holds if asked, and updates after it."""
    num_envs, length = config.num_envs, config.rollout_length
    # The state is never read, so the replay need not keep it: its batches have the observations there.
    store = transition_buffer(config.buffer_size, config.batch_size, num_envs, length, state_is_obs=True)
    if normalised_rewards:
        store = normalise_rewards(store, config.buffer_size, num_envs, length)
    updates = updates_per_iteration(config.updates_per_step, num_envs, length)
    return Plan(num_envs, length, store, updates, config.warmup)


def agents_mean(x: jax.Array, mask: jax.Array) -> jax.Array:
    """f32[A]: mean of x f32[B, A] over the batch where `mask` f32[B] is 1."""
    return (x * mask[:, None]).sum(0) / jnp.maximum(mask.sum(), 1.0)


def sample_input(spec: EnvSpec) -> Sequence[jax.Array]:
    """Zeros as observations f32[1, A, O] and actions f32[1, A, D], to initialise networks with."""
    return jnp.zeros((1, spec.num_agents, spec.obs_dim)), jnp.zeros((1, spec.num_agents, spec.action.dim))
