"""SMACv2's scenarios: races, sizes, and the numbers of its Python code. No jax here.

Source: the project's SMACv2 specification, sections 1 to 3 (oxwhirl/smacv2 @ 577ab5a).
"""

from dataclasses import dataclass

from envs.errors import ConfigError
from envs.smax.options import Options
from envs.smax.scenarios import MOVE_FEATURES, NUM_COMMON_ACTIONS
from envs.smax.terrain import STAY, EnemyOrder, Ground, Spawn, load_terrain
from envs.smax.units import UNITS, UnitType

LIMIT = 200  # steps of an episode
CONE_ACTIONS = 12  # "look" actions of the conic field of view
# One flat square. Spawn points without drawn positions; enemies have no destination, they pursue agents.
GROUND = Ground(load_terrain("square"), (Spawn(8.0, 16.0),), (Spawn(24.0, 16.0),), EnemyOrder(STAY))


@dataclass(frozen=True)
class Race:
    """The three unit types of a race; tuples are in the order of `types`."""

    name: str
    types: tuple[str, ...]  # sorted by name, which is the order of the ids of SMACv2's agents
    shares: tuple[float, ...]  # probabilities in a team
    exception: str | None  # a team does not consist of these alone
    bits: tuple[int, ...]  # one-hot index of each type in observations and the state
    sight: tuple[float, ...]  # map units; strictly less
    shoot: tuple[float, ...]  # map units between centres, less or equal: the mask of attacks and heals
    cooldown: tuple[float, ...]  # divisors of the state's cooldown entry, in game loops

    @property
    def units(self) -> tuple[UnitType, ...]:
        return tuple(UNITS[name] for name in self.types)

    @property
    def shields(self) -> bool:
        return any(unit.shield > 0 for unit in self.units)

    @property
    def healer(self) -> int | None:
        """The index of the type that heals."""
        return next((index for index, unit in enumerate(self.units) if unit.heals), None)


RACES = {
    race.name: race
    for race in (
        Race(
            "protoss", ("colossus", "stalker", "zealot"), (0.1, 0.45, 0.45), None,
            (2, 0, 1), (10.0, 10.0, 9.0), (7.0, 6.0, 2.0), (24.0, 35.0, 22.0),
        ),
        Race(
            "terran", ("marauder", "marine", "medivac"), (0.45, 0.45, 0.1), "medivac",
            (1, 0, 2), (10.0, 9.0, 11.0), (6.0, 5.0, 4.0), (25.0, 15.0, 1.0),
        ),
        Race(
            "zerg", ("baneling", "hydralisk", "zergling"), (0.1, 0.45, 0.45), "baneling",
            (2, 1, 0), (8.0, 9.0, 8.0), (2.0, 5.0, 2.0), (1.0, 10.0, 11.0),
        ),
    )
}  # fmt: skip
SIZES = ((5, 5), (10, 10), (10, 11), (20, 20), (20, 23))


@dataclass(frozen=True)
class DrawnScenario:
    """A race and the sizes of both teams. `looks` counts the "look" actions: 0 without the conic field of view."""

    race: Race
    num_allies: int
    num_enemies: int
    looks: int = 0
    limit: int = LIMIT
    options: Options = Options()  # of rewards

    @property
    def name(self) -> str:
        return f"{self.race.name}_{self.num_allies}_vs_{self.num_enemies}"

    @property
    def first_target(self) -> int:
        """The first action that names a target."""
        return NUM_COMMON_ACTIONS + self.looks

    @property
    def num_actions(self) -> int:
        return self.first_target + self.num_enemies

    @property
    def row(self) -> int:
        """Length of a unit's row in an observation: flag, distance, dx, dy, health, [shield], 3 type bits."""
        return 5 + self.race.shields + len(self.race.types)

    @property
    def own_row(self) -> int:
        """Health, [shield], x, y, [2 of the direction of the look], type bits."""
        return 3 + self.race.shields + 2 * (self.looks > 0) + len(self.race.types)

    @property
    def obs_dim(self) -> int:
        if self.options.open_loop:
            return 1 + self.num_allies
        return MOVE_FEATURES + (self.num_enemies + self.num_allies - 1) * self.row + self.own_row

    @property
    def state_dim(self) -> int:
        """Ally rows (with the cooldown or energy, and the direction), enemy rows, last actions."""
        enemy = self.row - 2
        ally = enemy + 1 + 2 * (self.looks > 0)
        return self.num_allies * (ally + self.num_actions) + self.num_enemies * enemy


SCENARIOS = {
    scenario.name: scenario for race in RACES.values() for scenario in (DrawnScenario(race, *size) for size in SIZES)
}


def get_scenario(name: str) -> DrawnScenario:
    """The scenario called `name`. Raises ConfigError, naming the known ones, if there is none."""
    if name not in SCENARIOS:
        raise ConfigError(f"unknown SMACv2 scenario '{name}': choose one of {', '.join(SCENARIOS)}")
    return SCENARIOS[name]
