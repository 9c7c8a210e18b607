"""Makes a pretrained policy of a run: `python -m experiments.package_policy RUN --name NAME [--seed-index best|K]`.

Evaluates one seed over 1000 greedy episodes (by default the seed that is best over 1000 others) and writes its actor's
parameters, the configuration and a card with the score, the versions and the command that trained it. `--pretrained
NAME` of the other commands finds it from then on; with `--into DIR` it is written elsewhere, and is read by its
directory.
"""

import pathlib
import sys
from collections.abc import Sequence

from experiments.analysis.packaging import PackagingOptions, check_packaging, package_policy
from experiments.common.arguments import Parser, out_folder, seed_index, whole, word
from experiments.common.cli import run_command
from experiments.config.schema import RunConfig
from experiments.config.validation import MAX_EPISODES
from experiments.runs.pretrained import listing
from experiments.training.runtime import describe_device, prepare_jax


def _parse(argv: Sequence[str]) -> PackagingOptions:
    given = PackagingOptions(pathlib.Path(), "")
    parser = Parser(prog="python -m experiments.package_policy", description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add("run", metavar="RUN", type=word, help="directory of a run that has ended")
    add("--name", required=True, type=word, help="the policy's name, such as smax_2s3z_aiir_mix")
    add("--seed-index", type=seed_index, default="best", help="one of the run's seeds, from 0 (default: %(default)s)")
    add("--episodes", type=whole(1, MAX_EPISODES), default=given.episodes, help="to evaluate (default: %(default)s)")
    add("--into", type=out_folder, default=given.parent, help="parent of its folder (default: the package's own)")
    add("--replace", action="store_true", help="replace the policy of that name")
    add("--trust", action="store_true", help="run the custom environment that RUN names")
    args = vars(parser.parse_args(argv))
    return PackagingOptions(run=pathlib.Path(args.pop("run")), parent=args.pop("into"), **args)


def _command(argv: Sequence[str]) -> int:
    asked = _parse(argv)
    check_packaging(asked)
    prepare_jax(RunConfig(), print)
    card = package_policy(asked, describe_device())
    print(listing([card]))
    print(f"trained by {card.command}, seed {card.seed}")
    print(f"wrote {asked.directory}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code: 2 for input that cannot work."""
    return run_command(_command, argv)


if __name__ == "__main__":
    sys.exit(main())
