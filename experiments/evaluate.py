"""Evaluates a run's policies: `python -m experiments.evaluate RUN [--episodes 100]`.

Plays greedy episodes with every seed of the run, prints a table, and writes evaluation.csv and evaluation.json there.
With `--backend smac` the policy plays StarCraft II itself, through SMAC, and the files are evaluation_smac_<map>.*.
"""

import argparse
import math
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from envs.errors import ConfigError
from experiments.common.arguments import MAX_SEED, Parser, check_file, whole, word
from experiments.common.cli import run_command
from experiments.common.files import write_json
from experiments.common.stats import RATE, interval_text, wilson
from experiments.config.env_options import make_run_env
from experiments.config.trust import check_trusted
from experiments.config.validation import MAX_EPISODES

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
        rows.append(summarise(number, *play(params, key), battle))
    return rows


def summarise(
    seed: int, returns: Sequence[float], lengths: Sequence[float], won: Sequence[float], battle: bool = True
) -> Evaluation:
    """One seed's row, from one number an episode; at least one. `battle`: the world has winners."""
    returns, lengths, won = (np.asarray(x, np.float64) for x in (returns, lengths, won))
    episodes = len(returns)
    wins = (won.mean(), *wilson(won.sum(), episodes)) if battle else (math.nan,) * 3
    numbers = (returns.mean(), returns.std(), lengths.mean(), *wins)
    return Evaluation(seed, episodes, *(float(x) for x in numbers))


def write_evaluation(
    directory: pathlib.Path, env_name: str, rows: Sequence[Evaluation], name: str = "evaluation"
) -> None:
    """Writes <name>.csv (one row a seed) and <name>.json."""
    lines = [",".join(Evaluation._fields)]
    lines += [",".join("" if x != x else format(x, ".8g") for x in row) for row in rows]
    (directory / f"{name}.csv").write_text("\n".join(lines) + "\n")
    seeds = [{k: None if v != v else v for k, v in row._asdict().items()} for row in rows]
    write_json(directory / f"{name}.json", {"env": env_name, "seeds": seeds})


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


def choose_seed(policy: "Policy", seed_index: int | None) -> "Policy":
    """`policy` with one of its seeds, counted from 0; None: with all.

    Raises:
      ConfigError: it has no such seed.
    """
    if seed_index is None:
        return policy
    if not 0 <= seed_index < len(policy.seeds):
        raise ConfigError(f"no seed index {seed_index}: the run has {len(policy.seeds)} seed(s), counted from 0")
    return policy._replace(seeds=(policy.seeds[seed_index],), params=(policy.params[seed_index],))


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m experiments.evaluate", description=__doc__.split("\n\n")[0])
    parser.add_argument("run", metavar="RUN", type=word, help="run directory")
    parser.add_argument(
        "--episodes", type=whole(1, MAX_EPISODES), default=100, help="greedy episodes per seed (default: %(default)s)"
    )
    parser.add_argument("--env", type=word, help="another environment of the same sizes (default: the run's own)")
    parser.add_argument(
        "--env-options", nargs="*", metavar="KEY=VALUE", help="its options (default: the run's own, if it is the run's)"
    )
    parser.add_argument("--trust", action="store_true", help="run an environment of your own that RUN names")
    parser.add_argument("--seed", type=whole(0, MAX_SEED), default=0, help="another number plays other episodes")
    parser.add_argument("--seed-index", type=whole(0), help="one of the run's seeds, from 0 (default: each in turn)")
    parser.add_argument("--map", type=word, help="the StarCraft map to play (default: the run's own)")
    parser.add_argument(
        "--backend", type=word, default="smax", help="smax (default), smac, smaclite, or MODULE:FACTORY"
    )
    games = parser.add_argument_group("only with a --backend other than smax")
    games.add_argument(
        "--games", type=whole(0, 1024), help="games at once, each in a process of its own (default: up to 4)"
    )
    games.add_argument("--save-replay", action="store_true", help="have each game write a replay of its episodes")
    games.add_argument(
        "--sc2-path", type=word, help="where StarCraft II is installed (default: $SC2PATH or ~/StarCraftII)"
    )
    games.add_argument("--game-version", type=word, help="an installed version, e.g. 4.10.0 (default: the latest)")
    return parser


def _check(args: argparse.Namespace) -> None:
    if args.env and (args.map or args.backend != "smax"):
        raise ConfigError("--env names a world of ours: with --map or --backend it is one too many")
    if args.backend != "smax" and args.env_options is not None:
        raise ConfigError("--env-options are those of a world of ours: no backend takes them")
    given = [name for name in ("games", "save_replay", "sc2_path", "game_version") if getattr(args, name)]
    if args.backend == "smax" and given:
        raise ConfigError(f"--{given[0].replace('_', '-')} needs --backend smac: smax needs no game")
    if not pathlib.Path(args.run).is_dir():
        raise ConfigError(f"no run directory {args.run}: give one that experiments.run has made")
    check_file(pathlib.Path(args.run) / "evaluation.csv")


def _command(argv: Sequence[str]) -> int:
    args = _parser().parse_args(argv)
    _check(args)
    directory = pathlib.Path(args.run)
    if args.backend != "smax":
        from experiments.smac.games import command

        return command(args, directory)
    from rich.console import Console

    from iacjax import load_policy

    policy = choose_seed(load_policy(directory), args.seed_index)
    env_name = f"smax:{args.map}" if args.map else args.env or policy.spec.name
    if not args.map and not args.env:
        check_trusted(env_name, directory, args.trust)
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
