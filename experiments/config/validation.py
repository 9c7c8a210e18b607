"""Checks of a run's whole configuration before anything is built. No jax here.

A field is declared with its default and its bounds (`iacjax.schema.number`).
"""

from typing import Any

from envs.errors import ConfigError
from experiments.config.env_options import read_env_options
from iacjax.algorithms.common.config import check_config
from iacjax.schema import MAX_STEPS, check_fields

MAX_SEEDS = 65_536  # of one run: their names alone are megabytes
MAX_EPISODES = 2**20  # of one evaluation: each is an environment of its own


def check_run(run: Any) -> None:
    """Checks the fields of a `RunConfig`: types, choices, bounds, and that its environment's options can be read.

    Raises:
      ConfigError: names the option, its value and the values that it may have.
    """
    check_fields(run)
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
