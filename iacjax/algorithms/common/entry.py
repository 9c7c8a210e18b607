"""A row of the registry. No jax here."""

import importlib
from typing import TYPE_CHECKING, NamedTuple

from iacjax.algorithms.common.config import AlgorithmConfig

if TYPE_CHECKING:
    from envs.base import EnvSpec
    from iacjax.types import Algorithm


class Entry(NamedTuple):
    """What the rest of the system knows of an algorithm."""

    display_name: str  # as its paper writes it
    config: type[AlgorithmConfig]  # a frozen dataclass; its defaults are the preset `default`
    factory: str  # "module:function" of `make(spec, config) -> Algorithm`, imported on first use
    summary: str  # one line for --list
    colour: str = "#444444"  # in figures
    discrete: bool = False  # handles discrete actions
    continuous: bool = False  # handles continuous actions
    recurrent: bool = False  # by default its actors have a memory of the episode
    centralised: bool = False  # execution too: an agent's action depends on all agents' observations

    def make(self, spec: "EnvSpec", config: AlgorithmConfig) -> "Algorithm":
        """Builds the algorithm for an environment.

        Raises:
          ConfigError: choices that do not go together, or that this environment does not allow.
        """
        module, function = self.factory.split(":")
        return getattr(importlib.import_module(module), function)(spec, config)
