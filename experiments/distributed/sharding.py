"""A batch of training runs over the devices of several processes: its layout, and checkpoints that process 0 keeps."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.distributed import collectives, layout
from experiments.distributed.layout import Layout, device_count
from experiments.runs.checkpoint import Checkpoints, Progress
from experiments.runs.state_files import is_key


class GlobalLayout(Layout):
    """A batch over the devices of all processes."""

    def shard(self, tree: Any) -> Any:
        """Arrays [size, ...], the same on every process -> global arrays [padded_size, ...]."""
        import jax

        index = np.minimum(np.arange(self.padded_size), self.size - 1)
        sharding = self.sharding()

        def one(x):
            x = x if is_key(x) else np.asarray(x)
            return jax.make_array_from_callback((self.padded_size, *x.shape[1:]), sharding, lambda at: x[index[at[0]]])

        return jax.tree.map(one, tree)

    def fetch(self, tree: Any) -> Any:
        """Global arrays as NumPy arrays on all processes. Small ones: each device holds them whole for a moment."""
        from jax.experimental import multihost_utils

        return multihost_utils.process_allgather(tree, tiled=True)

    def unshard(self, tree: Any) -> Any:
        """The inverse of `shard`: NumPy arrays (keys stay keys) in the memory of every process."""
        import jax

        leaves, structure = jax.tree.flatten(tree)
        local = [_local_rows(jax.random.key_data(x) if is_key(x) else x) for x in leaves]
        flat = [np.frombuffer(x.tobytes(), np.uint8).reshape(len(x), x.nbytes // len(x)) for x in local]
        mine = np.concatenate(flat, axis=1)
        rows = collectives.gather_bytes(mine.ravel()).reshape(-1, mine.shape[1])[: self.size]
        whole, at = [], 0
        for leaf, x, part in zip(leaves, local, flat, strict=True):
            some = np.frombuffer(rows[:, at : at + part.shape[1]].tobytes(), x.dtype)
            some = some.reshape(self.size, *x.shape[1:])
            whole.append(jax.random.wrap_key_data(some) if is_key(leaf) else some)
            at += part.shape[1]
        return jax.tree.unflatten(structure, whole)


def _local_rows(x: Any) -> np.ndarray:
    """The members of a global array that this process holds, in order."""
    shards = sorted(x.addressable_shards, key=lambda shard: shard.index[0].start or 0)
    return np.concatenate([np.asarray(shard.data) for shard in shards])


def share_states(states: Any, abstract: Any) -> Any:
    """The states [size, ...] that process 0 has read from a checkpoint, on all (NumPy arrays; keys stay keys).

    Args:
      states: used on process 0 alone.
      abstract: their shapes and dtypes.
    """
    import jax

    shapes, structure = jax.tree.flatten(abstract)
    leaves = jax.tree.leaves(states) if collectives.is_main() else [None] * len(shapes)
    whole = []
    for shape, leaf in zip(shapes, leaves, strict=True):
        key = is_key(shape)
        plain = jax.eval_shape(jax.random.key_data, shape) if key else shape
        raw = b"" if leaf is None else np.asarray(jax.random.key_data(leaf) if key else leaf).tobytes()
        mine = np.frombuffer(raw.ljust(plain.size * plain.dtype.itemsize, b"\0"), np.uint8)
        got = np.frombuffer(collectives.broadcast_bytes(mine).tobytes(), plain.dtype).reshape(plain.shape)
        whole.append(jax.random.wrap_key_data(got) if key else got)
    return jax.tree.unflatten(structure, whole)


class SharedCheckpoints:
    """The `Checkpoints` of process 0, used by all: it reads and writes, and decides when."""

    def __init__(self, own: Checkpoints):
        self._own = own

    def due(self) -> bool:
        return collectives.broadcast_from_main(self._own.due)

    def latest(self) -> int | None:
        return collectives.broadcast_from_main(self._own.latest)

    def save(self, states: Any, progress: Progress) -> None:
        collectives.broadcast_from_main(lambda: self._own.save(states, progress))

    def restore(
        self, abstract: Any, rows: int = 0, check: Callable[[Progress], None] = lambda progress: None
    ) -> tuple[Any, Progress] | None:
        states = None

        def read():
            nonlocal states
            found = self._own.restore(abstract, rows, check)
            states = found and found[0]
            return found and dataclasses.asdict(found[1])

        progress = collectives.broadcast_from_main(read)
        return progress and (share_states(states, abstract), Progress(**progress))


def layout_of(size: int, asked: int) -> Layout:
    """`size` members over the devices of all processes, at most `asked` (0: all) of each. Every process has some, also
    where there are fewer members than processes: the last member is repeated."""
    import jax

    from iacjax.train import SEEDS

    if collectives.process_count() == 1:
        return layout.layout_of(size, device_count(asked))
    each = collectives.all_min(min(device_count(asked), -(-size // collectives.process_count())))
    mine = [[d for d in jax.devices() if d.process_index == k][:each] for k in range(collectives.process_count())]
    return GlobalLayout(size, jax.sharding.Mesh(np.array(mine).ravel(), (SEEDS,)))
