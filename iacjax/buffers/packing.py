"""Pytrees of 32-bit arrays and bools as one array of 32-bit words, and back, bit for bit."""

import math
from typing import Any

import jax
import jax.numpy as jnp


def _sizes(leaves: list, lead: int) -> list[int]:
    return [math.prod(x.shape[lead:]) for x in leaves]


def _split(tree: Any) -> tuple[list, list]:
    """Bools and the others, each in the tree's order."""
    leaves = jax.tree.leaves(tree)
    return [x for x in leaves if x.dtype == bool], [x for x in leaves if x.dtype != bool]


def num_words(tree: Any, lead: int) -> int:
    """Words that `pack` makes of what follows the `lead` leading axes; shapes are enough."""
    bools, others = _split(tree)
    return math.ceil(sum(_sizes(bools, lead)) / 32) + sum(_sizes(others, lead))


def pack(tree: Any, lead: int) -> jax.Array:
    """uint32[..., words] of leaves [..., *own], bool or of 32 bits, that share `lead` leading axes.

    The bools come first, in the tree's order: the first one's first value is bit 0 of word 0. Other leaves follow, one
    word a value.
    """
    bools, others = _split(tree)
    batch = jax.tree.leaves(tree)[0].shape[:lead]
    bits = jnp.concatenate([jnp.zeros((*batch, 0), bool), *(x.reshape(*batch, -1) for x in bools)], -1)
    bits = jnp.pad(bits, [(0, 0)] * lead + [(0, -bits.shape[-1] % 32)]).reshape(*batch, -1, 32)
    flags = (bits.astype(jnp.uint32) << jnp.arange(32, dtype=jnp.uint32)).sum(-1, dtype=jnp.uint32)
    words = [jax.lax.bitcast_convert_type(x, jnp.uint32).reshape(*batch, -1) for x in others]
    return jnp.concatenate([flags, *words], -1)


def unpack(words: jax.Array, like: Any, lead: int) -> Any:
    """The tree that was packed into `words`, uint32[*batch, words].

    `like` is that tree or its shapes, with `lead` leading axes of any size; the result has `batch` for them.
    """
    batch = words.shape[:-1]
    bools, _ = _split(like)
    count = sum(_sizes(bools, lead))
    end = math.ceil(count / 32)
    bits = (words[..., :end, None] >> jnp.arange(32, dtype=jnp.uint32)) & 1
    bits = bits.reshape(*batch, -1).astype(bool)
    at, leaves = {True: 0, False: end}, []
    for leaf in jax.tree.leaves(like):
        flag, size = leaf.dtype == bool, math.prod(leaf.shape[lead:])
        part = (bits if flag else words)[..., at[flag] : at[flag] + size].reshape(*batch, *leaf.shape[lead:])
        leaves.append(part if flag else jax.lax.bitcast_convert_type(part, leaf.dtype))
        at[flag] += size
    return jax.tree.unflatten(jax.tree.structure(like), leaves)
