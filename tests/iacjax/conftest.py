"""A small member of the AIIR-MIX family, and a batch for it with deaths, both kinds of endings, and padding."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.base import ActionSpec, EnvSpec, TimeStep
from iacjax.algorithms import intrinsic
from iacjax.algorithms.configs import IntrinsicConfig
from iacjax.types import Batch, Clock

SPEC = EnvSpec("test", num_agents=3, obs_dim=5, state_dim=4, action=ActionSpec(num_actions=4), horizon=10)
SMALL = {"embed_dim": 8, "mix_dim": 4, "hidden_dim": 8, "critic_dim": 8, "num_envs": 4, "rollout_length": 7}
T, B, A, U = 7, 4, 3, 4


def _family(**fields):
    return intrinsic._build(SPEC, IntrinsicConfig(**{**SMALL, **fields}))


def _rows(rng) -> tuple[TimeStep, np.ndarray]:
    """8 rows of 4 lanes.

    Lane 0: truncated at row 3, agent 1 dead throughout that episode. Lane 1: goes on from an earlier rollout,
    terminated at row 2, agent 2 dies at row 5. Lane 2: agent 0 dies at row 4, terminated at the last row.
    Lane 3: stands at an ending at row 0; the new episode has nobody alive from row 6 on.
    """
    alive = np.ones((T + 1, B, A), bool)
    alive[:4, 0, 1] = alive[5:, 1, 2] = alive[4:, 2, 0] = alive[6:, 3] = False
    terminated, truncated, first = (np.zeros((T + 1, B), bool) for _ in range(3))
    truncated[3, 0] = terminated[2, 1] = terminated[T, 2] = terminated[0, 3] = True
    first[0, 0] = first[4, 0] = first[3, 1] = first[1, 3] = True
    avail = rng.random((T + 1, B, A, U)) < 0.6
    avail[..., 0], avail[..., 1] = ~alive, avail[..., 1] | alive
    avail[..., 1:] &= alive[..., None]
    avail[(terminated | truncated)[..., None] & alive] = False  # nothing is legal there

    def normal(*shape):
        return jnp.asarray(rng.normal(size=(T + 1, B, *shape)), jnp.float32)

    rows = TimeStep(
        normal(A, 5), normal(4), jnp.asarray(avail), jnp.asarray(alive), normal(), jnp.asarray(terminated),
        jnp.asarray(truncated), {},
    )  # fmt: skip
    return rows, first


def _batch(f, learner, seed: int = 0, epsilon_steps: int = 25_000) -> Batch:
    """Acts through the rows with the learner's own policy, from a random recurrent state."""
    rng = np.random.default_rng(seed)
    rows, first = _rows(rng)
    hidden = jnp.asarray(rng.normal(size=(B, A, f.config.hidden_dim)) * 0.5, jnp.float32)
    carry = carry0 = intrinsic.Carry(hidden, jnp.asarray(rng.integers(0, U, (B, A)), jnp.int32))
    act = jax.jit(partial(intrinsic._act, f, explore=True))
    clock = Clock(jnp.int32(0), jnp.int32(epsilon_steps))
    taken = []
    for t in range(T):
        ts = jax.tree.map(lambda x, t=t: x[t], rows)
        key = jax.random.fold_in(jax.random.key(seed), t)
        carry, action, aux = act(learner.params["actor"], carry, ts, jnp.asarray(first[t]), key, clock)
        taken.append((action, aux))
    action, aux = jax.tree.map(lambda *x: jnp.stack(x), *taken)
    mask = (~rows.boundary[:-1]).astype(jnp.float32)
    return Batch(rows, jnp.asarray(first), action, aux, mask, carry0)


def _learner(f, seed: int = 1, scale: float = 3.0):
    """A learner whose logits differ by more than the 0.01 they begin with."""
    learner = jax.jit(partial(intrinsic._init, f))(jax.random.key(seed))
    actor = jax.tree.map(lambda x: x * scale if x.shape[-1] != U else x * 100.0, learner.params["actor"])
    return learner._replace(params={**learner.params, "actor": actor})


@pytest.fixture(scope="session")
def make_family():
    """(**config fields) -> a small Family."""
    return _family


@pytest.fixture(scope="session")
def make_learner():
    """(family, seed) -> a Learner with decided, but not extreme, policies."""
    return _learner


@pytest.fixture(scope="session")
def make_batch():
    """(family, learner, seed) -> a Batch that the learner itself acted."""
    return _batch
