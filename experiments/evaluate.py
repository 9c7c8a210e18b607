"""Evaluates a run's policies: `python -m experiments.evaluate RUN [--episodes 100]`.

Plays greedy episodes with every seed of the run, prints a table, and writes evaluation.csv and evaluation.json there.
"""

import argparse
import math
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from envs.errors import ConfigError
from experiments.cli import run_command
from experiments.env_options import make_run_env
from experiments.results import RATE, interval_text, wilson
from experiments.rundir import write_json

if TYPE_CHECKING:  # it brings jax along, which --help can do without
    from iacjax import Policy

EVALUATION = 0x74657374  # folded into a seed's key: other episodes than those evaluated in training


class Evaluation(NamedTuple):
    """Greedy episodes of one seed. The win rate and its 95 % interval (Wilson) are nan in worlds without a winner."""

    seed: int
    episodes: int
    return_mean: float
    return_std: float
    length_mean: float
    win_rate: float
    win_rate_low: float
    win_rate_high: float


def evaluate_policy(
    policy: "Policy", env_name: str, episodes: int, seed: int = 0, env_options: Sequence[str] | None = None
) -> list[Evaluation]:
    """Plays `episodes` greedy episodes with each seed of `policy` in the environment `env_name`.

    `env_options` are that environment's, as words KEY=VALUE; None: the policy's own, if it is the policy's own world.

    Raises:
      ConfigError: an unknown environment, or one of other sizes than the policy was trained in.
    """
    import jax

    from iacjax.evaluate import evaluate

    if env_options is None:
        env_options = policy.env_options if env_name == policy.spec.name else ()
    env = make_run_env(env_name, env_options)
    sizes = [(s.num_agents, s.obs_dim, s.action) for s in (env.spec, policy.spec)]
    if sizes[0] != sizes[1]:
        raise ConfigError(f"the policy of {policy.spec.name} does not fit {env_name}: its sizes are other ones")
    battle = "won" in jax.eval_shape(lambda: env.reset(jax.random.key(0), 1))[1].info
    play = jax.jit(lambda params, key: evaluate(env, policy.algorithm, params, key, episodes))
    rows = []
    for number, params in zip(policy.seeds, policy.params, strict=True):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(number), EVALUATION), seed)
        returns, length, won = (np.asarray(x, np.float64) for x in play(params, key))
        wins = (won.mean(), *wilson(won.sum(), episodes)) if battle else (math.nan,) * 3
        numbers = (returns.mean(), returns.std(), length.mean(), *wins)
        rows.append(Evaluation(number, episodes, *(float(x) for x in numbers)))
    return rows


def write_evaluation(directory: pathlib.Path, env_name: str, rows: Sequence[Evaluation]) -> None:
    """Writes evaluation.csv (one row a seed) and evaluation.json."""
    lines = [",".join(Evaluation._fields)]
    lines += [",".join("" if x != x else format(x, ".8g") for x in row) for row in rows]
    (directory / "evaluation.csv").write_text("\n".join(lines) + "\n")
    seeds = [{k: None if v != v else v for k, v in row._asdict().items()} for row in rows]
    write_json(directory / "evaluation.json", {"env": env_name, "seeds": seeds})


def table(env_name: str, rows: Sequence[Evaluation]):
    """A rich table: a row a seed, and the mean over seeds with its 95 % interval."""
    from rich.table import Table

    battle = not math.isnan(rows[0].win_rate)
    columns = ["seed", "return", "std", "length", *(["win rate", "95 %"] if battle else [])]
    result = Table(*columns, title=f"{rows[0].episodes} greedy episodes per seed on {env_name}")
    for r in rows:
        wins = [f"{r.win_rate:.3f}", f"{r.win_rate_low:.3f} to {r.win_rate_high:.3f}"] if battle else []
        result.add_row(str(r.seed), f"{r.return_mean:.3f}", f"{r.return_std:.3f}", f"{r.length_mean:.1f}", *wins)
    wins = [interval_text([r.win_rate for r in rows], RATE), ""] if battle else []
    length = f"{np.mean([r.length_mean for r in rows]):.1f}"
    result.add_row("mean", interval_text([r.return_mean for r in rows]), "", length, *wins)
    return result


def _command(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m experiments.evaluate", description=__doc__.split("\n\n")[0])
    parser.add_argument("run", metavar="RUN", help="run directory")
    parser.add_argument("--episodes", type=int, default=100, help="greedy episodes per seed (default: %(default)s)")
    parser.add_argument("--env", help="another environment of the same sizes (default: the run's own)")
    parser.add_argument(
        "--env-options", nargs="*", metavar="KEY=VALUE", help="its options (default: the run's own, if it is the run's)"
    )
    parser.add_argument("--seed", type=int, default=0, help="another number plays other episodes")
    args = parser.parse_args(argv)
    if args.episodes < 1:
        raise ConfigError(f"--episodes must be at least 1, not {args.episodes}")
    if args.seed < 0:
        raise ConfigError(f"--seed must be at least 0, not {args.seed}")
    directory = pathlib.Path(args.run)
    if not directory.is_dir():
        raise ConfigError(f"no run directory {directory}: give one that experiments.run has made")
    from rich.console import Console

    from iacjax import load_policy

    policy = load_policy(directory)
    env_name = args.env or policy.spec.name
    rows = evaluate_policy(policy, env_name, args.episodes, args.seed, args.env_options)
    Console().print(table(env_name, rows))
    write_evaluation(directory, env_name, rows)
    print(f"wrote {directory / 'evaluation.csv'}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code: 2 for input that cannot work."""
    return run_command(_command, argv)


if __name__ == "__main__":
    sys.exit(main())
