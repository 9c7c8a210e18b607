"""A batch of training runs over the devices of a process: sharding, padding to a multiple of the devices, and back.

The members of the batch are seeds, or trials of a sweep; they are the leading axis [size, ...] of every array. They
exchange nothing, so that axis is cut into one block of consecutive members per device. Where there are fewer members
than devices, several devices share a member: each has some of its environments (`iacjax.device_mesh`).
"""

from typing import Any, NamedTuple


class Layout(NamedTuple):
    """Where the members of a batch are. On a mesh the last member is repeated until each device has equally many."""

    size: int  # members
    mesh: Any = None  # jax.sharding.Mesh: SEEDS, or SEEDS x ENVS; None: everything on one device

    @property
    def devices(self) -> int:
        return 1 if self.mesh is None else self.mesh.size

    @property
    def devices_per_member(self) -> int:
        """Devices that share the environments of a member."""
        return 1 if self.mesh is None else self.mesh.size // self.blocks

    @property
    def blocks(self) -> int:
        """Blocks of members that are on different devices."""
        return 1 if self.mesh is None else self.mesh.devices.shape[0]

    @property
    def padded_size(self) -> int:
        """Members that the devices hold, with the repeated ones."""
        return -(-self.size // self.blocks) * self.blocks

    def describe(self, noun: str) -> str:
        """How many devices share the environments of a member (its name: `noun`); "" where it has one."""
        each = self.devices_per_member
        return f"; the environments of a {noun} are on {each} devices" if each > 1 else ""

    def sharding(self) -> Any:
        from jax.sharding import NamedSharding, PartitionSpec

        return NamedSharding(self.mesh, PartitionSpec(self.mesh.axis_names[0]))

    def abstract(self, tree: Any, shardings: Any = None) -> Any:
        """Shapes [size, ...] -> shapes as the compiled programs take them, [padded_size, ...].

        Args:
          shardings: of each leaf, as `Trainer.shardings` gives those of states; None: the members are split, no more.
        """
        import jax

        if self.mesh is None:
            return tree

        def one(x, sharding):
            return jax.ShapeDtypeStruct((self.padded_size, *x.shape[1:]), x.dtype, sharding=sharding)

        return jax.tree.map(one, tree, self.each_sharding(tree, shardings))

    def shard(self, tree: Any, shardings: Any = None) -> Any:
        """Arrays [size, ...] -> arrays as the compiled programs take them, [padded_size, ...]; see `abstract`."""
        import jax
        import numpy as np

        if self.mesh is None:
            device = jax.local_devices()[0]  # an array that is there is not copied: a donated array has one owner
            return jax.tree.map(lambda x: x if _is_on(x, device) else jax.device_put(x, device), tree)
        index = np.minimum(np.arange(self.padded_size), self.size - 1)
        if self.padded_size != self.size:
            tree = jax.tree.map(lambda x: x[index], tree)
        return jax.device_put(tree, self.each_sharding(tree, shardings))

    def each_sharding(self, tree: Any, shardings: Any = None) -> Any:
        """The sharding of each leaf: `shardings`, or, where that is None, one that splits the members and no more."""
        import jax

        return jax.tree.map(lambda _: self.sharding(), tree) if shardings is None else shardings

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


def layout_of(size: int, asked: int, num_envs: int = 1) -> Layout:
    """`size` members over devices of this process: one or more members a device, or several devices a member.

    Args:
      asked: devices; 0: all, but at most one a member.
      num_envs: of a member. As many of the devices share it as divide this number.
    """
    import jax

    devices = device_count(asked)
    blocks = min(size, devices)
    devices = devices if asked else blocks
    each = largest_divisor(num_envs, devices // blocks)
    if blocks * each == 1:
        return Layout(size)
    return Layout(size, make_mesh(jax.local_devices()[: blocks * each], each))


def largest_divisor(number: int, most: int) -> int:
    """The largest divisor of `number` that is at most `most`."""
    return next(k for k in range(most, 0, -1) if number % k == 0)


def make_mesh(devices: Any, each: int) -> Any:
    """The mesh of these devices, of which `each` consecutive ones share a member."""
    import numpy as np
    from jax.sharding import Mesh

    from iacjax.device_mesh import ENVS, SEEDS

    devices = np.array(devices)
    return Mesh(devices, (SEEDS,)) if each == 1 else Mesh(devices.reshape(-1, each), (SEEDS, ENVS))


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
