"""iacjax: cooperative multi-agent RL as pure JAX functions.

`iacjax.types` holds the contracts, `iacjax.algorithms.registry` the algorithms, `iacjax.train` the training step and
its compiled functions for many seeds. In Python:

    env = make_env("smax:3m")                                  # envs.registry
    algorithm = iacjax.make("qmix", env.spec, lr=1e-3)
    trainer = make_trainer(env, algorithm, chunk_size=100, eval_episodes=32)    # iacjax.train
    states = trainer.init(jax.random.split(jax.random.key(0), num_seeds))
    states, metrics, stats = trainer.chunk(states, 0, 100)     # iterations 0 to 99 of every seed
    episodes = trainer.evaluate(states, jax.random.split(jax.random.key(1), num_seeds))

`load_policy(run_dir)` gives back the trained policies of a run of the command line.
"""

from typing import Any

__all__ = ["Policy", "load_policy", "make"]


def __getattr__(name: str) -> Any:
    """Imports what `__all__` names, and jax with the policies, on first use: `--help` reads the configs without."""
    if name == "make":
        from iacjax.algorithms.registry import make

        return make
    if name in __all__:
        from iacjax import policy

        return getattr(policy, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
