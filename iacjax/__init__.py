"""iacjax: cooperative multi-agent RL as pure JAX functions.

    env = iacjax.make("smax:3m")
    result = iacjax.train("aiir_mix", env, seeds=3, total_steps=300_000)
    iacjax.evaluate(result.policy, env, episodes=100)

`load_policy(run_dir)` gives back the trained policies of a run of the command line. One level below are the pure
functions, of which a loop of one's own can be made:

    algorithm = iacjax.make_algorithm("qmix", env, lr=1e-3)
    trainer = iacjax.make_trainer(env, algorithm, chunk_size=100, eval_episodes=32)
    states = trainer.init(jax.random.split(jax.random.key(0), num_seeds))
    states, metrics, stats = trainer.chunk(states, 0, 100)     # iterations 0 to 99 of every seed
    episodes = trainer.evaluate(states, jax.random.split(jax.random.key(1), num_seeds))

`iacjax.types` holds the contracts, `iacjax.algorithms.registry` the algorithms, `iacjax.trainer` the training step.
"""

import importlib
from typing import Any

# name -> module and attribute, imported on first use: `--help` reads the configs without jax. `experiments` has the
# presets, the loop and the files of a training, and imports this package; here it is only named.
_PLACES = {
    "ConfigError": "envs.errors:ConfigError",
    "Policy": "iacjax.policy:Policy",
    "TrainResult": "experiments.api:TrainResult",
    "evaluate": "experiments.api:evaluate",
    "load_policy": "iacjax.policy:load_policy",
    "make": "experiments.api:make",
    "make_algorithm": "iacjax.algorithms.registry:make_algorithm",
    "make_trainer": "iacjax.trainer:make_trainer",
    "train": "experiments.api:train",
}
__all__ = list(_PLACES)


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _PLACES[name].partition(":")
    return getattr(importlib.import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
