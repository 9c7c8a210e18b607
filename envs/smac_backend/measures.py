"""Numbers of the real game, measured from `battle_logs`, beside our engine's.

Source of ours: `envs.smax.units`; what is measured and how: the SMAC interface specification, section 6.6.
"""

import math
from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

import numpy as np

from envs.smac_backend.battle_logs import WALK, BattleLog, ProbeLogs
from envs.smax.battle import default_rules
from envs.smax.units import (
    ENERGY_REGEN,
    HEAL_COST,
    HEAL_RATE,
    JITTER_HIGH,
    JITTER_LOW,
    MIN_HIT,
    SHIELD_DELAY,
    SHIELD_REGEN,
    UNITS,
)

CHANGE = 0.01  # points: less than this is no hit and no heal
NEAR = 0.05  # cells between two units that may have pushed each other in this loop
WALKS = 0.05  # cells a loop: more than a standing unit is pushed
JUMP = 1.0  # loops: a weapon's cooldown grows by more only when it strikes
A_STEP = 0.3  # cells: about two loops of walking
FLOWN = 1.0  # cells: an enemy medivac that has moved farther in FLIGHT loops flies with its army
FLIGHT = 40


class Finding(NamedTuple):
    """One number of the game, nan if the battles did not show it, and ours."""

    what: str
    unit: str
    measured: float
    ours: float
    tolerance: float

    @property
    def agrees(self) -> bool | None:
        """None: not measured."""
        return None if math.isnan(self.measured) else abs(self.measured - self.ours) <= self.tolerance


def mode(values: Iterable[float]) -> float:
    """The commonest value, values within a thousandth being one; the largest of several; nan of none."""
    values = np.asarray(list(values), np.float64)
    bins = np.round(values, 3)
    counts = Counter(bins.tolist())
    commonest = max(counts, key=lambda value: (counts[value], value), default=math.nan)
    return float(values[bins == commonest].mean()) if counts else math.nan


def median(values) -> float:
    """nan of none."""
    return float(np.median(values)) if np.size(values) else math.nan


def _rows(log: BattleLog, name: str, enemies: bool) -> list[int]:
    side = range(log.num_allies, len(log.names)) if enemies else range(log.num_allies)
    return [row for row in side if log.names[row] == name]


def _paces(log: BattleLog) -> np.ndarray:
    """Cells walked in each loop, [T - 1, N]; nan for the dead, and for units that a neighbour may push or block."""
    paces = np.hypot(np.diff(log.x, axis=0), np.diff(log.y, axis=0))
    size = np.array([UNITS[name].separation for name in log.names])
    plane = np.array([UNITS[name].plane for name in log.names])
    gaps = np.hypot(log.x[:, None] - log.x[:, :, None], log.y[:, None] - log.y[:, :, None])  # [T, N, N]
    touch = (gaps < size + size[:, None] + NEAR) & (plane == plane[:, None]) & ~np.eye(len(size), dtype=bool)
    free = ~(touch & log.alive[:, None]).any(axis=2)
    return np.where(log.alive[1:] & free[1:] & free[:-1], paces, math.nan)


def speeds(logs: ProbeLogs) -> dict[tuple[str, bool], float]:
    """Cells a loop by (type, is an enemy): the commonest pace of walking units.

    An enemy medivac flies at the pace of its army, and is left out; an agents' one is at full speed late in `march`.
    """
    first, found = _paces(logs.march), {}
    every = [(log, _paces(log)) for log in (logs.march, *logs.duels, logs.again)]
    for enemies in (False, True):
        for name in sorted(set(logs.march.names)):
            rows = _rows(logs.march, name, enemies)
            if UNITS[name].heals:
                seen = [] if enemies else first[WALK - 4 : WALK, rows].ravel()
            else:
                seen = np.concatenate([paces[:, _rows(log, name, enemies)].ravel() for log, paces in every])
            if len(seen):
                found[name, enemies] = mode(pace for pace in seen if pace > WALKS)
    return found


def damages(logs: Iterable[BattleLog]) -> dict[tuple[str, str, bool], float]:
    """Points lost to one hit by (attacker, target, on the shield), of duels."""
    seen: dict[tuple[str, str, bool], list[float]] = {}
    for log in logs:
        enemies = len(log.names) - log.num_allies
        for agent in range(log.num_allies):
            row = log.num_allies + (agent + log.shift) % enemies
            if UNITS[log.names[agent]].heals:
                continue
            life, shield = -np.diff(log.health[:, row]), -np.diff(log.shield[:, row])
            whole = log.alive[1:, row]  # what killed it may have been more than it had
            pair = log.names[agent], log.names[row]
            on_shield = whole & (shield > CHANGE) & (life == 0.0) & (log.shield[1:, row] > 0.0)
            seen.setdefault((*pair, True), []).extend(shield[on_shield])
            seen.setdefault((*pair, False), []).extend(life[whole & (life > CHANGE) & (log.shield[:-1, row] == 0.0)])
    return {key: mode(values) for key, values in seen.items() if values}


def our_damage(attacker: str, target: str, on_shield: bool) -> float:
    """Points that one hit of ours takes."""
    raw = UNITS[attacker].raw_damage(UNITS[target])
    return raw if on_shield else max(raw - UNITS[target].armor, MIN_HIT)


def cooldowns(logs: Iterable[BattleLog]) -> dict[str, list[float]]:
    """Loops of cooldown right after each strike, by the agent's type."""
    seen: dict[str, list[float]] = {}
    for log in logs:
        for agent in range(log.num_allies):
            struck = (np.diff(log.cooldown[:, agent]) > JUMP) & log.alive[1:, agent]
            seen.setdefault(log.names[agent], []).extend(log.cooldown[1:, agent][struck])
    return {name: values for name, values in seen.items() if UNITS[name].armed}


class FirstShot(NamedTuple):
    """The distance at which an enemy type first fired."""

    distance: float  # cells, centre to centre
    radii: float  # of the two
    reach: float  # weapon range and radii


def first_shots(log: BattleLog, table: dict[tuple[str, str, bool], float]) -> dict[str, FirstShot]:
    """The first shot of each enemy type at agents that stand idle, as far as its shooter is known.

    The type is known by its damage, which `table` has from duels; the shooter is taken to be the nearest of its type
    when the missile that has just hit was launched.
    """
    found: dict[str, FirstShot] = {}
    lost = -np.diff(log.health + log.shield, axis=0)[:, : log.num_allies]
    armed = {name for name in log.names[log.num_allies :] if UNITS[name].armed}
    for time, agent in np.argwhere((lost > CHANGE) & log.alive[1:, : log.num_allies]):
        on_shield = log.shield[time + 1, agent] > 0.0
        victim = log.names[agent]
        points = {name: table.get((name, victim, on_shield), our_damage(name, victim, on_shield)) for name in armed}
        shooters = {name for name in armed if abs(points[name] - lost[time, agent]) < CHANGE}
        if len(shooters) != 1 or shooters & found.keys():
            continue
        unit = UNITS[shooters.pop()]
        rows = [row for row in _rows(log, unit.name, True) if log.alive[time, row]]
        if not rows:
            continue
        radii = unit.radius + UNITS[victim].radius
        flight = (unit.range + radii) / unit.missile_speed if unit.missile_speed else 0.0
        then = max(time - round(flight), 0)
        gaps = np.hypot(log.x[then, rows] - log.x[then, agent], log.y[then, rows] - log.y[then, agent])
        found[unit.name] = FirstShot(float(gaps.min()), radii, unit.range + radii)
    return found


def heals(logs: Iterable[BattleLog]) -> tuple[float, float]:
    """Life points healed and energy spent a loop by an agents' medivac, nan if none has healed."""
    gains, spent = [], []
    for log in logs:
        team = log.num_allies
        gained = np.diff(log.health[:, :team], axis=0)
        gains += list(gained[(gained > CHANGE) & log.alive[:-1, :team]])
        for medivac in _rows(log, "medivac", False):
            drop = -np.diff(log.energy[:, medivac])
            spent += list(drop[(drop > CHANGE) & log.alive[1:, medivac]])
    return mode(gains), mode(spent)


def shield_growth(log: BattleLog) -> tuple[float, float]:
    """(loops from the last loss to the first growth, points a loop) of the agents' shields."""
    delays, rates = [], []
    for agent in range(log.num_allies):
        change = np.diff(log.shield[:, agent])
        losses = np.flatnonzero((change < 0.0) | (np.diff(log.health[:, agent]) < 0.0))
        if not len(losses) or not log.alive[-1, agent]:
            continue
        growth = np.flatnonzero(change[losses[-1] :] > 1e-4)
        if len(growth):
            delays.append(growth[0])
            rates += list(change[losses[-1] :][growth])
    return median(delays), mode(rates)


def medivac_flies(log: BattleLog) -> bool | None:
    """Whether the enemy medivac moves with its army, of the `march`; None: there is none."""
    rows = _rows(log, "medivac", True)
    end = min(FLIGHT, len(log.x) - 1)
    moved = [math.hypot(log.x[end, row] - log.x[0, row], log.y[end, row] - log.y[0, row]) for row in rows]
    return max(moved) > FLOWN if moved else None


def windup_restarts(once: BattleLog, again: BattleLog) -> bool | None:
    """Whether the same order given again restarts a strike: who winds up strikes then no more. None: it did not show.

    An order given again in every loop leaves no time for a wind-up of any length.
    """
    slow = {name for name in once.names[: once.num_allies] if UNITS[name].damage_point > 0.0}
    first, second = cooldowns([once]), cooldowns([again])
    struck = sum(len(first.get(name, ())) for name in slow)
    return None if struck < 2 else not any(second.get(name) for name in slow)


def findings(logs: ProbeLogs) -> list[Finding]:
    """Every number of units, measured and ours."""
    found = []
    for (name, enemies), speed in speeds(logs).items():
        side = "enemies" if enemies else "agents"
        ours = UNITS[name].speed
        found.append(Finding(f"{name}: speed, {side}", "cells a loop", speed, ours, 0.03 * ours))
    table = damages(logs.duels)
    for (attacker, target, on_shield), points in sorted(table.items()):
        what = f"{attacker}: hit on a {target}'s {'shield' if on_shield else 'life'}"
        found.append(Finding(what, "points", points, our_damage(attacker, target, on_shield), CHANGE))
    for name, loops in cooldowns(logs.duels).items():
        ours = UNITS[name].period + (JITTER_LOW + JITTER_HIGH) / 2
        mean = float(np.mean(loops)) if loops else math.nan
        found.append(Finding(f"{name}: cooldown after a strike", "loops", mean, ours, (JITTER_HIGH - JITTER_LOW) / 2))
    rules = default_rules()
    for name, shot in sorted(first_shots(logs.march, table).items()):
        scan = UNITS[name].scan + float(rules.scan_margin + rules.scan_edge * shot.radii)
        ours = min(shot.reach, scan)
        found.append(Finding(f"{name}: fires first at a distance", "cells", shot.distance, ours, A_STEP))
    if "medivac" in logs.march.names[: logs.march.num_allies]:
        rate, energy = heals(logs.duels)
        found.append(Finding("medivac: heals", "points a loop", rate, HEAL_RATE, CHANGE))
        spent = HEAL_COST * HEAL_RATE - ENERGY_REGEN
        found.append(Finding("medivac: spends while it heals", "energy a loop", energy, spent, CHANGE))
    if logs.recovery:
        delay, rate = shield_growth(logs.recovery)
        found.append(Finding("shields: rest before they grow", "loops", delay, SHIELD_DELAY, 2.0))
        found.append(Finding("shields: growth", "points a loop", rate, SHIELD_REGEN, CHANGE))
    return found
