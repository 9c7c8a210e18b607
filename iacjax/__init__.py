"""iacjax: cooperative multi-agent RL as pure JAX functions.

`iacjax.types` holds the contracts, `iacjax.algorithms.ALGORITHMS` the registry, `iacjax.train` the one training
loop. `load_policy(run_dir)` gives a trained policy back.
"""

from iacjax.policy import Policy, load_policy

__all__ = ["Policy", "load_policy"]
