"""Walls: where units may not stand. All arrays are `[N, E]`.

In a rectangular arena a wall is a clip. Elsewhere each unit looks up, in one gather, which cells around its own are
blocked. The quarter of the cell in which it stands then has at most two edges and one corner that may be in its way; it
is pushed out of them by its inner radius.
"""

import jax
import jax.numpy as jnp
import numpy as np

from envs.smax.battle import Battle, Roster
from envs.smax.targeting import settle
from envs.smax.terrain import SIZE
from envs.smax.units import MAP_SIZE, TALL

MOST_SHIFT = 0.4  # cells per loop along an axis on grids that are no rectangle, so that nobody skips a wall
MOST_INNER = 0.5  # cells: of the radius that walls stop there, because a quarter of a cell sees no farther
EDGE_X, EDGE_Y, CORNER, BITS = 1, 2, 4, 3  # what blocks a quarter of a cell; three bits for each of the four
LOST = 1 << 12  # the cell itself is blocked
HOME_BITS = 13  # above them: the index of the nearest open cell


def quarters(open_cells: np.ndarray) -> np.ndarray:
    """int32[32 * 32] of bool[32, 32]: what blocks each quarter of each cell, and the nearest open cell.

    Quarter k is the eastern half of the cell if k & 1, and the northern half if k & 2. A corner counts only if both
    edges beside it are open: otherwise one of them comes first.
    """
    blocked = np.pad(~open_cells, 1, constant_values=True)

    def around(dx, dy):
        return blocked[1 + dx : SIZE + 1 + dx, 1 + dy : SIZE + 1 + dy]

    bits = LOST * around(0, 0)
    for k in range(4):
        dx, dy = 2 * (k & 1) - 1, (k & 2) - 1
        edge_x, edge_y = around(dx, 0), around(0, dy)
        corner = around(dx, dy) & ~edge_x & ~edge_y
        bits = bits + ((EDGE_X * edge_x + EDGE_Y * edge_y + CORNER * corner) << (BITS * k))
    cells, places = np.indices((SIZE, SIZE)).reshape(2, -1).T, np.argwhere(open_cells)
    nearest = places[((cells[:, None] - places[None]) ** 2).sum(axis=2).argmin(axis=1)]
    home = nearest[:, 0] * SIZE + nearest[:, 1]
    return (bits.reshape(-1) + (home << HOME_BITS)).astype(np.int32)


def _keep_out(bits, u, v, inner):
    """(u, v): the place seen from the corner of a quarter, below 0 inside the cell; pushed out of what blocks it."""
    edge_x, edge_y, corner = ((bits & bit) != 0 for bit in (EDGE_X, EDGE_Y, CORNER))
    out_u, out_v = jnp.minimum(u, 0.0), jnp.minimum(v, 0.0)
    square = out_u * out_u + out_v * out_v
    scale = jnp.maximum(inner * jax.lax.rsqrt(jnp.maximum(square, 1e-12)), 1.0)
    inside = (u >= 0.0) & (v >= 0.0)  # beyond the corner: back by the shorter way
    round_u = jnp.where(inside, jnp.where(u < v, -inner, u), jnp.where(u < 0.0, u * scale, u))
    round_v = jnp.where(inside, jnp.where(u < v, v, -inner), jnp.where(v < 0.0, v * scale, v))
    u = jnp.where(edge_x, jnp.minimum(u, -inner), jnp.where(corner, round_u, u))
    return u, jnp.where(edge_y, jnp.minimum(v, -inner), jnp.where(corner, round_v, v))


def _between_cells(roster: Roster, loop, before: Battle, battle: Battle):
    """The places of ground units and colossi on a grid that is no rectangle."""
    terrain = roster.ground.terrain
    tables = [quarters(terrain.walkable)]
    column, row = (jnp.clip(leaf, 0.0, SIZE - 1.0).astype(jnp.int32) for leaf in (before.x, before.y))
    cell = column * SIZE + row
    if terrain.crossable_bytes != terrain.walkable_bytes and roster.any(lambda unit: unit.plane == TALL):
        tables.append(quarters(terrain.crossable))
        cell = cell + roster.column(lambda unit: SIZE * SIZE * (unit.plane == TALL), np.int32)
    found = jnp.asarray(np.concatenate(tables)).at[cell].get(mode="promise_in_bounds")
    inner = roster.column(lambda unit: min(unit.inner, MOST_INNER))
    x = jnp.clip(battle.x, before.x - MOST_SHIFT, before.x + MOST_SHIFT) - column
    y = jnp.clip(battle.y, before.y - MOST_SHIFT, before.y + MOST_SHIFT) - row
    east, north = x > 0.5, y > 0.5
    side, up = jnp.where(east, 1.0, -1.0), jnp.where(north, 1.0, -1.0)
    bits = found >> (BITS * (east + 2 * north))
    u, v = _keep_out(bits, side * x - east, up * y - north, inner)
    # A unit that stands in a blocked cell goes to the nearest open one.
    lost, home = (found & LOST) != 0, found >> HOME_BITS
    x = jnp.where(lost, home // SIZE + 0.5, column + side * (u + east))
    y = jnp.where(lost, home % SIZE + 0.5, row + up * (v + north))
    place = settle(loop, jax.lax.complex(x, y))
    return jnp.real(place), jnp.imag(place)


def fence(roster: Roster, loop: jax.Array, before: Battle, battle: Battle) -> Battle:
    """Keeps ground units and colossi off the blocked cells, and all units on the map.

    `before`: the battle at the start of the loop, with every unit in an open cell.
    """
    box = roster.ground.terrain.box
    if box is None:
        x, y = _between_cells(roster, loop, before, battle)
        if roster.any(lambda unit: unit.air):
            air = roster.column(lambda unit: unit.air, bool)
            x = jnp.where(air, jnp.clip(battle.x, 0.0, MAP_SIZE), x)
            y = jnp.where(air, jnp.clip(battle.y, 0.0, MAP_SIZE), y)
        return battle._replace(x=x, y=y)
    low_x, high_x, low_y, high_y = box

    def clip(value, low, high):
        lowest = roster.column(lambda unit: 0.0 if unit.air else low + unit.inner)
        return jnp.clip(value, lowest, roster.column(lambda unit: MAP_SIZE if unit.air else high - unit.inner))

    return battle._replace(x=clip(battle.x, low_x, high_x), y=clip(battle.y, low_y, high_y))
