"""Configurations of IAC and its ablations: frozen dataclasses without jax, so that `--help` is quick.

A docstring under a field is what `--help` shows. Table numbers are those of IAC's paper.
`without` names the fields that are no options of an ablation: the choices that make it, and what has no effect beside
them.
"""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class IacConfig:
    """IAC and its ablations: one learner, three choices (`exploration`, `critic` and `entropy`)."""

    added = {"warmup_actions": "uniform"}  # what saved runs that are older than a field trained by

    exploration: Literal["collaborative", "individual", "deterministic"] = "collaborative"
    """The policy in training: joint low-rank Gaussian (eq. 12 to 14), independent Gaussians, or mean + fixed noise."""
    critic: Literal["attention", "plain"] = "attention"
    """Individual action values that attend to the other agents (eq. 19 to 21), or that read their own agent alone."""
    entropy: Literal["joint", "individual", "none"] = "joint"
    """Of the joint policy (eq. 15), of each agent inside the mixer (eq. 25, 26), or none."""

    temperature: float = 0.01
    """alpha, the weight of the entropy (table 6: 0.01; Simple World: 0.02)."""
    entropy_in_target: bool = False
    """Joint entropy in the critic's target: eq. 5, 6 and 8 have it, eq. 24 as printed does not."""
    rank: int = 1
    """m, columns of the covariance factor L (table 5: 1)."""
    factor_limit: float = 1.0
    """Entries of L lie within +- this (appendix B: 1)."""
    factor_bound: Literal["tanh", "clip"] = "tanh"
    """How they are kept there."""
    factor_scale: float = 1.0
    """Initial weights of the last layer that makes L, times this."""
    diagonal: Literal["sigma", "constant"] = "sigma"
    """D of eq. 12: sigma^2 + `diagonal_min`, or `diagonal_min` alone (table 5 can be read either way)."""
    diagonal_min: float = 1e-6
    """Table 5's factor in the covariance diagonal matrix."""
    sigma_init: float = 1.0
    """Where sigma starts."""
    sigma_min: float = 1e-4
    """Lower bound of sigma."""
    sigma_max: float = 7.0
    """Upper bound of sigma."""
    squash: Literal["tanh", "none"] = "tanh"
    """Actions are tanh of the Gaussian scaled to the bounds, or the Gaussian itself, clipped to them (for Q too)."""
    noise_scale: float = 0.1
    """Standard deviation of a deterministic policy's exploration, in units of half the action's range."""
    noise_correlation: float = 0.0
    """Of exploration noise from one step to the next (AR(1), unit variance); 0: white, as in the paper."""
    share_policies: bool = False
    """One policy net for all agents, told the agent's id, or one an agent (the paper's theta_i)."""

    hidden_dim: int = 64
    """Units of every hidden layer (appendix B: 64; Simple World: 10)."""
    policy_layers: int = 3
    """Hidden layers of the individual policies (table 7: 3; Simple World: 0, one parameter)."""
    exploration_layers: int = 2
    """Hidden layers of the exploration module (table 7: 2)."""
    critic_layers: int = 3
    """Hidden layers of a plain individual critic (table 7: 3)."""
    heads: int = 4
    """Attention heads (table 5: 4; Simple World: 2, as its 10 units do not divide by 4)."""
    attention_scale: bool = True
    """Divide scores by the root of a head's size, as MAAC's code does; eq. 21 prints no division."""
    attention_layers: int = 2
    """Layers of h in eq. 20 (table 7, "mixing layer": 2)."""
    output_layers: int = 2
    """Hidden layers of f in eq. 19 (table 7, "output layer": 2)."""
    mixer_layers: int = 2
    """Layers of the mixer's hypernetworks (table 7, "QMIX net": 2)."""

    gamma: float = 0.95
    """Discount (table 5: 0.95)."""
    lr: float = 1e-4
    """Learning rate of policies and exploration module, Adam (table 5: 1e-4)."""
    critic_lr: float = 1e-3
    """Learning rate of critics and mixer, Adam (table 5: 1e-3)."""
    max_grad_norm: float = 0.0
    """Gradient clip by global norm; 0: none (the paper names none)."""
    batch_size: int = 256
    """Transitions of an update (table 5: 256)."""
    buffer_size: int = 500_000
    """Transitions that the replay holds, per seed (table 5: 5 x 10^5)."""
    target_every: int = 200
    """Hard copy of all networks into their targets every so many updates (table 5: 200)."""
    num_envs: int = 1
    """Parallel environments (paper: 1)."""
    rollout_length: int = 1
    """Rows per environment and iteration."""
    updates_per_step: float = 1.0
    """Updates per row of a rollout, an env step or the end of an episode (paper: 1)."""
    warmup: int = 256
    """Env steps before the first update (algorithm 1: as many as a batch)."""
    warmup_actions: Literal["uniform", "policy"] = "uniform"
    """What acts until then: uniform actions, as correlated in time as the noise is, or the policy (algorithm 1)."""


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
