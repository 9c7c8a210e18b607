"""The ground of a battle, and the part of the map that a picture shows."""

from collections.abc import Sequence

import numpy as np
from PIL import ImageColor

from envs.smax.canvas import EDGE, FOOTER, GRID, GROUND, HEADER, HIGH, VIEW, WALL, WIDTH, Canvas
from envs.smax.terrain import SIZE, Terrain

View = tuple[float, float, float, float]  # x0, x1, y0, y1 in map units
MARGIN = 0.6  # map units round the walkable cells
LINE = 4  # cells between the lines of the grid
WIDE = (VIEW[3] - VIEW[2]) / (VIEW[1] - VIEW[0])  # height over width of the part of a wide arena that is shown ...
TALL = 0.8  # ... and of other arenas
LOW_BYTE, HIGH_BYTE = 191, 207  # height bytes of the ground 8.0 and of the plateau 10.0


def whole(terrain: Terrain) -> View:
    """The walkable cells of `terrain` and a margin."""
    (x0, x1), (y0, y1) = (_span(terrain.walkable.any(axis=axis)) for axis in (1, 0))
    return x0, x1, y0, y1


def _span(used: np.ndarray) -> tuple[float, float]:
    cells = np.flatnonzero(used)
    return cells[0] - MARGIN, cells[-1] + 1 + MARGIN


def camera(scenes: Sequence, margin: float = 1.6) -> View:
    """The smallest part of the map, in the aspect of its terrain, that shows all living units and a margin.

    It shows little beyond the walkable cells and the units, which may fly over walls. `scenes`: `BattleScene`s of one
    battle.
    """
    x0, x1, y0, y1 = whole(scenes[0].terrain)
    aspect = WIDE if y1 - y0 < TALL * (x1 - x0) else TALL
    x, y = (np.concatenate([getattr(s, axis)[s.health > 0] for s in scenes]) for axis in "xy")
    if x.size == 0:
        x, y = np.array([x0 + margin, x1 - margin]), np.array([y0 + margin, y1 - margin])
    limits = (min(x0, x.min() - 1), max(x1, x.max() + 1)), (min(y0, y.min() - 1), max(y1, y.max() + 1))
    most = max(limits[0][1] - limits[0][0], (limits[1][1] - limits[1][0]) / aspect)
    width = max(x.max() - x.min() + 2 * margin, (y.max() - y.min() + 2 * margin) / aspect)
    width = float(np.clip(width, 15.0, most))
    (x0, x1), (y0, y1) = (
        _within(values, size, *ends) for values, size, ends in zip((x, y), (width, aspect * width), limits, strict=True)
    )
    return x0, x1, y0, y1


def _within(values: np.ndarray, size: float, low: float, high: float) -> tuple[float, float]:
    """A range of `size` around `values`, inside `low` and `high` if it is smaller than these, else around them."""
    start = (values.min() + values.max() - size) / 2 if size < high - low else (low + high - size) / 2
    start = float(np.clip(start, low, high - size)) if size < high - low else float(start)
    return start, start + size


def draw_ground(canvas: Canvas, terrain: Terrain) -> None:
    """Walls everywhere, the walkable cells, lighter the higher they are, with the lines of a grid, and their rim."""
    canvas.box(0, HEADER, WIDTH, canvas.height - FOOTER, WALL)
    for x, y in np.argwhere(terrain.crossable).tolist():
        if terrain.walkable[x, y]:
            canvas.draw.rectangle((*canvas.at(x, y + 1), *canvas.at(x + 1, y)), fill=_shade(terrain.height_byte[x, y]))
        else:
            for step in (0.0, 0.5):
                canvas.line([canvas.at(x + step, y), canvas.at(x + step + 0.5, y + 1)], GRID, 1)
    _grid(canvas, terrain.walkable)
    _grid(canvas, terrain.walkable.T, turned=True)


def _grid(canvas: Canvas, walkable: np.ndarray, turned: bool = False) -> None:
    """The lines along the second axis: grid lines every LINE cells, and the rim where walkable cells end."""
    place = (lambda a, b: canvas.at(b, a)) if turned else canvas.at
    sides = np.pad(walkable, 1).astype(int)
    for a in range(SIZE + 1):
        left, right = sides[a, 1:-1], sides[a + 1, 1:-1]
        for cells, colour, width in ((left & right if a % LINE == 0 else 0 * left, GRID, 1), (left ^ right, EDGE, 1.5)):
            ends = np.flatnonzero(np.diff(np.pad(cells, 1)))
            for low, high in zip(ends[::2].tolist(), ends[1::2].tolist(), strict=True):
                canvas.line([place(a, low), place(a, high)], colour, width)


def _shade(height: int) -> tuple[int, ...]:
    """GROUND at the usual height, HIGH two cliff levels above it."""
    share = min(max((int(height) - LOW_BYTE) / (HIGH_BYTE - LOW_BYTE), 0.0), 1.0)
    share = round(4 * share) / 4  # a smooth slope in few colours
    ends = (ImageColor.getrgb(colour) for colour in (GROUND, HIGH))
    return tuple(round(low + share * (high - low)) for low, high in zip(*ends, strict=True))
