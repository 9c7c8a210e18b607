"""MAAC's configuration. No jax here, so that `--help` is quick.

The defaults are what IAC's authors most likely ran: the official code, which they say they applied, with the "Shared"
rows of their table 5, the network sizes of table 7 and the temperature of table 6. The presets `official` have the
settings that MAAC's authors published. The docstring under a field is its text in `--help`.
"""

import dataclasses
from typing import Literal

from iacjax.algorithms.common.config import AlgorithmConfig, check_heads
from iacjax.schema import COUNT, COUNT_OR_ZERO, FRACTION, LAYERS_OR_NONE, NOT_NEGATIVE, POSITIVE, UNITS, UPDATES, number


@dataclasses.dataclass(frozen=True)
class MaacConfig(AlgorithmConfig):
    """MAAC (Iqbal and Sha 2019), for continuous actions."""

    added = {"normalise_rewards": False}

    temperature: float = number(0.01, NOT_NEGATIVE)
    """alpha, the weight of the entropy (IAC's table 6: 0.01; official: reward_scale 100, which is 1 / alpha)."""
    normalise_rewards: bool = True
    """Learn from (r - mean) / std over the replay's rewards (official: always); alpha is in units of that std then."""
    entropy_in_target: Literal["discounted", "undiscounted", "none"] = "discounted"
    """Target r + gamma (Q - alpha log pi), MAAC's paper; r + gamma Q - alpha log pi, its code; or r + gamma Q."""
    policy_gradient: Literal["reparameterised", "score"] = "reparameterised"
    """Through the sampled action, or MAAC's own: of log pi, with a baseline over an agent's other actions."""
    baseline_samples: int = number(8, UNITS)
    """Actions that the baseline of `score` averages over (MAAC: over all of them, where they can be counted)."""
    sigma_min: float = number(1e-4, POSITIVE)
    """Lower bound of the policies' standard deviation."""
    sigma_max: float = number(7.0, POSITIVE)
    """Upper bound of it."""
    normalise_obs: bool = True
    """Normalise each agent's observations by running statistics (official: BatchNorm of all inputs)."""
    regularisation: float = number(1e-3, NOT_NEGATIVE)
    """Weight of the mean square of a policy network's outputs (official: 1e-3)."""
    attention_regularisation: float = number(1e-3, NOT_NEGATIVE)
    """Weight of the mean square of the attention's scores (official: 1e-3)."""

    hidden_dim: int = number(64, UNITS)
    """Units of every hidden layer (IAC's appendix B: 64; official: 128)."""
    policy_layers: int = number(3, LAYERS_OR_NONE)
    """Hidden layers of the policies (IAC's table 7: 3; official: 2)."""
    heads: int = number(4, UNITS)
    """Attention heads (official: 4)."""

    gamma: float = number(0.95, FRACTION)
    """Discount (IAC's table 5: 0.95; official: 0.99)."""
    lr: float = number(1e-4, POSITIVE)
    """Learning rate of the policies, Adam (IAC's table 5: 1e-4; official: 1e-3)."""
    critic_lr: float = number(1e-3, POSITIVE)
    """Learning rate of the critic, Adam (IAC's table 5 and official: 1e-3)."""
    weight_decay: float = number(1e-3, NOT_NEGATIVE)
    """L2 of the critic, added to its gradient (official: 1e-3)."""
    max_grad_norm: float = number(0.5, POSITIVE)
    """Gradient clip by norm, for each agent's policy (official: 0.5); 1e9: none."""
    critic_max_grad_norm: float = number(10.0, POSITIVE)
    """Gradient clip of the critic by global norm, times the number of agents (official: 10); 1e9: none."""
    batch_size: int = number(256, COUNT)
    """Transitions of an update (IAC's table 5: 256; official: 1024)."""
    buffer_size: int = number(500_000, COUNT)
    """Transitions that the replay holds, per seed (IAC's table 5: 5 x 10^5; official: 10^6)."""
    target_every: int = number(200, COUNT)
    """Targets move every so many updates (IAC's table 5: 200; official: 1)."""
    tau: float = number(1.0, FRACTION)
    """How far they move; 1 is a copy (IAC: 1; official: 0.001)."""
    num_envs: int = number(1, COUNT)
    """Parallel environments (IAC: 1; official: 12)."""
    rollout_length: int = number(1, COUNT)
    """Rows per environment and iteration."""
    updates_per_step: float = number(1.0, UPDATES)
    """Updates per row of a rollout, an env step or the end of an episode (IAC: 1; official: 0.04)."""
    warmup: int = number(256, COUNT_OR_ZERO)
    """Env steps before the first update (IAC's algorithm 1: as many as a batch; official: 1024)."""
    warmup_actions: Literal["uniform", "policy"] = "uniform"
    """The actions until then (official: the policy's)."""

    def check_choices(self) -> None:
        check_heads(self.hidden_dim, self.heads)
