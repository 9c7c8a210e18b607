"""SMAC's interface: observations, state and legal actions. Rewards and endings: `envs.smax.outcome`.

They are those of `oxwhirl/smac` (d6aab33) under the options `scenario.options`. All functions are pure and work on
`[N, E]` arrays: units first (agents in SMAC's agent order, then enemies), the parallel environments on the minor axis.
A dead unit has health 0. Only the result of `observe` has E in front. `units` is any object with the fields of
`Snapshot`, for example the engine's `Battle`.
"""

from typing import NamedTuple, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from envs.smax.open_loop import open_loop_obs
from envs.smax.scenarios import NUM_COMMON_ACTIONS, Scenario
from envs.smax.surroundings import heights_around, walkable_around
from envs.smax.terrain import SIZE, Terrain
from envs.smax.units import UNITS

SIGHT = 9.0  # map units, the same for every type; strictly less
SHOOT = 6.0  # map units, the same for every type; less or equal
MAP_SIZE = 32.0
MAX_ENERGY = 200.0
# Divisors of the cooldown entry of the state, in game loops: constants of SMAC, not the weapon periods.
MAX_COOLDOWN = {
    "marine": 15, "marauder": 25, "stalker": 35, "zealot": 22, "colossus": 24, "hydralisk": 10, "zergling": 11,
    "baneling": 1,
}  # fmt: skip


class Snapshot(NamedTuple):
    """The units as the interface sees them; each f32[N, E]. A unit is alive where health > 0."""

    x: jax.Array  # map units
    y: jax.Array
    health: jax.Array  # points
    shield: jax.Array
    cooldown: jax.Array  # game loops
    energy: jax.Array


class Units(Protocol):
    """The fields that `Snapshot` and the engine's `Battle` have in common."""

    x: jax.Array
    y: jax.Array
    health: jax.Array
    shield: jax.Array
    cooldown: jax.Array
    energy: jax.Array


class Sighting(NamedTuple):
    """What agents receive from SMAC."""

    obs: jax.Array  # f32[E, A, O]
    state: jax.Array  # f32[E, X]
    avail: jax.Array  # bool[E, A, U]


class _Pairs(NamedTuple):
    """From agent to unit, [A, N, E]: offset in sight ranges, and distance of the centres in map units."""

    dx: jax.Array
    dy: jax.Array
    distance: jax.Array


def _column(names: tuple[str, ...], value) -> jax.Array:
    """f32[n, 1] constants of the unit types `names`."""
    return jnp.asarray([[value(UNITS[name])] for name in names], jnp.float32)


def _type_bits(scenario: Scenario, units: range) -> np.ndarray:
    """f32[n, B] one-hot types of `units`."""
    bits = np.zeros((len(units), scenario.type_bits), np.float32)
    for row, unit in enumerate(units):
        if scenario.type_bits:
            bits[row, scenario.type_index(unit)] = 1.0
    return bits


def _status(scenario: Scenario, units: Units) -> jax.Array:
    """The features of a unit that do not depend on the observer, f32[N, 2 + B, E]: health, shield, type bits."""
    health = units.health / _column(scenario.units, lambda unit: unit.hp)
    shield = units.shield / _column(scenario.units, lambda unit: max(unit.shield, 1.0))
    bits = _type_bits(scenario, range(len(scenario.units)))
    bits = jnp.broadcast_to(bits[:, :, None], bits.shape + health.shape[1:])
    return jnp.concatenate([health[:, None], shield[:, None], bits], axis=1)


def _rows(status: jax.Array, shields: bool, health: bool = True) -> jax.Array:
    """Removes the shield entry for a race without shields, or health and shield if they are not shown."""
    if not health:
        return status[:, 2:]
    return status if shields else jnp.concatenate([status[:, :1], status[:, 2:]], axis=1)


def _last_actions(scenario: Scenario, last_action: jax.Array) -> jax.Array:
    """f32[A, U, E] one-hot; zeros right after a reset."""
    return (last_action[:, None] == jnp.arange(scenario.num_actions)[None, :, None]).astype(jnp.float32)


def _time(scenario: Scenario, steps: jax.Array, rows: int) -> jax.Array:
    """f32[rows, 1, E]: steps / limit, the same for all."""
    return jnp.broadcast_to(steps.astype(jnp.float32) / scenario.limit, (rows, 1, *steps.shape))


def _pairs(scenario: Scenario, units: Units) -> _Pairs:
    agents = scenario.num_allies
    dx = units.x[None] - units.x[:agents, None]
    dy = units.y[None] - units.y[:agents, None]
    return _Pairs(dx / SIGHT, dy / SIGHT, jnp.sqrt(dx * dx + dy * dy))


def _walks(terrain: Terrain, x: jax.Array, y: jax.Array) -> jax.Array:
    """bool of the shape of `x`: the cell (int(x), int(y)) may be entered. int() truncates towards zero."""
    if terrain.box is not None:
        low_x, high_x, low_y, high_y = terrain.box
        in_x = (x > -1.0 if low_x == 0.0 else x >= low_x) & (x < high_x)
        return in_x & (y > -1.0 if low_y == 0.0 else y >= low_y) & (y < high_y)
    column, row = x.astype(jnp.int32), y.astype(jnp.int32)
    on_map = (x > -1.0) & (x < SIZE) & (y > -1.0) & (y < SIZE)
    cell = jnp.clip(column * SIZE + row, 0, SIZE * SIZE - 1)
    return on_map & jnp.asarray(terrain.walkable.reshape(-1)).at[cell].get(mode="promise_in_bounds")


def moves(terrain: Terrain, x: jax.Array, y: jax.Array, ahead: float = 1.0) -> jax.Array:
    """bool[A, 4, E]: north, south, east, west.

    SMAC tests the cell int(coordinate) `ahead` units ahead. int() truncates towards zero, so where column 0 is
    walkable, 0 < x < 1 may still go west.
    """
    places = ((x, y + ahead), (x, y - ahead), (x + ahead, y), (x - ahead, y))
    return jnp.stack([_walks(terrain, *place) for place in places], axis=1)


def _targets(scenario: Scenario, alive: jax.Array, distance: jax.Array, reach: float) -> jax.Array:
    """bool[A, M, E]: which targets are legal for actions 6.. of each agent, if the agent is alive."""
    agents, enemies = scenario.num_allies, scenario.num_enemies
    in_reach = alive[None] & (distance <= reach)
    attack = in_reach[:, agents:]
    if not scenario.has_medivac_rules:
        return attack
    is_medivac = np.asarray([name == "medivac" for name in scenario.allies])
    heal = in_reach[:, :agents] & ~is_medivac[None, :, None]
    slots = jnp.zeros_like(attack).at[:, : min(agents, enemies)].set(heal[:, :enemies])
    return jnp.where(is_medivac[:, None, None], slots, attack)


def available(scenario: Scenario, units: Units, reach: float = SHOOT) -> jax.Array:
    """bool[A, U, E]: the legal actions. No-op is legal for dead agents only, and their only action."""
    return _available(scenario, units, _pairs(scenario, units).distance, reach)


def _available(scenario: Scenario, units: Units, distance: jax.Array, reach: float) -> jax.Array:
    alive = units.health > 0
    agents = slice(0, scenario.num_allies)
    here = alive[agents, None]
    acts = jnp.concatenate(
        [
            jnp.ones_like(here),
            moves(scenario.ground.terrain, units.x[agents], units.y[agents], scenario.options.move_amount / 2),
            _targets(scenario, alive, distance, reach),
        ],
        axis=1,
    )
    return jnp.concatenate([~here, acts & here], axis=1)


def without_self(rows: jax.Array) -> jax.Array:
    """[A, A, ...] -> [A, A - 1, ...]: removes the diagonal, using slices only."""
    agents, rest = rows.shape[0], rows.shape[2:]
    flat = rows.reshape((agents * agents,) + rest)[1:]
    return flat.reshape((agents - 1, agents + 1) + rest)[:, :-1].reshape((agents, agents - 1) + rest)


def _pair_rows(seen: jax.Array, flag: jax.Array, pairs: _Pairs, status: jax.Array, side: slice) -> jax.Array:
    """f32[A, n, 4 + ..., E]: rows of the units of `side` in each agent's observation; 0 if not visible."""
    geometry = [flag, pairs.distance[:, side] / SIGHT, pairs.dx[:, side], pairs.dy[:, side]]
    shared = jnp.broadcast_to(status[None], (flag.shape[0],) + status.shape)
    rows = jnp.concatenate([jnp.stack(geometry, axis=2), shared], axis=2)
    return jnp.where(seen[:, side, None], rows, 0.0)


def _observations(
    scenario: Scenario,
    units: Units,
    pairs: _Pairs,
    avail: jax.Array,
    status: jax.Array,
    last_action: jax.Array,
    steps: jax.Array | None,
) -> jax.Array:
    """f32[A, O, E]: move mask, ground, enemies, allies, self, time; all but the time is zero for a dead agent."""
    agents, options = scenario.num_allies, scenario.options
    ours, theirs = slice(0, agents), slice(agents, None)
    alive = units.health > 0
    envs = alive.shape[1]
    seen = alive[None] & alive[ours, None] & (pairs.distance < SIGHT)
    flags = avail.astype(jnp.float32)
    ally_status = _rows(status[ours], scenario.ally_shields, options.obs_all_health)
    enemy_status = _rows(status[theirs], scenario.enemy_shields, options.obs_all_health)
    own_status = _rows(status[ours], scenario.ally_shields, options.own_health)
    if options.obs_last_action:
        ally_status = jnp.concatenate([ally_status, _last_actions(scenario, last_action)], axis=1)
    enemies = _pair_rows(seen, flags[:, NUM_COMMON_ACTIONS:], pairs, enemy_status, theirs)
    ones = jnp.ones_like(pairs.dx[:, ours])
    allies = without_self(_pair_rows(seen, ones, pairs, ally_status, ours))
    own = jnp.where(alive[ours, None], own_status, 0.0)
    blocks = [
        flags[:, 2:6],
        *_ground(scenario, units),
        enemies.reshape(agents, -1, envs),
        allies.reshape(agents, -1, envs),
        own,
    ]
    if options.obs_timestep_number:
        blocks += [jnp.zeros((agents, 1, envs)), _time(scenario, steps, agents)]
    return jnp.concatenate(blocks, axis=1)


def _ground(scenario: Scenario, units: Units) -> list[jax.Array]:
    """What agents observe of the ground, f32[A, n, E] each; zeros for dead agents."""
    options, ours, found = scenario.options, slice(0, scenario.num_allies), []
    place = (scenario.ground.terrain, units.x[ours], units.y[ours], int(options.move_amount))
    if options.obs_pathing_grid:
        found.append(walkable_around(*place))
    if options.obs_terrain_height:
        found.append(heights_around(*place))
    return [jnp.where(units.health[ours, None] > 0, block, 0.0) for block in found]


def _state(
    scenario: Scenario, units: Units, status: jax.Array, last_action: jax.Array, steps: jax.Array | None
) -> jax.Array:
    """f32[X, E]: ally rows, enemy rows, one-hot last actions, time."""
    agents, envs, options = scenario.num_allies, units.x.shape[1], scenario.options
    alive = (units.health > 0)[:, None]
    place = jnp.stack([(units.x - MAP_SIZE / 2) / MAP_SIZE, (units.y - MAP_SIZE / 2) / MAP_SIZE], axis=1)
    scale = [[1.0 / MAX_COOLDOWN.get(name, 1.0)] for name in scenario.allies]
    is_medivac = np.asarray([[name == "medivac"] for name in scenario.allies])
    charge = jnp.where(
        is_medivac, units.energy[:agents] / MAX_ENERGY, units.cooldown[:agents] * jnp.asarray(scale, jnp.float32)
    )
    ours = _rows(status[:agents], scenario.ally_shields)
    theirs = _rows(status[agents:], scenario.enemy_shields)
    ally_rows = jnp.concatenate([ours[:, :1], charge[:, None], place[:agents], ours[:, 1:]], axis=1)
    enemy_rows = jnp.concatenate([theirs[:, :1], place[agents:], theirs[:, 1:]], axis=1)
    blocks = [jnp.where(alive[:agents], ally_rows, 0.0), jnp.where(alive[agents:], enemy_rows, 0.0)]
    if options.state_last_action:
        blocks.append(_last_actions(scenario, last_action))
    if options.state_timestep_number:
        blocks.append(_time(scenario, steps, 1))
    return jnp.concatenate([block.reshape(-1, envs) for block in blocks])


def observe(scenario: Scenario, units: Units, last_action: jax.Array, steps: jax.Array | None = None) -> Sighting:
    """Observations, global state and legal actions.

    `last_action` is int32[A, E]: the joint action that led here, -1 right after a reset. `steps` is int32[E], the steps
    since the reset; only options that show the time need it.
    """
    pairs = _pairs(scenario, units)
    avail = _available(scenario, units, pairs.distance, SHOOT)
    status = _status(scenario, units)
    obs = _observations(scenario, units, pairs, avail, status, last_action, steps)
    if scenario.options.obs_instead_of_state:
        state = obs.reshape(-1, obs.shape[-1])
    else:
        state = _state(scenario, units, status, last_action, steps)
    obs = obs.transpose(2, 0, 1)
    if scenario.options.open_loop:
        obs = open_loop_obs(scenario.num_allies, scenario.limit, steps)
    return Sighting(obs, state.T, avail.transpose(2, 0, 1))
