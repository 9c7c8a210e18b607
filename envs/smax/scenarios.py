"""The maps: the units of both sides in SMAC's order, the ground, and the sizes that follow from them.

Source: the map table of `oxwhirl/smac` (limits, races, type bits) and the spawn calls of its map scripts (unit order).
"""

from dataclasses import dataclass

from envs.errors import ConfigError
from envs.smax.options import Options
from envs.smax.terrain import GROUNDS, OCTAGON, SQUARE, STRIP, STRIP_MMM, STRIP_PROTOSS, Ground

NUM_COMMON_ACTIONS = 6  # no-op, stop, north, south, east, west; then one action per target
MOVE_FEATURES = 4

# One-hot index of a unit type for each of SMAC's map types: (agents, enemies). They differ on stalkers_and_zealots,
# where SMAC counts agents from the unit ids of the map and enemies from the zealot's id (73).
TYPE_INDEX: dict[str, tuple[dict[str, int], dict[str, int]]] = {
    "marines": ({}, {}),
    "stalkers": ({}, {}),
    "zealots": ({}, {}),
    "colossus": ({}, {}),
    "hydralisks": ({}, {}),
    "stalkers_and_zealots": ({"stalker": 0, "zealot": 1}, {"zealot": 0, "stalker": 1}),
    "MMM": ({"marauder": 0, "marine": 1, "medivac": 2}, {"marauder": 0, "marine": 1, "medivac": 2}),
    "bane": ({"baneling": 0, "zergling": 1}, {"baneling": 0, "zergling": 1}),
    "colossi_stalkers_zealots": (
        {"colossus": 0, "stalker": 1, "zealot": 2},
        {"colossus": 0, "stalker": 1, "zealot": 2},
    ),
}


@dataclass(frozen=True)
class Scenario:
    """One map, and the options under which it is played.

    `allies` are in SMAC's agent order, `enemies` in creation order, `limit` is in environment steps.
    """

    name: str
    allies: tuple[str, ...]
    enemies: tuple[str, ...]
    limit: int
    map_type: str
    ally_shields: bool = False  # the agents' race is Protoss
    enemy_shields: bool = False
    ground: Ground = STRIP
    options: Options = Options()

    @property
    def units(self) -> tuple[str, ...]:
        """All unit types, agents first."""
        return self.allies + self.enemies

    @property
    def num_allies(self) -> int:
        return len(self.allies)

    @property
    def num_enemies(self) -> int:
        return len(self.enemies)

    @property
    def has_medivac_rules(self) -> bool:
        """MMM maps: the medivac heals, and a side with only a medivac left has lost."""
        return self.map_type == "MMM"

    @property
    def type_bits(self) -> int:
        return len(TYPE_INDEX[self.map_type][0])

    @property
    def num_actions(self) -> int:
        return NUM_COMMON_ACTIONS + self.num_enemies

    @property
    def move_features(self) -> int:
        """Legal moves, [8 walkable cells], [9 heights]."""
        return MOVE_FEATURES + 8 * self.options.obs_pathing_grid + 9 * self.options.obs_terrain_height

    @property
    def ally_row(self) -> int:
        """Length of an ally's row in an observation: seen, distance, dx, dy, [health, [shield]], bits, [action]."""
        last_action = self.num_actions * self.options.obs_last_action
        return 4 + (1 + self.ally_shields) * self.options.obs_all_health + self.type_bits + last_action

    @property
    def enemy_row(self) -> int:
        return 4 + (1 + self.enemy_shields) * self.options.obs_all_health + self.type_bits

    @property
    def own_row(self) -> int:
        """[health, [shield]], type bits, [0]."""
        return (1 + self.ally_shields) * self.options.own_health + self.type_bits + self.options.obs_timestep_number

    @property
    def obs_dim(self) -> int:
        """What agents get; SMAC declares one less with `obs_timestep_number`."""
        if self.options.open_loop:
            return 1 + self.num_allies
        rows = self.num_enemies * self.enemy_row + (self.num_allies - 1) * self.ally_row
        return self.move_features + rows + self.own_row + self.options.obs_timestep_number

    @property
    def state_dim(self) -> int:
        """Ally rows (health, cooldown or energy, x, y, [shield], bits), enemy rows (no cooldown), [actions], [time]."""
        options = self.options
        if options.obs_instead_of_state:
            return self.num_allies * self.obs_dim
        ally = 4 + self.ally_shields + self.type_bits + self.num_actions * options.state_last_action
        enemy = 3 + self.enemy_shields + self.type_bits
        return self.num_allies * ally + self.num_enemies * enemy + options.state_timestep_number

    def type_index(self, unit: int) -> int | None:
        """One-hot index of the type of `unit` (0..N-1), None on maps of one type per side."""
        side = int(unit >= self.num_allies)
        return TYPE_INDEX[self.map_type][side].get(self.units[unit])


def _team(**counts: int) -> tuple[str, ...]:
    return tuple(name for name, count in counts.items() for _ in range(count))


def _marines(name: str, allies: int, enemies: int, limit: int) -> Scenario:
    return Scenario(name, _team(marine=allies), _team(marine=enemies), limit, "marines")


def _protoss(
    name: str,
    allies: tuple[str, ...],
    enemies: tuple[str, ...],
    limit: int,
    map_type: str,
    ground: Ground = STRIP_PROTOSS,
) -> Scenario:
    return Scenario(name, allies, enemies, limit, map_type, ally_shields=True, enemy_shields=True, ground=ground)


def _own_ground(
    name: str, allies: tuple[str, ...], enemies: tuple[str, ...], limit: int, map_type: str, shields: str = ""
) -> Scenario:
    """A map with a terrain of its own; `shields` has "a" if the agents are Protoss, "e" if the enemies are."""
    return Scenario(name, allies, enemies, limit, map_type, "a" in shields, "e" in shields, GROUNDS[name])


_MMM = _team(marauder=2, marine=7, medivac=1)
_MIXED = "stalkers_and_zealots"
_1C3S5Z = _team(colossus=1, stalker=3, zealot=5)

SCENARIOS: dict[str, Scenario] = {
    scenario.name: scenario
    for scenario in (
        _marines("3m", 3, 3, 60),
        _marines("8m", 8, 8, 120),
        _marines("25m", 25, 25, 150),
        _marines("5m_vs_6m", 5, 6, 70),
        _marines("8m_vs_9m", 8, 9, 120),
        _marines("10m_vs_11m", 10, 11, 150),
        _marines("27m_vs_30m", 27, 30, 180),
        _protoss("2s3z", _team(stalker=2, zealot=3), _team(stalker=2, zealot=3), 120, _MIXED),
        _protoss("3s5z", _team(stalker=3, zealot=5), _team(stalker=3, zealot=5), 150, _MIXED),
        _protoss("3s5z_vs_3s6z", _team(stalker=3, zealot=5), _team(stalker=3, zealot=6), 170, _MIXED),
        _protoss("3s_vs_5z", _team(stalker=3), _team(zealot=5), 250, "stalkers", SQUARE),
        _protoss("1c3s5z", _1C3S5Z, _1C3S5Z, 180, "colossi_stalkers_zealots"),
        Scenario(
            "6h_vs_8z", _team(hydralisk=6), _team(zealot=8), 150, "hydralisks", enemy_shields=True, ground=OCTAGON
        ),
        _protoss("3s_vs_3z", _team(stalker=3), _team(zealot=3), 150, "stalkers", SQUARE),
        _protoss("3s_vs_4z", _team(stalker=3), _team(zealot=4), 200, "stalkers", SQUARE),
        _own_ground("2m_vs_1z", _team(marine=2), _team(zealot=1), 150, "marines", "e"),
        _own_ground("2s_vs_1sc", _team(stalker=2), _team(spine_crawler=1), 300, "stalkers", "a"),
        _own_ground("so_many_baneling", _team(zealot=7), _team(baneling=32), 100, "zealots", "a"),
        _own_ground("bane_vs_bane", _team(baneling=4, zergling=20), _team(zergling=20, baneling=4), 200, "bane"),
        _own_ground("2c_vs_64zg", _team(colossus=2), _team(zergling=64), 400, "colossus", "a"),
        _own_ground("corridor", _team(zealot=6), _team(zergling=24), 400, "zealots", "a"),
        Scenario("MMM", _MMM, _team(marine=7, marauder=2, medivac=1), 150, "MMM", ground=STRIP_MMM),
        Scenario("MMM2", _MMM, _team(marine=8, marauder=3, medivac=1), 180, "MMM", ground=STRIP_MMM),
    )
}


def get_scenario(name: str) -> Scenario:
    """The map called `name`. Raises ConfigError, naming the known maps, if there is none."""
    if name not in SCENARIOS:
        raise ConfigError(f"unknown StarCraft map '{name}': choose one of {', '.join(sorted(SCENARIOS))}")
    return SCENARIOS[name]
