"""Compares an adapter's batch of environments with the original environment, stepped one at a time.

With the same keys and actions, restarts included, both must return the same.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np

from envs.base import Environment
from envs.check import random_actions


class Original(NamedTuple):
    """What the original environment returns after a reset or a step, in our terms, as NumPy arrays."""

    inner: Any
    obs: list  # an array per agent, as the original gives it
    reward: float = 0.0
    terminated: bool = False
    truncated: bool = False


class Counts(NamedTuple):
    """How much was compared."""

    steps: int
    terminated: int
    truncated: int


def agree(
    env: Environment,
    reset: Callable[[jax.Array], Original],
    step: Callable[[jax.Array, Original, np.ndarray], Original],
    also: Callable[[Original, Any, int], None],
    steps: int,
    num_envs: int = 2,
) -> Counts:
    """Plays `steps` steps of random legal actions, restarting episodes that are over, and compares every environment.

    `also(original, timestep, e)` compares what differs between environments: masks, deaths, the state.
    """
    key = jax.random.key(3)
    state, ts = jax.jit(env.reset, static_argnums=1)(key, num_envs)
    originals = [reset(k) for k in jax.random.split(key, num_envs)]
    ours, act = jax.jit(env.step), jax.jit(lambda k, avail: random_actions(k, env.spec, avail))
    restart = jax.jit(env.restart)
    ends = np.zeros(2, int)
    for t in range(steps):
        k_act, k_step, k_restart = jax.random.split(jax.random.fold_in(key, t), 3)
        for e, original in enumerate(originals):
            _compare(env, jax.tree.map(lambda x, e=e: np.asarray(x)[e], ts), original)
            also(original, ts, e)
        ends += [int(ts.terminated.sum()), int(ts.truncated.sum())]
        where = np.asarray(ts.boundary)
        if where.any():
            state, ts = restart(k_restart, state, ts, where)
            fresh = jax.random.split(k_restart, num_envs)
            originals = [reset(fresh[e]) if where[e] else original for e, original in enumerate(originals)]
        action = act(k_act, ts.avail)
        keys = jax.random.split(k_step, num_envs)
        state, ts = ours(k_step, state, action)
        originals = [step(keys[e], original, np.asarray(action)[e]) for e, original in enumerate(originals)]
    return Counts(steps * num_envs, int(ends[0]), int(ends[1]))


def _compare(env: Environment, ts: Any, original: Original) -> None:
    for row, theirs in zip(ts.obs, original.obs, strict=True):
        theirs = np.asarray(theirs, np.float32).reshape(-1)
        np.testing.assert_allclose(row[: theirs.size], theirs, rtol=1e-5, atol=1e-5)
        assert not row[theirs.size :].any()  # padding
    np.testing.assert_allclose(ts.reward, original.reward, rtol=1e-5, atol=1e-5)
    assert (bool(ts.terminated), bool(ts.truncated)) == (original.terminated, original.truncated)
    if env.spec.state_is_obs:
        assert np.array_equal(ts.state, ts.obs.reshape(-1))
