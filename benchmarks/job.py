"""One measured training in a process of its own, as devices, XLA's flags and the peak of memory are per process.

A `Job` names what is trained and the settings of the process. The row that comes back says how it went.
"""

import contextlib
import dataclasses
import os
import pathlib
import signal
from typing import Any, NamedTuple

from benchmarks.worker import row_of_process


class Job(NamedTuple):
    """What is measured, and how the process is set."""

    system: str  # "ours", or a key of `benchmarks.reference.scripts.SCRIPTS`
    algo: str
    preset: str
    env: str  # of a reference script: the map
    seeds: int  # in one program
    num_envs: int = 0  # 0: the preset's
    devices: int = 1
    seconds: float = 5.0  # duration of each timed call, about
    updates: int = 0  # whose numbers are reported
    reference_dir: str = ""
    reference_updates: int = 3
    variables: tuple[tuple[str, str], ...] = ()  # of the environment, set before jax is imported
    flags: str = ""  # added to XLA_FLAGS
    precision: str = "default"  # of matrix products (RunConfig.matmul_precision)
    bits: int = 0  # not 0: on a CPU, round factors of products to this many bits of mantissa
    other_gru: bool = False  # differentiate GRUs in the way that is not the platform's default
    changes: tuple[tuple[str, Any], ...] = ()  # further fields of the algorithm's configuration
    limit: float = 0.0  # seconds after which its process is ended; 0: never


def measure(job: Job) -> dict[str, Any]:
    """The row of a job, measured in this process: `status` is "ok" or "does not fit"."""
    import jax

    from benchmarks.training import DoesNotFit, peak_bytes
    from experiments.runs.directory import software_versions
    from experiments.training.runtime import describe_device, set_precision
    from iacjax.networks.recurrent import FORMS, gru_form, use_gru_form

    set_precision(job.precision)
    known = {"lanes": job.seeds, "devices": job.devices, "device": describe_device()}
    known |= {"platform": jax.default_backend(), "versions": software_versions(describe_device())}
    try:
        form = next(name for name in FORMS if (name == gru_form()) != job.other_gru)
        with rounded_products(job.bits), use_gru_form(form):
            row = _ours(job) if job.system == "ours" else _reference(job)
    except DoesNotFit as error:
        return known | {"status": "does not fit", "why": str(error)}
    except RuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        return known | {"status": "does not fit", "why": "the device has run out of memory"}
    return known | {"status": "ok", "peak_bytes": peak_bytes()} | row


def _ours(job: Job) -> dict[str, Any]:
    from benchmarks.training import compile_training, forget_peak, make_training, numbers_of, speed_of
    from experiments.distributed.layout import device_count
    from experiments.training.memory import available_bytes

    env, config, algorithm = make_training(job.algo, job.preset, job.env, job.num_envs, **dict(job.changes))
    devices = device_count(job.devices)
    training = compile_training(env, algorithm, job.seeds, devices, available_bytes(devices))
    forget_peak()
    row = speed_of(training, job.seconds) | {"num_envs": config.num_envs}
    row |= {"state_bytes": training.state_bytes, "bytes_needed": training.bytes_needed}
    row |= {"updates_per_iteration": training.plan.updates}
    return row | (numbers_of(training, job.updates) if job.updates else {})


def _reference(job: Job) -> dict[str, Any]:
    from benchmarks.references import load_reference
    from experiments.training.memory import available_bytes

    time_script = load_reference("scripts").time_script
    directory = pathlib.Path(job.reference_dir)
    row = time_script(job.system, directory, job.env, job.seeds, job.reference_updates, available_bytes())
    return row | {"num_envs": row["config"]["num_envs"]}


@contextlib.contextmanager
def rounded_products(bits: int):
    """Inside, programs lowered for the CPU round both factors of every matrix product to `bits` of mantissa.

    A CPU multiplies float32 in full, whatever precision it is asked for. With 7 bits of mantissa for bfloat16 (10 for
    TF32) and float32 sums, these are the numbers that a GPU's fast products make; the time they take says nothing.
    """
    if not bits:
        yield
        return
    import numpy as np
    from jax._src.interpreters import mlir  # which rule a primitive has on a platform has no public name
    from jax._src.lib.mlir.dialects import hlo
    from jax.lax import dot_general_p

    rules = mlir._platform_specific_lowerings["cpu"]
    entry = rules[dot_general_p]

    def lower(ctx, *factors, **options):
        rounded = [
            hlo.reduce_precision(x, mlir.i32_attr(8), mlir.i32_attr(bits)) if aval.dtype == np.float32 else x
            for x, aval in zip(factors, ctx.avals_in, strict=True)
        ]
        return entry.rule(ctx, *rounded, **options)

    rules[dot_general_p] = dataclasses.replace(entry, rule=lower)
    try:
        yield
    finally:
        rules[dot_general_p] = entry


def in_a_process(job: Job) -> dict[str, Any]:
    """`measure` in a fresh process, whose memory is freed at its end; also a row where the system killed it, or its
    time was up (`status` "timed out").

    Raises:
      ConfigError: what was asked for cannot be trained.
    """
    return row_of_process(_child, job, limit=job.limit)


def _child(job: Job) -> dict[str, Any]:
    from experiments.common.cpu import prepare_cpu

    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a Ctrl-C ends it without output
    os.environ.update(job.variables)  # all before jax is imported
    flags = [os.environ.get("XLA_FLAGS", ""), job.flags]
    if job.devices > 1:  # as many CPU devices; the number of GPUs is given
        flags.append(f"--xla_force_host_platform_device_count={job.devices}")
    os.environ["XLA_FLAGS"] = " ".join(filter(None, flags))
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # compiling is timed
    prepare_cpu()
    try:
        return measure(job)
    except RuntimeError as error:  # jax's own kind cannot be sent to a process without jax
        raise RuntimeError(str(error)) from None
