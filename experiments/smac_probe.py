"""Measures the real StarCraft II: `python -m experiments.smac_probe --map 2s3z [--out rules.json]`.

Plays a few battles of that map through SMAC, loop by loop, prints the game's behaviour next to our engine's, and
writes the differences as rules that our engine loads: `--env-options rules=rules.json`.
"""

import sys
from collections.abc import Sequence

from experiments.common.arguments import Parser, out_file
from experiments.common.cli import run_command, signals_interrupt
from experiments.common.files import write_json
from experiments.smac.games import add_game_options, game_options


def _command(argv: Sequence[str]) -> int:
    parser = Parser(prog="python -m experiments.smac_probe", description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("--map", default="2s3z", help="map of the duels (default: %(default)s); MMM shows the healing")
    add("--out", metavar="FILE.json", type=out_file(".json"), help="file for the rules and the measurements")
    add_game_options(parser)
    args = parser.parse_args(argv)
    from rich.console import Console

    from envs.smac_backend import starcraft
    from envs.smax.scenarios import get_scenario
    from experiments.smac.probe import probe, table

    scenario = get_scenario(args.map)
    game = starcraft.make_game(scenario.name, **game_options(args))
    try:
        with signals_interrupt() as ended:
            result, found = probe(game, scenario, lambda line: print(f"{scenario.name}: {line}", flush=True))
    except KeyboardInterrupt:
        print(f"{scenario.name}: interrupted, nothing is written", file=sys.stderr)
        return ended.code
    Console().print(table(found, result["rules"]))
    if args.out:
        write_json(args.out, result)
        print(f"wrote {args.out}: --env smax:{scenario.name} --env-options rules={args.out}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code: 2 for input that cannot work."""
    return run_command(_command, argv)


if __name__ == "__main__":
    sys.exit(main())
