"""Ways round walls: where a unit that wants to go somewhere must walk first.

Where straight lines run into walls, the shortest way is a chain of straight pieces that bend at corners. For every pair
of cells the host computes the first bend, once: a unit looks up the cell it stands in and the cell it wants to reach,
and walks to the middle of the cell that the table names, or straight on if the end is in sight.
"""

from functools import cache

import jax
import jax.numpy as jnp
import numpy as np

from envs.smax.battle import Battle, Roster
from envs.smax.terrain import SIZE, Terrain
from envs.smax.units import GROUND

CLEARANCE = 0.45  # cells on either side of a straight line that must be free
TESTS = 3  # points per cell of a line at which that is tested
STRAIGHT = 255  # the end is in sight, or there is no way


def _seen(walkable: np.ndarray, sources: np.ndarray, ends: np.ndarray) -> np.ndarray:
    """bool[s, n]: the strip of width 2 CLEARANCE from the middle of each source to that of each end is walkable.

    `sources` int[s, 2] and `ends` int[n, 2] are cells.
    """
    steps = np.linspace(0.0, 1.0, TESTS * SIZE, dtype=np.float32)[:, None, None]
    padded = np.pad(walkable, 1)
    seen = np.zeros((len(sources), len(ends)), bool)
    for row, source in enumerate(sources):
        way = (ends - source).astype(np.float32)
        length = np.maximum(np.hypot(*way.T), 1e-6)[:, None]
        side = CLEARANCE * np.stack([-way[:, 1], way[:, 0]], axis=1) / length
        start = np.stack([source + 1.5 - side, source + 1.5 + side]).astype(np.float32)  # of the padded grid
        cell = (start[:, None] + steps * way).astype(np.int32)  # [2, steps, n, 2]
        seen[row] = padded[cell[..., 0], cell[..., 1]].all(axis=(0, 1))
    return seen


def _bends(walkable: np.ndarray) -> np.ndarray:
    """int[k, 2]: the walkable cells diagonally beside a corner that juts out, where ways may bend."""
    blocked = np.pad(~walkable, 1, constant_values=True)

    def around(dx, dy):
        return blocked[1 + dx : SIZE + 1 + dx, 1 + dy : SIZE + 1 + dy]

    found = np.zeros_like(walkable)
    for dx, dy in ((-1, -1), (1, -1), (-1, 1), (1, 1)):
        found |= walkable & around(dx, dy) & ~around(dx, 0) & ~around(0, dy)
    return np.argwhere(found)


def _between(walkable: np.ndarray, cells: np.ndarray, bends: np.ndarray):
    """(leg, way) f32[k, n]: lengths from each bend to each cell, in a straight line and by any number of bends."""
    length = np.linalg.norm(bends[:, None] - cells[None], axis=-1).astype(np.float32)
    leg = np.where(_seen(walkable, bends, cells), length, np.inf)
    at = [np.flatnonzero((cells == bend).all(axis=1))[0] for bend in bends]
    between = leg[:, at]
    for k in range(len(bends)):
        between = np.minimum(between, between[:, k : k + 1] + between[k])
    return leg, np.min(between[:, :, None] + leg, axis=1)


@cache
def detours(terrain: Terrain) -> tuple[np.ndarray, np.ndarray]:
    """(first uint8[1024 * 1024], bends f32[k, 2]): the bend to which the way from a cell i to a cell j leads first.

    `first[1024 i + j]` is STRAIGHT where j is in sight of i. A blocked cell stands for the walkable one nearest to it.
    """
    walkable = terrain.walkable
    cells, bends = np.argwhere(walkable), _bends(walkable)
    if not len(bends):
        return np.full((SIZE * SIZE) ** 2, STRAIGHT, np.uint8), np.zeros((1, 2), np.float32)
    leg, way = _between(walkable, cells, bends)
    sight = _seen(walkable, cells, cells)
    first = np.full(sight.shape, STRAIGHT, np.uint8)
    for row in range(len(cells)):
        away = np.where(leg[:, row] > 0.0, leg[:, row], np.inf)  # not the bend where it stands
        whole = away[:, None] + way
        first[row] = np.where(sight[row] | np.isinf(whole.min(axis=0)), STRAIGHT, whole.argmin(axis=0))
    every = np.indices((SIZE, SIZE)).reshape(2, -1).T
    nearest = ((every[:, None] - cells) ** 2).sum(axis=2).argmin(axis=1)
    return first[np.ix_(nearest, nearest)].reshape(-1), (bends + 0.5).astype(np.float32)


def around_walls(roster: Roster, battle: Battle, dx: jax.Array, dy: jax.Array, halt: jax.Array):
    """(dx, dy, halt) [N, E] of units that want to go along (dx, dy) and to stop `halt` cells before the end.

    A unit on the ground that cannot see the end walks to the first bend of its way, and does not stop there.
    """
    first, bends = (jnp.asarray(table) for table in detours(roster.ground.terrain))

    def cell(x, y):
        column, row = (jnp.clip(value, 0.0, SIZE - 1.0).astype(jnp.int32) for value in (x, y))
        return column * SIZE + row

    pair = cell(battle.x, battle.y) * SIZE * SIZE + cell(battle.x + dx, battle.y + dy)
    found = first.at[pair].get(mode="promise_in_bounds")
    hidden = (found != STRAIGHT) & roster.column(lambda unit: unit.plane == GROUND, bool)
    bend = jnp.where(hidden, found, 0).astype(jnp.int32)
    to_x, to_y = (bends[:, axis].at[bend].get(mode="promise_in_bounds") for axis in (0, 1))
    dx, dy = jnp.where(hidden, to_x - battle.x, dx), jnp.where(hidden, to_y - battle.y, dy)
    return dx, dy, jnp.where(hidden, 0.0, halt)
