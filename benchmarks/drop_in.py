"""`StarCraft2Env` beside SMAClite: milliseconds per step. Run by `python -m experiments.benchmark drop_in`.

Random legal actions are played, by turns, in one battle of ours, in 64 battles of `VectorStarCraft2Env`, and in
SMAClite where it is installed. After each step the observations, the state and the masks are read, as PyMARL does;
choosing actions is not timed. Resets are. Compiling is timed apart; what is reported are medians. Beside the time that
passed, the processor time of all threads of the process is kept: other programs on the machine change it little.
"""

import argparse
import contextlib
import io
import statistics
import time
from collections.abc import Callable
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

from benchmarks.arguments import add_json, keep
from envs.errors import ConfigError
from experiments.common.arguments import whole

REPEATS, SECONDS = 5, 1.0  # timed segments of each program
MAPS = ("2s3z", "MMM", "10m_vs_11m")  # some that SMAClite has too
COLUMNS = "{:<12} {:<6} {:>10} {:>10} {:>12} {:>8} {:>10} {:>10}"
HEADER = COLUMNS.format("map", "clock", "ours ms", "vector ms", "SMAClite ms", "one x", "vector x", "compile s")
Advance = Callable[[], "Spent"]  # plays one step (of all battles); returns what it took


class Spent(NamedTuple):
    """Seconds that passed, and of processor time."""

    wall: float
    cpu: float

    @classmethod
    def since_start(cls) -> "Spent":
        """The two clocks now."""
        return cls(time.perf_counter(), time.process_time())

    def until_now(self) -> "Spent":
        """What has been spent since these clocks."""
        return Spent(time.perf_counter() - self.wall, time.process_time() - self.cpu)


def random_legal(rng: np.random.Generator, avail: np.ndarray) -> np.ndarray:
    """int[..., A]: a legal action each, from avail [..., A, U]."""
    return np.where(avail, rng.random(avail.shape), -1.0).argmax(-1)


def our_battle(name: str) -> Advance:
    """One battle of `StarCraft2Env`."""
    from envs.smac_compat import StarCraft2Env

    env, rng = StarCraft2Env(map_name=name, seed=0), np.random.default_rng(0)
    env.reset()

    def advance() -> Spent:
        actions = random_legal(rng, np.array(env.get_avail_actions()))
        start = Spent.since_start()
        over = env.step(actions)[1]
        if over:
            env.reset()
        env.get_obs(), env.get_state(), env.get_avail_actions()
        return start.until_now()

    return advance


def our_battles(name: str, num_envs: int) -> Advance:
    """`num_envs` battles of `VectorStarCraft2Env`."""
    from envs.smac_compat import VectorStarCraft2Env

    env, rng = VectorStarCraft2Env(num_envs, map_name=name, seed=0), np.random.default_rng(0)
    env.reset()

    def advance() -> Spent:
        actions = random_legal(rng, env.get_avail_actions())
        start = Spent.since_start()
        env.step(actions)
        return start.until_now()

    return advance


def smaclite_battle(name: str) -> Advance | None:
    """One battle of SMAClite, with SMAC's time limit; None where it is not installed."""
    try:
        from smaclite.env import SMACliteEnv
        from smaclite.env.maps.map import MapPreset
    except ImportError:
        return None
    from envs.smax.scenarios import get_scenario

    limit = get_scenario(name).limit
    with contextlib.redirect_stdout(io.StringIO()):  # it prints how it avoids collisions
        env = SMACliteEnv(map_info=next(entry.value for entry in MapPreset if entry.value.name == name), seed=0)
    rng, steps = np.random.default_rng(0), 0
    env.reset()

    def advance() -> Spent:
        nonlocal steps
        actions = random_legal(rng, np.array(env.get_avail_actions())).tolist()
        start = Spent.since_start()
        over = env.step(actions)[2]
        steps = 0 if over or steps + 1 >= limit else steps + 1
        if not steps:
            env.reset()
        env.get_state(), env.get_avail_actions()  # observations were returned by the step
        return start.until_now()

    return advance


def milliseconds(programs: list[Advance]) -> list[Spent]:
    """Milliseconds of a step of each: the median of segments of `SECONDS`, by turns, of each segment's mean."""
    means: list[list[Spent]] = [[] for _ in programs]
    for _ in range(REPEATS):
        for advance, kept in zip(programs, means, strict=True):
            steps = [advance()]
            while sum(step.wall for step in steps) < SECONDS:
                steps.append(advance())
            kept.append(Spent(*(1000 * statistics.mean(column) for column in zip(*steps, strict=True))))
    return [Spent(*(statistics.median(column) for column in zip(*kept, strict=True))) for kept in means]


def measure(name: str, num_envs: int) -> dict[str, Any]:
    """One row of the table; the ratios are SMAClite's time for a step over ours for a step of one battle."""
    ours, many, theirs = our_battle(name), our_battles(name, num_envs), smaclite_battle(name)
    compiling = ours().wall
    for _ in range(200):  # the first steps and restarts are compiled
        ours(), many()
    one, vector, *lite = milliseconds([ours, many] if theirs is None else [ours, many, theirs])
    row = {"map": name, "num_envs": num_envs, "first_step_s": compiling}
    for clock in Spent._fields:
        mine, all_mine = getattr(one, clock), getattr(vector, clock)
        reference = getattr(lite[0], clock) if lite else None
        row |= {
            f"ours_{clock}_ms": mine,
            f"vector_{clock}_ms": all_mine,
            f"smaclite_{clock}_ms": reference,
            f"ratio_one_{clock}": reference / mine if reference else None,
            f"ratio_vector_{clock}": num_envs * reference / all_mine if reference else None,
        }
    return row | {"versions": {package: version(package) for package in ("jax", "jaxlib", "numpy")}}


def _lines(row: dict[str, Any]) -> list[str]:
    lines = []
    for clock in Spent._fields:
        lite, *ratios = (row[name] for name in (f"smaclite_{clock}_ms", f"ratio_one_{clock}", f"ratio_vector_{clock}"))
        others = [
            "-" if lite is None else f"{lite:.2f}",
            *("-" if ratio is None else f"{ratio:.1f}" for ratio in ratios),
        ]
        ours = (f"{row[f'ours_{clock}_ms']:.3f}", f"{row[f'vector_{clock}_ms']:.3f}")
        lines.append(COLUMNS.format(row["map"], clock, *ours, *others, f"{row['first_step_s']:.1f}"))
    return lines


def run_drop_in(args: argparse.Namespace) -> int:
    """Prints a row for each map of `args.map`, and keeps them where --json says."""
    from envs.smax.scenarios import get_scenario

    for name in args.map:
        get_scenario(name)
    rows: list[dict[str, Any]] = []
    print(HEADER)
    for name in args.map:
        try:
            rows.append(measure(name, args.num_envs))
        except StopIteration:
            raise ConfigError(f"SMAClite has no map {name}: give one that it has, or uninstall it") from None
        print("\n".join(_lines(rows[-1])), flush=True)
        keep(args.json, {"note": args.note, "rows": rows})
    return 0


def add_parser(commands: Any) -> None:
    """Adds the command `drop_in` to the parser of `experiments.benchmark`."""
    drop_in = commands.add_parser("drop_in", help="StarCraft2Env and VectorStarCraft2Env beside SMAClite")
    drop_in.add_argument("--map", nargs="+", default=list(MAPS), metavar="MAP", help=f"default {' '.join(MAPS)}")
    drop_in.add_argument("--num-envs", type=whole(1), default=64, help="battles of VectorStarCraft2Env (default 64)")
    add_json(drop_in, note=True)
    drop_in.set_defaults(run=run_drop_in)
