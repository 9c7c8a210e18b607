"""How jax uses a CPU: a device for each core, and programs whose loops are not cut up for XLA's threads.

Without this a CPU is one device, on which XLA splits loops over arrays between its threads. In programs as small as
ours the threads wait for each other longer than they work (measured: docs/results/speed.md, "Several cores").
"""

import importlib.metadata
import importlib.util
import math
import os
import pathlib
import sys

DEVICES = "--xla_force_host_platform_device_count"
DISABLED = "--xla_disable_hlo_passes"
# The pass of XLA's CPU compiler that splits loops between threads; matrix products keep theirs. No result changes.
PASS = "cpu-parallel-task-assigner"
DEV, ACCELERATORS = pathlib.Path("/dev"), ("dxg", "kfd", "accel*", "vfio/[0-9]*")  # WSL, AMD, TPU
THREADS = ("PJRT_NPROC", "NPROC")  # variables from which XLA takes the number of its threads


def usable_cores() -> int:
    """The cores that this process may use: by its affinity, and by the quota of its container."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = pathlib.Path("/sys/fs/cgroup/cpu.max").read_text().split()
        return max(1, min(cores, math.ceil(int(quota) / int(period))))
    except (OSError, ValueError):  # no such file, or no limit
        return cores


def has_plugin() -> bool:
    """Whether a package is installed by which jax could use an accelerator."""
    if importlib.metadata.entry_points(group="jax_plugins"):
        return True
    return any(importlib.util.find_spec(name) is not None for name in ("jax_plugins", "libtpu"))


def computes_on_cpu() -> bool:
    """Whether jax will use the CPU, as far as can be said before it looks for devices."""
    import jax

    if jax.config.jax_platforms:
        return jax.config.jax_platforms.split(",")[0] == "cpu"
    if not has_plugin():
        return True
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES") in ("", "-1")
    patterns = [*ACCELERATORS, *([] if hidden else ["nvidia[0-9]*"])]
    return sys.platform == "linux" and not any(any(DEV.glob(pattern)) for pattern in patterns)


def one_blas_thread() -> None:
    """Gives LAPACK, which draws orthogonal matrices on a CPU, one thread; without effect once jax is imported.

    On several devices at once OpenBLAS's threads wait for each other, spinning: on two busy cores 320 matrices on
    eight virtual devices took 2 s with one thread; with two they were not drawn in 44 s of processor time.
    """
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def prepare_cpu(devices: int = 0) -> None:
    """On a CPU, makes so many devices of its cores (0: one of each) and sets XLA's flag; call it before jax is used.

    Nothing changes where jax has an accelerator or has been used already. What the user has set stays: a number of
    devices (XLA_FLAGS, JAX_NUM_CPU_DEVICES), passes that XLA leaves out. Devices without work cost nothing.
    """
    one_blas_thread()
    import jax

    if not computes_on_cpu():
        return
    flags = os.environ.get("XLA_FLAGS", "").split()
    if "JAX_NUM_CPU_DEVICES" not in os.environ and not any(flag.startswith(DEVICES) for flag in flags):
        try:
            jax.config.update("jax_num_cpu_devices", devices or usable_cores())
        except RuntimeError:  # jax has been used
            return
    if not any(flag.startswith(DISABLED) for flag in flags):
        os.environ["XLA_FLAGS"] = " ".join([*flags, f"{DISABLED}={PASS}"])


def one_thread() -> None:
    """As `prepare_cpu`, with one device and one thread: for programs without matrix products, such as environments.

    XLA has at least a thread per device, so the one thread needs the one device.
    """
    if computes_on_cpu() and not any(name in os.environ for name in THREADS):
        os.environ[THREADS[0]] = "1"
    prepare_cpu(1)


def share_cores(processes: int) -> None:
    """Gives each of so many processes, which this one starts, its part of the cores as devices."""
    if DEVICES not in os.environ.get("XLA_FLAGS", ""):
        os.environ.setdefault("JAX_NUM_CPU_DEVICES", str(max(1, usable_cores() // max(1, processes))))


def one_core_environment() -> dict[str, str]:
    """Environment variables of a process that is to use one core: one device and one thread of XLA and of LAPACK."""
    return {"JAX_NUM_CPU_DEVICES": "1", "OPENBLAS_NUM_THREADS": "1", **dict.fromkeys(THREADS, "1")}


def give_core(process: int, number: int) -> None:
    """Keeps a process that was just started on one of this process's cores, by its number; not on every system."""
    if hasattr(os, "sched_setaffinity"):
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(process, {cores[number % len(cores)]})
