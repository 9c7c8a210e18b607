"""A scripted baseline for SMACv2: a pure function of the observations and legal actions."""

import jax
import jax.numpy as jnp
import numpy as np

from envs.base import TimeStep
from envs.errors import ConfigError
from envs.smacv2.scenarios import DrawnScenario
from envs.smax.scenarios import MOVE_FEATURES
from envs.smax.scripted import STOP, nearest_row, walk


def attack_nearest(scenario: DrawnScenario, timestep: TimeStep) -> jax.Array:
    """int32[E, A]: attacks the nearest enemy in range, else moves to the nearest visible one, else stops.

    The enemies come by themselves. An enemy in range whose row is blank is attacked if there is no other one. A medivac
    heals the ally in range with the least health, else moves to the nearest visible ally.
    """
    if scenario.options.open_loop:
        raise ConfigError("open_loop=True hides the enemies from scripted policies: leave it out")
    obs, avail = timestep.obs, timestep.avail
    num_envs, agents = obs.shape[:2]
    split = MOVE_FEATURES + scenario.num_enemies * scenario.row
    enemies = obs[..., MOVE_FEATURES:split].reshape(num_envs, agents, scenario.num_enemies, scenario.row)
    seen = (enemies != 0.0).any(axis=-1)
    reach = avail[..., scenario.first_target :]
    distance = jnp.where(seen, enemies[..., 1], 2.0)  # farther than any that is seen
    target = scenario.first_target + jnp.where(reach, distance, jnp.inf).argmin(axis=-1)
    dx, dy, sees = nearest_row(enemies, seen)
    action = jnp.where(reach.any(axis=-1), target, jnp.where(sees, walk(dx, dy, avail), STOP))
    if scenario.race.healer is not None:
        healer = obs[..., -len(scenario.race.types) + scenario.race.bits[scenario.race.healer]] > 0
        action = jnp.where(healer, _heal_most_hurt(scenario, obs[..., split:], avail), action)
    return jnp.where(timestep.alive, action, 0).astype(jnp.int32)


def _heal_most_hurt(scenario: DrawnScenario, obs: jax.Array, avail: jax.Array) -> jax.Array:
    """The action of each agent if it is a medivac. Row k of agent i is agent k, or k + 1 from i on."""
    num_envs, agents = obs.shape[:2]
    rows = obs[..., : (agents - 1) * scenario.row].reshape(num_envs, agents, agents - 1, scenario.row)
    targets = avail[..., scenario.first_target : scenario.first_target + agents]
    number = np.arange(agents - 1)[None] + (np.arange(agents - 1)[None] >= np.arange(agents)[:, None])  # [A, A - 1]
    legal = jnp.take_along_axis(targets, jnp.broadcast_to(number, (num_envs, *number.shape)), axis=-1)
    hurt = legal & (rows[..., 4] > 0.0) & (rows[..., 4] < 1.0)
    worst = jnp.where(hurt, rows[..., 4], jnp.inf).argmin(axis=-1)
    patient = scenario.first_target + worst + (worst >= np.arange(agents))
    dx, dy, sees = nearest_row(rows, rows[..., 4] > 0)
    follow = jnp.where(sees, walk(dx, dy, avail), STOP)
    return jnp.where(hurt.any(axis=-1), patient, follow).astype(jnp.int32)
