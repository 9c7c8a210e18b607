"""Hunters without learning, the yardsticks of predator-prey. They read observations only."""

import jax
import jax.numpy as jnp

from envs.base import TimeStep
from envs.mpe.predator_prey import PredatorPrey

LEAD = 0.3  # seconds an interceptor looks ahead: what it needs to change its velocity (see `intercept`)


def _toward(x: jax.Array, y: jax.Array) -> jax.Array:
    """f32[..., 2] as hard as the action's box allows in the direction (x, y); nothing where that is zero."""
    longest = jnp.maximum(jnp.abs(x), jnp.abs(y))
    return jnp.stack([x, y], axis=-1) / jnp.maximum(longest, 1e-6)[..., None]


def _nearest_prey(env: PredatorPrey, obs: jax.Array) -> tuple[jax.Array, ...]:
    """Of the nearest prey in sight: its relative position and its velocity less one's own; and whether one is seen.

    A prey out of sight reads 0 in all of its features, one in sight is never exactly there.
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
    """f32[E, A, 2]: full force towards the nearest prey in sight; towards the middle of the arena if there is none."""
    place, _, seen = _nearest_prey(env, timestep.obs)
    goal = jnp.where(seen, place, -timestep.obs[..., 2:4])
    return _toward(goal[..., 0], goal[..., 1])


def intercept(env: PredatorPrey, timestep: TimeStep, lead: float = LEAD) -> jax.Array:
    """As `chase`, but towards where the prey will be, relative to the predator, in `lead` seconds if both keep their
    velocities. It so aims ahead of the prey and brakes before it, where a chaser overshoots."""
    place, speed, seen = _nearest_prey(env, timestep.obs)
    goal = jnp.where(seen, place + lead * speed, -timestep.obs[..., 2:4])
    return _toward(goal[..., 0], goal[..., 1])


def random_force(env: PredatorPrey, key: jax.Array, num_envs: int) -> jax.Array:
    """f32[E, A, 2], uniform in the action's box."""
    return jax.random.uniform(key, (num_envs, env.spec.num_agents, 2), minval=-1.0)
