"""The start of an episode: the drawn teams, standing at their start points.

The real game puts a unit on its start point, or on the nearest free place. How it does that is not known; here the
units that share a point stand on a hexagonal lattice round it, with a little noise.
"""

import jax
import jax.numpy as jnp
import numpy as np

from envs.smacv2.scenarios import GROUND, DrawnScenario
from envs.smacv2.teams import Draws, draw_rows, draw_starts, draw_teams
from envs.smax.battle import NOBODY, RESTING, Battle, Rules
from envs.smax.drawn import lookup
from envs.smax.pursuit import Pursuit
from envs.smax.spawn import hexagonal_places
from envs.smax.units import LOOPS_PER_STEP, MAP_SIZE, SHIELD_DELAY


def _spread(scenario: DrawnScenario, points: jax.Array, noise: jax.Array, rules: Rules) -> tuple[jax.Array, jax.Array]:
    """x and y, [n, E], of one team at its start points f32[n, 2, E]; `noise` f32[n, 2, E] is in [-1, 1)."""
    x, y = points[:, 0], points[:, 1]
    same = (x[None] == x[:, None]) & (y[None] == y[:, None])  # [n, n, E]
    before = np.tri(len(points), k=-1, dtype=bool)[..., None]
    place = (same & before).sum(axis=1)  # how many earlier units stand on this point
    shares = same.sum(axis=1) > 1
    lattice = hexagonal_places(len(points))
    at = place[:, None] == np.arange(len(points))[None, :, None]  # [n, place, E]
    offset = (at[:, :, None] * lattice[None, :, :, None]).sum(axis=1)  # [n, 2, E]
    width = 2.0 * max(unit.separation for unit in scenario.race.units if not unit.air) + rules.spawn_gap
    moved = points + jnp.where(shares[:, None], offset * width + noise * rules.spawn_noise, 0.0)
    return moved[:, 0], moved[:, 1]


def _onto_field(scenario: DrawnScenario, kind: jax.Array, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Moves units to the nearest place where they may stand, on a rectangular field."""
    low_x, high_x, low_y, high_y = GROUND.terrain.box

    def clip(value, low, high):
        lowest = [0.0 if unit.air else low + unit.inner for unit in scenario.race.units]
        highest = [MAP_SIZE if unit.air else high - unit.inner for unit in scenario.race.units]
        return jnp.clip(value, lookup(kind, lowest, np.float32), lookup(kind, highest, np.float32))

    return clip(x, low_x, high_x), clip(y, low_y, high_y)


def _sort(kind: jax.Array, x: jax.Array, y: jax.Array) -> tuple[jax.Array, ...]:
    """(kind, x, y), each [A, E], in ascending order: SMACv2's agent order. By comparisons, without sort or gather."""
    size = len(kind)
    key = kind * (2.0 * MAP_SIZE) + x
    less = (key[:, None] < key[None]) | (key[:, None] == key[None]) & (
        (y[:, None] < y[None]) | (y[:, None] == y[None]) & np.tri(size, k=-1, dtype=bool).T[..., None]
    )  # [a, b, E]: a comes before b
    rank = less.sum(axis=0)
    here = rank[None] == np.arange(size)[:, None, None]  # [place, unit, E]
    return tuple(jnp.where(here, leaf[None], 0).sum(axis=1).astype(leaf.dtype) for leaf in (kind, x, y))


def start_rows(scenario: DrawnScenario) -> int:
    """Rows of uniform numbers that `start` takes."""
    return draw_rows(scenario) + 2 * (scenario.num_allies + scenario.num_enemies) + 1


def start(scenario: DrawnScenario, rules: Rules, draws: Draws) -> tuple[jax.Array, Battle, Pursuit]:
    """(types int32[N, E], battles [N, E], orders of the enemies) of new episodes.

    Agents are sorted by (type, x, y), enemies stand in creation order. The map script gives its orders every eight
    loops of game time; in which loop of a step is drawn.
    """
    kinds, starts = draw_teams(scenario, draws), draw_starts(scenario, draws)
    sides = []
    for kind, points in zip(kinds, starts, strict=True):
        noise = 2.0 * draws.take(len(kind), 2) - 1.0
        sides.append((kind, *_onto_field(scenario, kind, *_spread(scenario, points, noise, rules))))
    kind, x, y = (jnp.concatenate(pair) for pair in zip(_sort(*sides[0]), sides[1], strict=True))
    tick = jnp.floor(LOOPS_PER_STEP * draws.take(1)[0]).astype(jnp.int32)
    pursuit = Pursuit(jnp.full(kinds[1].shape, NOBODY, jnp.int32), tick)
    return kind, _fresh(scenario, kind, x, y), pursuit


def _fresh(scenario: DrawnScenario, kind: jax.Array, x: jax.Array, y: jax.Array) -> Battle:
    """The battle at its first loop."""

    def full(value, dtype=jnp.float32):
        return jnp.full(kind.shape, value, dtype)

    def of_type(value):
        found = lookup(kind, [value(unit) for unit in scenario.race.units], np.float32)
        return jnp.broadcast_to(jnp.asarray(found), kind.shape)

    return Battle(
        x=x,
        y=y,
        vx=full(0.0),
        vy=full(0.0),
        health=of_type(lambda unit: unit.hp),
        shield=of_type(lambda unit: unit.shield),
        energy=of_type(lambda unit: unit.energy),
        cooldown=full(0.0),
        windup=full(RESTING),
        target=full(NOBODY, jnp.int32),
        shield_timer=full(SHIELD_DELAY),
        pending_time=full(0.0),
        pending_target=full(NOBODY, jnp.int32),
    )
