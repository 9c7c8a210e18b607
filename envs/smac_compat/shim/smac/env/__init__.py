"""`smac.env`: the names of `envs.smac_compat`, imported from there when they are first asked for.

PyMARL and its relatives have a package `envs` of their own, in which they import this one. Python then looks for
`envs.smac_compat` in their folder. So the folder of ours is appended to the places in which it looks.
"""

import importlib
import importlib.util
import pathlib
import sys
from typing import Any

OURS = pathlib.Path(__file__).resolve().parents[4]  # the folder `envs` that this file lies in
NAMES = ("MultiAgentEnv", "OnPolicyStarCraft2Env", "StarCraft2Env", "StarCraftCapabilityEnvWrapper")


def _find_ours() -> None:
    """Makes `envs.smac_compat` importable, beside any other package `envs`."""
    if "envs" not in sys.modules and importlib.util.find_spec("envs") is None:
        sys.path.append(str(OURS.parent))
    places = importlib.import_module("envs").__path__
    if str(OURS) not in map(str, places):
        places.append(str(OURS))


def __getattr__(name: str) -> Any:
    if name not in NAMES:
        raise AttributeError(f"module {__name__} has no attribute {name}")
    _find_ours()
    return getattr(importlib.import_module("envs.smac_compat"), name)
