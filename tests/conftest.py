"""Compiling is what the tests spend their time on: XLA's first optimisation level takes 0.6 of the default's time, and
programs of these sizes run no slower. Set before jax is first used; children of the tests inherit it."""

import os

FLAG = "--xla_backend_optimization_level"
if FLAG not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {FLAG}=1".strip()
