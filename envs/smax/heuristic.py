"""SMAC's non-learning policy (`heuristic_ai`, `heuristic_rest` of StarCraft2Env): a function of the state.

Every agent attacks the enemy that was nearest when it chose, and keeps it until it is dead. (SMAC means marauders to
pass over medivacs, which they cannot hit, but looks for the type id of the agents' medivac among the enemies, so they
do not.) A medivac heals the damaged ally that was nearest when it chose, until it is whole or dead, and gives no order
while nobody is damaged. By default these orders go to any distance, beyond the 6 cells to which SMAC's masks limit
agents; `restricted` (`heuristic_rest`) moves towards a target that the mask forbids, along the larger component.
Source: `get_agent_action_heuristic` of oxwhirl/smac (d6aab33), restated.
"""

import jax
import jax.numpy as jnp
import numpy as np

from envs.smax.battle import NOBODY, Battle
from envs.smax.interface import SHOOT
from envs.smax.scenarios import NUM_COMMON_ACTIONS, Scenario
from envs.smax.scripted import EAST, NORTH, SOUTH, WEST
from envs.smax.units import UNITS

NO_OP = 0


def no_targets(scenario: Scenario, num_envs: int) -> jax.Array:
    """The targets int32[A, E] of agents that have not chosen yet."""
    return jnp.full((scenario.num_allies, num_envs), NOBODY, jnp.int32)


def _offsets(battle: Battle, agents: int, rows: slice) -> tuple[jax.Array, jax.Array]:
    """x and y from each agent to each unit of `rows`: [A, M, E]."""
    return battle.x[rows] - battle.x[:agents, None], battle.y[rows] - battle.y[:agents, None]


def _keep_or_nearest(targets: jax.Array, dx: jax.Array, dy: jax.Array, eligible: jax.Array) -> jax.Array:
    """int32[A, E]: `targets` while eligible bool[A, M, E], else the nearest eligible unit, else NOBODY."""
    named = targets[:, None] == jnp.arange(eligible.shape[1])[None, :, None]
    nearest = jnp.where(eligible, dx * dx + dy * dy, jnp.inf).argmin(axis=1)
    nearest = jnp.where(eligible.any(axis=1), nearest, NOBODY)
    return jnp.where((named & eligible).any(axis=1), targets, nearest).astype(jnp.int32)


def _pick(values: jax.Array, index: jax.Array) -> jax.Array:
    """[A, E]: the entry `index` [A, E] of `values` [A, M, E]."""
    return jnp.take_along_axis(values, jnp.maximum(index, 0)[:, None], axis=1)[:, 0]


def choose(scenario: Scenario, battle: Battle, targets: jax.Array, restricted: bool) -> tuple[jax.Array, jax.Array]:
    """The joint action and the agents' new targets, both int32[A, E].

    Args:
      scenario: the map.
      battle: fields [N, E].
      targets: what this function returned in the step before, `no_targets` in an episode's first step.
      restricted: move towards targets beyond the mask's reach. Without it, the action ids may be illegal:
        `Smax.obey` carries them out, `Smax.step` would not.
    """
    agents = scenario.num_allies
    heals = np.array([[scenario.has_medivac_rules and name == "medivac"] for name in scenario.allies])
    alive = battle.alive
    dx, dy = _offsets(battle, agents, slice(agents, None))
    new = _keep_or_nearest(targets, dx, dy, jnp.broadcast_to(alive[None, agents:], dx.shape))
    to_x, to_y = _pick(dx, new), _pick(dy, new)
    if heals.any():
        dx, dy = _offsets(battle, agents, slice(0, agents))
        full = np.array([[UNITS[name].hp] for name in scenario.allies], np.float32)
        hurt = alive[:agents] & (battle.health[:agents] < full) & ~heals
        patient = _keep_or_nearest(targets, dx, dy, jnp.broadcast_to(hurt[None], dx.shape))
        to_x, to_y = jnp.where(heals, _pick(dx, patient), to_x), jnp.where(heals, _pick(dy, patient), to_y)
        new = jnp.where(heals, patient, new)
    action = new + NUM_COMMON_ACTIONS
    if restricted:
        wide = jnp.abs(to_x) > jnp.abs(to_y)
        step = jnp.where(wide, jnp.where(to_x > 0, EAST, WEST), jnp.where(to_y > 0, NORTH, SOUTH))
        action = jnp.where(to_x * to_x + to_y * to_y <= SHOOT**2, action, step)
    return jnp.where(alive[:agents] & (new != NOBODY), action, NO_OP).astype(jnp.int32), new
