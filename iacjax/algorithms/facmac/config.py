"""FACMAC's configuration. No jax here, so that `--help` is quick.

The defaults are the official code with the sizes and rates of IAC's tables 5 to 7, so that it compares with IAC, MADDPG
and MAAC; targets follow slowly, as officially. The preset `official` has the settings that FACMAC's authors published
for Multi-Agent MuJoCo. The docstring under a field is its text in `--help`.
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
class FacmacConfig(AlgorithmConfig):
    """FACMAC (Peng et al. 2021), for continuous actions."""

    mixer: Literal["monotonic", "nonmonotonic", "vdn"] = "monotonic"
    """Q_tot of the Q_i: QMIX's network, the same without absolute weights (FACMAC-nonmonotonic), or their sum."""
    noise_scale: float = number(0.1, NOT_NEGATIVE)
    """Standard deviation of the exploration, in units of half the action's range (official: 0.1)."""
    regularisation: float = number(1e-3, NOT_NEGATIVE)
    """Weight of the mean square of the policies' actions (official: 1e-3)."""
    share_networks: bool = False
    """One policy and one critic for all agents, with the agent's id as input (official: so, on MuJoCo without id)."""

    hidden_dim: int = number(64, UNITS)
    """Units of the hidden layers of policies and critics (IAC's appendix B: 64; official: 400)."""
    policy_layers: int = number(3, LAYERS_OR_NONE)
    """Hidden layers of the policies (IAC's table 7: 3; official: 2)."""
    critic_layers: int = number(3, LAYERS)
    """Hidden layers of the individual critics (IAC's table 7: 3; official: 2)."""
    mixer_dim: int = number(64, UNITS)
    """Units of the mixing network (IAC and official: 64); none in a sum."""
    hyper_dim: int = number(64, UNITS)
    """Units of its hypernetworks (IAC and official: 64); none in a sum."""
    mixer_layers: int = number(2, LAYERS)
    """Layers of its hypernetworks (IAC's table 7 and official: 2); none in a sum."""

    gamma: float = number(0.95, FRACTION)
    """Discount (IAC's table 5: 0.95; official: 0.99)."""
    lr: float = number(1e-4, POSITIVE)
    """Learning rate of the policies, Adam (IAC's table 5: 1e-4; official: 1e-3)."""
    critic_lr: float = number(1e-3, POSITIVE)
    """Learning rate of critics and mixer, Adam (IAC's table 5 and official: 1e-3)."""
    adam_eps: float = number(1e-8, POSITIVE)
    """Adam's epsilon (official: 0.01, which makes small gradients' steps smaller)."""
    max_grad_norm: float = number(0.5, POSITIVE)
    """Gradient clip by the norm over all agents, of policies and of critics with mixer (official: 0.5); 1e9: none."""
    batch_size: int = number(256, COUNT)
    """Transitions of an update (IAC's table 5: 256; official: 100)."""
    buffer_size: int = number(500_000, COUNT)
    """Transitions that the replay holds, per seed (IAC's table 5: 5 x 10^5; official: 10^6)."""
    target_every: int = number(1, COUNT)
    """Targets move every so many updates (IAC's table 5: 200; official: 1)."""
    tau: float = number(0.005, FRACTION)
    """How far they move; 1 is a copy (official: 0.001; IAC copies every 200 updates, about as fast)."""
    num_envs: int = number(1, COUNT)
    """Parallel environments (official: 1)."""
    rollout_length: int = number(1, COUNT)
    """Rows per environment and iteration."""
    updates_per_step: float = number(1.0, UPDATES)
    """Updates per row of a rollout, an env step or the end of an episode (IAC and official: 1)."""
    warmup: int = number(256, COUNT_OR_ZERO)
    """Env steps before the first update (IAC's algorithm 1: as many as a batch; official: 10 000 for the actions)."""
    warmup_actions: Literal["uniform", "policy"] = "uniform"
    """The actions until then (official: uniform)."""
