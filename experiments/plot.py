"""Overlays training runs: `python -m experiments.plot RUN... [--out curves.png]`."""

import sys
from collections.abc import Sequence

from experiments.common.arguments import PICTURES, Parser, out_file, word
from experiments.common.cli import run_command


def _command(argv: Sequence[str]) -> int:
    parser = Parser(prog="python -m experiments.plot", description=__doc__)
    parser.add_argument("runs", nargs="+", metavar="RUN", type=word, help="run directories")
    parser.add_argument(
        "--out", type=out_file(*PICTURES), default="curves.png", help="picture to write (default: %(default)s)"
    )
    args = parser.parse_args(argv)
    from experiments.analysis.curves_picture import plot_runs

    plot_runs(args.runs, args.out)
    print(f"wrote {args.out}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code: 2 for input that cannot work."""
    return run_command(_command, argv)


if __name__ == "__main__":
    sys.exit(main())
