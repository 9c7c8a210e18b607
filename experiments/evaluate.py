"""Evaluates trained policies: `python -m experiments.evaluate RUN|--pretrained NAME [--episodes 100]`.

Plays greedy episodes with every seed of the run, prints a table, and writes evaluation.csv and evaluation.json there
(of a pretrained policy into runs/pretrained/NAME). With `--backend smac` the policy plays StarCraft II itself, through
SMAC, and the files are evaluation_smac_<map>.*.
"""

import argparse
import pathlib
import sys
from collections.abc import Sequence

from envs.errors import ConfigError
from experiments.analysis.evaluation import choose_seed, evaluate_policy, table, write_evaluation
from experiments.common.arguments import MAX_SEED, Parser, whole, word
from experiments.common.cli import run_command, signals_interrupt
from experiments.config.schema import RunConfig
from experiments.config.trust import check_trusted
from experiments.config.validation import MAX_EPISODES
from experiments.runs.pretrained import add_source, results_directory, source_directory
from experiments.smac import games
from experiments.training.runtime import prepare_jax


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog="python -m experiments.evaluate", description=__doc__.split("\n\n")[0])
    add = parser.add_argument
    add_source(parser)
    add("--episodes", type=whole(1, MAX_EPISODES), default=100, help="greedy episodes per seed (default: %(default)s)")
    add("--env", type=word, help="another environment of the same sizes (default: the run's own)")
    add("--env-options", nargs="*", metavar="KEY=VALUE", help="options of the environment (default: the run's own)")
    add("--trust", action="store_true", help="run the custom environment that RUN names")
    add("--seed", type=whole(0, MAX_SEED), default=0, help="another number plays other episodes")
    add("--seed-index", type=whole(0), help="one of the run's seeds, from 0 (default: each in turn)")
    add("--map", type=word, help="the StarCraft map to play (default: the run's own)")
    add("--backend", type=word, default="smax", help="smax (default), smac, smaclite, or MODULE:FACTORY")
    group = parser.add_argument_group("only with a --backend other than smax")
    group.add_argument("--games", type=whole(0, 1024), help="games at once, each in its own process (default: up to 4)")
    group.add_argument("--save-replay", action="store_true", help="have each game write a replay of its episodes")
    games.add_game_options(group)
    return parser


def _check(args: argparse.Namespace) -> None:
    if args.env and (args.map or args.backend != "smax"):
        raise ConfigError("--env cannot be given together with --map or --backend: leave one out")
    if args.backend != "smax" and args.env_options is not None:
        raise ConfigError("--env-options has no effect with a --backend other than smax: leave it out")
    given = [name for name in ("games", "save_replay", "sc2_path", "game_version") if getattr(args, name)]
    if args.backend == "smax" and given:
        raise ConfigError(f"--{given[0].replace('_', '-')} needs --backend smac: smax needs no game")
    if not source_directory(args).is_dir():
        raise ConfigError(f"no run directory {args.run}: give one that experiments.run has made")
    results_directory(args)


def _report(directory: pathlib.Path, env_name: str, rows: Sequence, name: str = "evaluation") -> None:
    from rich.console import Console

    write_evaluation(directory, env_name, rows, name)  # first: the terminal may be gone
    Console().print(table(env_name, rows))
    print(f"wrote {directory / name}.csv")


def _evaluate(args: argparse.Namespace, directory: pathlib.Path, results: pathlib.Path) -> int:
    from iacjax import load_policy

    policy = choose_seed(load_policy(directory), args.seed_index)
    env_name = f"smax:{args.map}" if args.map else args.env or policy.spec.name
    if not args.map and not args.env:
        check_trusted(env_name, directory, args.trust)
    _report(results, env_name, evaluate_policy(policy, env_name, args.episodes, args.seed, args.env_options))
    return 0


def _evaluate_on_backend(args: argparse.Namespace, directory: pathlib.Path, results: pathlib.Path) -> int:
    from envs.smac_backend.backend import load_backend
    from iacjax import load_policy

    backend = load_backend(args.backend)
    policy = choose_seed(load_policy(directory), args.seed_index)
    map_name = games.map_of(policy, args.map)
    file = games.episodes_file(results, backend, map_name)
    results.mkdir(parents=True, exist_ok=True)
    count, options = games.games_at_once(args.games, args.episodes), games.game_options(args)
    with signals_interrupt() as ended:
        played = games.play_on_backend(
            policy, backend, map_name, args.episodes, file, count, args.seed, options, args.save_replay
        )
    if played.rows:
        _report(results, f"{backend.name}:{map_name}", played.rows, f"evaluation_{backend.name}_{map_name}")
    print(f"episodes discarded and replayed: {played.discarded}; illegal actions replaced: {played.replaced}")
    if not played.complete:
        episodes = sum(row.episodes for row in played.rows)
        print(f"interrupted: {episodes} of {args.episodes * len(policy.seeds)} episodes are in {file}")
        return ended.code
    if played.replays:
        print(f"replays written: {played.replays}, in the game's own folder, Replays/{map_name}_game*.SC2Replay")
    return 0


def _command(argv: Sequence[str]) -> int:
    args = _parser().parse_args(argv)
    _check(args)
    prepare_jax(RunConfig(), print)
    play = _evaluate if args.backend == "smax" else _evaluate_on_backend
    return play(args, source_directory(args), results_directory(args))


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code: 2 for input that cannot work."""
    return run_command(_command, argv)


if __name__ == "__main__":
    sys.exit(main())
