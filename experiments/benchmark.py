"""Measures speed and learning, of reference implementations too: `python -m experiments.benchmark env --env smax:2s3z`.

A subcommand for each thing measured; SUBCOMMAND --help shows its options.
"""

import argparse
import importlib
import sys
from collections.abc import Sequence

from experiments.common.arguments import Parser
from experiments.common.cli import run_stoppable
from experiments.common.cpu import prepare_cpu

# Modules of `benchmarks`, each with `add_parser(subparsers)`.
SUBCOMMANDS = (
    "env_speed",
    "drop_in",
    "scripted",
    "calibration",
    "train",
    "seeds",
    "settings",
    "updates",
    "references",
    "kernels",
    "startup",
    "limit",
    "growth",
    "gpu",
)


def parser() -> argparse.ArgumentParser:
    """The command line: a subcommand for each thing measured."""
    main_parser = Parser(prog="python -m experiments.benchmark", description=__doc__.split("\n\n")[0])
    commands = main_parser.add_subparsers(required=True, metavar="COMMAND")
    for name in SUBCOMMANDS:
        importlib.import_module(f"benchmarks.{name}").add_parser(commands)
    return main_parser


def command(argv: Sequence[str]) -> int:
    """Runs the subcommand that `argv` names. Returns the exit code."""
    args = parser().parse_args(argv)
    getattr(args, "prepare", prepare_cpu)()
    return args.run(args)


if __name__ == "__main__":
    sys.exit(run_stoppable(command))
