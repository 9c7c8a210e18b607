"""The configuration of PQN-VDN. No jax here, so that `--help` is quick.

"JaxMARL" names its script pqn_vdn_rnn and that script's settings for SMAX, which are also those of
github.com/mttga/purejaxql (`--preset official`).
"""

import dataclasses
from typing import Literal

from iacjax.algorithms.common.config import AlgorithmConfig, check_minibatches
from iacjax.schema import COUNT, COUNT_OR_ZERO, EPOCHS, FRACTION, LAYERS, POSITIVE, UNITS, number


@dataclasses.dataclass(frozen=True)
class PqnVdnConfig(AlgorithmConfig):
    """PQN-VDN (Gallici et al. 2024): Q(lambda) on the newest rollout, without a replay and without target networks."""

    mixer: Literal["vdn", "none"] = "vdn"
    """The value that learns from the team's reward: the sum over the living agents (vdn), or each agent's own (none,
    independent PQN)."""
    share_agents: bool = True
    """One Q network for all agents, with the agent's id as input, or one for each agent."""
    hidden_dim: int = number(64, UNITS)
    """Units of the agents' layers and GRU (JaxMARL: 512)."""
    agent_layers: int = number(2, LAYERS)
    """Layers before the GRU, each normalised (JaxMARL: 2)."""
    norm: Literal["layer", "batch", "none"] = "layer"
    """Normalisation of these layers: LayerNorm (the paper), BatchNorm (JaxMARL on SMAX), or none."""
    norm_input: bool = False
    """The inputs are normalised too, as `norm` says (JaxMARL: True, always by BatchNorm)."""

    reward_scale: float = number(1.0, POSITIVE)
    """Factor of the rewards that are learned (JaxMARL: 10 on its SMAX, whose returns reach 2 where SMAC's reach 20)."""
    gamma: float = number(0.99, FRACTION)
    """Discount (JaxMARL: 0.99)."""
    td_lambda: float = number(0.85, FRACTION)
    """lambda of the returns (JaxMARL: 0.85)."""
    time_limit: Literal["truncate", "terminate"] = "truncate"
    """At a time limit: bootstrap (truncate), or treat it as an end of the task (JaxMARL: terminate)."""
    num_envs: int = number(32, COUNT)
    """Parallel environments (JaxMARL: 128)."""
    rollout_length: int = number(16, COUNT)
    """Rows per environment and iteration; episodes continue across iterations (JaxMARL: 128)."""
    epochs: int = number(4, EPOCHS)
    """Passes over a rollout (JaxMARL: 4)."""
    minibatches: int = number(4, COUNT)
    """Parts of a rollout, split over environments, each a gradient step (JaxMARL: 16)."""
    optimizer: Literal["radam", "adam"] = "radam"
    """Rectified Adam (JaxMARL), or Adam with eps 1e-5."""
    lr: float = number(5e-4, POSITIVE)
    """Learning rate (JaxMARL: 2.5e-4)."""
    anneal_steps: int = number(0, COUNT_OR_ZERO)
    """Env steps over which the learning rate falls linearly to `anneal_to` of itself; 0: never (JaxMARL: all)."""
    anneal_to: float = number(0.0, FRACTION)
    """The fraction of the learning rate that is left at the end of annealing (JaxMARL: 0)."""
    max_grad_norm: float = number(1.0, POSITIVE)
    """Gradient clip by global norm (JaxMARL: 1)."""
    epsilon_start: float = number(1.0, FRACTION)
    """Share of uniform actions at the start, agent by agent (JaxMARL: 1)."""
    epsilon_end: float = number(0.05, FRACTION)
    """Uniform exploration at the end of `epsilon_steps` (JaxMARL: 0.01)."""
    epsilon_steps: int = number(50_000, COUNT)
    """Env steps over which epsilon falls linearly (JaxMARL: a tenth of the training, 1 M)."""

    def check_choices(self) -> None:
        check_minibatches(self.num_envs, self.minibatches)
