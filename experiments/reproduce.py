"""Reproduces a table or a figure: `python -m experiments.reproduce iac/fig4`; TARGET --help shows its options.

Each trains what is missing and continues what was begun, so the command can be stopped and repeated.
"""

import difflib
import importlib
import sys
from collections.abc import Sequence
from typing import NamedTuple

from envs.errors import ConfigError
from experiments.common.cli import leave, run_command


class Target(NamedTuple):
    """`module` has `command(argv) -> exit code`, argv with the target's name in front."""

    module: str
    summary: str


TARGETS: dict[str, Target] = {
    "aiir/bars": Target("experiments.figures.aiir.bars", "win rates of AIIR-MIX on the paper's maps"),
    "aiir/fig3": Target("experiments.figures.aiir.win_rates", "win rates of five methods on the paper's four maps"),
    "aiir/fig4": Target("experiments.figures.aiir.win_rates", "win rates of AIIR-MIX's ablations on 8m and 2s3z"),
    "aiir/fig5": Target(
        "experiments.figures.aiir.episode", "an episode of 2s3z: intrinsic rewards and attention weights"
    ),
    "aiir/fig6": Target("experiments.figures.aiir.episode", "the same episode: snapshots"),
    "aiir/table1": Target("experiments.figures.aiir.maps_table", "the four maps, and the final win rates on them"),
    "aiir/sparse": Target("experiments.figures.aiir.sparse", "intrinsic rewards where the team's reward is sparse"),
    "aiir/why": Target("experiments.figures.aiir.why", "AIIR-MIX with one setting changed at a time"),
    "smac/maps": Target("experiments.figures.smac.maps", "MAPPO and QMIX on the hard maps of SMAC and on SMACv2"),
    "smax/jaxmarl": Target("experiments.figures.rivals.jaxmarl", "six methods on JaxMARL's SMAX, beside its scripts"),
    "continuous/mabrax": Target("experiments.figures.rivals.mabrax", "Multi-Agent Brax: IAC, SIAQ and six rivals"),
    "iac/tables": Target("experiments.figures.iac.tables", "tables 2 to 4: QMIX and QMIXs on the matrix game"),
    "iac/fig2": Target(
        "experiments.figures.iac.simple_world", "Simple World: learned values and the paths of the actions"
    ),
    "iac/fig3": Target(
        "experiments.figures.iac.simple_world", "Simple World: two ways to explore it; nothing is learned"
    ),
    "iac/fig4": Target("experiments.figures.iac.curves", "eight methods on multi-pendulum and predator-prey"),
    "iac/fig5": Target("experiments.figures.iac.covariance", "IAC's covariance matrix over training, three pendulums"),
    "iac/fig6": Target("experiments.figures.iac.curves", "more and more pendulums: IAC against SIAQ"),
    "iac/fig7": Target(
        "experiments.figures.iac.saved_steps", "steps saved and return won over DDPG-MIX, predator-prey"
    ),
    "claims": Target(
        "experiments.figures.claims.command", "docs/claims.md: each claim of the papers, confirmed, refuted or open"
    ),
    "all": Target(
        "experiments.figures.queue.command", "all of these figures' runs, most decisive first, several at a time"
    ),
}


def _help() -> str:
    lines = [__doc__.split("\n\n")[0], "", *(f"  {name:<19}{target.summary}" for name, target in TARGETS.items())]
    return "\n".join(lines)


def _command(argv: Sequence[str]) -> int:
    if not argv:
        raise ConfigError(f"give what to reproduce: one of {', '.join(TARGETS)}")
    if argv[0] in ("-h", "--help"):
        print(_help())
        return 0
    name = argv[0]
    if name not in TARGETS:
        near = difflib.get_close_matches(name, TARGETS, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"nothing called {name!r} to reproduce: {hint}known are {', '.join(TARGETS)}")
    return importlib.import_module(TARGETS[name].module).command(argv)


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code: 2 for input that cannot work."""
    try:
        return run_command(_command, argv)
    except KeyboardInterrupt:
        print("stopped at once; the same command continues from the last checkpoint", file=sys.stderr)
        return 130


if __name__ == "__main__":
    leave(main())
