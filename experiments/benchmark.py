"""How fast it is, beside its peers: `python -m experiments.benchmark env --env smax:2s3z --num-envs 64 512`.

`env` plays random legal actions in our environments and in their counterparts by others (`benchmarks.env_peers`), in
the same process and by turns. Both restart finished episodes and hand back all that an algorithm reads of every step,
the masks of a battle too. Compiling is timed apart; speeds are medians.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from experiments.benchmarks import kernels as benchmark_kernels
from experiments.benchmarks import learn as benchmark_learn
from experiments.benchmarks import seeds as benchmark_seeds
from experiments.benchmarks import settings as benchmark_settings
from experiments.benchmarks import train as benchmark_train
from experiments.benchmarks import updates as benchmark_updates
from experiments.benchmarks.env_peers import peer_of, random_action, versions
from experiments.benchmarks.scripted import run_scripted
from experiments.common.arguments import Parser, out_file, whole
from experiments.common.cli import run_stoppable
from experiments.common.files import write_json
from experiments.config.validation import MAX_EPISODES

REPEATS = 5
COLUMNS = "{:<24} {:>6} {:>12} {:>12} {:>8} {:>9} {:>8}"
HEADER = COLUMNS.format("environment", "envs", "ours /s", "peer /s", "ratio", "compile s", "peer s")


class Program(NamedTuple):
    """A compiled rollout of fixed length: `play(carry, key) -> (carry, steps taken)`, and how long compiling took."""

    play: Callable
    carry: Any
    compile_seconds: float


def _ours(env, num_envs: int) -> tuple[Callable, Callable]:
    """(open, step) with carry (state, timestep); a lane at a boundary spends one step restarting, as in training."""
    import jax

    def step(carry, key):
        state, timestep = carry
        k_act, k_step, k_restart = jax.random.split(key, 3)
        action = random_action(env.spec.action, timestep.avail, k_act)
        ended = timestep.boundary
        state, timestep = env.step(k_step, state, action)
        state, timestep = env.restart(k_restart, state, timestep, ended)
        return (state, timestep), num_envs - ended.sum()

    return lambda key: env.reset(key, num_envs), step


def _compile(open_episodes: Callable, step: Callable, length: int) -> Program:
    """Compiles and runs once; the time it reports is that of tracing and compiling alone."""
    import jax

    carry = jax.block_until_ready(jax.jit(open_episodes)(jax.random.key(0)))

    def play(carry, key):
        carry, steps = jax.lax.scan(step, carry, jax.random.split(key, length))
        return carry, steps.sum()

    start = time.perf_counter()
    compiled = jax.jit(play).lower(carry, jax.random.key(0)).compile()
    seconds = time.perf_counter() - start
    carry, _ = jax.block_until_ready(compiled(carry, jax.random.key(1)))
    return Program(compiled, carry, seconds)


def _speeds(programs: list[Program]) -> list[float]:
    """Median environment steps a second of each, timed by turns so that a busy moment strikes all alike."""
    import jax

    carries = [program.carry for program in programs]
    speeds: list[list[float]] = [[] for _ in programs]
    for repeat in range(REPEATS):
        for i, program in enumerate(programs):
            start = time.perf_counter()
            carries[i], steps = jax.block_until_ready(program.play(carries[i], jax.random.key(2 + repeat)))
            speeds[i].append(int(steps) / (time.perf_counter() - start))
    return [statistics.median(values) for values in speeds]


def benchmark_env(name: str, num_envs: int, length: int = 100) -> dict[str, Any]:
    """One row of the table: ours and, where there is one, the peer's speed in environment steps a second."""
    import jax

    from envs.registry import make_env

    peer = peer_of(name)
    programs = [_compile(*_ours(make_env(name), num_envs), length)]
    if peer is not None:
        programs.append(_compile(*peer.build(num_envs), length))
    speeds = _speeds(programs)
    return {
        "env": name,
        "num_envs": num_envs,
        "ours_steps_per_s": speeds[0],
        "peer": peer.name if peer else None,
        "peer_steps_per_s": speeds[1] if peer else None,
        "ratio": speeds[0] / speeds[1] if peer else None,
        "ours_compile_s": programs[0].compile_seconds,
        "peer_compile_s": programs[1].compile_seconds if peer else None,
        "length": length,
        "repeats": REPEATS,
        "device": jax.devices()[0].device_kind,
        "versions": versions(peer),
    }


def _line(row: dict[str, Any]) -> str:
    ours = (row["env"], row["num_envs"], f"{row['ours_steps_per_s']:,.0f}")
    seconds = f"{row['ours_compile_s']:.1f}"
    if row["peer"] is None:
        return COLUMNS.format(*ours, "-", "-", seconds, "-")
    ratio = f"{row['ratio']:.1f}x"
    return COLUMNS.format(*ours, f"{row['peer_steps_per_s']:,.0f}", ratio, seconds, f"{row['peer_compile_s']:.1f}")


def run_env(args: argparse.Namespace) -> int:
    """Measures every pair of environment and number of lanes; writes the rows measured so far after each."""
    from envs.registry import check_name

    for name in args.env:
        check_name(name)
    if args.json:
        args.json.parent.mkdir(parents=True, exist_ok=True)
    print(HEADER)
    rows = []
    for name in args.env:
        for num_envs in args.num_envs:
            rows.append(benchmark_env(name, num_envs, args.length))
            print(_line(rows[-1]), flush=True)
            if args.json:
                write_json(args.json, rows)
    return 0


def parser() -> argparse.ArgumentParser:
    """The command line: a subcommand for each thing measured."""
    main_parser = Parser(prog="python -m experiments.benchmark", description=__doc__.split("\n\n")[0])
    commands = main_parser.add_subparsers(required=True, metavar="COMMAND")
    env = commands.add_parser("env", help="environment steps a second, beside a peer's")
    env.add_argument("--env", nargs="+", default=["smax:2s3z", "smax:8m"], metavar="NAME", help="e.g. smax:MMM")
    env.add_argument(
        "--num-envs", nargs="+", type=whole(), default=[64, 512], metavar="E", help="parallel environments"
    )
    env.add_argument("--length", type=whole(), default=100, help="steps of each timed call (default 100)")
    env.add_argument("--json", type=out_file(parents=True), metavar="FILE", help="write the rows there")
    env.set_defaults(run=run_env)
    scripted = commands.add_parser("scripted", help="what policies without learning achieve")
    scripted.add_argument("--env", nargs="+", metavar="NAME", help="default: all StarCraft maps")
    scripted.add_argument("--episodes", type=whole(1, MAX_EPISODES), default=256, help="a map and policy (default 256)")
    scripted.set_defaults(run=run_scripted)
    benchmark_train.add_parser(commands)
    benchmark_seeds.add_parser(commands)
    benchmark_settings.add_parser(commands)
    benchmark_updates.add_parser(commands)
    benchmark_learn.add_parser(commands)
    benchmark_kernels.add_parser(commands)
    return main_parser


def command(argv: Sequence[str]) -> int:
    args = parser().parse_args(argv)
    return args.run(args)


if __name__ == "__main__":
    sys.exit(run_stoppable(command))
