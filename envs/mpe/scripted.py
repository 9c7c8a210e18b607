"""Scripted baselines for predator-prey. They use the observations only."""

import jax
import jax.numpy as jnp

from envs.base import TimeStep
from envs.mpe.predator_prey import PredatorPrey

LEAD = 0.3  # seconds an interceptor looks ahead: what it needs to change its velocity (see `intercept`)


def _toward(x: jax.Array, y: jax.Array) -> jax.Array:
    """f32[..., 2]: the largest force within the action bounds in the direction (x, y); 0 if the direction is 0."""
    longest = jnp.maximum(jnp.abs(x), jnp.abs(y))
    return jnp.stack([x, y], axis=-1) / jnp.maximum(longest, 1e-6)[..., None]


def _nearest_prey(env: PredatorPrey, obs: jax.Array) -> tuple[jax.Array, ...]:
    """Relative position and relative velocity of the nearest visible prey, and whether there is one.

    All features of an invisible prey are 0; a visible prey is never at exactly 0.
    """
    start = 4 + 2 * (env.num_landmarks + env.num_predators - 1)
    count = env.num_prey
    place = obs[..., start : start + 2 * count].reshape(*obs.shape[:-1], count, 2)
    speed = obs[..., start + 2 * count : start + 4 * count].reshape(*obs.shape[:-1], count, 2)
    distance = jnp.square(place).sum(-1)
    distance = jnp.where(distance > 0, distance, jnp.inf)
    chosen = distance.argmin(-1)[..., None, None]
    place, speed = (jnp.take_along_axis(v, chosen, axis=-2)[..., 0, :] for v in (place, speed))
    return place, speed - obs[..., :2], jnp.isfinite(distance).any(-1, keepdims=True)


def chase(env: PredatorPrey, timestep: TimeStep) -> jax.Array:
    """f32[E, A, 2]: full force towards the nearest visible prey, or towards the centre of the arena."""
    place, _, seen = _nearest_prey(env, timestep.obs)
    goal = jnp.where(seen, place, -timestep.obs[..., 2:4])
    return _toward(goal[..., 0], goal[..., 1])


def intercept(env: PredatorPrey, timestep: TimeStep, lead: float = LEAD) -> jax.Array:
    """Like `chase`, but towards where the prey will be in `lead` seconds, relative to the predator.

    Both velocities are assumed constant. So it aims ahead of the prey and brakes before it, where `chase` overshoots.
    """
    place, speed, seen = _nearest_prey(env, timestep.obs)
    goal = jnp.where(seen, place + lead * speed, -timestep.obs[..., 2:4])
    return _toward(goal[..., 0], goal[..., 1])


def random_force(env: PredatorPrey, key: jax.Array, num_envs: int) -> jax.Array:
    """f32[E, A, 2], uniform within the action bounds."""
    return jax.random.uniform(key, (num_envs, env.spec.num_agents, 2), minval=-1.0)
