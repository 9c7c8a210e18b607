"""The ground of a battle, and the part of the map that a picture shows."""

from collections.abc import Sequence

import numpy as np

from envs.smax.canvas import ASPECT, FOOTER, GRID, GROUND, HEADER, HEIGHT, VIEW, WALL, WIDTH, Canvas
from envs.smax.terrain import SIZE, STRIP, Terrain

View = tuple[float, float, float, float]  # x0, x1, y0, y1 in map units
MARGIN = 0.6  # map units round the walkable cells
LINE = 4  # cells between the lines of the grid


def whole(terrain: Terrain) -> View:
    """The part of the map, in the frame's aspect, that shows all walkable cells of `terrain`."""
    if terrain.walkable_bytes == STRIP.terrain.walkable_bytes:
        return VIEW
    (x0, x1), (y0, y1) = (_span(terrain.walkable.any(axis=axis)) for axis in (1, 0))
    width = max(x1 - x0, (y1 - y0) / ASPECT)
    x, y, half = (x0 + x1) / 2, (y0 + y1) / 2, (width / 2, width * ASPECT / 2)
    return x - half[0], x + half[0], y - half[1], y + half[1]


def _span(used: np.ndarray) -> tuple[float, float]:
    cells = np.flatnonzero(used)
    return cells[0] - MARGIN, cells[-1] + 1 + MARGIN


def camera(scenes: Sequence, margin: float = 1.6) -> View:
    """The smallest part of the map, in the frame's aspect, that shows all living units and a margin.

    `scenes`: `BattleScene`s of one battle.
    """
    limits = whole(scenes[0].terrain)
    x, y = (np.concatenate([getattr(s, axis)[s.health > 0] for s in scenes]) for axis in "xy")
    if x.size == 0:
        return limits
    width = max(x.max() - x.min() + 2 * margin, (y.max() - y.min() + 2 * margin) / ASPECT)
    width = float(np.clip(width, 15.0, limits[1] - limits[0]))
    half = (width / 2, ASPECT * width / 2)
    centre = ((x.min() + x.max()) / 2, (y.min() + y.max()) / 2)
    x0, y0 = (
        float(np.clip(c - h, low, high - 2 * h))
        for c, h, low, high in zip(centre, half, limits[::2], limits[1::2], strict=True)
    )
    return x0, x0 + 2 * half[0], y0, y0 + 2 * half[1]


def draw_ground(canvas: Canvas, terrain: Terrain) -> None:
    """Walls everywhere, and the walkable cells with the lines of a grid."""
    canvas.box(0, HEADER, WIDTH, HEIGHT - FOOTER, WALL)
    for x in range(SIZE):
        edges = np.flatnonzero(np.diff(np.pad(terrain.walkable[x].astype(int), 1)))
        for low, high in zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True):
            canvas.draw.rectangle((*canvas.at(x, high), *canvas.at(x + 1, low)), fill=GROUND)
            if x % LINE == 0:
                canvas.line([canvas.at(x, low), canvas.at(x, high)], GRID, 1)
            for y in range(low + -low % LINE, high, LINE):
                canvas.line([canvas.at(x, y), canvas.at(x + 1, y)], GRID, 1)
