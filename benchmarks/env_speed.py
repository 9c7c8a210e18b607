"""Environment steps per second. Run by `python -m experiments.benchmark env`.

Random legal actions are played in our environments and in reference implementations of them, in the same process and by
turns. Both restart finished episodes and return everything that an algorithm reads at every step, action masks too.
Compiling is timed apart; speeds are medians.
"""

import argparse
import pathlib
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, NamedTuple

from benchmarks.arguments import add_json, keep
from benchmarks.env_picture import draw
from benchmarks.references import load_reference
from envs.errors import ConfigError
from experiments.common.arguments import out_file, whole
from experiments.common.cpu import one_thread
from experiments.common.files import read_json

REPEATS = 5
COLUMNS = "{:<24} {:>6} {:>12} {:>12} {:>8} {:>9} {:>8}"
HEADER = COLUMNS.format("environment", "envs", "ours /s", "other /s", "ratio", "compile s", "other s")


class CompiledRollout(NamedTuple):
    """A compiled rollout of fixed length: `play(carry, key) -> (carry, steps taken)`, and how long compiling took."""

    play: Callable
    carry: Any
    compile_seconds: float


def random_legal(avail, key):
    """int32[..., A] uniform over the legal actions of avail [..., A, U], one random number per agent."""
    import jax
    import jax.numpy as jnp

    legal = avail.astype(bool)
    count = legal.sum(-1, keepdims=True)
    place = jnp.floor(jax.random.uniform(key, count.shape) * count).astype(jnp.int32)
    return (legal.cumsum(-1) <= place).sum(-1).astype(jnp.int32)


def random_action(action: Any, avail: Any, key: Any) -> Any:
    """Random actions of an `ActionSpec`: int32[E, A] legal in `avail` bool[E, A, U], or f32[E, A, D] in the bounds."""
    import jax

    if action.discrete:
        return random_legal(avail, key)
    shape = (*avail.shape[:-1], action.dim)
    return jax.random.uniform(key, shape, minval=action.low, maxval=action.high)


def our_steps(env: Any, num_envs: int) -> tuple[Callable, Callable]:
    """(open, step) with carry (state, timestep); restarting takes an environment one step, as in training."""
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


def _compile(open_episodes: Callable, step: Callable, length: int) -> CompiledRollout:
    """Compiles and runs once; the seconds are those of tracing and compiling alone."""
    import jax

    carry = jax.block_until_ready(jax.jit(open_episodes)(jax.random.key(0)))

    def play(carry, key):
        carry, steps = jax.lax.scan(step, carry, jax.random.split(key, length))
        return carry, steps.sum()

    start = time.perf_counter()
    compiled = jax.jit(play).lower(carry, jax.random.key(0)).compile()
    seconds = time.perf_counter() - start
    carry, _ = jax.block_until_ready(compiled(carry, jax.random.key(1)))
    return CompiledRollout(compiled, carry, seconds)


def _speeds(programs: list[CompiledRollout]) -> list[float]:
    """Median environment steps a second of each, timed by turns so that a busy moment affects all alike."""
    import jax

    carries = [program.carry for program in programs]
    speeds: list[list[float]] = [[] for _ in programs]
    for repeat in range(REPEATS):
        for i, program in enumerate(programs):
            start = time.perf_counter()
            carries[i], steps = jax.block_until_ready(program.play(carries[i], jax.random.key(2 + repeat)))
            speeds[i].append(int(steps) / (time.perf_counter() - start))
    return [statistics.median(values) for values in speeds]


def benchmark_env(name: str, num_envs: int, length: int = 100, alone: bool = False) -> dict[str, Any]:
    """One row of the table: the env steps a second of ours and, where there is one, of a reference implementation.

    `alone`: ours only.
    """
    import jax

    from envs.registry import make_env

    reference = None if alone else _reference_of(name)
    programs = [_compile(*our_steps(make_env(name), num_envs), length)]
    if reference is not None:
        programs.append(_compile(*reference.build(num_envs), length))
    speeds = _speeds(programs)
    packages = ("jax", "jaxlib", *([reference.package] if reference else []))
    return {
        "env": name,
        "num_envs": num_envs,
        "ours_steps_per_s": speeds[0],
        "peer": reference.name if reference else None,
        "peer_steps_per_s": speeds[1] if reference else None,
        "ratio": speeds[0] / speeds[1] if reference else None,
        "ours_compile_s": programs[0].compile_seconds,
        "peer_compile_s": programs[1].compile_seconds if reference else None,
        "length": length,
        "repeats": REPEATS,
        "device": jax.devices()[0].device_kind,
        "versions": {package: version(package) for package in packages},
    }


def _reference_of(name: str) -> Any:
    """The reference implementation of our environment; None where there is none, or it is not installed."""
    try:
        return load_reference("environments").reference_of(name)
    except ConfigError:
        return None


def _line(row: dict[str, Any]) -> str:
    ours = (row["env"], row["num_envs"], f"{row['ours_steps_per_s']:,.0f}")
    seconds = f"{row['ours_compile_s']:.1f}"
    if row["peer"] is None:
        return COLUMNS.format(*ours, "-", "-", seconds, "-")
    ratio = f"{row['ratio']:.1f}x"
    return COLUMNS.format(*ours, f"{row['peer_steps_per_s']:,.0f}", ratio, seconds, f"{row['peer_compile_s']:.1f}")


def run_env(args: argparse.Namespace) -> int:
    """Measures every pair of environment and number of environments; writes the rows measured so far after each.

    Rows of other pairs that are in the file stay there. With --redraw it measures nothing and draws what is kept.
    """
    from envs.registry import check_name

    if args.redraw:
        if args.picture is None:
            raise ConfigError("--redraw draws the rows of --json: give --picture FILE.png, too")
        draw(_kept(args.json), args.picture, args.num_envs[0], args.note)
        return 0
    for name in args.env:
        check_name(name)
    pairs = [(name, num_envs) for name in args.env for num_envs in args.num_envs]
    rows = [row for row in _kept(args.json) if (row["env"], row["num_envs"]) not in pairs]
    print(HEADER)
    for pair in pairs:
        rows.append(benchmark_env(*pair, args.length, args.alone))
        print(_line(rows[-1]), flush=True)
        keep(args.json, rows)
    if args.picture:
        draw(rows, args.picture, args.num_envs[0], args.note)
    return 0


def _kept(path: pathlib.Path | None) -> list[dict[str, Any]]:
    """The rows in the file; none if there is none. Raises ConfigError if another command wrote it."""
    rows = [] if path is None else read_json(path, list)
    if not all("ours_steps_per_s" in row for row in rows):
        raise ConfigError(f"{path} was written by another command: give another file")
    return rows


def add_parser(commands: Any) -> None:
    """Adds the command `env` to the parser of `experiments.benchmark`."""
    env = commands.add_parser("env", help="environment steps per second, compared with a reference implementation")
    env.add_argument("--env", nargs="+", default=["smax:2s3z", "smax:8m"], metavar="NAME", help="e.g. smax:MMM")
    env.add_argument(
        "--num-envs", nargs="+", type=whole(), default=[64, 512], metavar="E", help="parallel environments"
    )
    env.add_argument("--length", type=whole(), default=100, help="steps of each timed call (default 100)")
    env.add_argument("--alone", action="store_true", help="measure ours only, not the reference implementations")
    env.add_argument(
        "--picture", type=out_file(".png"), metavar="FILE.png", help="draw StarCraft maps, speed over units, there"
    )
    env.add_argument("--redraw", action="store_true", help="draw the rows that are in --json, without measuring")
    env.add_argument("--note", default="", help="added below the picture, e.g. what else ran on the machine")
    add_json(env)
    env.set_defaults(run=run_env, prepare=one_thread)
