"""A grid of devices: its axis SEEDS has some of the seeds each, its axis ENVS some of each seed's environments.

Seeds exchange nothing, so that axis is a manual one of `jax.shard_map`. The axis of the environments is left to XLA's
partitioner (an "auto" axis): a program is written as for one device, and says only where a split begins. So every
number is that of one device, up to the order of sums.
"""

import contextlib
import contextvars
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
from jax.sharding import PartitionSpec

SEEDS = "seeds"
ENVS = "environments"
_TIME_MAJOR = contextvars.ContextVar("time_major", default=False)


def env_devices() -> int:
    """The devices that share the environments of a seed, in what is traced now."""
    return jax.sharding.get_abstract_mesh().shape.get(ENVS, 1)


def split_envs(tree: Any, axis: int) -> Any:
    """`tree`, with that axis of every leaf (environments, or sequences of a batch) split over the devices of a seed.

    Leaves whose axis has no multiple of the devices stay as they are.
    """
    count = env_devices()
    if count == 1:
        return tree

    def one(x):
        if x.shape[axis] % count:
            return x
        return jax.lax.with_sharding_constraint(x, PartitionSpec(*(None,) * axis, ENVS))

    return jax.tree.map(one, tree)


def gather_envs(tree: Any) -> Any:
    """`tree`, whole on every device of its seed: once, before parts of it are drawn at random many times."""
    if env_devices() == 1:
        return tree
    return jax.tree.map(lambda x: jax.lax.with_sharding_constraint(x, PartitionSpec()), tree)


def take_rows(x: jax.Array, at: jax.Array, *word: int) -> jax.Array:
    """`x` [R, E, ...] as rows [R E, ...], those at `at`, all within: flat[at], or flat[at, word].

    Where E is split, the flat array would be gathered first; by row and environment, each device finds what it has.
    """
    if env_devices() == 1:
        return x.reshape(-1, *x.shape[2:]).at[(at, *word)].get(mode="promise_in_bounds")
    row, env = at // x.shape[1], at % x.shape[1]
    return x.at[(row, env, *word)].get(mode="promise_in_bounds")


@contextlib.contextmanager
def time_major() -> Iterator[None]:
    """Within it, what is traced has the time on axis 0 and the environments on axis 1: see `flatten_rows`."""
    token = _TIME_MAJOR.set(True)
    try:
        yield
    finally:
        _TIME_MAJOR.reset(token)


def flatten_rows(x: jax.Array) -> tuple[jax.Array, Callable[[jax.Array], jax.Array]]:
    """`x` [..., F] as a matrix [rows, F], and the way back, [rows, G] -> [..., G].

    Where axis 1 is split over devices (`time_major`), one matrix would first be gathered: then each device's rows are a
    matrix of their own, [devices, rows, F].
    """
    count, lead = env_devices(), x.shape[:-1]
    if count == 1 or not _TIME_MAJOR.get() or len(lead) < 2 or lead[1] % count:
        return x.reshape(-1, x.shape[-1]), lambda y: y.reshape(*lead, y.shape[-1])
    parts = (lead[0], count, lead[1] // count, *lead[2:])
    rows = split_envs(jnp.moveaxis(x.reshape(*parts, x.shape[-1]), 1, 0).reshape(count, -1, x.shape[-1]), 0)

    def unflatten(y):
        y = y.reshape(count, lead[0], *parts[2:], y.shape[-1])
        return jnp.moveaxis(y, 0, 1).reshape(*lead, y.shape[-1])

    return rows, unflatten


def doubled_axes(shapes_of: Callable[[int], Any]) -> Any:
    """For each leaf of `shapes_of(1)` the axis that is longer in `shapes_of(2)`, -1 where none is: how the axis of the
    environments is found in trees that only an environment or a buffer knows, by asking for twice as many."""

    def axis(one, two):
        return next((i for i, (m, n) in enumerate(zip(one.shape, two.shape, strict=True)) if m != n), -1)

    return jax.tree.map(axis, shapes_of(1), shapes_of(2))


def split_at(tree: Any, axes: Any) -> Any:
    """`tree` with each leaf split at its axis of `axes`, and whole on each device where that is -1."""
    return jax.tree.map(lambda x, axis: gather_envs(x) if axis < 0 else split_envs(x, axis), tree, axes)


class SplitResets:
    """An environment whose `reset` splits the environments over the devices of a seed; what follows stays split."""

    def __init__(self, env: Any):
        self.spec, self.step, self.restart, self._reset = env.spec, env.step, env.restart, env.reset

    def reset(self, key: jax.Array, num_envs: int) -> Any:
        """See `envs.base.Environment.reset`."""
        new = self._reset(key, num_envs)
        if env_devices() == 1:
            return new
        axes = doubled_axes(lambda times: jax.eval_shape(lambda key: self._reset(key, times * num_envs), key))
        return split_at(new, axes)
