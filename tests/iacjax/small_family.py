"""A small member of the AIIR-MIX family, and a batch for it with deaths, both kinds of endings, and padding."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from envs.base import ActionSpec, EnvSpec, TimeStep
from iacjax.algorithms import intrinsic, on_policy
from iacjax.algorithms.configs import IntrinsicConfig
from iacjax.types import Batch

SPEC = EnvSpec("test", num_agents=3, obs_dim=5, state_dim=4, action=ActionSpec(num_actions=4), horizon=10)
SMALL = {"embed_dim": 8, "mix_dim": 4, "hidden_dim": 8, "critic_dim": 8, "num_envs": 4, "rollout_length": 7}
# Whatever the defaults become:
SMALL |= {"minibatches": 1, "epochs": 2, "lr": 0.01, "critic_lr": 0.01, "reward_lr": 0.01, "optimizer": "adam"}
SMALL |= {"time_limit": "truncate", "value_norm": True, "critic_target_every": 0, "critic_update": "epochs"}
T, B, A, U = 7, 4, 3, 4
QUICK = {"xla_backend_optimization_level": 0}
PAPER = {
    "critic_update": "per_time_index", "critic_target_every": 3, "critic_others_actions": True, "epochs": 1,
    "optimizer": "rmsprop", "value_norm": False, "time_limit": "terminate", "mix_init": "random",
}  # fmt: skip


def make_family(**fields):
    """A small Family with these fields of its config."""
    return intrinsic.build(SPEC, IntrinsicConfig(**{**SMALL, **fields}))


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


def make_batch(f, seed: int = 0) -> Batch:
    """Random legal actions from a random recurrent state, with the log-probabilities that they would have at random."""
    rng = np.random.default_rng(seed)
    rows, first = _rows(rng)
    legal = np.asarray(rows.avail | ~rows.avail.any(-1, keepdims=True))[:T]
    action = (legal * rng.random(legal.shape)).argmax(-1)
    log_prob = -np.log(legal.sum(-1)) + 0.1 * rng.normal(size=action.shape)
    hidden = rng.normal(size=(B, A, f.config.hidden_dim)) * 0.5
    last_action = rng.integers(0, U, (B, A))
    return Batch(
        rows=rows,
        first=jnp.asarray(first),
        action=jnp.asarray(action, jnp.int32),
        aux=on_policy.Aux(jnp.asarray(log_prob, jnp.float32), jnp.full((T, B), 0.2, jnp.float32)),
        mask=(~rows.boundary[:-1]).astype(jnp.float32),
        carry0=on_policy.Carry(jnp.asarray(hidden, jnp.float32), jnp.asarray(last_action, jnp.int32)),
    )


def make_learner(f, seed: int = 1):
    """A learner of random parameters, no bias 0 and targets unlike the critics; its optimisers have not yet moved."""
    rng = np.random.default_rng(seed)
    shapes = jax.eval_shape(partial(intrinsic._init, f), jax.random.key(0))
    zero = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    def draw(x):
        return jnp.asarray(0.4 * rng.normal(size=x.shape), jnp.float32)

    return zero._replace(params=jax.tree.map(draw, zero.params), target=jax.tree.map(draw, zero.target))


def quick(function, *args):
    """Compiles, hardly optimising, and runs: compile seconds matter here, run time does not."""
    return jax.jit(function, compiler_options=QUICK)(*args)


def prepared(f, learner, batch):
    """(Sequences, Values) as an update prepares them."""
    values = intrinsic.values_of(f, learner, batch)
    r_total, _, _ = intrinsic.rewards(f, learner.params["reward"], batch)
    return intrinsic._sequences(f, learner, batch, values, r_total)[0], values
