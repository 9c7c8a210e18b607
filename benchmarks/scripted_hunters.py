"""Scripted baselines of predator-prey: their returns for both readings of the reward and of the physics.

Run by `python -m experiments.benchmark scripted --env predator_prey po_predator_prey`.
"""

from typing import NamedTuple

import numpy as np

from experiments.common.stats import Interval, mean_interval

HUNTS = ("predator_prey", "po_predator_prey")
HUNTERS = ("intercept", "chase", "random")


class Hunt(NamedTuple):
    """Returns of episodes of 100 steps; the intervals are at 95 %, over episodes."""

    env: str
    physics: str
    policy: str
    per_pair: Interval  # 10 for each pair in contact
    flat: Interval  # 10 if any is
    best: float  # the largest return of an episode, per pair


def play_hunters(name: str, policy: str, episodes: int, physics: str = "openai", seed: int = 0) -> Hunt:
    """Plays `episodes` parallel episodes of `name` by the hunter called `policy`; all run to the time limit."""
    import jax
    import jax.numpy as jnp

    from envs.mpe import scripted
    from envs.mpe.predator_prey import CATCH_REWARD
    from envs.registry import make_env

    env = make_env(name, physics=physics)

    def step(carry, key):
        state, timestep = carry
        k_act, k_step = jax.random.split(key)
        if policy == "random":
            action = scripted.random_force(env, k_act, episodes)
        else:
            action = {"chase": scripted.chase, "intercept": scripted.intercept}[policy](env, timestep)
        state, timestep = env.step(k_step, state, action)
        return (state, timestep), jnp.stack([timestep.reward, jnp.minimum(timestep.reward, CATCH_REWARD)])

    @jax.jit
    def play(key):
        k_reset, k_play = jax.random.split(key)
        start = env.reset(k_reset, episodes)
        return jax.lax.scan(step, start, jax.random.split(k_play, env.spec.horizon))[1].sum(0)

    per_pair, flat = np.asarray(play(jax.random.key(seed)), np.float64)
    return Hunt(name, physics, policy, mean_interval(per_pair), mean_interval(flat), float(per_pair.max()))


def header() -> str:
    """The table's first two lines."""
    titles = ("environment", "physics", "hunter", "return per pair (95 %)", "flat (95 %)", "largest")
    return f"| {' | '.join(titles)} |\n|{'---|' * len(titles)}"


def line(hunt: Hunt) -> str:
    """A row of the table."""
    per_pair, flat = (f"{i.mean:.0f} ({i.low:.0f} to {i.high:.0f})" for i in (hunt.per_pair, hunt.flat))
    return f"| {hunt.env} | {hunt.physics} | {hunt.policy} | {per_pair} | {flat} | {hunt.best:.0f} |"


def print_table(names: list[str], episodes: int) -> None:
    """Plays and prints a row for each environment of `names`, physics and hunter, as soon as it is known."""
    from envs.mpe.physics import PHYSICS

    print(header())
    for name in names:
        for physics in PHYSICS:
            for policy in HUNTERS:
                print(line(play_hunters(name, policy, episodes, physics)), flush=True)
