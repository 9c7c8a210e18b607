"""Configurations of IAC's outside baselines: frozen dataclasses without jax, so that `--help` is quick.

The defaults are what IAC's authors most likely ran: the official codes, of which they say that they applied them, with
the "Shared" rows of their table 5, the network sizes of table 7 and the temperature of table 6. The presets `official`
have the baselines' own published settings. A docstring under a field is what `--help` shows.
"""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class MaddpgConfig:
    """MADDPG (Lowe et al. 2017)."""

    policy: Literal["deterministic", "gaussian"] = "gaussian"
    """A Gaussian that learns its own exploration (official), or mu_i(o_i) plus noise, as MADDPG's paper writes it."""
    noise_scale: float = 0.1
    """Standard deviation of a deterministic policy's exploration, in units of half the action's range."""
    sigma_min: float = 1e-4
    """Lower bound of a Gaussian policy's standard deviation (official: none)."""
    sigma_max: float = 7.0
    """Upper bound of it (official: none)."""
    regularisation: float = 1e-3
    """Weight of the mean square of what a policy net puts out (official: 1e-3)."""

    hidden_dim: int = 64
    """Units of every hidden layer (IAC's appendix B and official: 64)."""
    policy_layers: int = 3
    """Hidden layers of the policies (IAC's table 7: 3; official: 2)."""
    critic_layers: int = 3
    """Hidden layers of the critics (IAC's table 7: 3; official: 2)."""

    gamma: float = 0.95
    """Discount (IAC's table 5 and official: 0.95)."""
    lr: float = 1e-4
    """Learning rate of the policies, Adam (IAC's table 5: 1e-4; official: 1e-2)."""
    critic_lr: float = 1e-3
    """Learning rate of the critics, Adam (IAC's table 5: 1e-3; official: 1e-2)."""
    max_grad_norm: float = 0.5
    """Gradient clip by norm, for each weight matrix and bias of each agent (official: 0.5); 1e9: none."""
    batch_size: int = 256
    """Transitions of an update (IAC's table 5: 256; official: 1024)."""
    buffer_size: int = 500_000
    """Transitions that the replay holds, per seed (IAC's table 5: 5 x 10^5; official: 10^6)."""
    target_every: int = 200
    """Targets move every so many updates (IAC's table 5: 200; official: 1)."""
    tau: float = 1.0
    """How far they move; 1 is a copy (IAC: 1; official: 0.01)."""
    num_envs: int = 1
    """Parallel environments (official: 1)."""
    rollout_length: int = 1
    """Rows per environment and iteration."""
    updates_per_step: float = 1.0
    """Updates per row of a rollout, an env step or the end of an episode (IAC: 1; official: 0.01)."""
    warmup: int = 256
    """Env steps before the first update (IAC's algorithm 1: as many as a batch; official: 1024 x 25)."""
    warmup_actions: Literal["uniform", "policy"] = "uniform"
    """What acts until then (official: the policy)."""


@dataclasses.dataclass(frozen=True)
class MaacConfig:
    """MAAC (Iqbal and Sha 2019), for continuous actions."""

    added = {"normalise_rewards": False}  # what saved runs that are older than a field trained by

    temperature: float = 0.01
    """alpha, the weight of the entropy (IAC's table 6: 0.01; official: reward_scale 100, which is 1 / alpha)."""
    normalise_rewards: bool = True
    """Learn from (r - mean) / std over the replay's rewards (official: always); alpha is in units of that std then."""
    entropy_in_target: Literal["discounted", "undiscounted", "none"] = "discounted"
    """Target r + gamma (Q - alpha log pi), MAAC's paper; r + gamma Q - alpha log pi, its code; or r + gamma Q."""
    policy_gradient: Literal["reparameterised", "score"] = "reparameterised"
    """Through the sampled action, or MAAC's own: of log pi, with a baseline over an agent's other actions."""
    baseline_samples: int = 8
    """Actions that the baseline of `score` averages over (MAAC: over all of them, where they can be counted)."""
    sigma_min: float = 1e-4
    """Lower bound of the policies' standard deviation."""
    sigma_max: float = 7.0
    """Upper bound of it."""
    normalise_obs: bool = True
    """Normalise each agent's observations by running statistics (official: BatchNorm of all inputs)."""
    regularisation: float = 1e-3
    """Weight of the mean square of what a policy net puts out (official: 1e-3)."""
    attention_regularisation: float = 1e-3
    """Weight of the mean square of the attention's scores (official: 1e-3)."""

    hidden_dim: int = 64
    """Units of every hidden layer (IAC's appendix B: 64; official: 128)."""
    policy_layers: int = 3
    """Hidden layers of the policies (IAC's table 7: 3; official: 2)."""
    heads: int = 4
    """Attention heads (official: 4)."""

    gamma: float = 0.95
    """Discount (IAC's table 5: 0.95; official: 0.99)."""
    lr: float = 1e-4
    """Learning rate of the policies, Adam (IAC's table 5: 1e-4; official: 1e-3)."""
    critic_lr: float = 1e-3
    """Learning rate of the critic, Adam (IAC's table 5 and official: 1e-3)."""
    weight_decay: float = 1e-3
    """L2 of the critic, added to its gradient (official: 1e-3)."""
    max_grad_norm: float = 0.5
    """Gradient clip by norm, for each agent's policy (official: 0.5); 1e9: none."""
    critic_max_grad_norm: float = 10.0
    """Gradient clip of the critic by global norm, times the number of agents (official: 10); 1e9: none."""
    batch_size: int = 256
    """Transitions of an update (IAC's table 5: 256; official: 1024)."""
    buffer_size: int = 500_000
    """Transitions that the replay holds, per seed (IAC's table 5: 5 x 10^5; official: 10^6)."""
    target_every: int = 200
    """Targets move every so many updates (IAC's table 5: 200; official: 1)."""
    tau: float = 1.0
    """How far they move; 1 is a copy (IAC: 1; official: 0.001)."""
    num_envs: int = 1
    """Parallel environments (IAC: 1; official: 12)."""
    rollout_length: int = 1
    """Rows per environment and iteration."""
    updates_per_step: float = 1.0
    """Updates per row of a rollout, an env step or the end of an episode (IAC: 1; official: 0.04)."""
    warmup: int = 256
    """Env steps before the first update (IAC's algorithm 1: as many as a batch; official: 1024)."""
    warmup_actions: Literal["uniform", "policy"] = "uniform"
    """What acts until then (official: the policy)."""
