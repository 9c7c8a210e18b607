"""A batch of training runs over the devices of several processes: its layout, and checkpoints that process 0 keeps."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from experiments.distributed import collectives, layout
from experiments.distributed.layout import Layout, device_count, largest_divisor
from experiments.runs.checkpoint import Checkpoints, Progress
from experiments.runs.state_files import is_key


class GlobalLayout(Layout):
    """A batch over the devices of all processes."""

    def shard(self, tree: Any, shardings: Any = None) -> Any:
        """Arrays [size, ...], the same on every process -> global arrays [padded_size, ...]; see `Layout.abstract`."""
        import jax

        index = np.minimum(np.arange(self.padded_size), self.size - 1)

        def one(x, sharding):
            x, shape = x if is_key(x) else np.asarray(x), (self.padded_size, *x.shape[1:])
            return jax.make_array_from_callback(shape, sharding, lambda at: x[(index[at[0]], *at[1:])])

        return jax.tree.map(one, tree, self.each_sharding(tree, shardings))

    def fetch(self, tree: Any) -> Any:
        """Global arrays as NumPy arrays on all processes. Small ones: each device holds them whole for a moment."""
        from jax.experimental import multihost_utils

        return multihost_utils.process_allgather(tree, tiled=True)

    def unshard(self, tree: Any) -> Any:
        """The inverse of `shard`: NumPy arrays (keys stay keys) in the memory of every process."""
        import jax

        leaves, structure = jax.tree.flatten(tree)
        plain = [jax.random.key_data(x) if is_key(x) else x for x in leaves]
        mine = np.concatenate([block for x in plain for block in _own_blocks(x)])
        whole = [np.zeros(x.shape, x.dtype) for x in plain]
        most = max(sum(_block_bytes(x) * len(_blocks(x, k)) for x in plain) for k in range(collectives.process_count()))
        for process, part in enumerate(collectives.gather_bytes(np.pad(mine, (0, most - len(mine))))):
            at = 0
            for x, array in zip(plain, whole, strict=True):
                for index in _blocks(x, process):
                    block = np.frombuffer(part[at : at + _block_bytes(x)].tobytes(), x.dtype)
                    array[index] = block.reshape(x.sharding.shard_shape(x.shape))
                    at += _block_bytes(x)
        whole = [x[: self.size] for x in whole]
        whole = [jax.random.wrap_key_data(x) if is_key(leaf) else x for leaf, x in zip(leaves, whole, strict=True)]
        return jax.tree.unflatten(structure, whole)


def _name(index: tuple[slice, ...]) -> tuple:
    return tuple((part.start or 0, part.stop) for part in index)


def _blocks(x: Any, process: int) -> list[tuple[slice, ...]]:
    """The parts of a global array that a process holds, in order; what several of its devices hold, once."""
    where = x.sharding.devices_indices_map(x.shape)
    held = {_name(index): index for device, index in where.items() if device.process_index == process}
    return [held[name] for name in sorted(held)]


def _block_bytes(x: Any) -> int:
    return int(np.prod(x.sharding.shard_shape(x.shape))) * x.dtype.itemsize


def _own_blocks(x: Any) -> list[np.ndarray]:
    """The data of this process's `_blocks`, as bytes."""
    held = {_name(shard.index): shard.data for shard in x.addressable_shards}
    return [np.frombuffer(np.asarray(held[name]).tobytes(), np.uint8) for name in sorted(held)]


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


def layout_of(size: int, asked: int, num_envs: int = 1) -> Layout:
    """`size` members over the devices of all processes, at most `asked` of each; see `layout.layout_of`. Every process
    has some, also where there are fewer members than processes: several processes share a member where that was `asked`
    for and the environments can be divided so, otherwise the last member is repeated."""
    import jax

    processes = collectives.process_count()
    if processes == 1:
        return layout.layout_of(size, asked, num_envs)
    have = collectives.all_min(device_count(asked))
    blocks, each = grid(size, processes, have, num_envs if asked else 1)
    mine = [[d for d in jax.devices() if d.process_index == k][: blocks * each // processes] for k in range(processes)]
    return GlobalLayout(size, layout.make_mesh(np.array(mine).ravel(), each))


def grid(size: int, processes: int, have: int, num_envs: int) -> tuple[int, int]:
    """(blocks of members, devices that share each) for processes of `have` devices; all use equally many of theirs."""
    blocks = processes * min(have, -(-size // processes))
    if size < processes:
        for few in range(size, processes):
            together = processes // few  # processes that share a member
            if processes % few == 0 and num_envs % together == 0 and together > 1:
                return few, together * largest_divisor(num_envs // together, have)
    return blocks, largest_divisor(num_envs, have * processes // blocks)
