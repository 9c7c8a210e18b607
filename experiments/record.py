"""Records a trained policy: `python -m experiments.record RUN|--pretrained NAME [--out battle.gif] [--episodes 1]`.

Plays greedy episodes in the policy's own environment and writes them as one GIF. With `--show intrinsic_reward` the
number that a run's learner computes for the last action is drawn at each agent.
"""

import sys
from collections.abc import Sequence

from envs.errors import ConfigError
from experiments.common.arguments import Parser, out_file, seed_index, whole, word
from experiments.common.cli import run_command
from experiments.config.schema import RunConfig
from experiments.runs.pretrained import add_source, source_directory
from experiments.training.runtime import prepare_jax


def _command(argv: Sequence[str]) -> int:
    parser = Parser(prog="python -m experiments.record", description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add_source(parser)
    add("--out", type=out_file(".gif"), help="GIF to write (default: battle.gif on StarCraft maps, else episode.gif)")
    add("--episodes", type=whole(1, 4096), default=1, help="how many to record (default: %(default)s)")
    add("--seed-index", type=seed_index, default="best", help="one of the run's seeds, from 0 (default: %(default)s)")
    add("--show", type=word, help="a number at each agent, e.g. intrinsic_reward (one episode)")
    add("--trust", action="store_true", help="run the custom environment that RUN names")
    args = parser.parse_args(argv)
    run = source_directory(args)
    if args.show and args.pretrained:
        raise ConfigError("--show needs a run's checkpoint: a pretrained policy has the parameters of its actor alone")
    prepare_jax(RunConfig(), print)
    from experiments.analysis.recording import record, record_with_numbers

    if args.show:
        print(record_with_numbers(run, args.out, args.show, args.seed_index, args.trust))
    else:
        print(record(run, args.out, args.episodes, args.seed_index, args.trust))
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code: 2 for input that cannot work."""
    return run_command(_command, argv)


if __name__ == "__main__":
    sys.exit(main())
