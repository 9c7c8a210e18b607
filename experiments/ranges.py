"""Ranges of all fields that are numbers: what can be no run is refused before anything is built. No jax here."""

import dataclasses
import math
from typing import Any

from envs.errors import ConfigError

MAX_STEPS = 2**31 - 1  # the clock is int32

_UNIT = ("gamma", "td_lambda", "stop_at", "anneal_to", "value_norm_decay", "epsilon_start", "epsilon_end", "entropy")
_ZERO_TOO = ("gamma", "td_lambda", "anneal_to", "epsilon_start", "epsilon_end", "entropy", "intrinsic_weight")
_ZERO_TOO += ("policy_layers", "anneal_steps", "checkpoint_every", "seed", "tau", "temperature", "noise_scale")
_ZERO_TOO += ("regularisation", "attention_regularisation", "weight_decay", "warmup", "value_clip")
_ZERO_TOO += ("opt_weight", "nopt_weight")


def check_ranges(config: Any) -> None:
    """Checks every number of a config: finite, not negative, no zero where zero makes no sense, fractions at most 1.

    Zero passes where it is the field's own default (there it has a meaning of its own) or the field is a weight.

    Raises:
      ConfigError: names the option, what it is and what it may be.
    """
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        for number in value if isinstance(value, tuple) else (value,):
            if isinstance(number, int | float) and not isinstance(number, bool):
                _check_number(field.name, number, zero=field.default == 0 or field.name in _ZERO_TOO)


def _check_number(name: str, number: float, zero: bool) -> None:
    option = "--" + name.replace("_", "-")
    if not math.isfinite(number):
        raise ConfigError(f"{option} must be a finite number, not {number}")
    if number < 0 or (number == 0 and not zero):
        raise ConfigError(f"{option} must be {'at least 0' if zero else 'more than 0'}, not {number}")
    if name in _UNIT and number > 1:
        raise ConfigError(f"{option} must be between 0 and 1, not {number}")
    if isinstance(number, int) and number > MAX_STEPS:
        raise ConfigError(f"{option} must be at most {MAX_STEPS} (the clock has 32 bits), not {number}")
