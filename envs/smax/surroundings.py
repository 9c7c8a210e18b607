"""SMAC's observations of the ground: the walkable cells and the heights around an agent."""

import jax
import jax.numpy as jnp
import numpy as np

from envs.smax.terrain import SIZE, Terrain

AROUND = ((0, 2), (0, -2), (2, 0), (-2, 0), (1, 1), (-1, -1), (1, -1), (-1, 1))  # in lengths of a move order
OFF_MAP = 1.0


def walkable_around(terrain: Terrain, x: jax.Array, y: jax.Array, move: int) -> jax.Array:
    """f32[A, 8, E]: whether the cells `AROUND` agents at `x`, `y` (f32[A, E], map units) are walkable; 1 off the map.

    `move` is the length of a move order in cells.
    """
    return _read(terrain.walkable, x, y, [(move * dx, move * dy) for dx, dy in AROUND])


def heights_around(terrain: Terrain, x: jax.Array, y: jax.Array, move: int) -> jax.Array:
    """f32[A, 9, E]: height bytes / 255 of the cells `AROUND` agents, and of their own cells; 1 off the map."""
    return _read(terrain.height_byte / 255.0, x, y, [*((move * dx, move * dy) for dx, dy in AROUND), (0, 0)])


def _read(grid: np.ndarray, x: jax.Array, y: jax.Array, offsets: list[tuple[int, int]]) -> jax.Array:
    """f32[A, n, E]: `grid` at the cells (int(x), int(y)) + each of `offsets`."""
    dx, dy = (np.asarray(axis, np.int32)[None, :, None] for axis in zip(*offsets, strict=True))
    column, row = x.astype(jnp.int32)[:, None] + dx, y.astype(jnp.int32)[:, None] + dy
    inside = (column >= 0) & (column < SIZE) & (row >= 0) & (row < SIZE)
    cell = jnp.clip(column * SIZE + row, 0, SIZE * SIZE - 1)
    values = jnp.asarray(grid.reshape(-1), jnp.float32).at[cell].get(mode="promise_in_bounds")
    return jnp.where(inside, values, OFF_MAP)
