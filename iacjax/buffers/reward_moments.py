"""A replay of transitions whose rewards are normalised by the mean and standard deviation of all rewards in it.

After MAAC's official code (github.com/shariqiqbal2810/MAAC, utils/buffer.py, `norm_rews`). The rewards are
kept a second time, at the same rows, so that what is overwritten is gone from both. The moments of some hundred chunks
of rows are kept; a rollout changes two chunks, whose moments are computed again, and the chunks' moments are combined
(Chan et al. 1979). So an iteration costs little however much is kept, nothing drifts as running sums would, and rewards
far from 0 lose no digits.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp

from iacjax.buffers.transitions import num_blocks, start_of
from iacjax.types import Batch, Clock, ReplayBuffer

# Below this share of the mean's size a standard deviation is rounding: all rewards are the same.
LEAST_SPREAD = 1e-6


class Moments(NamedTuple):
    """Of some rewards: how many, their mean (0 without any), and the sum of the squared distances from it. f32[...]."""

    count: jax.Array
    mean: jax.Array
    square: jax.Array


class Normalised(NamedTuple):
    """The state of the buffer. A reward is at the row of its action; rows are padded to K S."""

    ring: Any
    reward: jax.Array  # f32[K S, E]
    acted: jax.Array  # bool[K S, E]: an action was taken there, and it is still kept
    chunks: Moments  # [K], of S rows each


def normalise_rewards(buffer: ReplayBuffer, capacity: int, num_envs: int, rollout_length: int) -> ReplayBuffer:
    """`buffer`, a `transition_buffer` of these sizes, whose batches have (r - mean) / std for their rewards r.

    Mean and (population) standard deviation are those of the rewards of all actions that the buffer holds. Where all
    rewards are the same they become 0; the official code divides by 0 there.
    """
    blocks = num_blocks(capacity, num_envs, rollout_length)
    return ReplayBuffer(
        init=partial(_init, buffer, blocks=blocks),
        add=partial(_add, buffer, blocks=blocks),
        sample=partial(_sample, buffer),
    )


def moments(reward: jax.Array, acted: jax.Array) -> Moments:
    """Moments [K] of the rewards f32[K, N] where bool[K, N] `acted`. A second pass corrects the mean of the first."""
    chex.assert_rank(reward, 2)
    chex.assert_equal_shape([reward, acted])
    count = acted.sum(-1).astype(jnp.float32)
    some = jnp.maximum(count, 1.0)
    mean = jnp.where(acted, reward, 0.0).sum(-1) / some
    apart = jnp.where(acted, reward - mean[:, None], 0.0)
    left = apart.sum(-1) / some
    return Moments(count, mean + left, jnp.maximum((apart**2).sum(-1) - count * left**2, 0.0))


def together(chunks: Moments) -> tuple[jax.Array, jax.Array]:
    """(mean, population standard deviation) f32[] of all chunks [K]; 0 and 0 where nothing is kept."""
    count = jnp.maximum(chunks.count.sum(), 1.0)
    first = chunks.mean[0]  # the means are summed as differences from one of them
    mean = first + (chunks.count * (chunks.mean - first)).sum() / count
    square = chunks.square.sum() + (chunks.count * (chunks.mean - mean) ** 2).sum()
    return mean, jnp.sqrt(square / count)


def _init(buffer: ReplayBuffer, batch: Batch, blocks: int) -> Normalised:
    length, envs = batch.mask.shape
    rows = blocks * length + 1
    size = max(length + 1, math.isqrt(rows))  # S: a rollout and its head lie in at most two chunks
    chunks = max(2, math.ceil(rows / size))
    zeros = jnp.zeros(chunks, jnp.float32)
    shape = (chunks * size, envs)
    return Normalised(
        buffer.init(batch), jnp.zeros(shape, jnp.float32), jnp.zeros(shape, bool), Moments(zeros, zeros, zeros)
    )


def _add(buffer: ReplayBuffer, state: Normalised, batch: Batch, clock: Clock, blocks: int) -> Normalised:
    length, envs = batch.mask.shape
    start = start_of(clock, blocks, length)
    nothing = jnp.zeros((1, envs), bool)  # the head has no action yet; it overwrites the oldest row
    rows = jnp.concatenate([batch.mask > 0, nothing])
    acted = jax.lax.dynamic_update_slice(state.acted, rows, (start, 0))
    rows = jnp.concatenate([batch.next.reward, nothing.astype(jnp.float32)])
    reward = jax.lax.dynamic_update_slice(state.reward, rows, (start, 0))
    chunks = len(state.chunks.count)
    size = len(reward) // chunks
    touched = jnp.minimum(start // size, chunks - 2)
    two = (jax.lax.dynamic_slice(x, (touched * size, 0), (2 * size, envs)).reshape(2, -1) for x in (reward, acted))
    new = jax.tree.map(lambda x, y: jax.lax.dynamic_update_slice(x, y, (touched,)), state.chunks, moments(*two))
    return Normalised(buffer.add(state.ring, batch, clock), reward, acted, new)


def _sample(buffer: ReplayBuffer, state: Normalised, batch: Batch, key: jax.Array, clock: Clock) -> Batch:
    sampled = buffer.sample(state.ring, batch, key, clock)
    mean, std = together(state.chunks)
    differ = std > LEAST_SPREAD * jnp.abs(mean)
    reward = jnp.where(differ, (sampled.rows.reward - mean) / jnp.where(differ, std, 1.0), 0.0)
    return sampled._replace(rows=sampled.rows._replace(reward=reward))
