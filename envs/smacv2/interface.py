"""SMACv2's interface: observations, state and legal actions.

They are those of `oxwhirl/smacv2` (577ab5a) with the settings of its three configurations. All functions are pure and
work on `[N, E]` arrays as `envs.smax.interface`; `kind` int32[N, E] is the type of each unit, an index into those of
its race.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.smacv2.cone import heading, in_cone
from envs.smacv2.scenarios import GROUND, DrawnScenario
from envs.smax.drawn import lookup
from envs.smax.interface import MAX_ENERGY, Units, moves, without_self
from envs.smax.scenarios import NUM_COMMON_ACTIONS
from envs.smax.units import MAP_SIZE

REACH_SLACK = 1e-3  # map units; rounding of distances may differ between compiled programs


class Sight(NamedTuple):
    """What each agent sees and can reach, and the geometry behind it. Dead agents see and reach nobody."""

    dx: jax.Array  # f32[A, N, E] from the agent to the unit, map units
    dy: jax.Array
    distance: jax.Array  # f32[A, N, E]
    visible: jax.Array  # bool[A, N, E] in sight; dead units count with their last place
    reach: jax.Array  # bool[A, M, E] targets that actions `first_target`.. can be carried out on: the true test


def _of(kind: jax.Array, values) -> jax.Array:
    return lookup(kind, list(values), np.float32)


def is_healer(scenario: DrawnScenario, kind: jax.Array) -> jax.Array | bool:
    """bool, in the shape of `kind`; False if the race has no healers."""
    return False if scenario.race.healer is None else kind == scenario.race.healer


def survey(scenario: DrawnScenario, kind: jax.Array, units: Units, look: jax.Array, slack: float = 0.0) -> Sight:
    """What agents see. `look` int32[A, E]: the directions of the conic field of view; `slack`: added to their reach."""
    agents = scenario.num_allies
    dx = units.x[None] - units.x[:agents, None]
    dy = units.y[None] - units.y[:agents, None]
    distance = jnp.sqrt(dx * dx + dy * dy)
    sight = _of(kind[:agents], scenario.race.sight)[:, None]
    shoot = _of(kind[:agents], scenario.race.shoot)[:, None]
    alive = units.health > 0
    within = distance <= shoot + slack
    if scenario.looks:
        cone = in_cone(scenario.looks, look, dx, dy)
        visible, within = cone & (distance <= sight), within & cone
    else:
        visible = distance < sight
    here = alive[:agents, None]
    return Sight(dx, dy, distance, visible & here, _targets(scenario, kind, alive, within) & here)


def _targets(scenario: DrawnScenario, kind: jax.Array, alive: jax.Array, within: jax.Array | bool) -> jax.Array:
    """bool[A, M, E]: the living targets `within` (bool[A, N, E]) of each agent; slot j of a medivac is agent j."""
    agents, enemies = scenario.num_allies, scenario.num_enemies
    targets = jnp.broadcast_to(alive[None] & within, (agents,) + alive.shape)
    attack = targets[:, agents:]
    if scenario.race.healer is None:
        return attack
    healer = is_healer(scenario, kind[:agents])
    heal = targets[:, :agents] & ~healer[None]
    empty = jnp.zeros((agents, enemies - agents) + alive.shape[1:], bool)
    return jnp.where(healer[:, None], jnp.concatenate([heal, empty], axis=1), attack)


def available(scenario: DrawnScenario, kind: jax.Array, units: Units, sight: Sight, action_mask: bool) -> jax.Array:
    """bool[A, U, E]: the legal actions. Without `action_mask`, living targets are legal at any distance."""
    agents = slice(0, scenario.num_allies)
    alive = units.health > 0
    here = alive[agents, None]
    looks = jnp.broadcast_to(here, (scenario.num_allies, scenario.looks) + here.shape[2:])
    targets = sight.reach if action_mask else _targets(scenario, kind, alive, True)
    acts = jnp.concatenate(
        [jnp.ones_like(here), moves(GROUND.terrain, units.x[agents], units.y[agents]), looks, targets], axis=1
    )
    return jnp.concatenate([~here, acts & here], axis=1)


def _status(scenario: DrawnScenario, kind: jax.Array, units: Units) -> jax.Array:
    """The features of a unit that do not depend on the observer, f32[N, F, E]: health, [shield], type bits."""
    race = scenario.race
    parts = [units.health / _of(kind, [unit.hp for unit in race.units])]
    if race.shields:
        parts.append(units.shield / _of(kind, [unit.shield for unit in race.units]))
    for bit in range(len(race.types)):
        parts.append((kind == race.bits.index(bit)).astype(jnp.float32))
    return jnp.stack(parts, axis=1)


def _rows(seen: jax.Array, flag: jax.Array, scale: jax.Array, sight: Sight, status: jax.Array, side: slice):
    """f32[A, n, 4 + F, E]: rows of the units of `side` in each agent's observation; 0 if not `seen`."""
    geometry = [flag, sight.distance[:, side] * scale, sight.dx[:, side] * scale, sight.dy[:, side] * scale]
    shared = jnp.broadcast_to(status[None, side], (flag.shape[0],) + status[side].shape)
    return jnp.where(seen[:, :, None], jnp.concatenate([jnp.stack(geometry, axis=2), shared], axis=2), 0.0)


def observations(
    scenario: DrawnScenario, kind: jax.Array, units: Units, look: jax.Array, sight: Sight, avail: jax.Array, shown
) -> jax.Array:
    """f32[E, A, O]: move mask, enemies, allies, self; all zero for a dead agent.

    `shown` bool[M, A, E]: the enemies of whom each agent may get a row (`memory.shown`); `avail` bool[A, U, E].
    """
    agents, envs = scenario.num_allies, units.x.shape[1]
    ours, theirs = slice(0, agents), slice(agents, None)
    alive = units.health > 0
    status = _status(scenario, kind, units)
    scale = 1.0 / _of(kind[ours], scenario.race.sight)[:, None]
    visible = sight.visible & alive[None]
    enemies = _rows(
        visible[:, theirs] & shown.swapaxes(0, 1), sight.reach.astype(jnp.float32), scale, sight, status, theirs
    )
    allies = without_self(_rows(visible[:, ours], jnp.ones_like(sight.dx[:, ours]), scale, sight, status, ours))
    bits = status.shape[1] - len(scenario.race.types)
    place = jnp.stack([units.x[ours], units.y[ours]], axis=1) / MAP_SIZE
    own = [status[ours, :bits], place, *_heading(scenario, look), status[ours, bits:]]
    own = jnp.where(alive[ours, None], jnp.concatenate(own, axis=1), 0.0)
    may_move = avail[:, 2:NUM_COMMON_ACTIONS].astype(jnp.float32)
    blocks = [may_move, enemies.reshape(agents, -1, envs), allies.reshape(agents, -1, envs), own]
    return jnp.concatenate(blocks, axis=1).transpose(2, 0, 1)


def _heading(scenario: DrawnScenario, look: jax.Array) -> list[jax.Array]:
    return [heading(scenario.looks, look)] if scenario.looks else []


def global_state(scenario: DrawnScenario, kind: jax.Array, units: Units, look: jax.Array, last_action: jax.Array):
    """f32[E, X]: ally rows, enemy rows, one-hot last actions (int32[A, E], -1 right after a reset)."""
    agents, envs = scenario.num_allies, units.x.shape[1]
    alive = (units.health > 0)[:, None]
    status = _status(scenario, kind, units)
    place = (jnp.stack([units.x, units.y], axis=1) - MAP_SIZE / 2) / MAP_SIZE
    ours = kind[:agents]
    charge = units.cooldown[:agents] / _of(ours, scenario.race.cooldown)
    charge = jnp.where(is_healer(scenario, ours), units.energy[:agents] / MAX_ENERGY, charge)
    health, rest = status[:, :1], status[:, 1:]
    shield, bits = rest[:, : scenario.race.shields], rest[:, scenario.race.shields :]
    ally_rows = [health[:agents], charge[:, None], place[:agents], shield[:agents], *_heading(scenario, look)]
    ally_rows = jnp.where(alive[:agents], jnp.concatenate([*ally_rows, bits[:agents]], axis=1), 0.0)
    enemy_rows = jnp.concatenate([health, place, rest], axis=1)[agents:]
    enemy_rows = jnp.where(alive[agents:], enemy_rows, 0.0)
    actions = (last_action[:, None] == jnp.arange(scenario.num_actions)[None, :, None]).astype(jnp.float32)
    return jnp.concatenate([block.reshape(-1, envs) for block in (ally_rows, enemy_rows, actions)]).T
