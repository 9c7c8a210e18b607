"""Lanes over several devices: who holds which, padding to a multiple, and back.

A lane is a seed, or a seed with the floats of a sweep. Lanes share nothing, so their axis is simply cut.
"""

from typing import Any, NamedTuple


class Layout(NamedTuple):
    """Where the lanes of a group live. On a mesh the last lane is repeated until each device has as many."""

    lanes: int
    mesh: Any = None  # jax.sharding.Mesh of one axis, or None: everything on one device

    @property
    def devices(self) -> int:
        return 1 if self.mesh is None else self.mesh.size

    @property
    def padded(self) -> int:
        """Lanes that the devices hold, the repeated ones among them."""
        return -(-self.lanes // self.devices) * self.devices

    def _sharding(self) -> Any:
        from jax.sharding import NamedSharding, PartitionSpec

        return NamedSharding(self.mesh, PartitionSpec(self.mesh.axis_names[0]))

    def abstract(self, tree: Any) -> Any:
        """Shapes as the compiled programs take them; `tree` has shapes with the lanes in front."""
        import jax

        if self.mesh is None:
            return tree
        sharding = self._sharding()
        return jax.tree.map(
            lambda x: jax.ShapeDtypeStruct((self.padded, *x.shape[1:]), x.dtype, sharding=sharding), tree
        )

    def spread(self, tree: Any) -> Any:
        """Arrays [lanes, ...] as the compiled programs take them."""
        import jax
        import numpy as np

        if self.mesh is None:
            home = jax.local_devices()[0]  # what is there already is left as it is: to be donated, it has one owner
            return jax.tree.map(lambda x: x if _lies_on(x, home) else jax.device_put(x, home), tree)
        index = np.minimum(np.arange(self.padded), self.lanes - 1)
        if self.padded != self.lanes:
            tree = jax.tree.map(lambda x: x[index], tree)
        return jax.device_put(tree, self._sharding())

    def fetch(self, tree: Any) -> Any:
        """Results of the compiled programs as NumPy arrays."""
        import jax

        return jax.device_get(tree)

    def gather(self, tree: Any) -> Any:
        """The inverse of `spread`, in the host's memory where there are several devices: no one need hold it all."""
        import jax

        if self.mesh is None:
            return tree
        tree = jax.device_put(tree, jax.local_devices(backend="cpu")[0])
        return jax.tree.map(lambda x: x[: self.lanes], tree)


def _lies_on(x: Any, device: Any) -> bool:
    return getattr(x, "devices", set)() == {device}


def layout_of(lanes: int, devices: int) -> Layout:
    """`lanes` over as many of this process's `devices` as there are lanes for."""
    import jax
    import numpy as np

    from iacjax.train import LANES

    count = min(lanes, devices)
    if count == 1:
        return Layout(lanes)
    return Layout(lanes, jax.sharding.Mesh(np.array(jax.local_devices()[:count]), (LANES,)))


def device_count(asked: int) -> int:
    """Devices to use: those that are asked for, 0 for all of this process's.

    Raises:
      ConfigError: there are not so many.
    """
    import jax

    from envs.errors import ConfigError

    have = jax.local_device_count()
    if asked > have:
        raise ConfigError(f"--devices {asked}: there are {have}; give fewer, or 0 for all")
    return asked or have
