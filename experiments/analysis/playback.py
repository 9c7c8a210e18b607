"""Plays greedy episodes of a trained run and keeps every step of them."""

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from envs.errors import ConfigError
from experiments.config.env_options import from_saved_options, make_run_env
from experiments.config.trust import Trust, check_trusted
from experiments.runs.results import best_seed, last_evaluations

if TYPE_CHECKING:  # they import jax, which --help can do without
    from envs.base import Environment
    from envs.rendering import Episode
    from iacjax import Policy


def play(env: "Environment", policy: "Policy", seed_index: int, key: Any, num_episodes: int) -> "Episode":
    """Plays greedy episodes in parallel environments until all have ended. All arrays of the result are NumPy's."""
    import jax
    import jax.numpy as jnp

    from envs.rendering import Episode

    @jax.jit
    def step(key, state, timestep, carry, first):
        carry, action = policy.act(carry, timestep, first, seed_index)
        state, timestep = env.step(key, state, action)
        return state, timestep, carry, action

    k_reset, k_play = jax.random.split(key)
    state, timestep = jax.jit(env.reset, static_argnums=1)(k_reset, num_episodes)
    carry = policy.carry(num_episodes)
    moments, actions = [jax.device_get((state, timestep))], []
    over = np.zeros(num_episodes, bool)
    for t in range(env.spec.horizon):
        first = jnp.full(num_episodes, t == 0)
        state, timestep, carry, action = step(jax.random.fold_in(k_play, t), state, timestep, carry, first)
        moments.append(jax.device_get((state, timestep)))
        actions.append(np.asarray(action))
        over |= np.asarray(timestep.boundary)
        if over.all():
            break
    states, timesteps = zip(*moments, strict=True)
    return Episode(list(states), list(timesteps), actions)


def best_index(run_dir: str | pathlib.Path, seeds: Sequence[int]) -> int:
    """Index in `seeds` of the seed with the best last evaluation (win rate, then return). 0 if there was none."""
    results = [result for result in last_evaluations(pathlib.Path(run_dir)) if result.seed in seeds]
    return seeds.index(results[best_seed(results)].seed) if results else 0


def choose_index(run_dir: str | pathlib.Path, seeds: Sequence[int], index: int | None) -> int:
    """`index`, or the best seed's where it is None.

    Raises:
      ConfigError: the run has no seed of that index.
    """
    index = best_index(run_dir, seeds) if index is None else index
    if not 0 <= index < len(seeds):
        raise ConfigError(f"no seed index {index}: the run has {len(seeds)} seed(s), counted from 0")
    return index


def play_run(
    run_dir: str | pathlib.Path, episodes: int = 1, seed_index: int | None = None, trust: Trust = False
) -> tuple["Environment", "Episode", int]:
    """Plays greedy episodes of one seed of a run (None: the best): (environment, episodes, seed).

    `trust`: True runs the custom environment that the run names; a name runs that one alone.

    Raises:
      ConfigError: no policy there, no such seed, an environment without a renderer, or one that is not trusted.
    """
    import jax

    from envs.rendering import check_renderer
    from iacjax import load_policy

    policy = load_policy(run_dir)
    check_trusted(policy.spec.name, run_dir, trust)
    check_renderer(policy.spec.name)
    seed_index = choose_index(run_dir, policy.seeds, seed_index)
    options = from_saved_options(policy.spec.name, policy.env_options)
    env, seed = make_run_env(policy.spec.name, options), policy.seeds[seed_index]
    return env, play(env, policy, seed_index, jax.random.key(seed), episodes), seed
