"""Settings of jax, made before anything is compiled, and the name of the device."""

import os
import pathlib
import warnings
from collections.abc import Callable

from experiments.config.schema import RunConfig
from experiments.distributed.layout import device_count


def cache_dir() -> pathlib.Path:
    """The directory of compiled programs: $XDG_CACHE_HOME/iacjax, by default ~/.cache/iacjax."""
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
    # What cannot be cached is compiled again: a full disk is reported where results are written.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation cache entry")
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.5)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)


def one_blas_thread() -> None:
    """Gives LAPACK, which draws orthogonal matrices on a CPU, one thread; without effect once jax is imported.

    On several devices at once OpenBLAS's threads wait for each other, spinning: on two busy cores 320 matrices on
    eight virtual devices took 2 s with one thread; with two they were not drawn in 44 s of processor time.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def set_precision(name: str) -> None:
    """Sets the precision of float32 matrix products, which only networks make, to a `RunConfig.matmul_precision`."""
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
    """The name of the devices that are used, with their number (`asked`: see `RunConfig.devices`)."""
    count = device_count(asked)
    return f"{count} x {describe_device()}" if count > 1 else describe_device()
