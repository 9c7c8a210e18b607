"""Units as SMAC shows them: objects with the field names of StarCraft II's raw observation."""

from typing import Any, NamedTuple

import numpy as np

from envs.smax.units import UNITS

# The game's own ids. SMAC's agents have ids that depend on the map and the game's version; here both sides have these.
TYPE_IDS = {
    "colossus": 4, "baneling": 9, "marine": 48, "marauder": 51, "medivac": 54, "zealot": 73, "stalker": 74,
    "spine_crawler": 98, "zergling": 105, "hydralisk": 107,
}  # fmt: skip


class Position(NamedTuple):
    """Map units."""

    x: float
    y: float


class UnitView(NamedTuple):
    """One unit at one moment. Health, shield and energy in points; a dead unit has health 0."""

    tag: int  # its row: agents first, then enemies
    owner: int  # 1 agents, 2 enemies
    unit_type: int
    name: str
    pos: Position
    health: float
    health_max: float
    shield: float
    shield_max: float
    energy: float
    weapon_cooldown: float  # game loops


def read_units(types: tuple[str, ...], num_allies: int, battle: Any) -> tuple[UnitView, ...]:
    """The N units of the first environment of `battle`, whose fields are [N, E]; agents first."""
    columns = (
        np.asarray(getattr(battle, field))[:, 0] for field in ("x", "y", "health", "shield", "energy", "cooldown")
    )
    rows = zip(*(column.tolist() for column in columns), strict=True)
    units = []
    for n, (name, (x, y, health, shield, energy, cooldown)) in enumerate(zip(types, rows, strict=True)):
        unit = UNITS[name]
        life = (max(health, 0.0), unit.hp, shield if health > 0 else 0.0, unit.shield)
        owner = 1 if n < num_allies else 2
        units.append(UnitView(n, owner, TYPE_IDS.get(name, 0), name, Position(x, y), *life, energy, cooldown))
    return tuple(units)
