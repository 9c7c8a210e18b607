"""A small continuous environment's spec, and a replay's batch of it, for the tests of MADDPG and MAAC."""

import jax
import jax.numpy as jnp

from envs.base import ActionSpec, EnvSpec, TimeStep
from iacjax.types import Batch, Clock

A, D, OBS, X, B = 3, 2, 4, 5, 6
SPEC = EnvSpec("test", A, OBS, X, ActionSpec(dim=D, low=-2.0, high=4.0), horizon=10)
# Agent 2 has one dimension, the other is padding.
PADDED = SPEC._replace(action=SPEC.action._replace(mask=((True, True), (True, True), (True, False))))
SMALL = {"hidden_dim": 8, "batch_size": B, "buffer_size": 512, "policy_layers": 2}
WARM = Clock(jnp.int32(10_000), jnp.int32(10_000))


def timestep(seed: int, terminated: bool = False, truncated: bool = False) -> TimeStep:
    k_obs, k_state, k_reward = jax.random.split(jax.random.key(seed), 3)
    return TimeStep(
        obs=jax.random.normal(k_obs, (B, A, OBS)),
        state=jax.random.normal(k_state, (B, X)),
        avail=jnp.zeros((B, A, 0), bool),
        alive=jnp.ones((B, A), bool),
        reward=jax.random.normal(k_reward, (B,)),
        terminated=jnp.full(B, terminated),
        truncated=jnp.full(B, truncated),
        info={},
    )


def make_batch(seed: int = 0, **flags) -> Batch:
    """One transition per environment; the last environment is padding (mask 0)."""
    rows = jax.tree.map(lambda a, b: jnp.stack([a, b]), timestep(seed), timestep(seed + 1, **flags))
    action = jax.random.uniform(jax.random.key(seed + 2), (1, B, A, D), minval=-2.0, maxval=4.0)
    mask = jnp.ones((1, B)).at[0, -1].set(0.0)
    return Batch(rows, jnp.zeros((2, B), bool), action, (), mask, ())


def agent_changed(before, after) -> list[bool]:
    """Which agents' parameters differ; every leaf has the agents as its first axis."""
    pairs = list(zip(jax.tree.leaves(before), jax.tree.leaves(after), strict=True))
    return [any(bool((a[i] != b[i]).any()) for a, b in pairs) for i in range(A)]


def leaf(params, *names: str) -> jax.Array:
    """The one leaf of `params` whose path has all `names` in it."""
    paths = jax.tree_util.tree_flatten_with_path(params)[0]
    (found,) = [x for path, x in paths if set(names) <= {getattr(p, "key", None) for p in path}]
    return found


def zeros_but(params, value, *names: str):
    """`params` all 0, but for the one leaf whose path has all `names` in it, which is `value` in the leaf's shape."""
    target = leaf(params, *names)
    return jax.tree.map(lambda x: jnp.asarray(value, x.dtype).reshape(x.shape) if x is target else x * 0.0, params)
