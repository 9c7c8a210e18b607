"""The start of a battle: compact groups of units, each created around a point of the map's script.

The real game puts the first unit of a group on the point and the others on the nearest free places. The exact places
are not known, so they are modelled as a hexagonal lattice with a little noise.
"""

from collections.abc import Callable
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from envs.smax.battle import NOBODY, RESTING, Battle, Roster, Rules, Team
from envs.smax.targeting import settle
from envs.smax.terrain import GO, HUNT, STRIP, EnemyOrder, Ground, Spawn, Terrain
from envs.smax.units import SHIELD_DELAY

FIRST_MADE = "marine"  # the type that the map scripts create before all others
MOST_GAP, MOST_NOISE = 0.1, 0.1  # cells: gaps and noise for which places near walls have room


def hexagonal_places(count: int, free: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
    """f32[count, 2]: the `count` points of the unit hexagonal lattice nearest the origin, nearest first.

    `free`: which of the points f32[n, 2] may be taken, bool[n].
    """
    reach = int(np.ceil(np.sqrt(count))) + 1
    while True:
        rows, columns = np.mgrid[-reach : reach + 1, -reach : reach + 1].reshape(2, -1)
        points = np.stack([columns + 0.5 * rows, rows * np.sqrt(0.75)], axis=1)
        order = np.lexsort((np.arctan2(points[:, 1], points[:, 0]), np.round((points**2).sum(1), 6)))
        points = points[order].astype(np.float32)
        points = points if free is None else points[free(points)]
        if len(points) >= count:
            return points[:count]
        reach *= 2


def _blocks(names: tuple[str, ...]) -> np.ndarray:
    """int[n]: the index of the run of equal types that each unit is in."""
    return np.cumsum([0] + [a != b for a, b in zip(names, names[1:], strict=False)])


def _arrange(team: Team, x: jax.Array, y: jax.Array, first: jax.Array, second: jax.Array):
    """Permutes the places within each block of equal types, ascending by (first, second); all [n, E].

    Ranks are counted by n comparisons of [n, E], without sort or gather. A unit is not compared with itself: XLA may
    compute the two sides in different places, with different rounding.
    """
    blocks = _blocks(team.names)[:, None]
    rank = jnp.zeros(x.shape, jnp.int32)
    for row in range(len(team)):
        before = (first[row] < first) | ((first[row] == first) & (second[row] < second))
        before &= np.arange(len(team))[:, None] != row
        # Blocks are contiguous: a unit's rank in its team also counts the units of earlier blocks.
        rank += jnp.where(blocks == blocks[row, 0], before, blocks > blocks[row, 0]).astype(jnp.int32)
    place = np.arange(len(team))[:, None]
    sorted_x = sum(jnp.where(rank[row] == place, x[row], 0.0) for row in range(len(team)))
    sorted_y = sum(jnp.where(rank[row] == place, y[row], 0.0) for row in range(len(team)))
    return sorted_x, sorted_y


def team_places(team: Team, free: Callable[[np.ndarray], np.ndarray] | None = None) -> np.ndarray:
    """f32[n, 2]: the lattice points of the units, in the order of `team`, around the origin.

    The scripts of the MMM maps create marines before marauders, which SMAC's agent order turns round. Flyers do not
    take the ground units' places: each of the two groups has its own lattice with its centre on the point [I]. Where
    walls are too near for that, ground units take the nearest places that are `free`.
    """
    places = np.zeros((len(team), 2), np.float32)
    for air in (False, True):
        rows = sorted(team.where(lambda unit, air=air: unit.air == air), key=lambda row: team.names[row] != FIRST_MADE)
        lattice = hexagonal_places(len(rows))
        lattice = lattice - lattice.mean(axis=0) if rows else lattice
        if free is not None and not air and not free(lattice).all():
            lattice = hexagonal_places(len(rows), free)
        places[rows] = lattice
    return places


def _group(team: Team, rules: Rules, noise: jax.Array, centre: tuple[float, float], mirror: float, terrain: Terrain):
    """x and y, [n, E], in the order of `team`; `noise` is f32[2, n, E] in [-1, 1)."""
    width = 2.0 * max(unit.separation for unit in team.units if not unit.air or team.units[0].air)
    inner = max(unit.inner for unit in team.units)

    def free(points):  # with the largest gap and noise that rules draw
        return terrain.has_room(np.asarray(centre) + mirror * points * (width + MOST_GAP), inner + MOST_NOISE)

    places = team_places(team, free) * np.float32(mirror)
    noise = noise * rules.spawn_noise * team.column(lambda unit: not unit.structure)
    x = centre[0] + places[:, :1] * (width + rules.spawn_gap) + noise[0]
    y = centre[1] + places[:, 1:] * (width + rules.spawn_gap) + noise[1]
    return x, y


def _groups(team: Team, spawns: tuple[Spawn, ...]) -> list[tuple[Team, float, float]]:
    """(units, x, y) of each point. Creation calls for the same point make one group."""
    names, groups = team.names, []
    for spawn in spawns:
        here, names = names[: spawn.count or None], names[spawn.count or len(names) :]
        if groups and groups[-1][1:] == (spawn.x, spawn.y):
            here = groups.pop()[0].names + here
        groups.append((Team(here), spawn.x, spawn.y))
    return groups


def _places(team: Team, spawns: tuple[Spawn, ...], rules: Rules, noise: jax.Array, mirror: float, terrain: Terrain):
    """x and y, [n, E], of a team; `noise` is f32[2, n, E] in [-1, 1)."""
    parts, first = [], 0
    for group, x, y in _groups(team, spawns):
        rows = slice(first, first + len(group))
        parts.append(_group(group, rules, noise[:, rows], (x, y), mirror, terrain))
        first += len(group)
    return tuple(jnp.concatenate(values) for values in zip(*parts, strict=True))


def _headings(team: Team, spawns: tuple[Spawn, ...], order: EnemyOrder) -> np.ndarray:
    """f32[2, n, 1]: the unit vectors from the points of a team to the middle of the goals of its order, else 0."""
    groups = _groups(team, spawns)
    points = np.concatenate([np.full((len(group), 2), (x, y)) for group, x, y in groups])
    way = (np.asarray(order.start) + order.end) / 2 - points
    length = np.linalg.norm(way, axis=1, keepdims=True)
    return np.where(order.kind == GO, way / np.maximum(length, 1e-6), 0.0).T[..., None].astype(np.float32)


def _nearest(ally_x, ally_y, enemy_x, enemy_y) -> jax.Array:
    """int32[M, E]: the agent nearest to each enemy."""
    square = (ally_x[:, None] - enemy_x[None]) ** 2 + (ally_y[:, None] - enemy_y[None]) ** 2
    return square.argmin(axis=0).astype(jnp.int32)


def _goal(order: EnemyOrder, draw: jax.Array) -> jax.Array | None:
    """f32[2, E]: a point between the ends of `order` by the share `draw`; None if the point is the map's."""
    if not order.drawn:
        return None
    start, end = np.float32(order.start)[:, None], np.float32(order.end)[:, None]
    return start + (end - start) * draw


@partial(jax.jit, static_argnums=(0, 1, 4), static_argnames="ground")
def spawn(
    unit_types: tuple[str, ...],
    num_allies: int,
    rules: Rules,
    key: jax.Array,
    num_envs: int,
    ground: Ground = STRIP,
) -> Battle:
    """The battles [N, E] at the start of `num_envs` episodes.

    Allies stand around the points of `ground.ally_spawns`, ordered by (type block, x, y), as SMAC orders its agents at
    the start of an episode. Enemies stand around theirs in creation order, shuffled within a block of equal types; they
    may have walked up to `rules.pre_advance` loops towards their goal.
    """
    roster = Roster(unit_types, num_allies, ground).by(rules)
    allies, enemies, count = roster.allies, roster.enemies, len(roster)
    draw = jax.random.uniform(key, (2 * count + len(enemies) + 1, num_envs), jnp.float32)
    goal = _goal(ground.order, jax.random.uniform(jax.random.fold_in(key, 1), (num_envs,), jnp.float32))
    noise = (2.0 * draw[: 2 * count] - 1.0).reshape(2, count, num_envs)
    ally_x, ally_y = _places(allies, ground.ally_spawns, rules, noise[:, :num_allies], 1.0, ground.terrain)
    enemy_x, enemy_y = _places(enemies, ground.enemy_spawns, rules, noise[:, num_allies:], -1.0, ground.terrain)
    # Places are compared with each other, so they must be computed once; `first_loop` is 0, which XLA cannot know.
    first_loop = draw[0, 0].astype(jnp.int32)
    ally_x, ally_y, enemy_x, enemy_y = settle(first_loop, (ally_x, ally_y, enemy_x, enemy_y))
    shuffle = draw[2 * count : -1]
    ally_x, ally_y = _arrange(allies, ally_x, ally_y, ally_x, ally_y)
    enemy_x, enemy_y = _arrange(enemies, enemy_x, enemy_y, shuffle, shuffle)
    # Medivacs, which have inertia, have hardly moved.
    speed = roster.number("speed")[num_allies:] * enemies.column(lambda unit: not unit.heals)
    heading_x, heading_y = _headings(enemies, ground.enemy_spawns, ground.order)
    walked = speed * rules.pre_advance * draw[-1]
    enemy_x, enemy_y = enemy_x + heading_x * walked, enemy_y + heading_y * walked
    battle = _rested(roster, jnp.concatenate([ally_x, enemy_x]), jnp.concatenate([ally_y, enemy_y]))
    if ground.order.kind == HUNT:
        target = battle.target.at[num_allies:].set(_nearest(ally_x, ally_y, enemy_x, enemy_y))
        battle = battle._replace(target=target)
    return battle._replace(goal=goal)


def _rested(roster: Roster, x: jax.Array, y: jax.Array) -> Battle:
    """Full, idle units at the places x and y [N, E]."""

    def full(value, dtype=jnp.float32):
        return jnp.broadcast_to(jnp.asarray(roster.column(value, dtype)), x.shape)

    return Battle(
        x=x,
        y=y,
        vx=full(lambda unit: 0.0),
        vy=full(lambda unit: 0.0),
        health=full(lambda unit: unit.hp),
        shield=full(lambda unit: unit.shield),
        energy=full(lambda unit: unit.energy),
        cooldown=full(lambda unit: 0.0),
        windup=full(lambda unit: RESTING),
        target=full(lambda unit: NOBODY, jnp.int32),
        shield_timer=full(lambda unit: SHIELD_DELAY),
        pending_time=full(lambda unit: 0.0),
        pending_target=full(lambda unit: NOBODY, jnp.int32),
    )
