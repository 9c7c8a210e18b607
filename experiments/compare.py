"""Compares algorithms with intervals: `python -m experiments.compare RUN... --against LABEL --out comparison.png`.

Reads run directories as `experiments.plot` does. A seed's score is the mean of its last greedy evaluations. For each
environment, and for all together where there are several: the mean with Student's 95 % interval, the interquartile mean
(IQM), the probability that a run scores higher than one of --against, and the optimality gap (what is missing to the
target), these with the stratified bootstrap's intervals (Agarwal et al. 2021). With few seeds those are too narrow.
"""

import argparse
import json
import math
import pathlib
import sys
from collections.abc import Sequence

from envs.errors import ConfigError
from experiments.analysis.comparison import notes, table, to_json
from experiments.analysis.curves import read_runs
from experiments.analysis.scores import METRICS, ComparisonOptions, choose_metric, compare, group_runs
from experiments.common.arguments import PICTURES, Parser, number, out_file, whole, word
from experiments.common.cli import run_command
from experiments.common.files import write_text
from iacjax.schema import Bounds

WIDTH = 150  # characters of the table where the output is no terminal


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m experiments.compare", description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("runs", nargs="+", metavar="RUN", type=word, help="run directories")
    add("--against", metavar="LABEL", help="algorithm of the table that the others are compared with")
    add("--metric", choices=METRICS, help="default: the win rate if every run has one")
    add("--last", type=whole(), default=5, help="evaluations averaged to a score (default: %(default)s)")
    target = "score from which nothing is missing (default for win rates: 1)"
    add("--target", type=number(Bounds(-math.inf)), help=target)
    add("--resamples", type=whole(100, 1_000_000), default=2000, help="of the bootstrap (default: %(default)s)")
    picture = "picture: IQM over env steps, performance profile, intervals"
    add("--out", metavar="FILE", type=out_file(*PICTURES), help=picture)
    add("--json", metavar="FILE", type=out_file(), help="every number of the table, and the scores")
    add("--marl-eval", metavar="FILE", type=out_file(), help="the runs in the json format of marl-eval")
    return parser.parse_args(argv)


def _write(path: pathlib.Path, text: str) -> None:
    try:
        write_text(path, text)
    except OSError as error:
        raise ConfigError(f"cannot write {path} ({error.strerror}): give a writable file") from None
    print(f"wrote {path}")


def _command(argv: Sequence[str]) -> int:
    from rich.console import Console

    args = _parse(argv)
    curves = read_runs(args.runs)
    groups = group_runs(curves)
    metric = choose_metric(curves, args.metric)
    options = ComparisonOptions(metric, args.last, args.against, args.target, args.resamples)
    rows = compare(groups, options)
    terminal = Console()
    terminal = terminal if terminal.is_terminal else Console(width=WIDTH)
    terminal.print(table(rows, options), markup=False)
    for note in notes(groups, rows, options):
        print(f"note: {note}")
    if args.json:
        _write(args.json, to_json(rows, options))
    if args.marl_eval:
        from experiments.analysis.marl_eval import to_marl_eval

        _write(args.marl_eval, json.dumps(to_marl_eval(curves, args.last), indent=1, allow_nan=False) + "\n")
    if args.out:
        from experiments.analysis.comparison_picture import draw

        draw(groups, rows, options, args.out)
        print(f"wrote {args.out}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code: 2 for input that cannot work."""
    return run_command(_command, argv)


if __name__ == "__main__":
    sys.exit(main())
