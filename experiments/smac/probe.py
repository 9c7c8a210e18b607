"""The real game's behaviour compared with our engine's, and the rules and numbers in which they differ.

The library of `experiments.smac_probe`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

from envs.errors import ConfigError
from envs.smac_backend.battle_logs import ProbeLogs, log_battles
from envs.smac_backend.measures import (
    CHANGE,
    Finding,
    FirstShot,
    damages,
    findings,
    first_shots,
    medivac_flies,
    windup_restarts,
)
from envs.smac_backend.starcraft import explain
from envs.smax.battle import default_rules
from envs.smax.rules_file import grid_rows
from envs.smax.scenarios import Scenario
from envs.smax.units import JITTER_HIGH, JITTER_LOW, UNITS

MARGIN = 0.5  # cells: a scan range that differs by more from all readings has a margin of its own
EDGES = (1.0, 0.5, 0.0)  # readings of the scan range: edge to edge, halfway, centre to centre
VERDICTS = {True: "agrees", False: "[bold red]differs[/]", None: "not measured"}


def scan_rules(shots: dict[str, FirstShot]) -> dict[str, float]:
    """`scan_edge` and `scan_margin` by where enemies first fired; {} if every type scans farther than it shoots.

    A type that scans no farther fires at its range if it scans edge to edge, closer by both radii if centre to centre,
    and by half of them if halfway. A scan range longer than the weapon's cannot be measured this way.
    """
    far = [shot for name, shot in shots.items() if UNITS[name].scan <= UNITS[name].range]
    if not far:
        return {}
    edge = sum(shot.distance - shot.reach for shot in far) / len(far)
    radii = sum(shot.radii for shot in far) / len(far)
    margins = {share: edge + (1.0 - share) * radii for share in EDGES}
    share = min(margins, key=lambda share: abs(margins[share]))
    return {"scan_edge": share, "scan_margin": margins[share] if margins[share] < -MARGIN else 0.0}


def measured_rules(logs: ProbeLogs) -> dict[str, float]:
    """The fields of `Rules` that the battles have determined."""
    rules = scan_rules(first_shots(logs.march, damages(logs.duels)))
    switches = {
        "enemy_medivac": medivac_flies(logs.march),
        "restart_windup": windup_restarts(logs.duels[0], logs.again),
    }
    return rules | {name: float(value) for name, value in switches.items() if value is not None}


def measured_numbers(logs: ProbeLogs, found: Sequence[Finding]) -> dict[str, dict[str, float]]:
    """Fields of `Numbers` by unit type, only those that differ from ours."""
    numbers: dict[str, dict[str, float]] = {}
    for finding in found:
        name, _, what = finding.what.partition(": ")
        if finding.agrees is False and what.startswith("speed"):
            numbers.setdefault(name, {})["speed"] = finding.measured
        if finding.agrees is False and what.startswith("cooldown"):
            numbers.setdefault(name, {})["period"] = finding.measured - (JITTER_LOW + JITTER_HIGH) / 2
    for (attacker, target, on_shield), points in sorted(damages(logs.duels).items(), key=_armored_last):
        unit, hit = UNITS[attacker], UNITS[target]
        raw = points if on_shield else points + hit.armor
        ours = numbers.get(attacker, {})
        damage = ours.get("damage", unit.damage)
        if hit.armored:
            if abs(raw - damage - ours.get("bonus", unit.bonus)) > CHANGE:
                numbers.setdefault(attacker, {})["bonus"] = raw - damage
        elif abs(raw - damage) > CHANGE:
            numbers.setdefault(attacker, {})["damage"] = raw
    return numbers


def _armored_last(item) -> tuple:
    """Sort key: targets without armor show the damage, armored ones then the bonus; hits on a shield come last."""
    (attacker, target, on_shield), _ = item
    return attacker, UNITS[target].armored, on_shield, target


def table(found: Sequence[Finding], rules: dict[str, float]):
    """A rich table: a row for each number, then the rules."""
    from rich.table import Table

    result = Table("what", "the game", "ours", "unit", "")
    for row in found:
        measured = "" if math.isnan(row.measured) else f"{row.measured:.4g}"
        result.add_row(row.what, measured, f"{row.ours:.4g}", row.unit, VERDICTS[row.agrees])
    ours = default_rules()
    for name, value in rules.items():
        mine = float(getattr(ours, name))
        result.add_row(f"rule {name}", f"{value:.4g}", f"{mine:.4g}", "", VERDICTS[abs(value - mine) < 1e-3])
    return result


def report(scenario: Scenario, logs: ProbeLogs, found: Sequence[Finding], grid: Any = None) -> dict[str, Any]:
    """What goes into the file: rules, numbers and walkable cells for our engine, and the measurements as notes.

    `grid`: bool[x, y], the game's `pathing_grid`.
    """
    opening = [
        [[name, float(x), float(y)] for name, x, y in zip(log.names, log.x[0], log.y[0], strict=True)]
        for log in (logs.march, *logs.duels, logs.again)
    ]
    rows = [row._asdict() | {"agrees": row.agrees} for row in found]
    return {
        "map": scenario.name,
        "rules": measured_rules(logs),
        "numbers": measured_numbers(logs, found),
        "pathing_grid": {} if grid is None else {scenario.ground.terrain.name: grid_rows(grid)},
        "findings": [row | {"measured": None if math.isnan(row["measured"]) else row["measured"]} for row in rows],
        "openings": opening,  # type, x, y of each battle's first frame, enemies in the order of the game
    }


def probe(game: Any, scenario: Scenario, say: Callable[[str], None] = print) -> tuple[dict[str, Any], list[Finding]]:
    """Plays on `game`, a StarCraft2Env, and closes it. Returns (`report`, the findings).

    Raises:
      ConfigError: the game cannot be launched, or breaks off.
    """
    try:
        logs = log_battles(game, scenario, say)
        grid = getattr(game, "pathing_grid", None)
    except Exception as error:
        advice = explain(error)
        if not advice and type(error).__module__.startswith("pysc2"):
            advice = f"StarCraft II broke off ({type(error).__name__}: {' '.join(str(error).split())}): try again"
        if not advice:
            raise
        raise ConfigError(advice) from None
    finally:
        game.close()
    found = findings(logs)
    return report(scenario, logs, found, grid), found
