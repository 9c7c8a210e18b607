"""`smacv2.env`: `StarCraftCapabilityEnvWrapper` and `MultiAgentEnv`, imported as `smac.env` imports its own."""

from typing import Any

import smac.env

NAMES = ("MultiAgentEnv", "StarCraftCapabilityEnvWrapper")


def _not_played(*args: Any, **kwargs: Any) -> Any:
    raise NotImplementedError("smacv2.env.StarCraft2Env is not played here: use StarCraftCapabilityEnvWrapper")


def __getattr__(name: str) -> Any:
    if name == "StarCraft2Env":  # SMACv2's inner class, which HARL imports and does not use
        return _not_played
    if name not in NAMES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(smac.env, name)
