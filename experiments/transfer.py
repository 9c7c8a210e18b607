"""Evaluates policies of our engine elsewhere: `python -m experiments.transfer RUN ... [--backends smax ...]`.

Plays greedy episodes of every run, with each of its seeds, on every backend, without further training: in our engine by
SMAC's rules and by SMAClite's (`smax-smaclite`), in SMAClite, in StarCraft II. Prints a table and adds to a csv.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from envs.errors import ConfigError
from experiments.common.arguments import MAX_SEED, Parser, check_file, out_file, whole, word
from experiments.common.cli import run_command, signals_interrupt
from experiments.common.cpu import prepare_cpu
from experiments.config.validation import MAX_EPISODES
from experiments.smac.games import games_at_once
from experiments.smac.transfer import DEFAULT, OURS, table, transfer


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m experiments.transfer", description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("runs", metavar="RUN", nargs="+", type=word, help="run directories, trained in smax:*")
    add(
        "--backends", nargs="+", default=DEFAULT, metavar="BACKEND",
        help=f"{', '.join(OURS)} (our engine), smaclite, smaclite-noisy (every battle opens a little differently), "
        f"smac, or MODULE:FACTORY (default: {' '.join(DEFAULT)})",
    )  # fmt: skip
    add("--episodes", type=whole(1, MAX_EPISODES), default=32, help="greedy episodes per seed (default: 32)")
    add("--games", type=whole(0, 1024), help="games at once, each in its own process (0: one, in this process)")
    add("--seed", type=whole(0, MAX_SEED), default=0, help="another number plays other episodes")
    out, default = out_file(parents=True), "results/transfer/transfer.csv"
    add("--out", type=out, default=default, help="csv to add to (default: %(default)s)")
    args = parser.parse_args(argv)
    for run in map(pathlib.Path, args.runs):
        if not run.is_dir():
            raise ConfigError(f"no run directory {run}: give one that experiments.run has made")
        if set(args.backends) - set(OURS):
            check_file(run / "evaluation.csv")  # the episodes of other backends are written there
    return args


def _command(argv: Sequence[str]) -> int:
    from rich.console import Console

    args = _parse(argv)
    prepare_cpu()
    runs, games = [pathlib.Path(run) for run in args.runs], games_at_once(args.games, args.episodes)
    try:
        with signals_interrupt() as ended:
            rows = transfer(runs, args.backends, args.episodes, args.out, games, args.seed)
    except KeyboardInterrupt:
        print(f"interrupted: what was finished is in {args.out}")
        return ended.code
    Console().print(table(rows))
    print(f"wrote {args.out}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code: 2 for input that cannot work."""
    return run_command(_command, argv)


if __name__ == "__main__":
    sys.exit(main())
