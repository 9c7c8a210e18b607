"""Before the first update: jax's settings, the device, the memory that the run will need, the compiled programs."""

import os
import pathlib
import time
import warnings
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from envs.errors import ConfigError
from experiments.config.schema import RunConfig
from experiments.distributed.layout import Layout, device_count, layout_of

CHUNK_CAPACITY = 1024  # iterations that one call of the compiled chunk can do at most
HEADROOM = 0.9  # of the memory that is free


def cache_dir() -> pathlib.Path:
    """Where compiled programs are kept: $XDG_CACHE_HOME/iacjax, by default ~/.cache/iacjax."""
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "iacjax"


def prepare_jax(run: RunConfig, say: Callable[[str], None]) -> None:
    """Sets the compile cache, determinism and precision; call it before anything is compiled."""
    if run.deterministic:
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_gpu_deterministic_ops=true"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    one_blas_thread()
    import jax

    set_precision(run.matmul_precision)
    if not run.compile_cache:
        jax.config.update("jax_enable_compilation_cache", False)
        return
    if not os.environ.get("JAX_COMPILATION_CACHE_DIR"):
        try:
            cache_dir().mkdir(parents=True, exist_ok=True)
        except OSError as error:
            say(f"no compile cache: {cache_dir()} cannot be made ({error.strerror})")
            return
        jax.config.update("jax_compilation_cache_dir", str(cache_dir()))
    # What cannot be kept is compiled again; a disk that is full is an error where something is lost.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache entry")
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def one_blas_thread() -> None:
    """Of LAPACK, which draws orthogonal matrices on a CPU; without effect once jax is imported.

    On several devices at once OpenBLAS's threads wait for each other, spinning: on two busy cores 320 matrices on
    eight virtual devices took 2 s with one thread; with two they were not drawn in 44 s of processor time.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def set_precision(name: str) -> None:
    """Of float32 matrix products, which networks alone make: a word of `RunConfig.matmul_precision`."""
    if name == "default":
        return
    import jax

    # jax's own "bfloat16" means "the fastest", which on a GPU is TF32; the name of the algorithm means bfloat16.
    jax.config.update("jax_default_matmul_precision", "BF16_BF16_F32" if name == "bfloat16" else name)


def describe_device() -> str:
    import jax

    device = jax.local_devices()[0]
    cores = f", {len(os.sched_getaffinity(0))} cores" if hasattr(os, "sched_getaffinity") else ""
    return f"{device.device_kind}{cores if device.platform == 'cpu' else ''}"


def describe_devices(asked: int = 0) -> str:
    """The device, and how many of its kind are used (see `RunConfig.devices`)."""
    count = device_count(asked)
    return f"{count} x {describe_device()}" if count > 1 else describe_device()


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


def human(count: float) -> str:
    """1536 -> 1.5 KiB."""
    for unit in ("B", "KiB", "MiB"):
        if count < 1024:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    return f"{count:.1f} GiB"


class Traced(NamedTuple):
    """The functions of a group of seeds before they are compiled: enough to know what the state will need."""

    trainer: Any
    init: Any  # lowered
    num_seeds: int
    keys: Any  # shapes of the seeds' keys
    states: Any  # shapes of the TrainState, seeds in front
    layout: Layout  # on which devices they are


class Programs(NamedTuple):
    """The compiled functions of a group of seeds (see `iacjax.train.Trainer`) and what they need."""

    init: Callable
    chunk: Callable
    evaluate: Future  # its result is the function; it compiles while the first chunk runs
    num_seeds: int
    states: Any  # shapes of the TrainState, seeds in front
    bytes_needed: int  # the state, and what a chunk needs beside it
    seconds: float  # until init and chunk were ready
    layout: Layout  # what the functions take and give is spread like this


def seed_keys(seeds: tuple[int, ...]) -> Any:
    """One typed key a seed, the same whichever seeds stand beside it."""
    import jax

    return jax.vmap(jax.random.key)(np.array(seeds, np.uint32))


def trace_programs(env: Any, algorithm: Any, num_seeds: int, eval_episodes: int, devices: int = 1) -> Traced:
    """Traces the initial state; nothing is compiled or allocated."""
    import jax

    from iacjax.train import make_trainer

    layout = layout_of(num_seeds, devices)
    trainer = make_trainer(env, algorithm, CHUNK_CAPACITY, eval_episodes, layout.mesh)
    keys = jax.eval_shape(lambda: seed_keys(tuple(range(num_seeds))))
    return trace_trainer(trainer, keys, keys, layout)


def trace_trainer(trainer: Any, inputs: Any, keys: Any, layout: Layout) -> Traced:
    """Traces the initial state from the shapes of what the lanes start from and of their keys."""
    import jax

    init = trainer.init.lower(layout.abstract(inputs))
    states = jax.tree.map(lambda x: jax.ShapeDtypeStruct((layout.lanes, *x.shape[1:]), x.dtype), init.out_info)
    return Traced(trainer, init, layout.lanes, keys, states, layout)


def compile_programs(traced: Traced) -> Programs:
    """Compiles ahead of time, so that seconds and bytes are known before anything is allocated."""
    import jax

    began = time.monotonic()
    trainer, layout = traced.trainer, traced.layout
    states, keys = layout.abstract(traced.states), layout.abstract(traced.keys)
    number = jax.ShapeDtypeStruct((), np.int32)
    pool = ThreadPoolExecutor(3)
    init = pool.submit(traced.init.compile)
    chunk = pool.submit(lambda: trainer.chunk.lower(states, number, number).compile())
    init, chunk = init.result(), chunk.result()
    evaluate = pool.submit(lambda: trainer.evaluate.lower(states, keys).compile())
    pool.shutdown(wait=False)
    seconds = time.monotonic() - began
    need = needed_bytes(chunk, states, layout.devices)
    return Programs(init, chunk, evaluate, traced.num_seeds, traced.states, need, seconds, layout)


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
