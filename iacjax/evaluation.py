"""The one evaluator: exactly N greedy episodes, one in each of N environments."""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from envs.base import Environment
from iacjax.rollout import won
from iacjax.types import Algorithm, Clock, PolicyParams


class Episodes(NamedTuple):
    """The results of N episodes, one of each environment. The first N to finish would favour short episodes."""

    returns: jax.Array  # f32[N]
    length: jax.Array  # int32[N]
    won: jax.Array  # bool[N]; False where the environment reports no wins


def evaluate(
    env: Environment, algorithm: Algorithm, policy: PolicyParams, key: jax.Array, num_episodes: int
) -> Episodes:
    """Plays `num_episodes` episodes greedily, in as many parallel environments."""
    k_reset, k_play = jax.random.split(key)
    env_state, timestep = env.reset(k_reset, num_episodes)
    zero = jnp.zeros(num_episodes, jnp.int32)
    clock = Clock(jnp.int32(0), jnp.int32(0))
    episodes = Episodes(jnp.zeros(num_episodes, jnp.float32), zero, jnp.zeros(num_episodes, bool))
    carry = (jnp.int32(0), env_state, timestep, algorithm.carry(num_episodes), episodes)

    def live(carry):
        t, _, timestep, _, _ = carry
        return (t < env.spec.horizon) & ~timestep.boundary.all()

    def step(carry):
        t, env_state, timestep, memory, episodes = carry
        k_act, k_step = jax.random.split(jax.random.fold_in(k_play, t))
        first = jnp.broadcast_to(t == 0, (num_episodes,))
        memory, action, _ = algorithm.act(policy, memory, timestep, first, k_act, clock, explore=False)
        env_state, new = env.step(k_step, env_state, action)
        over = timestep.boundary
        # A finished environment is stepped on, but stays finished: its rewards no longer count.
        new = new._replace(terminated=over | new.terminated)
        episodes = Episodes(
            returns=episodes.returns + jnp.where(over, 0.0, new.reward),
            length=episodes.length + jnp.where(over, 0, 1),
            won=jnp.where(over, episodes.won, won(new)),
        )
        return t + 1, env_state, new, memory, episodes

    return jax.lax.while_loop(live, step, carry)[-1]
