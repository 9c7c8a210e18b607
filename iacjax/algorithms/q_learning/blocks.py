"""Loops over time in blocks of rows, of which only those in use are computed."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.custom_batching import custom_vmap

from iacjax.networks.recurrent import gru_form

BLOCK = 8  # rows


@custom_vmap
def _most(count: jax.Array) -> jax.Array:
    """`count` int32[]; under vmap the largest of all, unbatched, so that branches that depend on it stay branches."""
    return count


@_most.def_vmap
def _most_of_all(axis_size: int, in_batched: list[bool], count: jax.Array) -> tuple[jax.Array, bool]:
    return (_most(count.max()) if in_batched[0] else _most(count)), False


def used_rows(mask: jax.Array) -> jax.Array:
    """int32[]: rows up to the last in which an action was taken, and the one after it; `mask` f32[T, B]."""
    taken = mask.any(1)
    return jnp.where(taken.any(), len(taken) - jnp.argmax(taken[::-1]) + 1, 0).astype(jnp.int32)


def scan_used(function: Callable, carry: Any, rows: Any, used: jax.Array | None) -> tuple[Any, Any]:
    """`function(carry, rows [BLOCK, ...]) -> (carry, results [BLOCK, ...])` block by block; results of all rows.

    Blocks from row `used` int32[] on (None: none) are left out: their results are 0, and so is their gradient. A block
    is small enough to stay in the cache, and its results are computed again for the gradient. Where GRUs are in the
    form "batched", or the rows are not a multiple of BLOCK, all rows are one block.
    """
    length = len(jax.tree.leaves(rows)[0])
    if used is None or length % BLOCK or gru_form() == "batched":
        return function(carry, rows)
    blocks = jax.tree.map(lambda x: x.reshape(-1, BLOCK, *x.shape[1:]), rows)
    shapes = jax.eval_shape(function, carry, jax.tree.map(lambda x: x[0], blocks))[1]
    active = jnp.arange(length // BLOCK) * BLOCK < _most(used)
    function = jax.checkpoint(function)

    def skip(carry, block):
        return carry, jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)

    def body(carry, inputs):
        active, block = inputs
        return jax.lax.cond(active, function, skip, carry, block)

    carry, results = jax.lax.scan(body, carry, (active, blocks))
    return carry, jax.tree.map(lambda x: x.reshape(length, *x.shape[2:]), results)
