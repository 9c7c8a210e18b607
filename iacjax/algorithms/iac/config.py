"""Configurations of IAC and its ablations. No jax here, so that `--help` is quick.

The docstring under a field is its text in `--help`. Table numbers are those of IAC's paper.
"""

import dataclasses
from typing import Literal

from envs.errors import ConfigError
from iacjax.algorithms.common.config import AlgorithmConfig, check_heads
from iacjax.schema import (
    BELOW_ONE,
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
class IacConfig(AlgorithmConfig):
    """IAC and its ablations: one learner, three choices (`exploration`, `critic` and `entropy`)."""

    added = {"warmup_actions": "uniform"}

    exploration: Literal["collaborative", "individual", "deterministic"] = "collaborative"
    """The policy in training: joint low-rank Gaussian (eq. 12 to 14), independent Gaussians, or mean + fixed noise."""
    critic: Literal["attention", "plain"] = "attention"
    """Individual action values that attend to the other agents (eq. 19 to 21), or depend on their own agent alone."""
    entropy: Literal["joint", "individual", "none"] = "joint"
    """The entropy bonus: of the joint policy (eq. 15), of each agent inside the mixer (eq. 25, 26), or none."""

    temperature: float = number(0.01, NOT_NEGATIVE)
    """alpha, the weight of the entropy (table 6: 0.01; Simple World: 0.02)."""
    entropy_in_target: bool = False
    """Joint entropy in the critic's target: eq. 5, 6 and 8 have it, eq. 24 as printed does not."""
    rank: int = number(1, UNITS)
    """m, columns of the covariance factor L (table 5: 1)."""
    factor_limit: float = number(1.0, POSITIVE)
    """Entries of L lie within +- this (appendix B: 1)."""
    factor_bound: Literal["tanh", "clip"] = "tanh"
    """How the entries of L are limited."""
    factor_scale: float = number(1.0, POSITIVE)
    """Scale of the initial weights of the last layer of the exploration module."""
    diagonal: Literal["sigma", "constant"] = "sigma"
    """D of eq. 12: sigma^2 + `diagonal_min`, or `diagonal_min` alone (table 5 can be read either way)."""
    diagonal_min: float = number(1e-6, POSITIVE)
    """Smallest variance in D (table 5: "factor in the covariance diagonal matrix", 1e-6)."""
    sigma_init: float = number(1.0, POSITIVE)
    """Initial sigma (the paper names none)."""
    sigma_min: float = number(1e-4, POSITIVE)
    """Lower bound of sigma."""
    sigma_max: float = number(7.0, POSITIVE)
    """Upper bound of sigma."""
    squash: Literal["tanh", "none"] = "tanh"
    """Actions are tanh of the Gaussian scaled to the bounds, or the Gaussian itself, clipped to them (for Q too)."""
    noise_scale: float = number(0.1, NOT_NEGATIVE)
    """Standard deviation of a deterministic policy's exploration, in units of half the action's range."""
    noise_correlation: float = number(0.0, BELOW_ONE)
    """Correlation of exploration noise from step to step (AR(1), unit variance); 0: white, as in the paper."""
    share_policies: bool = False
    """One policy net for all agents, with the agent's id as input, or one for each agent (the paper's theta_i)."""

    hidden_dim: int = number(64, UNITS)
    """Units of every hidden layer (appendix B: 64; Simple World: 10)."""
    policy_layers: int = number(3, LAYERS_OR_NONE)
    """Hidden layers of the individual policies (table 7: 3; Simple World: 0, one parameter)."""
    exploration_layers: int = number(2, LAYERS)
    """Hidden layers of the exploration module (table 7: 2)."""
    critic_layers: int = number(3, LAYERS)
    """Hidden layers of a plain individual critic (table 7: 3)."""
    heads: int = number(4, UNITS)
    """Attention heads (table 5: 4; Simple World: 2, as its 10 units do not divide by 4)."""
    attention_scale: bool = True
    """Divide scores by the root of a head's size, as MAAC's code does; eq. 21 prints no division."""
    attention_layers: int = number(2, LAYERS)
    """Layers of h in eq. 20 (table 7, "mixing layer": 2)."""
    output_layers: int = number(2, LAYERS)
    """Hidden layers of f in eq. 19 (table 7, "output layer": 2)."""
    mixer_layers: int = number(2, LAYERS)
    """Layers of the mixer's hypernetworks (table 7, "QMIX net": 2)."""

    gamma: float = number(0.95, FRACTION)
    """Discount (table 5: 0.95)."""
    lr: float = number(1e-4, POSITIVE)
    """Learning rate of policies and exploration module, Adam (table 5: 1e-4)."""
    critic_lr: float = number(1e-3, POSITIVE)
    """Learning rate of critics and mixer, Adam (table 5: 1e-3)."""
    max_grad_norm: float = number(0.0, POSITIVE)
    """Gradient clip by global norm; 0: none (the paper names none)."""
    batch_size: int = number(256, COUNT)
    """Transitions of an update (table 5: 256)."""
    buffer_size: int = number(500_000, COUNT)
    """Transitions that the replay holds, per seed (table 5: 5 x 10^5)."""
    target_every: int = number(200, COUNT)
    """Hard copy of all networks into their targets every so many updates (table 5: 200)."""
    num_envs: int = number(1, COUNT)
    """Parallel environments (paper: 1)."""
    rollout_length: int = number(1, COUNT)
    """Rows per environment and iteration."""
    updates_per_step: float = number(1.0, UPDATES)
    """Updates per row of a rollout, an env step or the end of an episode (paper: 1)."""
    warmup: int = number(256, COUNT_OR_ZERO)
    """Env steps before the first update (algorithm 1: as many as a batch)."""
    warmup_actions: Literal["uniform", "policy"] = "uniform"
    """The actions until then: uniform, as correlated in time as the noise is, or the policy's (algorithm 1)."""

    def check_choices(self) -> None:
        if self.entropy == "individual" and self.exploration != "individual":
            text = "--entropy individual needs --exploration individual: the others have no density an agent"
            raise ConfigError(text)
        if self.entropy == "joint" and self.exploration == "deterministic":
            raise ConfigError("--exploration deterministic has no entropy: use --entropy none")
        if self.critic == "attention":
            check_heads(self.hidden_dim, self.heads)


_CHOICES = ("exploration", "critic", "entropy")
_SHARED_NOISE = ("rank", "factor_limit", "factor_bound", "factor_scale", "exploration_layers")
_GAUSSIAN = ("temperature", "diagonal", "diagonal_min", "sigma_init", "sigma_min", "sigma_max")
_ATTENTION = ("heads", "attention_scale", "attention_layers", "output_layers")
# Without a joint density there is no joint entropy for the target to have.
_INDIVIDUAL = (*_CHOICES, *_SHARED_NOISE, "entropy_in_target", "noise_scale")
_DETERMINISTIC = (*_CHOICES, *_SHARED_NOISE, "entropy_in_target", *_GAUSSIAN)


@dataclasses.dataclass(frozen=True)
class SqConfig(IacConfig):
    """SQ: IAC's policy with a plain QMIX critic."""

    without = (*_CHOICES, "noise_scale", *_ATTENTION)
    critic: Literal["attention", "plain"] = "plain"


@dataclasses.dataclass(frozen=True)
class AttnQmixConfig(IacConfig):
    """Attn-QMIX: IAC's critic with a deterministic policy."""

    without = (*_DETERMINISTIC, "critic_layers")
    exploration: Literal["collaborative", "individual", "deterministic"] = "deterministic"
    entropy: Literal["joint", "individual", "none"] = "none"


@dataclasses.dataclass(frozen=True)
class SiqConfig(IacConfig):
    """SIQ: individual soft policies, their entropies inside the mixer (eq. 25, 26), plain critic."""

    without = (*_INDIVIDUAL, *_ATTENTION)
    exploration: Literal["collaborative", "individual", "deterministic"] = "individual"
    critic: Literal["attention", "plain"] = "plain"
    entropy: Literal["joint", "individual", "none"] = "individual"


@dataclasses.dataclass(frozen=True)
class SiaqConfig(SiqConfig):
    """SIAQ: SIQ with IAC's attention critic."""

    without = (*_INDIVIDUAL, "critic_layers")
    critic: Literal["attention", "plain"] = "attention"


@dataclasses.dataclass(frozen=True)
class DdpgMixConfig(AttnQmixConfig):
    """DDPG-MIX: deterministic policies, plain QMIX critic."""

    without = (*_DETERMINISTIC, *_ATTENTION)
    critic: Literal["attention", "plain"] = "plain"
