"""The one rollout: T rows of E environments, restarts included."""

import jax
import jax.numpy as jnp

from envs.base import Environment, TimeStep
from iacjax.types import Algorithm, Batch, Clock, EpisodeStats, PolicyParams, Runner


def start(env: Environment, algorithm: Algorithm, key: jax.Array) -> Runner:
    """Begins an episode in each of the plan's environments."""
    num_envs = algorithm.plan.num_envs
    env_state, timestep = env.reset(key, num_envs)
    return Runner(
        env_state=env_state,
        timestep=timestep,
        first=jnp.ones(num_envs, bool),
        carry=algorithm.carry(num_envs),
        episode_return=jnp.zeros(num_envs, jnp.float32),
        episode_length=jnp.zeros(num_envs, jnp.int32),
    )


def won(timestep: TimeStep) -> jax.Array:
    """bool[E], whether an episode was won; False where the environment reports no wins."""
    return timestep.info["won"] if "won" in timestep.info else jnp.zeros_like(timestep.terminated)


def _advance(runner: Runner, env_state, timestep, carry) -> tuple[Runner, EpisodeStats]:
    """The runner at `timestep`, returns counted; environments that were at a boundary have just been restarted."""
    fresh = runner.timestep.boundary
    episode_return = jnp.where(fresh, 0.0, runner.episode_return + timestep.reward)
    episode_length = jnp.where(fresh, 0, runner.episode_length + 1)
    ended = (timestep.boundary & ~fresh).astype(jnp.float32)
    stats = EpisodeStats(
        episodes=ended,
        return_sum=ended * episode_return,
        length_sum=ended * episode_length,
        won_sum=ended * won(timestep),
        env_steps=(~fresh).astype(jnp.int32),
    )
    return Runner(env_state, timestep, fresh, carry, episode_return, episode_length), stats


def rollout(
    env: Environment, algorithm: Algorithm, policy: PolicyParams, runner: Runner, key: jax.Array, clock: Clock
) -> tuple[Runner, Batch, EpisodeStats]:
    """Acts for T rows. An environment at a boundary spends one row there, without an action, and restarts.

    That row keeps the final observation in the batch: `next` is row t + 1 everywhere (see `Batch`).
    """

    def body(runner, key):
        k_act, k_step, k_restart = jax.random.split(key, 3)
        ts = runner.timestep
        carry, action, aux = algorithm.act(policy, runner.carry, ts, runner.first, k_act, clock, explore=True)
        env_state, timestep = env.step(k_step, runner.env_state, action)
        env_state, timestep = env.restart(k_restart, env_state, timestep, ts.boundary)
        new_runner, stats = _advance(runner, env_state, timestep, carry)
        return new_runner, ((ts, runner.first, action, aux), stats)

    carry0 = runner.carry
    keys = jax.random.split(key, algorithm.plan.rollout_length)
    runner, ((ts, first, action, aux), stats) = jax.lax.scan(body, runner, keys)
    batch = Batch(
        rows=jax.tree.map(lambda x, last: jnp.concatenate([x, last[None]]), ts, runner.timestep),
        first=jnp.concatenate([first, runner.first[None]]),
        action=action,
        aux=aux,
        mask=(~ts.boundary).astype(jnp.float32),
        carry0=carry0,
    )
    return runner, batch, jax.tree.map(lambda x: x.sum(1, dtype=x.dtype).sum(0, dtype=x.dtype), stats)
