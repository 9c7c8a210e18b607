"""A run's environment and algorithm, made from its settings; the shapes of its state."""

from typing import Any

import numpy as np

from envs.custom import is_custom_env
from experiments.config.env_options import make_run_env
from experiments.config.schema import Settings


def build(settings: Settings) -> tuple[Any, Any]:
    """The environment and the algorithm; ConfigError where they do not go together, or the environment is unsound."""
    from envs.check import check_structure
    from iacjax.algorithms.registry import check_fits, get_entry

    env = make_run_env(settings.run.env, settings.run.env_options)
    if not is_custom_env(env):  # those are checked as they are made
        check_structure(env)
    check_fits(settings.run.algo, env.spec)
    return env, get_entry(settings.run.algo).make(env.spec, settings.algorithm)


def seed_keys(seeds: tuple[int, ...]) -> Any:
    """One typed key per seed, independent of the other seeds."""
    import jax

    return jax.vmap(jax.random.key)(np.array(seeds, np.uint32))


def state_shapes(env: Any, algorithm: Any, num_seeds: int) -> Any:
    """Shapes and dtypes of the TrainState of a batch of seeds, as its checkpoint holds it, leaves [seeds, ...]."""
    import jax

    from iacjax.trainer import make_trainer

    keys = jax.eval_shape(lambda: seed_keys(tuple(range(num_seeds))))
    return jax.eval_shape(make_trainer(env, algorithm, 1, 1).init, keys)
