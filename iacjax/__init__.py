"""iacjax: cooperative multi-agent RL as pure JAX functions.

`iacjax.types` holds the contracts, `iacjax.algorithms.registry` the registry, `iacjax.train` the one training
loop. `load_policy(run_dir)` gives a trained policy back.
"""

from typing import Any

__all__ = ["Policy", "load_policy"]


def __getattr__(name: str) -> Any:
    """Brings `Policy` and `load_policy`, and jax with them, only when asked: `--help` reads the configs without."""
    if name in __all__:
        from iacjax import policy

        return getattr(policy, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
