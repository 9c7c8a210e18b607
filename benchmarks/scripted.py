"""Scripted baselines: what policies without learning win. Run by `python -m experiments.benchmark scripted`.

Those of predator-prey are in `benchmarks.scripted_hunters`.
"""

import argparse
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from benchmarks.scripted_hunters import HUNTS, print_table
from envs.errors import ConfigError
from experiments.common.arguments import whole
from experiments.common.stats import wilson
from experiments.config.validation import MAX_EPISODES

POLICIES = ("attack nearest", "heuristic", "heuristic within the masks", "random")
POLICIES_OF_SMACV2 = ("attack nearest", "random")  # SMACv2 has no heuristic of its own
DEFAULT_RULES = "smac"


class BaselineScore(NamedTuple):
    """Means over episodes; the win rate with its 95 % interval (Wilson)."""

    env: str
    policy: str
    episodes: int
    win_rate: float
    win_low: float
    win_high: float
    return_mean: float
    length_mean: float


class ScriptedPolicy(NamedTuple):
    """A policy that may remember: `act` is (state, timestep, memory, key) -> (action int32[A, E], memory)."""

    act: Callable[..., tuple[Any, Any]]
    memory: Any = ()  # at the start of an episode


def policy_names(name: str) -> tuple[str, ...]:
    """The policies for the StarCraft map `name`, with its family."""
    return POLICIES_OF_SMACV2 if name.startswith("smacv2:") else POLICIES


def policies(env: Any, episodes: int) -> dict[str, ScriptedPolicy]:
    """The policies by name, for `episodes` parallel episodes of a StarCraft map."""
    from envs.smacv2 import scripted as smacv2
    from envs.smax import heuristic, scripted

    drawn = env.spec.name.startswith("smacv2:")

    def smac(restricted: bool) -> ScriptedPolicy:
        def act(state, timestep, memory, key):
            return heuristic.choose(env.scenario, state.battle, memory, restricted)

        return ScriptedPolicy(act, heuristic.no_targets(env.scenario, episodes))

    def nearest(state, timestep, memory, key):
        attack_nearest = (smacv2 if drawn else scripted).attack_nearest
        return attack_nearest(env.scenario, timestep).T, memory

    def uniform(state, timestep, memory, key):
        return scripted.random_legal(timestep, key).T, memory

    if drawn:
        return dict(zip(POLICIES_OF_SMACV2, (ScriptedPolicy(nearest), ScriptedPolicy(uniform)), strict=True))
    every = (ScriptedPolicy(nearest), smac(restricted=False), smac(restricted=True), ScriptedPolicy(uniform))
    return dict(zip(POLICIES, every, strict=True))


def play_scripted(name: str, label: str, episodes: int, seed: int = 0, rules: str = DEFAULT_RULES) -> BaselineScore:
    """Plays `episodes` parallel episodes of `name` (smax:... or smacv2:...) by the policy called `label`."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from envs.registry import make_env

    env = make_env(name, rules=rules)
    policy = policies(env, episodes)[label]

    def body(carry):
        state, timestep, total, length, won, memory, key = carry
        live = ~timestep.boundary
        key, k_act, k_step = jax.random.split(key, 3)
        action, memory = policy.act(state, timestep, memory, k_act)
        state, after = env.obey(k_step, state, action)  # SMAC's heuristic is not bound by the masks
        # An episode that has ended keeps its last time step, and so stays ended.
        timestep = jax.tree.map(
            lambda new, old: jnp.where(live.reshape(live.shape + (1,) * (new.ndim - 1)), new, old), after, timestep
        )
        total, length = total + live * after.reward, length + live
        return state, timestep, total, length, won | (live & after.info["won"]), memory, key

    def play(key):
        key, k_reset = jax.random.split(key)
        start = (*env.reset(k_reset, episodes), jnp.zeros(episodes), jnp.zeros(episodes, jnp.int32))
        start = (*start, jnp.zeros(episodes, bool), policy.memory, key)
        return jax.lax.while_loop(lambda carry: ~carry[1].boundary.all(), body, start)[2:5]

    total, length, won = (np.asarray(x, np.float64) for x in jax.jit(play)(jax.random.key(seed)))
    low, high = wilson(won.sum(), episodes)
    return BaselineScore(name, label, episodes, won.mean(), low, high, total.mean(), length.mean())


def markdown(scores: Sequence[BaselineScore]) -> str:
    """A table with a row per score."""
    rows = ["| map | policy | win rate (95 % interval) | return | steps |", "|---|---|---|---|---|"]
    for s in scores:
        win = f"{s.win_rate:.2f} ({s.win_low:.2f} to {s.win_high:.2f})"
        rows.append(f"| {s.env} | {s.policy} | {win} | {s.return_mean:.1f} | {s.length_mean:.0f} |")
    return "\n".join(rows)


def run_scripted(args: argparse.Namespace) -> int:
    """Prints the tables of `args.env` (all maps by default), a line as soon as it is known."""
    from envs.registry import check_name
    from envs.smax.scenarios import SCENARIOS

    names = args.env or [f"smax:{name}" for name in SCENARIOS]
    for name in names:
        check_name(name)
        if not name.startswith(("smax:", "smacv2:")) and name not in HUNTS:
            known = f"smax:<map>, smacv2:<scenario>, {' or '.join(HUNTS)}"
            raise ConfigError(f"'{name}' has no scripted policies: give {known}")
    maps, hunts = ([name for name in names if (name in HUNTS) == hunt] for hunt in (False, True))
    if maps:
        print("\n".join(markdown([]).splitlines()))
    for name in maps:
        for label in policy_names(name):
            score = play_scripted(name, label, args.episodes, rules=args.rules)
            print(markdown([score]).splitlines()[-1], flush=True)
    if hunts:
        print_table(hunts, args.episodes)
    return 0


def add_parser(commands: Any) -> None:
    """Adds the command `scripted` to the parser of `experiments.benchmark`."""
    scripted = commands.add_parser("scripted", help="what policies without learning achieve")
    scripted.add_argument("--env", nargs="+", metavar="NAME", help="default: all StarCraft maps")
    scripted.add_argument("--episodes", type=whole(1, MAX_EPISODES), default=256, help="per policy (default 256)")
    scripted.add_argument("--rules", default=DEFAULT_RULES, help="of the StarCraft maps: a preset, or a .json file")
    scripted.set_defaults(run=run_scripted)
