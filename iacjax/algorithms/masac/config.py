"""Configurations of MASAC and HASAC. No jax here, so that `--help` is quick.

The defaults are the code of HASAC's authors with the sizes and rates of IAC's tables 5 to 7, so that both compare with
IAC, MADDPG and MAAC. HASAC's preset `official` has the settings that its authors published for Multi-Agent MuJoCo
(HalfCheetah, 2 x 3). The docstring under a field is its text in `--help`.
"""

import dataclasses
from typing import Literal

from iacjax.algorithms.common.config import AlgorithmConfig
from iacjax.schema import (
    COUNT,
    COUNT_OR_ZERO,
    FRACTION,
    LAYERS,
    LAYERS_OR_NONE,
    POSITIVE,
    UNITS,
    UPDATES,
    Bounds,
    number,
)


@dataclasses.dataclass(frozen=True)
class MasacConfig(AlgorithmConfig):
    """MASAC: soft actor-critic (Haarnoja et al. 2018) for each agent, with central twin critics."""

    without = ("actor_update", "order")

    actor_update: Literal["simultaneous", "sequential"] = "simultaneous"
    """All policies from one draw of actions, or one after the other, each from the newest actions of the others."""
    order: Literal["random", "fixed"] = "random"
    """The order of the agents, drawn for each update, or that of their numbers (official: random)."""
    auto_temperature: bool = True
    """Each agent's temperature is learned, so that its entropy is the target, or stays as it begins."""
    temperature: float = number(0.01, POSITIVE)
    """alpha, the weight of the entropy, at the beginning (IAC's table 6: 0.01; official: 1 if learned, else to 0.2)."""
    temperature_lr: float = number(3e-4, POSITIVE)
    """Learning rate of log alpha, Adam, where it is learned (official: 3e-4)."""
    target_entropy: float = number(-1.0, Bounds(-100, 100))
    """Entropy that a learned temperature aims at, per action dimension in [-1, 1] (official: -1)."""
    sigma_min: float = number(1e-4, POSITIVE)
    """Lower bound of the policies' standard deviation (official: 2e-9)."""
    sigma_max: float = number(7.0, POSITIVE)
    """Upper bound of it (official: 7.4)."""

    hidden_dim: int = number(64, UNITS)
    """Units of every hidden layer (IAC's appendix B: 64; official: 256)."""
    policy_layers: int = number(3, LAYERS_OR_NONE)
    """Hidden layers of the policies (IAC's table 7: 3; official: 2)."""
    critic_layers: int = number(3, LAYERS)
    """Hidden layers of the critics (IAC's table 7: 3; official: 2)."""

    gamma: float = number(0.95, FRACTION)
    """Discount (IAC's table 5: 0.95; official: 0.99)."""
    lr: float = number(1e-4, POSITIVE)
    """Learning rate of the policies, Adam (IAC's table 5: 1e-4; official: 1e-3)."""
    critic_lr: float = number(1e-3, POSITIVE)
    """Learning rate of the critics, Adam (IAC's table 5 and official: 1e-3)."""
    batch_size: int = number(256, COUNT)
    """Transitions of an update (IAC's table 5: 256; official: 1000)."""
    buffer_size: int = number(500_000, COUNT)
    """Transitions that the replay holds, per seed (IAC's table 5: 5 x 10^5; official: 10^6)."""
    target_every: int = number(1, COUNT)
    """The critics' targets move every so many updates (official: 1)."""
    tau: float = number(0.005, FRACTION)
    """How far they move; 1 is a copy (official: 0.005)."""
    num_envs: int = number(1, COUNT)
    """Parallel environments (IAC: 1; official: 20)."""
    rollout_length: int = number(1, COUNT)
    """Rows per environment and iteration (official: 50)."""
    updates_per_step: float = number(1.0, UPDATES)
    """Updates per row of a rollout, an env step or the end of an episode (IAC: 1; official: 0.05)."""
    warmup: int = number(256, COUNT_OR_ZERO)
    """Env steps before the first update (IAC's algorithm 1: as many as a batch; official: 10 000)."""
    warmup_actions: Literal["uniform", "policy"] = "uniform"
    """The actions until then (official: uniform)."""


@dataclasses.dataclass(frozen=True)
class HasacConfig(MasacConfig):
    """HASAC (Liu et al. 2024): MASAC whose policies are updated one after the other."""

    without = ("actor_update",)
    actor_update: Literal["simultaneous", "sequential"] = "sequential"
