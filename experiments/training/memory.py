"""How much memory a training needs, how much is free, and how many seeds fit."""

import pathlib
from typing import Any

import numpy as np

from envs.errors import ConfigError
from experiments.common.text import human
from experiments.config.schema import RunConfig

HEADROOM = 0.9  # of the memory that is free


def available_bytes(devices: int = 1) -> int | None:
    """Free memory of the first `devices` together (of the host, on a CPU), in bytes; None if it is unknown."""
    import jax

    if jax.local_devices()[0].platform != "cpu":
        stats = [device.memory_stats() or {} for device in jax.local_devices()[:devices]]
        if any("bytes_limit" not in each for each in stats):
            return None
        return devices * min(each["bytes_limit"] - each["bytes_in_use"] for each in stats)
    free = []
    try:
        for line in pathlib.Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                free.append(int(line.split()[1]) * 1024)
        limit = pathlib.Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if limit != "max":
            free.append(int(limit) - int(pathlib.Path("/sys/fs/cgroup/memory.current").read_text()))
    except (OSError, ValueError):
        pass
    return min(free) if free else None


def free_programs() -> None:
    """Frees compiled programs, and what only they hold, before another program is compiled."""
    import gc

    import jax

    jax.clear_caches()
    gc.collect()


def tree_bytes(tree: Any) -> int:
    """Bytes of all leaves, which may be shapes."""
    import jax

    return sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def held_bytes(tree: Any, devices: int) -> int:
    """Bytes of all leaves (shapes, with shardings where there are several devices) on all devices: copies count too."""
    import jax

    def one(leaf):
        shape = leaf.shape if devices == 1 else leaf.sharding.shard_shape(leaf.shape)
        return devices * int(np.prod(shape)) * leaf.dtype.itemsize

    return sum(map(one, jax.tree.leaves(tree)))


def needed_bytes(compiled: Any, states: Any, devices: int) -> int:
    """Bytes of the state and of what a chunk works on, as the compiler reports it; otherwise twice the state.

    Args:
      states: shapes, with their shardings where there are several devices.
    """
    stats = compiled.memory_analysis()
    temporary = getattr(stats, "temp_size_in_bytes", 0) if stats is not None else 0
    held = held_bytes(states, devices)
    return held + (devices * temporary or held)


def fitting_seeds(wanted: int, bytes_needed: int, num_seeds: int, run: RunConfig, free: int | None) -> int:
    """How many seeds to train at the same time: `wanted`, or as many as fit if `num_seeds` need `bytes_needed`.

    Raises:
      ConfigError: not one seed fits, or fewer than --seeds-per-batch asks for.
    """
    if free is None or bytes_needed * wanted <= HEADROOM * free * num_seeds:
        return wanted
    fit = int(HEADROOM * free * num_seeds // bytes_needed)
    need, have = human(bytes_needed / num_seeds), human(free)
    if fit < 1:
        raise ConfigError(f"one seed needs {need} and {have} are free: lower --num-envs or --rollout-length")
    if run.seeds_per_batch:
        raise ConfigError(f"{wanted} seeds need {need} each and {have} are free: use --seeds-per-batch {fit}")
    return fit
