"""Episodes of different lengths one after the other in fewer, longer sequences, so that little of these is empty."""

from typing import NamedTuple

import chex
import jax
import jax.numpy as jnp


class Lanes(NamedTuple):
    """What lies in row r of lane k."""

    episode: jax.Array  # int32[R, K], 0 where nothing does
    row: jax.Array  # int32[R, K] of the episode, 0 where nothing does
    used: jax.Array  # bool[R, K]


def lane_rows(length: int, episodes: int, lanes: int) -> int:
    """Rows R in which `episodes` episodes of up to `length` rows always fit into `lanes` lanes."""
    return length * -(-episodes // lanes)


def lay_out(lengths: jax.Array, lanes: int, rows: int) -> Lanes:
    """Lays episodes of `lengths` int32[B] >= 1 into K lanes of R rows, the longest first, each into the emptiest lane.

    With p = B / K, rounded up, no lane gets longer than p of the longest episodes (`lane_rows`): each but the first K
    goes to a lane that is no fuller than one with less than p episodes, and there is always one.
    """
    chex.assert_rank(lengths, 1)
    order = jnp.argsort(-lengths)

    def place(filled, episode):
        lane = jnp.argmin(filled)
        return filled.at[lane].add(lengths[episode]), (lane.astype(jnp.int32), filled[lane])

    filled = jnp.zeros(lanes, lengths.dtype)
    _, (lane, start) = jax.lax.scan(place, filled, order)
    lane, start = (jnp.zeros_like(x).at[order].set(x) for x in (lane, start))
    at = jnp.arange(rows)[:, None]
    inside = (at >= start) & (at < start + lengths)  # [R, B]
    here = inside[:, None] & (lane == jnp.arange(lanes)[:, None])  # [R, K, B], at most one of the last axis
    episode = (here * jnp.arange(len(lengths))).sum(-1)
    row = (here * (at - start)[:, None]).sum(-1)
    return Lanes(episode.astype(jnp.int32), row.astype(jnp.int32), here.any(-1))
