"""Unit data of the StarCraft micromanagement maps: `Liberty.SC2Mod` (Wings of Liberty base data), Linux package 4.10.

Blizzard's data counts in Normal-speed seconds of 16 game loops; everything here is in loops. One SMAC step is 8 loops.
Source: the unit tables of the project's SMAC interface specification, section 7.1, and of SMAC's other maps, section 5.
"""

from dataclasses import dataclass

LOOPS_PER_SECOND = 16.0
LOOPS_PER_STEP = 8

SHIELD_REGEN = 2.0 / LOOPS_PER_SECOND  # points per loop
SHIELD_DELAY = 160.0  # loops without damage before a shield regenerates
ZERG_REGEN = 0.2734 / LOOPS_PER_SECOND  # life points per loop
MIN_HIT = 0.5  # the least life that a hit takes, for any armor
JITTER_LOW, JITTER_HIGH = -1.0, 2.0  # loops, added to every weapon period
MIN_SCAN = 5.0  # cells: the least scan range of a unit

ENERGY_REGEN = 0.5625 / LOOPS_PER_SECOND  # points per loop
HEAL_RATE = 9.0 / LOOPS_PER_SECOND  # life points per loop
HEAL_COST = 0.33  # energy per healed life point
HEAL_START = 5.0  # energy needed to begin a heal
HEAL_END = 0.01  # energy at which a heal ends
HEAL_SCAN = 6.0  # cells: how far an enemy medivac looks for units to heal

MAP_SIZE = 32.0  # the map is a square [0, 32]^2; where ground units walk in it is the terrain's

GROUND, AIR, TALL = 0, 1, 2  # planes: units collide within one (a colossus walks over the others' heads)


@dataclass(frozen=True)
class UnitType:
    """One row of the data. Lengths in map cells, times in game loops, life, shield and energy in points."""

    name: str
    hp: float
    light: bool
    armored: bool
    biological: bool
    mechanical: bool
    range: float  # of the weapon (or the heal), edge to edge
    speed: float  # cells per loop
    radius: float
    separation: float  # the radius from which other units are pushed away
    inner: float  # the radius that walls stop
    range_slop: float = 1.0  # cells by which a target may leave the range of a strike that has begun
    damage: float = 0.0  # of one hit
    bonus: float = 0.0  # added against the attribute `bonus_vs`
    bonus_vs: str = ""  # "armored", "light" or ""
    hits: int = 1  # of one attack
    period: float = 0.0  # from attack to attack
    damage_point: float = 0.0  # wind-up before the hit is launched
    missile_speed: float = 0.0  # cells per loop; 0: the hit lands at once
    second_hit_delay: float = 0.0  # 0: all hits land together
    beam: tuple[float, float] = (0.0, 0.0)  # half length across, half width along the shot; (0, 0): no splash
    burst: float = 0.0  # cells: it attacks by bursting, and hits everybody whose edge is so near; 0: it does not burst
    shield: float = 0.0
    armor: float = 0.0
    energy: float = 0.0  # at the start of a battle
    max_energy: float = 0.0
    acceleration: float = 1e6  # cells per loop^2; 1e6 stands for "at once"
    regen: float = 0.0  # life points per loop
    plane: int = GROUND
    hits_air: bool = False
    heals: bool = False
    structure: bool = False  # nobody pushes it, and it does not burn in bursts

    @property
    def air(self) -> bool:
        return self.plane == AIR

    @property
    def scan(self) -> float:
        """The range in which it looks for targets, edge to edge."""
        return max(MIN_SCAN, self.range)

    @property
    def hits_at_once(self) -> int:
        """Hits of one attack that land together."""
        return 1 if self.second_hit_delay > 0 else self.hits

    @property
    def armed(self) -> bool:
        return self.damage > 0.0

    def raw_damage(self, target: "UnitType") -> float:
        """One hit on `target` before shield and armor."""
        return self.damage + self.bonus * self.has_bonus(target)

    def has_bonus(self, target: "UnitType") -> bool:
        """Whether its hits on `target` have the bonus."""
        return bool(self.bonus_vs) and getattr(target, self.bonus_vs)

    def can_hit(self, target: "UnitType") -> bool:
        return self.armed and (self.hits_air or not target.air)


def _loops(seconds: float) -> float:
    return seconds * LOOPS_PER_SECOND


def _a_loop(per_second: float) -> float:
    return per_second / LOOPS_PER_SECOND


_BIO_LIGHT = {"light": True, "armored": False, "biological": True, "mechanical": False}
_BIO_ARMORED = {"light": False, "armored": True, "biological": True, "mechanical": False}
_MECH_ARMORED = {"light": False, "armored": True, "biological": False, "mechanical": True}

_BANELING = UnitType(
    "baneling", 30.0, **(_BIO_LIGHT | {"light": False}), range=0.25, speed=_a_loop(2.5), radius=0.375, separation=0.375,
    inner=0.375, damage=20.0, bonus=15.0, bonus_vs="light", period=_loops(0.833), burst=2.2, regen=ZERG_REGEN,
)  # fmt: skip
_COLOSSUS = UnitType(
    "colossus", 200.0, **_MECH_ARMORED, range=6.0, speed=_a_loop(2.25), radius=1.0, separation=0.75, inner=0.5625,
    range_slop=0.0, damage=20.0, hits=2, period=_loops(2.2), damage_point=_loops(0.083), beam=(1.4, 0.15), shield=150.0,
    armor=1.0, plane=TALL,
)  # fmt: skip
_HYDRALISK = UnitType(
    "hydralisk", 80.0, **_BIO_LIGHT, range=5.0, speed=_a_loop(2.25), radius=0.625, separation=0.5, inner=0.375,
    damage=12.0, period=_loops(0.83), damage_point=_loops(0.208), missile_speed=_a_loop(40.0), regen=ZERG_REGEN,
    hits_air=True,
)  # fmt: skip
_MARAUDER = UnitType(
    "marauder", 125.0, **_BIO_ARMORED, range=6.0, speed=_a_loop(2.25), radius=0.5625, separation=0.5, inner=0.375,
    damage=10.0, bonus=10.0, bonus_vs="armored", period=_loops(1.5), missile_speed=_a_loop(20.0), armor=1.0,
)  # fmt: skip
_MARINE = UnitType(
    "marine", 45.0, **_BIO_LIGHT, range=5.0, speed=_a_loop(2.25), radius=0.375, separation=0.375, inner=0.375,
    damage=6.0, period=_loops(0.8608), damage_point=_loops(0.05), hits_air=True,
)  # fmt: skip
_MEDIVAC = UnitType(
    "medivac", 150.0, **_MECH_ARMORED, range=4.0, speed=_a_loop(2.75), radius=0.75, separation=0.75, inner=0.0,
    acceleration=2.3125 / LOOPS_PER_SECOND**2, armor=1.0, energy=50.0, max_energy=200.0, plane=AIR, heals=True,
)  # fmt: skip
# The hit of its tentacle lands 2 to 5 loops after the launch: 12 cells per second, gaining 140 per second^2 [I]. At a
# constant 28 cells per second it does so too.
_SPINE_CRAWLER = UnitType(
    "spine_crawler", 300.0, **_BIO_ARMORED, range=7.0, speed=0.0, radius=0.875, separation=0.875, inner=0.875,
    range_slop=0.0, damage=25.0, bonus=5.0, bonus_vs="armored", period=_loops(1.6), damage_point=_loops(0.3332),
    missile_speed=_a_loop(28.0), armor=2.0, regen=ZERG_REGEN, structure=True,
)  # fmt: skip
_STALKER = UnitType(
    "stalker", 80.0, **_MECH_ARMORED, range=6.0, speed=_a_loop(2.9531), radius=0.625, separation=0.625, inner=0.5,
    damage=10.0, bonus=4.0, bonus_vs="armored", period=_loops(1.44), damage_point=_loops(0.167),
    missile_speed=_a_loop(18.75), shield=80.0, armor=1.0, hits_air=True,
)  # fmt: skip
_ZEALOT = UnitType(
    "zealot", 100.0, **_BIO_LIGHT, range=0.1, speed=_a_loop(2.25), radius=0.5, separation=0.375, inner=0.375,
    damage=8.0, hits=2, period=_loops(1.2), second_hit_delay=_loops(0.28), shield=50.0, armor=1.0,
)  # fmt: skip
_ZERGLING = UnitType(
    "zergling", 35.0, **_BIO_LIGHT, range=0.1, speed=_a_loop(2.9531), radius=0.375, separation=0.375, inner=0.375,
    damage=5.0, period=_loops(0.696), damage_point=_loops(0.167), regen=ZERG_REGEN,
)  # fmt: skip

_ZERG = (_BANELING, _HYDRALISK, _SPINE_CRAWLER, _ZERGLING)
_ALL = (*_ZERG, _COLOSSUS, _MARAUDER, _MARINE, _MEDIVAC, _STALKER, _ZEALOT)
UNITS: dict[str, UnitType] = {unit.name: unit for unit in _ALL}
