"""Commands of this source tree in processes of their own."""

import os
import pathlib

ROOT = pathlib.Path(__file__).parents[2]


def xla_flags(devices):
    """This process' XLA_FLAGS (tests/conftest.py), with that many virtual devices."""
    count = "--xla_force_host_platform_device_count"
    others = [flag for flag in os.environ.get("XLA_FLAGS", "").split() if not flag.startswith(count)]
    return " ".join([*others, f"{count}={devices}"])


def child_environment(**more):
    """Environment variables: this source tree, on the CPU, compiled without optimisation, and `more`."""
    own = {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    return {**os.environ, **own, **more}
