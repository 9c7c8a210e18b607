"""The memory that a training needs, the memory that is free, and how many seeds fit into it."""

import pathlib
from typing import Any

import numpy as np

from envs.errors import ConfigError
from experiments.common.text import human
from experiments.config.schema import RunConfig

HEADROOM = 0.9  # of the memory that is free


def available_bytes(devices: int = 1) -> int | None:
    """Memory that is free where the run will live, on the first `devices` together; None where it cannot be told."""
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


def tree_bytes(tree: Any) -> int:
    """Bytes of all leaves; shapes are enough."""
    import jax

    return sum(int(np.prod(leaf.shape)) * leaf.dtype.itemsize for leaf in jax.tree.leaves(tree))


def needed_bytes(compiled: Any, states: Any, devices: int) -> int:
    """The chunk's own account of its memory (of one device), or the state twice where the compiler keeps none."""
    stats = compiled.memory_analysis()
    temporary = getattr(stats, "temp_size_in_bytes", 0) if stats is not None else 0
    return tree_bytes(states) + (devices * temporary or tree_bytes(states))


def fitting_seeds(wanted: int, bytes_needed: int, num_seeds: int, run: RunConfig, free: int | None) -> int:
    """How many seeds to train at a time, given that `num_seeds` need `bytes_needed`: `wanted`, or as many as fit.

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
