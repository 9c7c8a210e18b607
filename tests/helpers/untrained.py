"""A run directory that holds an untrained policy of 3m and nothing else, for what plays policies."""

import jax
import numpy as np

from experiments.config.env_options import make_run_env
from iacjax.algorithms.registry import get_entry
from iacjax.policy import save_policy


def save_untrained(directory, seeds, draw, env_options=()):
    """Saves an IPPO policy in `directory`, its weights drawn by `draw(shape)` with an axis of `seeds` in front."""
    entry, spec = get_entry("ippo"), make_run_env("smax:3m", env_options).spec
    config = entry.config(num_envs=4, rollout_length=4)
    algorithm = entry.make(spec, config)
    shapes = jax.eval_shape(lambda key: algorithm.policy(algorithm.init(key)), jax.random.key(0))
    params = jax.tree.map(lambda leaf: draw((len(seeds), *leaf.shape)).astype(np.float32), shapes)
    directory.mkdir(parents=True, exist_ok=True)
    save_policy(directory / "policy", "ippo", config, spec, seeds, params, env_options)
    return directory
