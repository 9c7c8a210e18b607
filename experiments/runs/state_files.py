"""A TrainState on disk: orbax's checkpoint of one compressed .npz file, its arrays by their path in the tree; and what
older versions saved.

Orbax makes the checkpoint, whole or not at all, but does not write the arrays: older versions let it, and each save
left some hundred bytes for each array in TensorStore, for ever; where a disk is full or files are few, its threads
fail after the save has returned. zlib's fastest level packs a replay buffer as well, in the same time.
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
    """(orbax's Checkpointer, the arguments that it takes: `saver.save(directory, args=Tree(states))` makes `directory`
    with the states in it, `saver.restore(directory, args=Tree(abstract))` reads them)."""
    import orbax.checkpoint as ocp  # here: half a second that the first update need not wait for

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
    """Of several processes, one alone uses a directory: the others need not be waited for."""
    import jax
    from orbax.checkpoint.options import MultiprocessingOptions

    if jax.process_count() == 1:
        return MultiprocessingOptions()
    own = jax.process_index()
    return MultiprocessingOptions(primary_host=own, active_processes={own}, barrier_sync_key_prefix=f"process_{own}")


def write_state(directory: pathlib.Path, states: Any) -> None:
    """Writes the leaves, one after the other; what is written survives a power cut.

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
    """The states that `write_state` wrote, NumPy arrays but for keys.

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
            member.read(1)  # the end, where it is checked
        array = array.view(plain.dtype) if array.dtype.kind == "V" else array  # bfloat16 is none of NumPy's own
        if (array.shape, array.dtype) != (plain.shape, plain.dtype):
            raise ConfigError(f"{_member(path)} is {array.dtype}{array.shape}, not {plain.dtype}{plain.shape}")
        return jax.random.wrap_key_data(array) if is_key(due) else array

    with zipfile.ZipFile(directory / STATE) as archive:
        if len(archive.namelist()) != len(jax.tree.leaves(abstract)):
            raise ConfigError("it holds other arrays than this version's state")
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
        tree = reader.restore(directory.absolute(), args=ocp.args.StandardRestore(_stand_in(abstract)))
    return _put_back(tree, abstract)


def _stand_in(abstract: Any) -> Any:
    """The shapes as orbax saved them. It saves no empty array (a continuous world's masks): one element stood for it.
    Of several processes it takes NumPy arrays alone, so there keys were saved as their data."""
    import jax

    alone = jax.process_count() == 1

    def one(leaf):
        shape = leaf.shape if leaf.size else (1,)
        if alone:
            return jax.ShapeDtypeStruct(shape, leaf.dtype)
        if is_key(leaf):
            leaf = jax.eval_shape(jax.random.key_data, leaf)
            shape = leaf.shape
        return np.broadcast_to(np.zeros((), leaf.dtype), shape)  # no memory

    return jax.tree.map(one, abstract)


def _put_back(tree: Any, abstract: Any) -> Any:
    """The inverse of `_stand_in`, given the true shapes."""
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
