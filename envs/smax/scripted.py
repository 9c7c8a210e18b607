"""Scripted baselines for the StarCraft maps: pure functions of the observations and legal actions."""

import jax
import jax.numpy as jnp
import numpy as np

from envs.base import TimeStep
from envs.errors import ConfigError
from envs.smax.scenarios import NUM_COMMON_ACTIONS, Scenario

STOP, NORTH, SOUTH, EAST, WEST = 1, 2, 3, 4, 5


def random_legal(timestep: TimeStep, key: jax.Array) -> jax.Array:
    """int32[E, A], uniform over the legal actions: the k-th of them, with one random k per agent."""
    count = timestep.avail.sum(axis=-1, keepdims=True)
    place = jnp.floor(jax.random.uniform(key, count.shape) * count).astype(jnp.int32)
    return (timestep.avail.cumsum(axis=-1) <= place).sum(axis=-1).astype(jnp.int32)


def walk(dx: jax.Array, dy: jax.Array, avail: jax.Array) -> jax.Array:
    """int32[E, A]: the move along the larger component of (dx, dy) if legal, else along the smaller one, else stop."""
    across, along = jnp.where(dx > 0, EAST, WEST), jnp.where(dy > 0, NORTH, SOUTH)
    wide = jnp.abs(dx) >= jnp.abs(dy)
    first, second = jnp.where(wide, across, along), jnp.where(wide, along, across)

    def legal(action):
        return jnp.take_along_axis(avail, action[..., None], axis=-1)[..., 0]

    return jnp.where(legal(first), first, jnp.where(legal(second), second, STOP)).astype(jnp.int32)


def nearest_row(rows: jax.Array, eligible: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """dx, dy of the nearest eligible row of `rows` [E, A, n, F], and whether there is one."""
    index = jnp.where(eligible, rows[..., 1], jnp.inf).argmin(axis=-1)
    row = jnp.take_along_axis(rows, index[..., None, None], axis=-2)[..., 0, :]
    return row[..., 2], row[..., 3], eligible.any(axis=-1)


def attack_nearest(scenario: Scenario, timestep: TimeStep) -> jax.Array:
    """int32[E, A]: attacks the nearest enemy in range, else moves to the nearest visible one, else east.

    A medivac heals the ally in range with the least health, else moves to the nearest visible ally.

    Raises:
      ConfigError: agents do not observe what it reads: `open_loop`, or a medivac without the health of others.
    """
    if scenario.options.open_loop:
        raise ConfigError("open_loop=True hides the enemies from scripted policies: leave it out")
    if scenario.has_medivac_rules and not scenario.options.obs_all_health:
        raise ConfigError(f"the medivac of {scenario.name} cannot be scripted with obs_all_health=False: leave it out")
    obs, avail = timestep.obs, timestep.avail
    num_envs, agents = obs.shape[:2]
    begin = scenario.move_features
    split = begin + scenario.num_enemies * scenario.enemy_row
    enemies = obs[..., begin:split].reshape(num_envs, agents, scenario.num_enemies, scenario.enemy_row)
    reach = avail[..., NUM_COMMON_ACTIONS:]
    target = NUM_COMMON_ACTIONS + jnp.where(reach, enemies[..., 1], jnp.inf).argmin(axis=-1)
    dx, dy, sees = nearest_row(enemies, (enemies != 0.0).any(axis=-1))
    step = walk(jnp.where(sees, dx, 1.0), jnp.where(sees, dy, 0.0), avail)
    action = jnp.where(reach.any(axis=-1), target, step)
    if scenario.has_medivac_rules:
        heals = np.asarray([name == "medivac" for name in scenario.allies])
        action = jnp.where(heals, _heal_most_hurt(scenario, obs[..., split:], avail), action)
    return jnp.where(timestep.alive, action, 0).astype(jnp.int32)


def _heal_most_hurt(scenario: Scenario, obs: jax.Array, avail: jax.Array) -> jax.Array:
    """The medivac's action. The medivac is the last agent, so row k of its allies is agent k, and so is target k."""
    num_envs, agents = obs.shape[:2]
    rows = obs[..., : (agents - 1) * scenario.ally_row].reshape(num_envs, agents, agents - 1, scenario.ally_row)
    targets = avail[..., NUM_COMMON_ACTIONS : NUM_COMMON_ACTIONS + agents - 1]
    hurt = targets & (rows[..., 4] < 1.0)
    patient = NUM_COMMON_ACTIONS + jnp.where(hurt, rows[..., 4], jnp.inf).argmin(axis=-1)
    dx, dy, sees = nearest_row(rows, rows[..., 4] > 0)
    follow = jnp.where(sees, walk(dx, dy, avail), STOP)
    return jnp.where(hurt.any(axis=-1), patient, follow).astype(jnp.int32)
