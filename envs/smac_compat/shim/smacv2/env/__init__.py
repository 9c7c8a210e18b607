"""`smacv2.env`: `StarCraftCapabilityEnvWrapper` and `MultiAgentEnv`, imported as `smac.env` imports its own."""

from typing import Any

import smac.env

NAMES = ("MultiAgentEnv", "StarCraftCapabilityEnvWrapper")


def __getattr__(name: str) -> Any:
    if name not in NAMES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    return getattr(smac.env, name)
