"""`python -m envs.smac_compat` prints the folder that stands in for the package `smac` when it is on PYTHONPATH."""

import pathlib
import sys

sys.stdout.write(f"{pathlib.Path(__file__).resolve().parent / 'shim'}\n")
