"""What the fields of a run may be, before anything is built. No jax here.

The algorithms' own are in `iacjax.algorithms.common.checks`.
"""

from typing import Any

from envs.errors import ConfigError
from experiments.config.env_options import read_env_options
from iacjax.algorithms.common.checks import check_config
from iacjax.schema import COUNT, COUNT_OR_ZERO, FRACTION, MAX_STEPS, NOT_NEGATIVE, Bounds, check_values, up_to

MAX_SEEDS = 65_536  # of one run: their names alone are megabytes
MAX_EPISODES = 2**20  # of one evaluation: each is an environment of its own

_OF = {
    up_to(MAX_SEEDS): "seeds",
    up_to(MAX_SEEDS, least=0): "seeds_per_batch devices",
    COUNT: "total_steps keep_checkpoints",
    COUNT_OR_ZERO: "seed eval_every log_every chunk_iterations",
    up_to(MAX_EPISODES): "eval_episodes",
    FRACTION: "stop_at",
    NOT_NEGATIVE: "checkpoint_every",
}
BOUNDS: dict[str, Bounds] = {name: bounds for bounds, names in _OF.items() for name in names.split()}


def check_run(run: Any) -> None:
    """Checks the fields of a `RunConfig`: types, choices, bounds, and that its environment's options can be read.

    Raises:
      ConfigError: names the option, what it is and what it must be.
    """
    check_values(type(run), vars(run), BOUNDS)
    read_env_options(run.env_options)


def check_settings(settings: Any) -> None:
    """Checks a run's whole configuration, wherever it was read from; raises ConfigError."""
    check_run(settings.run)
    check_config(settings.algorithm)
    values = vars(settings.algorithm)
    if {"num_envs", "rollout_length"} <= values.keys():
        rows = values["num_envs"] * values["rollout_length"]
        if -(-settings.run.total_steps // rows) * rows > MAX_STEPS:
            raise ConfigError(
                f"--total-steps {settings.run.total_steps} in whole iterations of {rows} are more than {MAX_STEPS} "
                "(the clock has 32 bits): give fewer"
            )
