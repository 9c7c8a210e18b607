"""What every algorithm's configuration has, and the checks of fields that depend on one another. No jax here."""

from collections.abc import Mapping
from typing import Any, ClassVar

from envs.errors import ConfigError
from iacjax.schema import MAX_STEPS, check_fields


class AlgorithmConfig:
    """Base of the algorithms' configurations, which are frozen dataclasses.

    The fields `num_envs` and `rollout_length`, `updates_per_step`, `batch_size` and `buffer_size`, `sigma_min` and
    `sigma_max` are checked together for every configuration that has them (`check_together`).
    """

    added: ClassVar[Mapping[str, Any]] = {}
    """Fields that saved runs may be older than, each with the value that such runs were trained with. It need not be
    today's default."""

    without: ClassVar[tuple[str, ...]] = ()
    """Fields that are not options of this algorithm: the choices that define it, and fields that have no effect with
    them. They exist because it shares its configuration with others, and saved runs have them."""

    def check_choices(self) -> None:
        """Raises ConfigError where choices and whole numbers do not go together.

        The factories call it too. A sweep may trace the floats, so it must not branch on one.
        """


def check_config(config: AlgorithmConfig) -> None:
    """Checks a configuration of concrete numbers: every field, and the fields that depend on one another.

    Raises:
      ConfigError: one line that names the options.
    """
    check_fields(config)
    check_together(config)


def check_together(config: AlgorithmConfig) -> None:
    """Raises ConfigError where fields, each within its bounds, do not go together."""
    values = vars(config)
    if {"num_envs", "rollout_length"} <= values.keys():
        _check_rows(values)
    if {"sigma_min", "sigma_max"} <= values.keys() and not values["sigma_min"] <= values["sigma_max"]:
        low, high = values["sigma_min"], values["sigma_max"]
        raise ConfigError(f"--sigma-min {low} is above --sigma-max {high}: give a lower one")
    config.check_choices()


def _check_rows(values: dict[str, Any]) -> None:
    envs, length = values["num_envs"], values["rollout_length"]
    if envs * length > MAX_STEPS:
        raise ConfigError(
            f"--num-envs {envs} times --rollout-length {length} must be at most {MAX_STEPS} (the clock has 32 bits): "
            "lower one of them"
        )
    if "updates_per_step" in values:
        updates_per_iteration(values["updates_per_step"], envs, length)
    least = max(values.get("batch_size", 0), envs * length)
    if values.get("buffer_size", least) < least:
        raise ConfigError(
            f"--buffer-size {values['buffer_size']} is too small: give at least {least}, a batch "
            f"({values.get('batch_size', 0)}) and a rollout ({envs} environments x {length} rows)"
        )


def updates_per_iteration(updates_per_step: float, num_envs: int, rollout_length: int) -> int:
    """Number of updates after a rollout of `rollout_length` rows in each of `num_envs` environments.

    Raises:
      ConfigError: less than one.
    """
    updates = round(updates_per_step * num_envs * rollout_length)
    if updates < 1:
        raise ConfigError(
            f"--updates-per-step {updates_per_step} with {num_envs} environments x {rollout_length} rows makes less "
            "than one update an iteration: raise --rollout-length"
        )
    return updates


def check_minibatches(num_envs: int, minibatches: int) -> None:
    """Raises ConfigError where a rollout cannot be split into so many minibatches of whole environments."""
    if num_envs % minibatches:
        raise ConfigError(f"--minibatches must divide --num-envs {num_envs}, which {minibatches} does not")


def check_heads(hidden_dim: int, heads: int) -> None:
    """Raises ConfigError where the units of a layer cannot be split into so many attention heads."""
    if hidden_dim % heads:
        raise ConfigError(f"--hidden-dim {hidden_dim} does not divide into {heads} attention --heads")
