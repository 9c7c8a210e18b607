"""A TrainState on disk: an orbax checkpoint of one compressed .npz file, with its arrays by their path in the tree; and
reading the files of older versions.

Orbax makes the checkpoint atomically, but does not write the arrays, as it did in older versions: each save leaked some
hundred bytes per array in TensorStore, and when a disk is full or too few files may be open, its threads fail after the
save has returned. zlib's fastest level compresses a replay buffer as well, in the same time.
"""

import dataclasses
import functools
import os
import pathlib
import zipfile
from typing import Any

import numpy as np

from envs.errors import ConfigError

STATE = "state.npz"


@functools.cache
def saver() -> tuple[Any, type]:
    """(orbax's Checkpointer, the class of its arguments `Tree`): `saver.save(directory, args=Tree(states))` makes
    `directory` with the states in it, `saver.restore(directory, args=Tree(abstract))` reads them."""
    import orbax.checkpoint as ocp  # imported late: it takes half a second

    class Handler(ocp.CheckpointHandler):
        def save(self, directory, args):
            write_state(pathlib.Path(directory), args.tree)

        def restore(self, directory, args):
            return read_state(pathlib.Path(directory), args.tree)

    @ocp.args.register_with_handler(Handler, for_save=True, for_restore=True)
    @dataclasses.dataclass
    class Tree(ocp.args.CheckpointArgs):
        tree: Any

    return ocp.Checkpointer(Handler(), multiprocessing_options=_of_this_process()), Tree


def _of_this_process() -> Any:
    """Of several processes only one uses a directory, so orbax must not wait for the others."""
    import jax
    from orbax.checkpoint.options import MultiprocessingOptions

    if jax.process_count() == 1:
        return MultiprocessingOptions()
    here = jax.process_index()
    return MultiprocessingOptions(primary_host=here, active_processes={here}, barrier_sync_key_prefix=f"process_{here}")


def write_state(directory: pathlib.Path, states: Any) -> None:
    """Writes the leaves, one after the other, and flushes them to disk.

    Raises:
      OSError: the disk is full, or the like.
    """
    import jax

    leaves = jax.tree_util.tree_flatten_with_path(states)[0]
    with (directory / STATE).open("wb") as file:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for path, leaf in leaves:
                array = np.asarray(jax.random.key_data(leaf) if is_key(leaf) else leaf)
                with archive.open(_member(path), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, array, allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())


def read_state(directory: pathlib.Path, abstract: Any) -> Any:
    """The states that `write_state` wrote: NumPy arrays, and typed keys.

    Args:
      abstract: their shapes and dtypes.

    Raises:
      ConfigError: the file holds other arrays.
    """
    import jax

    def one(path: Any, due: Any) -> Any:
        plain = jax.eval_shape(jax.random.key_data, due) if is_key(due) else due
        with archive.open(_member(path)) as member:
            array = np.lib.format.read_array(member, allow_pickle=False)
            member.read(1)  # at the end its checksum is verified
        array = array.view(plain.dtype) if array.dtype.kind == "V" else array  # NumPy knows no bfloat16
        if (array.shape, array.dtype) != (plain.shape, plain.dtype):
            raise ConfigError(f"{_member(path)} is {array.dtype}{array.shape}, not {plain.dtype}{plain.shape}")
        return jax.random.wrap_key_data(array) if is_key(due) else array

    with zipfile.ZipFile(directory / STATE) as archive:
        if len(archive.namelist()) != len(jax.tree.leaves(abstract)):
            raise ConfigError("its arrays are not those of the state of this version")
        return jax.tree_util.tree_map_with_path(one, abstract)


def _member(path: Any) -> str:
    """The name of a leaf in the file."""
    import jax

    return f"{jax.tree_util.keystr(path)}.npy"


def read_orbax_state(directory: pathlib.Path, abstract: Any) -> Any:
    """The states that an older version saved in `directory`, by orbax."""
    import orbax.checkpoint as ocp

    options = _of_this_process()
    handler = ocp.StandardCheckpointHandler(multiprocessing_options=options)
    with ocp.Checkpointer(handler, multiprocessing_options=options) as reader:
        tree = reader.restore(directory.absolute(), args=ocp.args.StandardRestore(_shapes_in_orbax(abstract)))
    return _from_orbax(tree, abstract)


def _shapes_in_orbax(abstract: Any) -> Any:
    """The shapes as orbax saved them. It saves no empty arrays (the masks of continuous actions): one element replaced
    each. With several processes it takes only NumPy arrays, so keys were saved as their data."""
    import jax

    single = jax.process_count() == 1

    def one(leaf):
        shape = leaf.shape if leaf.size else (1,)
        if single:
            return jax.ShapeDtypeStruct(shape, leaf.dtype)
        if is_key(leaf):
            leaf = jax.eval_shape(jax.random.key_data, leaf)
            shape = leaf.shape
        return np.broadcast_to(np.zeros((), leaf.dtype), shape)  # takes no memory

    return jax.tree.map(one, abstract)


def _from_orbax(tree: Any, abstract: Any) -> Any:
    """The inverse of `_shapes_in_orbax`, given the true shapes."""
    import jax
    import jax.numpy as jnp

    def one(leaf, due):
        if not due.size:
            return jnp.zeros(due.shape, due.dtype)
        return jax.random.wrap_key_data(leaf) if is_key(due) and not is_key(leaf) else leaf

    return jax.tree.map(one, tree, abstract)


def is_key(leaf: Any) -> bool:
    """Whether a leaf (or its shape) is of typed keys."""
    import jax

    return jax.dtypes.issubdtype(leaf.dtype, jax.dtypes.prng_key)
