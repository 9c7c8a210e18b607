"""Commands of this source tree in processes of their own."""

import os
import pathlib

ROOT = pathlib.Path(__file__).parents[2]


def child_environment(**more):
    """Environment variables: this source tree, on the CPU, compiled without optimisation, and `more`."""
    own = {"PYTHONPATH": str(ROOT), "JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    return {**os.environ, **own, **more}
