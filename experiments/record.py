"""Records a trained policy: `python -m experiments.record RUN [--out battle.gif] [--episodes 1] [--seed-index best|K]`.

Plays greedy episodes in the run's own environment and writes them as one GIF. With `--show intrinsic_reward` the number
that the learner computes for the last action is drawn at each agent.
"""

import sys
from collections.abc import Sequence

from experiments.common.arguments import Parser, out_file, whole, word
from experiments.common.cli import run_command
from experiments.common.cpu import prepare_cpu


def _seed_index(text: str) -> int | None:
    return None if text == "best" else whole(0)(text)


def _command(argv: Sequence[str]) -> int:
    parser = Parser(prog="python -m experiments.record", description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("run", metavar="RUN", type=word, help="run directory")
    add("--out", type=out_file(".gif"), help="GIF to write (default: battle.gif on StarCraft maps, else episode.gif)")
    add("--episodes", type=whole(1, 4096), default=1, help="how many to record (default: %(default)s)")
    add("--seed-index", type=_seed_index, default="best", help="one of the run's seeds, from 0 (default: %(default)s)")
    add("--show", type=word, help="a number at each agent, e.g. intrinsic_reward (one episode)")
    add("--trust", action="store_true", help="run the custom environment that RUN names")
    args = parser.parse_args(argv)
    prepare_cpu()
    from experiments.analysis.recording import record, record_with_numbers

    if args.show:
        print(record_with_numbers(args.run, args.out, args.show, args.seed_index, args.trust))
    else:
        print(record(args.run, args.out, args.episodes, args.seed_index, args.trust))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code: 2 for input that cannot work."""
    return run_command(_command, argv)


if __name__ == "__main__":
    sys.exit(main())
