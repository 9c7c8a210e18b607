"""Writes a trained policy for other programs: `python -m experiments.export RUN --out policy.onnx` (or policy_np.py).

FILE.onnx is an ONNX model (extra `export`); FILE.py is one file of Python that needs NumPy alone, from Python 3.8 and
NumPy 1.17 on. Both hold the greedy policy of one seed: docs/export.md.
"""

import argparse
import sys
from collections.abc import Sequence

from envs.errors import ConfigError
from experiments.common.arguments import Parser, out_file, whole
from experiments.common.cli import run_command
from experiments.common.cpu import prepare_cpu
from experiments.runs.pretrained import add_source, source_directory


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    parser = Parser(prog="python -m experiments.export", description=__doc__.split("\n\n")[0])
    add, out = parser.add_argument, out_file(".onnx", ".py")
    add_source(parser)
    add("--out", metavar="FILE", type=out, required=True, help="FILE.onnx: an ONNX model; FILE.py: NumPy alone")
    add("--seed-index", type=whole(0), default=0, help="which of the run's seeds, from 0 (default: %(default)s)")
    return parser.parse_args(argv)


def _command(argv: Sequence[str]) -> int:
    args = _parse(argv)
    directory = source_directory(args)
    prepare_cpu()
    from iacjax import load_policy

    policy = load_policy(directory)
    if args.seed_index >= len(policy.seeds):
        raise ConfigError(f"--seed-index {args.seed_index}: the run has {len(policy.seeds)} seeds, counted from 0")
    if args.out.suffix.lower() == ".py":
        policy.to_numpy(args.out, args.seed_index)
    else:
        policy.export(args.out, args.seed_index)
    size = args.out.stat().st_size / 1024
    print(
        f"wrote {args.out}: {policy.algo} in {policy.spec.name}, seed {policy.seeds[args.seed_index]}, {size:.0f} KiB"
    )
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code: 2 for input that cannot work."""
    return run_command(_command, argv)


if __name__ == "__main__":
    sys.exit(main())
