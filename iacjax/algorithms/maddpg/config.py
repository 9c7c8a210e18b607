"""MADDPG's configuration. No jax here, so that `--help` is quick.

The defaults are what IAC's authors most likely ran: the official code, which they say they applied, with the "Shared"
rows of their table 5, the network sizes of table 7 and the temperature of table 6. The presets `official` have the
settings that MADDPG's authors published. The docstring under a field is its text in `--help`.
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
    NOT_NEGATIVE,
    POSITIVE,
    UNITS,
    UPDATES,
    number,
)


@dataclasses.dataclass(frozen=True)
class MaddpgConfig(AlgorithmConfig):
    """MADDPG (Lowe et al. 2017)."""

    policy: Literal["deterministic", "gaussian"] = "gaussian"
    """A Gaussian that learns its own exploration (official), or mu_i(o_i) plus noise, as MADDPG's paper writes it."""
    noise_scale: float = number(0.1, NOT_NEGATIVE)
    """Standard deviation of a deterministic policy's exploration, in units of half the action's range."""
    sigma_min: float = number(1e-4, POSITIVE)
    """Lower bound of a Gaussian policy's standard deviation (official: none)."""
    sigma_max: float = number(7.0, POSITIVE)
    """Upper bound of it (official: none)."""
    regularisation: float = number(1e-3, NOT_NEGATIVE)
    """Weight of the mean square of a policy network's outputs (official: 1e-3)."""

    hidden_dim: int = number(64, UNITS)
    """Units of every hidden layer (IAC's appendix B and official: 64)."""
    policy_layers: int = number(3, LAYERS_OR_NONE)
    """Hidden layers of the policies (IAC's table 7: 3; official: 2)."""
    critic_layers: int = number(3, LAYERS)
    """Hidden layers of the critics (IAC's table 7: 3; official: 2)."""

    gamma: float = number(0.95, FRACTION)
    """Discount (IAC's table 5 and official: 0.95)."""
    lr: float = number(1e-4, POSITIVE)
    """Learning rate of the policies, Adam (IAC's table 5: 1e-4; official: 1e-2)."""
    critic_lr: float = number(1e-3, POSITIVE)
    """Learning rate of the critics, Adam (IAC's table 5: 1e-3; official: 1e-2)."""
    max_grad_norm: float = number(0.5, POSITIVE)
    """Gradient clip by norm, for each weight matrix and bias of each agent (official: 0.5); 1e9: none."""
    batch_size: int = number(256, COUNT)
    """Transitions of an update (IAC's table 5: 256; official: 1024)."""
    buffer_size: int = number(500_000, COUNT)
    """Transitions that the replay holds, per seed (IAC's table 5: 5 x 10^5; official: 10^6)."""
    target_every: int = number(200, COUNT)
    """Targets move every so many updates (IAC's table 5: 200; official: 1)."""
    tau: float = number(1.0, FRACTION)
    """How far they move; 1 is a copy (IAC: 1; official: 0.01)."""
    num_envs: int = number(1, COUNT)
    """Parallel environments (official: 1)."""
    rollout_length: int = number(1, COUNT)
    """Rows per environment and iteration."""
    updates_per_step: float = number(1.0, UPDATES)
    """Updates per row of a rollout, an env step or the end of an episode (IAC: 1; official: 0.01)."""
    warmup: int = number(256, COUNT_OR_ZERO)
    """Env steps before the first update (IAC's algorithm 1: as many as a batch; official: 1024 x 25)."""
    warmup_actions: Literal["uniform", "policy"] = "uniform"
    """The actions until then (official: the policy's)."""
