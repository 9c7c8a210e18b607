"""Pytrees of bools and of numbers of 8, 16 or 32 bits as one array of 32-bit words, and back, bit for bit."""

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


def _per_word(leaf: Any) -> int:
    """Values of a leaf that share a word."""
    return 4 // leaf.dtype.itemsize


def _words(leaf: Any, size: int) -> int:
    """Words of a leaf of `size` values: it starts a word of its own."""
    return math.ceil(size / _per_word(leaf))


def num_words(tree: Any, lead: int) -> int:
    """Number of words that `pack` makes of the axes after the `lead` leading ones; shapes are enough."""
    bools, others = _split(tree)
    return math.ceil(sum(_sizes(bools, lead)) / 32) + sum(map(_words, others, _sizes(others, lead)))


def _to_words(x: jax.Array) -> jax.Array:
    """[..., n] of 8, 16 or 32 bits -> uint32[..., words]."""
    share = _per_word(x)
    if share == 1:
        return jax.lax.bitcast_convert_type(x, jnp.uint32)
    x = jnp.pad(x, [(0, 0)] * (x.ndim - 1) + [(0, -x.shape[-1] % share)])
    return jax.lax.bitcast_convert_type(x.reshape(*x.shape[:-1], -1, share), jnp.uint32)


def _from_words(words: jax.Array, like: Any, size: int) -> jax.Array:
    """The inverse, [..., size] of the type of `like`."""
    x = jax.lax.bitcast_convert_type(words, like.dtype)
    return x.reshape(*words.shape[:-1], -1)[..., :size]


def pack(tree: Any, lead: int) -> jax.Array:
    """uint32[..., words] of leaves [..., *own], bool or of 8, 16 or 32 bits, that share `lead` leading axes.

    The bools come first, in the tree's order: the first one's first value is bit 0 of word 0. Other leaves follow, each
    in whole words.
    """
    bools, others = _split(tree)
    batch = jax.tree.leaves(tree)[0].shape[:lead]
    bits = jnp.concatenate([jnp.zeros((*batch, 0), bool), *(x.reshape(*batch, -1) for x in bools)], -1)
    bits = jnp.pad(bits, [(0, 0)] * lead + [(0, -bits.shape[-1] % 32)]).reshape(*batch, -1, 32)
    flags = (bits.astype(jnp.uint32) << jnp.arange(32, dtype=jnp.uint32)).sum(-1, dtype=jnp.uint32)
    words = [_to_words(x.reshape(*batch, -1)) for x in others]
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
    bit, word, leaves = 0, end, []
    for leaf in jax.tree.leaves(like):
        size = math.prod(leaf.shape[lead:])
        if leaf.dtype == bool:
            part, bit = bits[..., bit : bit + size], bit + size
        else:
            count = _words(leaf, size)
            part, word = _from_words(words[..., word : word + count], leaf, size), word + count
        leaves.append(part.reshape(*batch, *leaf.shape[lead:]))
    return jax.tree.unflatten(jax.tree.structure(like), leaves)
