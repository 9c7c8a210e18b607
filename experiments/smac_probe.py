"""Measures the real StarCraft II: `python -m experiments.smac_probe --map 2s3z [--out rules.json]`.

Plays a few battles of that map through SMAC, loop by loop, prints what the game does beside what our engine does, and
writes what they disagree about as rules that our engine loads: `--env-options rules=rules.json`.
"""

import math
import os
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from envs.errors import ConfigError
from experiments.common.arguments import Parser, out_file, word
from experiments.common.cli import run_command, signals_interrupt

if TYPE_CHECKING:
    from envs.smax.scenarios import Scenario
    from experiments.smac.films import Films
    from experiments.smac.measures import Finding, FirstShot

MARGIN = 0.5  # cells: a scan range that differs by more from both readings has a margin of its own
VERDICTS = {True: "agrees", False: "[bold red]differs[/]", None: "not seen"}


def scan_rules(shots: "dict[str, FirstShot]") -> dict[str, float]:
    """`scan_edge` and `scan_margin` by where enemies first fired; nothing if no type shoots as far as it looks.

    Such a type fires at its range if it looks for targets edge to edge, and closer by both radii if centre to centre.
    A scan range that is longer than the weapon's cannot be seen so.
    """
    from envs.smax.units import UNITS

    far = [shot for name, shot in shots.items() if UNITS[name].scan <= UNITS[name].range]
    if not far:
        return {}
    edge = sum(shot.distance - shot.reach for shot in far) / len(far)
    centre = edge + sum(shot.radii for shot in far) / len(far)
    by_edge = abs(edge) <= abs(centre)
    margin = edge if by_edge else centre
    return {"scan_edge": float(by_edge), "scan_margin": margin if margin < -MARGIN else 0.0}


def measured_rules(films: "Films") -> dict[str, float]:
    """The fields of `Rules` that the battles have settled."""
    from experiments.smac.measures import damages, first_shots, medivac_flies, windup_restarts

    rules = scan_rules(first_shots(films.march, damages(films.duels)))
    coins = {
        "enemy_medivac": medivac_flies(films.march),
        "restart_windup": windup_restarts(films.duels[0], films.again),
    }
    return rules | {name: float(coin) for name, coin in coins.items() if coin is not None}


def measured_numbers(films: "Films", found: "Sequence[Finding]") -> dict[str, dict[str, float]]:
    """Fields of `Numbers` by unit type, only of what differs from ours."""
    from envs.smax.units import JITTER_HIGH, JITTER_LOW, UNITS
    from experiments.smac.measures import CHANGE, damages

    numbers: dict[str, dict[str, float]] = {}
    for finding in found:
        name, _, what = finding.what.partition(": ")
        if finding.agrees is False and what.startswith("speed"):
            numbers.setdefault(name, {})["speed"] = finding.measured
        if finding.agrees is False and what.startswith("cooldown"):
            numbers.setdefault(name, {})["period"] = finding.measured - (JITTER_LOW + JITTER_HIGH) / 2
    for (attacker, target, on_shield), points in sorted(damages(films.duels).items(), key=_armored_last):
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
    """Who is not armored shows the damage, then who is shows the bonus; a shield, which has no armor, comes last."""
    from envs.smax.units import UNITS

    (attacker, target, on_shield), _ = item
    return attacker, UNITS[target].armored, on_shield, target


def table(found: "Sequence[Finding]", rules: dict[str, float]):
    """A rich table: a row a number, then the rules."""
    from rich.table import Table

    from envs.smax.battle import default_rules

    result = Table("what", "the game", "ours", "unit", "")
    for row in found:
        seen = "" if math.isnan(row.measured) else f"{row.measured:.4g}"
        result.add_row(row.what, seen, f"{row.ours:.4g}", row.unit, VERDICTS[row.agrees])
    ours = default_rules()
    for name, value in rules.items():
        mine = float(getattr(ours, name))
        result.add_row(f"rule {name}", f"{value:.4g}", f"{mine:.4g}", "", VERDICTS[abs(value - mine) < 1e-3])
    return result


def report(scenario: "Scenario", films: "Films", found: "Sequence[Finding]") -> dict[str, Any]:
    """What goes into the file: rules and numbers for our engine, and the measurements as notes."""
    opening = [
        [[name, float(x), float(y)] for name, x, y in zip(film.names, film.x[0], film.y[0], strict=True)]
        for film in (films.march, *films.duels, films.again)
    ]
    rows = [row._asdict() | {"agrees": row.agrees} for row in found]
    return {
        "map": scenario.name,
        "rules": measured_rules(films),
        "numbers": measured_numbers(films, found),
        "findings": [row | {"measured": None if math.isnan(row["measured"]) else row["measured"]} for row in rows],
        "openings": opening,  # type, x, y of each battle's first frame, enemies in the order of the game
    }


def probe(game: Any, scenario: "Scenario", say=print) -> tuple[dict[str, Any], "list[Finding]"]:
    """Plays on `game`, a StarCraft2Env, and closes it. Returns (`report`, the findings).

    Raises:
      ConfigError: the game cannot be launched, or breaks off.
    """
    from envs.smac_backend.starcraft import explain
    from experiments.smac.films import shoot_all
    from experiments.smac.measures import findings

    try:
        films = shoot_all(game, scenario, say)
    except Exception as error:
        advice = explain(error)
        if not advice and type(error).__module__.startswith("pysc2"):
            advice = f"StarCraft II broke off ({type(error).__name__}: {' '.join(str(error).split())}): try again"
        if not advice:
            raise
        raise ConfigError(advice) from None
    finally:
        game.close()
    found = findings(films)
    return report(scenario, films, found), found


def _command(argv: Sequence[str]) -> int:
    parser = Parser(prog="python -m experiments.smac_probe", description=__doc__.split("\n\n")[0])
    parser.add_argument("--map", default="2s3z", help="map of the duels (default: %(default)s); MMM shows the healing")
    parser.add_argument(
        "--out", metavar="FILE.json", type=out_file(".json"), help="file for the rules and the measurements"
    )
    parser.add_argument(
        "--sc2-path", type=word, help="where StarCraft II is installed (default: $SC2PATH or ~/StarCraftII)"
    )
    parser.add_argument("--game-version", type=word, help="an installed version, e.g. 4.10.0 (default: the latest)")
    args = parser.parse_args(argv)
    from envs.smax.scenarios import get_scenario

    scenario = get_scenario(args.map)
    out = args.out
    from envs.smac_backend import starcraft

    if args.sc2_path:
        os.environ["SC2PATH"] = args.sc2_path
    game = starcraft.make_game(scenario.name, **({"game_version": args.game_version} if args.game_version else {}))
    try:
        with signals_interrupt() as ended:
            result, found = probe(game, scenario, lambda line: print(f"{scenario.name}: {line}", flush=True))
    except KeyboardInterrupt:
        print(f"{scenario.name}: interrupted, nothing is written", file=sys.stderr)
        return ended.code
    from rich.console import Console

    from experiments.common.files import write_json

    Console().print(table(found, result["rules"]))
    if out:
        write_json(out, result)
        print(f"wrote {out}: --env smax:{scenario.name} --env-options rules={out}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code: 2 for input that cannot work."""
    return run_command(_command, argv)


if __name__ == "__main__":
    sys.exit(main())
