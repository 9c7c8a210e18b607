"""Replay of sequences: windows of consecutive rows that begin with an episode, where a recurrent state is empty.

Rows are kept in a ring as in `transitions`: N rows of each environment so far and the head after them, row n at n mod
C. Observations and states are kept in 16 bits, actions in 8, bools in single bits. Observations of 2s3z, numbers in
[-1, 1], come back from float16 with an error of at most 2.4e-4, from bfloat16 of 2e-3. Which rows begin an episode is
kept in an array of its own, so that finding them all reads one byte per row.
"""

import math
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from envs.base import ConfigError
from iacjax.buffers import packing
from iacjax.buffers.lanes import Lanes, lane_rows, lay_out
from iacjax.buffers.transitions import ReplayRow, rows_of, timestep_of
from iacjax.device_mesh import take_rows
from iacjax.networks.recurrent import gru_form
from iacjax.types import Batch, Clock, ReplayBuffer


class Sizes(NamedTuple):
    """The arguments of `sequence_buffer` that its functions need."""

    blocks: int  # rollouts that are kept
    batch_size: int  # B
    length: int  # L, rows of a window
    state_is_obs: bool
    storage: str  # dtype of observations and states
    whole_episodes: bool
    lanes: int  # K; 0: each window has a lane of its own
    lane_rows: int


class Rows(NamedTuple):
    """The state of the buffer."""

    words: jax.Array  # uint32[C + 1, E, words]
    opens: jax.Array  # bool[C + 1, E]: an episode begins here


def sequence_buffer(
    capacity: int,
    batch_size: int,
    length: int,
    num_envs: int,
    rollout_length: int,
    horizon: int,
    state_is_obs: bool = False,
    storage: str = "float16",
    whole_episodes: bool = True,
    lanes: int = 0,
    lane_block: int = 1,
) -> ReplayBuffer:
    """A buffer that keeps at least the newest `capacity` rows of E environments together and samples windows of L.

    `sample` draws B windows, independently and uniformly from the beginnings of episodes whose whole window is kept:
    rows [L, B, ...] (observations and states as f32 again), action and aux [L - 1, B, ...], mask f32[L - 1, B], without
    `info` and carry. With `whole_episodes` the mask is 0 after a window's first episode (PyMARL: one episode a
    sequence), without it the following episodes in the window count too. While no window is whole yet, the mask is 0
    everywhere; from L rows per environment on, one always is.

    With `lanes` K the same B episodes, without the rows that follow them in their windows, come one after the other in
    K sequences instead (`buffers.lanes`): rows [R, K, ...] with R a multiple of `lane_block`. What follows the last
    episode of a lane has mask 0. Where GRUs are in the form "batched", each window has a lane of its own all the same.

    Raises:
      ValueError: `lanes` without `whole_episodes`.
      ConfigError: a window of less than 2 rows, or a capacity in which an environment might have no whole window.
    """
    per_iteration = num_envs * rollout_length
    blocks = math.ceil(capacity / per_iteration)
    least = num_envs * (length + horizon + 1)  # any horizon + 1 rows open an episode
    if length < 2 or blocks * per_iteration < least:
        raise ConfigError(
            f"the replay's capacity of {capacity} is too small for windows of {max(length, 2)} rows: "
            f"give at least {least} ({num_envs} environments x a window and an episode)"
        )
    if lanes and not whole_episodes:
        raise ValueError("only whole episodes can share a lane")
    rows = math.ceil(lane_rows(length, batch_size, lanes) / lane_block) * lane_block if lanes else length
    sizes = Sizes(blocks, batch_size, length, state_is_obs, storage, whole_episodes, lanes, rows)
    return ReplayBuffer(init=partial(_init, sizes), add=partial(_add, sizes), sample=partial(_sample, sizes))


def _narrow(sizes: Sizes, batch: Batch) -> ReplayRow:
    """The T + 1 rows of a rollout as they are kept. Numbers beyond the range of 16 bits are clipped to it."""
    row, dtype = rows_of(batch, sizes.state_is_obs), jnp.dtype(sizes.storage)
    limit = float(jnp.finfo(dtype).max)
    obs, state = (jnp.clip(x, -limit, limit).astype(dtype) for x in (row.obs, row.state))
    few = row.action.dtype == jnp.int32 and row.avail.shape[-1] < 128
    return row._replace(obs=obs, state=state, action=row.action.astype(jnp.int8) if few else row.action)


def _init(sizes: Sizes, batch: Batch) -> Rows:
    like = jax.eval_shape(partial(_narrow, sizes), batch)
    shape = (sizes.blocks * batch.mask.shape[0] + 1, batch.mask.shape[1])
    return Rows(jnp.zeros((*shape, packing.num_words(like, 2)), jnp.uint32), jnp.zeros(shape, bool))


def _add(sizes: Sizes, state: Rows, batch: Batch, clock: Clock) -> Rows:
    start = (clock.iteration % sizes.blocks) * batch.mask.shape[0]
    words = packing.pack(_narrow(sizes, batch), 2)
    return Rows(
        jax.lax.dynamic_update_slice(state.words, words, (start, 0, 0)),
        jax.lax.dynamic_update_slice(state.opens, batch.first, (start, 0)),
    )


def _ages(capacity: int, written: jax.Array) -> tuple[jax.Array, jax.Array]:
    """How many rows before the head the rows 0 .. C - 1 were made, int32[C], and which are still kept, bool[C]."""
    age = (written - jnp.arange(capacity) - 1) % capacity + 1
    # The head lies where the oldest row was, save right after the last block: there it has the extra row.
    newest_over_oldest = (written % capacity != 0).astype(jnp.int32)
    return age, (age <= written) & (age <= capacity - newest_over_oldest)


def _choose(sizes: Sizes, opens: jax.Array, written: jax.Array, key: jax.Array) -> tuple[jax.Array, ...]:
    """B beginnings with a whole window: row, environment and age, int32[B] each, and whether there is any."""
    capacity, envs = opens.shape[0] - 1, opens.shape[1]
    age, held = _ages(capacity, written)
    eligible = opens[:-1] & (held & (age >= sizes.length - 1))[:, None]
    count = jnp.cumsum(eligible.reshape(-1).astype(jnp.int32))
    rank = jax.random.randint(key, (sizes.batch_size,), 0, jnp.maximum(count[-1], 1))
    chosen = jnp.searchsorted(count, rank, side="right", method="scan_unrolled")  # one kernel on a GPU, no loop
    chosen = jnp.minimum(chosen, count.size - 1).astype(jnp.int32)
    row = chosen // envs
    return row, chosen % envs, (written - row - 1) % capacity + 1, count[-1] > 0


def _windows(sizes: Sizes) -> Lanes:
    """A lane for each window."""
    shape = (sizes.length, sizes.batch_size)
    step, window = (jax.lax.broadcasted_iota(jnp.int32, shape, axis) for axis in (0, 1))
    return Lanes(window, step, jnp.ones(shape, bool))


def _sample(sizes: Sizes, state: Rows, batch: Batch, key: jax.Array, clock: Clock) -> Batch:
    like = jax.eval_shape(partial(_narrow, sizes), batch)
    capacity, envs = state.opens.shape[0] - 1, state.opens.shape[1]
    written = (clock.iteration + 1) * batch.mask.shape[0]
    row, env, age, some = _choose(sizes, state.opens, written, key)

    def place(step, row, env, age):
        """Where in the flat buffer a window's row number `step` is."""
        in_extra_row = (step == age) & (written % capacity == 0)  # the head after the last block
        return jnp.where(in_extra_row, capacity, (row + step) % capacity) * envs + env

    layout = _windows(sizes)
    # On a GPU fewer rows in time count for more than fewer rows.
    packed = sizes.lanes and gru_form() != "batched"
    if packed:
        later = jnp.arange(1, sizes.length)[:, None]
        opens = take_rows(state.opens, place(later, row, env, age))
        lengths = jnp.where(opens.any(0), opens.argmax(0) + 1, sizes.length).astype(jnp.int32)
        layout = lay_out(lengths, sizes.lanes, sizes.lane_rows)
        row, env, age = (x[layout.episode] for x in (row, env, age))
    rows = packing.unpack(take_rows(state.words, place(layout.row, row, env, age)), like, 2)
    rows = rows._replace(obs=rows.obs.astype(jnp.float32), state=rows.state.astype(jnp.float32))
    # A window's last row is only bootstrapped from: what follows it is not in the window.
    valid = some & layout.used & (layout.row < sizes.length - 1)
    action, aux, mask = jax.tree.map(lambda x: x[:-1], (rows.action, rows.aux, rows.mask & valid))
    if jnp.issubdtype(action.dtype, jnp.integer):
        action = action.astype(jnp.int32)
    if sizes.whole_episodes and not packed:
        mask &= jnp.cumsum(rows.first[:-1].astype(jnp.int32), 0) <= 1
    ts = timestep_of(rows, sizes.state_is_obs)
    return Batch(ts, rows.first, action, aux, mask.astype(jnp.float32), carry0=())
