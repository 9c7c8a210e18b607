"""Replay of single transitions: the newest rows of every environment in a ring buffer, sampled uniformly.

A row holds the timestep at t and the action chosen there; its successor is the environment's next row, so no
observation is kept twice. Iteration k writes its T rows and the head row after them (row T of the rollout, the first
of the next one) at k T mod C: a position given by the shared clock, so that it is one slice update under vmap too.
There is one row more than C, so that the head of the last block has a place and no rollout wraps around.

Rows are packed into 32-bit words, bools into single bits: a sample is one gather of words, whatever the rows hold.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from envs.base import ConfigError, TimeStep
from iacjax.buffers import packing
from iacjax.device_mesh import take_rows
from iacjax.types import Batch, Clock, ReplayBuffer

# Rows drawn for one transition of the batch. Drawing them is most of what a sample costs. With four, no transition is
# lost where episodes are long; where they are of one step, half of the rows are boundaries, 1 in 16 finds none.
CANDIDATES = 4


class ReplayRow(NamedTuple):
    """What is kept of one row of one environment. `mask` comes first: it is bit 0 of word 0."""

    mask: jax.Array  # bool[]: an action was taken here, and the next row is its consequence
    obs: jax.Array  # f32[A, O]
    state: jax.Array  # f32[X], f32[0] where it is the concatenated obs
    avail: jax.Array  # bool[A, U]
    alive: jax.Array  # bool[A]
    reward: jax.Array  # f32[]
    terminated: jax.Array  # bool[]
    truncated: jax.Array  # bool[]
    first: jax.Array  # bool[]
    action: jax.Array  # int32[A] or f32[A, D]; zeros where none was taken
    aux: Any


def transition_buffer(
    capacity: int, batch_size: int, num_envs: int, rollout_length: int, state_is_obs: bool = False
) -> ReplayBuffer:
    """A buffer that keeps at least the newest `capacity` rows of E environments together and samples transitions.

    Of each environment C rows are kept, `capacity` / E rounded up to a multiple of `rollout_length`; `capacity` counts
    the boundary rows too, one for each episode. The state is one array, uint32[C + 1, E, words].

    `sample` draws `batch_size` transitions, independently and uniformly from all that are kept. Its batch has T = 1:
    rows [2, B, ...], first [2, B], action and aux [1, B, ...], mask f32[1, B], without `info` and carry. For each,
    `CANDIDATES` rows are drawn and the first from which an action was taken is it; where there is none among them, its
    mask is 0. With `state_is_obs` (`EnvSpec.state_is_obs`) states are not kept, but made of the observations.

    Raises:
      ConfigError: the capacity holds less than a batch, or less than one rollout.
    """
    per_iteration = num_envs * rollout_length
    if batch_size < 1 or capacity < max(batch_size, per_iteration):
        raise ConfigError(
            f"the replay's capacity of {capacity} is too small: give at least {max(batch_size, per_iteration)}, a batch"
            f" ({batch_size}) and a rollout ({num_envs} environments x {rollout_length} rows)"
        )
    blocks = num_blocks(capacity, num_envs, rollout_length)
    return ReplayBuffer(
        init=partial(_init, blocks=blocks, state_is_obs=state_is_obs),
        add=partial(_add, blocks=blocks, state_is_obs=state_is_obs),
        sample=partial(_sample, blocks=blocks, batch_size=batch_size, state_is_obs=state_is_obs),
    )


def num_blocks(capacity: int, num_envs: int, rollout_length: int) -> int:
    """Rollouts of T rows that a buffer of `capacity` keeps of every environment: C / T."""
    return math.ceil(capacity / (num_envs * rollout_length))


def start_of(clock: Clock, blocks: int, rollout_length: int) -> jax.Array:
    """The row of the buffer where the newest rollout begins, int32[]."""
    return (clock.iteration % blocks) * rollout_length


def rows_of(batch: Batch, state_is_obs: bool) -> ReplayRow:
    """The T + 1 rows of a rollout, [T + 1, E, ...]; the head has no action yet."""

    def with_head(x):
        return jnp.concatenate([x, jnp.zeros_like(x[:1])])

    ts = batch.rows
    chex.assert_equal_shape_prefix([ts.obs, ts.state, ts.avail, ts.alive, ts.reward, batch.first], 2)
    chex.assert_equal_shape_prefix([batch.action, batch.mask], 2)
    chex.assert_rank([ts.obs, ts.state, batch.mask], [4, 3, 2])
    return ReplayRow(
        mask=with_head(batch.mask > 0),
        obs=ts.obs,
        state=ts.state[..., :0] if state_is_obs else ts.state,
        avail=ts.avail,
        alive=ts.alive,
        reward=ts.reward,
        terminated=ts.terminated,
        truncated=ts.truncated,
        first=batch.first,
        action=with_head(batch.action),
        aux=jax.tree.map(with_head, batch.aux),
    )


def timestep_of(row: ReplayRow, state_is_obs: bool) -> TimeStep:
    """The timesteps of the rows, without `info`; leaves [T, B, ...]."""
    return TimeStep(
        obs=row.obs,
        state=row.obs.reshape(*row.obs.shape[:-2], -1) if state_is_obs else row.state,
        avail=row.avail,
        alive=row.alive,
        reward=row.reward,
        terminated=row.terminated,
        truncated=row.truncated,
        info={},
    )


def _init(batch: Batch, blocks: int, state_is_obs: bool) -> jax.Array:
    like = jax.eval_shape(partial(rows_of, state_is_obs=state_is_obs), batch)
    length, envs = like.mask.shape
    return jnp.zeros((blocks * (length - 1) + 1, envs, packing.num_words(like, 2)), jnp.uint32)


def _add(state: jax.Array, batch: Batch, clock: Clock, blocks: int, state_is_obs: bool) -> jax.Array:
    words = packing.pack(rows_of(batch, state_is_obs), 2)
    return jax.lax.dynamic_update_slice(state, words, (start_of(clock, blocks, batch.mask.shape[0]), 0, 0))


def _choose(state: jax.Array, key: jax.Array, written: jax.Array, batch_size: int) -> tuple[jax.Array, jax.Array]:
    """Starts of transitions, int32[B] among the first `written` rows of all environments, and which are valid.

    Taking the first valid of some uniform draws is uniform over the valid ones: each is the first equally often.
    """
    candidates = jax.random.randint(key, (CANDIDATES, batch_size), 0, written)
    valid = (take_rows(state, candidates, 0) & 1) == 1
    chosen = jax.nn.one_hot(jnp.argmax(valid, 0), CANDIDATES, axis=0, dtype=jnp.int32)
    return (candidates * chosen).sum(0), valid.any(0)


def _sample(
    state: jax.Array, batch: Batch, key: jax.Array, clock: Clock, blocks: int, batch_size: int, state_is_obs: bool
) -> Batch:
    like = jax.eval_shape(partial(rows_of, state_is_obs=state_is_obs), batch)
    length, envs = batch.mask.shape
    written = jnp.minimum(clock.iteration + 1, blocks) * (length * envs)
    start, valid = _choose(state, key, written, batch_size)
    words = take_rows(state, jnp.stack([start, start + envs]))  # time-major: an environment's next row is `envs` later
    row = packing.unpack(words, like, 2)
    rows = timestep_of(row, state_is_obs)
    action, aux = jax.tree.map(lambda x: x[:1], (row.action, row.aux))
    return Batch(rows, row.first, action, aux, valid[None].astype(jnp.float32), carry0=())
