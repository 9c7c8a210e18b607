"""A small member of the AIIR-MIX family, and a batch for it with deaths, both kinds of endings, and padding."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from envs.base import ActionSpec, EnvSpec, TimeStep
from iacjax.algorithms.common.actor_critic import Aux
from iacjax.algorithms.common.rnn import RnnCarry
from iacjax.algorithms.intrinsic import learner as intrinsic
from iacjax.algorithms.intrinsic.config import IntrinsicConfig
from iacjax.types import Batch, Clock

SPEC = EnvSpec("test", num_agents=3, obs_dim=5, state_dim=4, action=ActionSpec(num_actions=4), horizon=10)
SMALL = {"embed_dim": 8, "mix_dim": 4, "hidden_dim": 8, "critic_dim": 8, "num_envs": 4, "rollout_length": 7}
# Whatever the defaults become:
SMALL |= {"minibatches": 1, "epochs": 2, "lr": 0.01, "critic_lr": 0.01, "reward_lr": 0.01, "optimizer": "adam"}
SMALL |= {"time_limit": "truncate", "value_norm": True, "critic_target_every": 0, "critic_update": "epochs"}
T, B, A, U = 7, 4, 3, 4
CLOCK = Clock(jnp.int32(0), jnp.int32(0))
KEY = jax.random.key(7)
LAST_ROW_ACTION = jnp.array([[1, 0, 3], [2, 2, 0], [0, 1, 1], [3, 0, 2]], jnp.int32)  # on row T
QUICK = {"xla_backend_optimization_level": 0}
PAPER = {
    "critic_update": "per_time_index", "critic_target_every": 3, "critic_others_actions": True, "epochs": 1,
    "optimizer": "rmsprop", "value_norm": False, "time_limit": "terminate", "mix_init": "random",
}  # fmt: skip


def make_networks(**fields):
    """Small Networks with these fields of their config."""
    return intrinsic.build(SPEC, IntrinsicConfig(**{**SMALL, **fields}))


def _rows(rng) -> tuple[TimeStep, np.ndarray]:
    """8 rows of 4 environments.

    0: truncated at row 3, agent 1 dead throughout that episode.
    1: goes on from an earlier rollout, terminated at row 2, agent 2 dies at row 5.
    2: agent 0 dies at row 4, terminated at the last row.
    3: at an ending at row 0; in the new episode no agent is alive from row 6 on.
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


def make_batch(nets, seed: int = 0) -> Batch:
    """Random legal actions from a random recurrent state, with the log-probabilities that they would have at random."""
    rng = np.random.default_rng(seed)
    rows, first = _rows(rng)
    legal = np.asarray(rows.avail | ~rows.avail.any(-1, keepdims=True))[:T]
    action = (legal * rng.random(legal.shape)).argmax(-1)
    log_prob = -np.log(legal.sum(-1)) + 0.1 * rng.normal(size=action.shape)
    hidden = rng.normal(size=(B, A, nets.config.hidden_dim)) * 0.5
    last_action = rng.integers(0, U, (B, A))
    return Batch(
        rows=rows,
        first=jnp.asarray(first),
        action=jnp.asarray(action, jnp.int32),
        aux=Aux(jnp.asarray(log_prob, jnp.float32), jnp.full((T, B), 0.2, jnp.float32)),
        mask=(~rows.boundary[:-1]).astype(jnp.float32),
        carry0=RnnCarry(jnp.asarray(hidden, jnp.float32), jnp.asarray(last_action, jnp.int32)),
    )


def drawn(init, *names: str, seed: int = 1):
    """A learner as `init(key)` shapes it: the fields `names` are drawn at random, no bias 0, all else is zeros."""
    rng = np.random.default_rng(seed)
    zero = jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), jax.eval_shape(init, KEY))

    def draw(x):
        return jnp.asarray(0.4 * rng.normal(size=x.shape), jnp.float32)

    return zero._replace(**{name: jax.tree.map(draw, getattr(zero, name)) for name in names})


def make_learner(nets, seed: int = 1):
    """A learner of random parameters and targets unlike the critics; its optimisers have not yet moved."""
    return drawn(partial(intrinsic.init, nets), "params", "target", seed=seed)


def with_garbage(batch: Batch, unseen: jax.Array, unread: jax.Array | None = None) -> Batch:
    """The batch with garbage wherever the contract says that nothing is read.

    Args:
      unseen: bool[T + 1, B], the rows that nobody observes, not even to bootstrap from them.
      unread: bool[T + 1, B], the rows of which neither what was legal nor what was done is read; None: each boundary.
    """
    rows, padding = batch.rows, batch.mask == 0
    unread = rows.boundary if unread is None else unread
    after_padding = jnp.concatenate([jnp.zeros((1, B), bool), padding])  # the row that opens an episode
    rows = rows._replace(
        obs=jnp.where(unseen[..., None, None], 9.0, rows.obs),
        state=jnp.where(unseen[..., None], -9.0, rows.state),
        reward=jnp.where(after_padding, 99.0, rows.reward),
        alive=jnp.where(rows.boundary[..., None], ~rows.alive, rows.alive),
        avail=jnp.where(unread[..., None, None], jnp.array([True, False, True, False]), rows.avail),
    )
    reset, done_nothing = batch.first[0] | unread[0], unread[:-1, :, None]
    log_prob = jnp.where(done_nothing, -3.0, batch.aux.log_prob)
    hidden = jnp.where(reset[:, None, None], 5.0, batch.carry0.hidden)
    return batch._replace(
        rows=rows,
        action=jnp.where(done_nothing, (batch.action + 1) % 2 * 2, batch.action),
        aux=Aux(log_prob, jnp.where(padding, 0.7, batch.aux.epsilon)),
        carry0=RnnCarry(hidden, jnp.where(reset[:, None], 2, batch.carry0.last_action)),
    )


def equal(tree, other) -> bool:
    """Whether all leaves are, bit by bit."""
    return all(jax.tree.leaves(jax.tree.map(lambda a, b: bool((a == b).all()), tree, other)))


def check_shapes_stay(init, update, batch: Batch) -> None:
    """A learner has the same shapes and strong types after an update; the metrics are f32[].

    A weakly typed or changed leaf would cost a second compilation at the second chunk.
    """
    before = jax.eval_shape(init, KEY)
    assert not any(x.weak_type for x in jax.tree.leaves(before))
    after, metrics = jax.eval_shape(update, before, batch, KEY, CLOCK)
    assert after == before
    assert all(x.shape == () and x.dtype == jnp.float32 for x in metrics.values())


def quick(function, *args):
    """Compiles, hardly optimising, and runs: compile seconds matter here, run time does not."""
    return jax.jit(function, compiler_options=QUICK)(*args)


def prepared(nets, learner, batch, last_row_action=LAST_ROW_ACTION):
    """(IntrinsicData, CriticValues) as an update prepares them."""
    values = intrinsic.values_of(nets, learner, batch, last_row_action)
    r_total, _, _ = intrinsic.rewards(nets, learner.params["reward"], batch)
    return intrinsic.intrinsic_data(nets, learner, batch, values, r_total)[0], values
