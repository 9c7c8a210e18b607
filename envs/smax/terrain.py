"""The ground of the maps: where units may walk, how high it is, where teams are created and what enemies are ordered.

Grids are indexed [x, y]; cell (x, y) is the square [x, x + 1) x [y, y + 1). `terrain.npz` was read out of SMAC's map
files: a cell is walkable if it is no void, has no cliff, and 2 <= x, y <= 29; on the strip a running game printed the
same cells. A cell's height is the mean of its four corners. A grid that `experiments.smac_probe` read from a game can
take the place of the walkable cells (`Terrain.with_walkable`).
"""

import dataclasses
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from envs.errors import ConfigError

SIZE = 32  # cells along each side of a map
STAY, GO, HUNT = "stay", "go", "hunt"  # kinds of EnemyOrder


@dataclass(frozen=True)
class Terrain:
    """The grids of a map as bytes, so that a terrain is a hashable constant of compiled programs."""

    name: str
    walkable_bytes: bytes
    crossable_bytes: bytes
    height_bytes: bytes

    @property
    def walkable(self) -> np.ndarray:
        """bool[32, 32]: the cells that ground units may enter: SMAC's `pathing_grid`."""
        return np.frombuffer(self.walkable_bytes, bool).reshape(SIZE, SIZE)

    @property
    def crossable(self) -> np.ndarray:
        """bool[32, 32]: the cells that a colossus may enter, which steps over cliffs."""
        return np.frombuffer(self.crossable_bytes, bool).reshape(SIZE, SIZE)

    @property
    def height_byte(self) -> np.ndarray:
        """uint8[32, 32]: SMAC's `terrain_height` times 255, which is 255 (h + 16) / 32 at the height h."""
        return np.frombuffer(self.height_bytes, np.uint8).reshape(SIZE, SIZE)

    @property
    def box(self) -> tuple[float, float, float, float] | None:
        """(low x, high x, low y, high y) in map units if the walkable cells are a rectangle, else None."""
        xs, ys = (np.flatnonzero(self.walkable.any(axis=axis)) for axis in (1, 0))
        if not len(xs) or not (self.walkable[xs[0] : xs[-1] + 1, ys[0] : ys[-1] + 1]).all():
            return None
        if self.walkable.sum() != len(xs) * len(ys) or self.crossable_bytes != self.walkable_bytes:
            return None
        return float(xs[0]), float(xs[-1] + 1), float(ys[0]), float(ys[-1] + 1)

    def has_room(self, places: np.ndarray, radius: float) -> np.ndarray:
        """bool[n]: a disc of `radius` < 1 cell around each of `places` [n, 2] touches walkable cells only."""
        free = np.ones(len(places), bool)
        for angle in np.arange(16) * np.pi / 8:
            x, y = (places + radius * np.array([np.cos(angle), np.sin(angle)])).T
            inside = (x >= 0) & (x < SIZE) & (y >= 0) & (y < SIZE)
            cell = (np.clip(values, 0, SIZE - 1).astype(int) for values in (x, y))
            free &= inside & self.walkable[tuple(cell)]
        return free

    def with_walkable(self, walkable: np.ndarray) -> "Terrain":
        """This terrain with another grid of walkable cells.

        Raises:
          ConfigError: it is not a grid of 32 x 32 cells, or none of them is walkable.
        """
        grid = np.asarray(walkable)
        if grid.shape != (SIZE, SIZE) or not np.isin(grid, (0, 1)).all() or not grid.any():
            raise ConfigError(f"a pathing grid has {SIZE} x {SIZE} cells of 0 and 1, some of them 1")
        grid = grid.astype(bool)
        cliffs = self.crossable & ~self.walkable
        return dataclasses.replace(self, walkable_bytes=grid.tobytes(), crossable_bytes=(grid | cliffs).tobytes())


@cache
def load_terrain(name: str, heights: str | None = None) -> Terrain:
    """The terrain called `name` of `terrain.npz`, with the heights called `heights` there; None: its own."""
    with np.load(Path(__file__).with_name("terrain.npz")) as data:
        walkable, height = data[f"{name}.walkable"], data[f"{heights or name}.height"]
        cliffs = data[f"{name}.cliffs"] if f"{name}.cliffs" in data.files else np.zeros_like(walkable)
    return Terrain(name, walkable.tobytes(), (walkable | cliffs).tobytes(), height.tobytes())


class Spawn(NamedTuple):
    """One creation call of a map script: the next `count` units of a team (0: all others) stand around a point."""

    x: float
    y: float
    count: int = 0


class EnemyOrder(NamedTuple):
    """What the map script orders all enemies at the start of a battle.

    GO: attack-move to a point, drawn uniformly between `start` and `end`. HUNT: attack the agents' group: each enemy
    follows the agent nearest at the start until it is dead. STAY: no order.
    """

    kind: str
    start: tuple[float, float] = (0.0, 0.0)
    end: tuple[float, float] = (0.0, 0.0)

    @property
    def drawn(self) -> bool:
        """Whether every episode has a goal of its own."""
        return self.start != self.end


def go_to(x: float, y: float) -> EnemyOrder:
    """The order to attack-move to one point."""
    return EnemyOrder(GO, (x, y), (x, y))


@dataclass(frozen=True)
class Ground:
    """Where a battle takes place. Spawns are in the order of the units of `Scenario`, allies in SMAC's agent order."""

    terrain: Terrain
    ally_spawns: tuple[Spawn, ...]
    enemy_spawns: tuple[Spawn, ...]
    order: EnemyOrder
    winding: bool = False  # straight lines run into walls, so units look for a way around them


def _facing(terrain: str, heights: str | None = None) -> Ground:
    """Allies round (9, 16), enemies round (23, 16), ordered to the allies' point."""
    return Ground(load_terrain(terrain, heights), (Spawn(9.0, 16.0),), (Spawn(23.0, 16.0),), go_to(9.0, 16.0))


# The strip's heights are the same in all walkable cells (bytes 191 and 192). In the rows y = 5, 6, 25, 26 beside them
# they differ in 110 to 115 cells by up to 15, which `obs_terrain_height` shows to agents in 212 of the 504 cells.
STRIP = _facing("strip")  # maps of marines
STRIP_PROTOSS = _facing("strip", "strip_protoss")  # 2s3z, 3s5z, 3s5z_vs_3s6z, 1c3s5z
STRIP_MMM = _facing("strip", "strip_mmm")  # MMM, MMM2
SQUARE = _facing("square")
OCTAGON = Ground(load_terrain("6h_vs_8z"), (Spawn(14.6, 9.49),), (Spawn(14.41, 16.76),), go_to(14.6, 9.49))

_CORNER = Spawn(27.91, 28.24)  # where the enemies of corridor and so_many_baneling are created ...
_BEYOND = go_to(4.47, 4.3298)  # ... and are sent, past the agents

# The grounds of maps that share theirs with no other, by the maps' names.
GROUNDS: dict[str, Ground] = {
    "2m_vs_1z": Ground(
        load_terrain("2m_vs_1z"),
        (Spawn(13.0, 12.0, 1), Spawn(19.0, 12.0, 1)),
        (Spawn(16.0, 19.0),),
        EnemyOrder(GO, (13.0, 12.0), (19.0, 12.0)),
    ),
    # The crawler is ordered to (13.92, 20.0397) and takes the cells around the nearest corner of the grid.
    "2s_vs_1sc": Ground(
        load_terrain("2s_vs_1sc"),
        (Spawn(11.1208, 10.338, 1), Spawn(16.976, 10.3662, 1)),
        (Spawn(14.0, 20.0),),
        EnemyOrder(STAY),
    ),
    "so_many_baneling": Ground(load_terrain("so_many_baneling"), (Spawn(11.469, 12.0234),), (_CORNER,), _BEYOND, True),
    "bane_vs_bane": Ground(
        load_terrain("bane_vs_bane"),
        (Spawn(16.0, 8.0, 4), Spawn(16.0, 11.0)),
        (Spawn(16.0, 21.0, 20), Spawn(16.0, 24.0)),
        go_to(16.0, 8.0),
    ),
    "2c_vs_64zg": Ground(load_terrain("2c_vs_64zg"), (Spawn(16.0, 16.0),), (Spawn(16.0, 9.0),), EnemyOrder(HUNT), True),
    "corridor": Ground(load_terrain("corridor"), (Spawn(19.0397, 19.1198),), (_CORNER,), _BEYOND, True),
}
