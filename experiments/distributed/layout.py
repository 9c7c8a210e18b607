"""A batch of training runs over the devices of a process: sharding, padding to a multiple of the devices, and back.

The members of the batch are seeds, or trials of a sweep; they are the leading axis [size, ...] of every array. They
exchange nothing, so that axis is cut into one block of consecutive members per device.
"""

from typing import Any, NamedTuple


class Layout(NamedTuple):
    """Where the members of a batch are. On a mesh the last member is repeated until each device has equally many."""

    size: int  # members
    mesh: Any = None  # jax.sharding.Mesh of one axis, or None: everything on one device

    @property
    def devices(self) -> int:
        return 1 if self.mesh is None else self.mesh.size

    @property
    def padded_size(self) -> int:
        """Members that the devices hold, with the repeated ones."""
        return -(-self.size // self.devices) * self.devices

    def sharding(self) -> Any:
        from jax.sharding import NamedSharding, PartitionSpec

        return NamedSharding(self.mesh, PartitionSpec(self.mesh.axis_names[0]))

    def abstract(self, tree: Any) -> Any:
        """Shapes [size, ...] -> shapes as the compiled programs take them, [padded_size, ...]."""
        import jax

        if self.mesh is None:
            return tree
        sharding = self.sharding()
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((self.padded_size, *x.shape[1:]), x.dtype, sharding=sharding), tree
        )

    def shard(self, tree: Any) -> Any:
        """Arrays [size, ...] -> arrays as the compiled programs take them, [padded_size, ...]."""
        import jax
        import numpy as np

        if self.mesh is None:
            device = jax.local_devices()[0]  # an array that is there is not copied: a donated array has one owner
            return jax.tree.map(lambda x: x if _is_on(x, device) else jax.device_put(x, device), tree)
        index = np.minimum(np.arange(self.padded_size), self.size - 1)
        if self.padded_size != self.size:
            tree = jax.tree.map(lambda x: x[index], tree)
        return jax.device_put(tree, self.sharding())

    def fetch(self, tree: Any) -> Any:
        """Results of the compiled programs as NumPy arrays."""
        import jax

        return jax.device_get(tree)

    def unshard(self, tree: Any) -> Any:
        """The inverse of `shard`; of several devices in the host's memory, as one device may not hold the whole."""
        import jax

        if self.mesh is None:
            return tree
        tree = jax.device_put(tree, jax.local_devices(backend="cpu")[0])
        return jax.tree.map(lambda x: x[: self.size], tree)


def _is_on(x: Any, device: Any) -> bool:
    return getattr(x, "devices", set)() == {device}


def layout_of(size: int, devices: int) -> Layout:
    """`size` members over `devices` devices of this process, at most one per member."""
    import jax
    import numpy as np

    from iacjax.train import SEEDS

    count = min(size, devices)
    if count == 1:
        return Layout(size)
    return Layout(size, jax.sharding.Mesh(np.array(jax.local_devices()[:count]), (SEEDS,)))


def device_count(asked: int) -> int:
    """The number of devices to use; `asked` of this process's, 0: all.

    Raises:
      ConfigError: there are fewer.
    """
    import jax

    from envs.errors import ConfigError

    have = jax.local_device_count()
    if asked > have:
        raise ConfigError(f"--devices {asked}: there are {have}; give fewer, or 0 for all")
    return asked or have
