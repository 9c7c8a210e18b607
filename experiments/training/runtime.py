"""Settings of jax, made before anything is compiled, and the name of the device."""

import os
import pathlib
import warnings
from collections.abc import Callable

from experiments.common.cpu import prepare_cpu, usable_cores
from experiments.config.schema import RunConfig
from experiments.distributed.layout import device_count


def cache_dir() -> pathlib.Path:
    """The directory of compiled programs: $XDG_CACHE_HOME/iacjax, by default ~/.cache/iacjax."""
    return pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "iacjax"


def prepare_jax(run: RunConfig, say: Callable[[str], None]) -> None:
    """Sets devices (of a CPU), compile cache, determinism and precision; call it before jax is used."""
    if run.deterministic:
        os.environ["XLA_FLAGS"] = os.environ.get("XLA_FLAGS", "") + " --xla_gpu_deterministic_ops=true"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    prepare_cpu()
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
    cores = f", {usable_cores()} cores" if device.platform == "cpu" else ""
    return f"{device.device_kind}{cores}"


def describe_devices(asked: int, members: int = 1) -> str:
    """The name of the devices that are used, with their number.

    Args:
      asked: see `RunConfig.devices`.
      members: seeds or trials trained at the same time; each has at most one device if no number is asked for.
    """
    count = device_count(asked) if asked else min(device_count(0), members)
    return f"{count} x {describe_device()}" if count > 1 else describe_device()
