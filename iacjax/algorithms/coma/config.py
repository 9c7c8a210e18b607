"""COMA's configuration. No jax here: `--help` and wrong input are answered at once.

"PyMARL" names the published code of COMA's authors (github.com/oxwhirl/pymarl) and its settings for StarCraft.
"""

import dataclasses
from typing import Literal

from iacjax.algorithms.common.config import AlgorithmConfig, check_minibatches
from iacjax.schema import COUNT, COUNT_OR_ZERO, EPOCHS, FRACTION, POSITIVE, UNITS, number


@dataclasses.dataclass(frozen=True)
class ComaConfig(AlgorithmConfig):
    """COMA (Foerster et al. 2018): each agent's action is compared with the values of its other actions."""

    hidden_dim: int = number(64, UNITS)
    """Units of the actor's encoder and GRU (PyMARL: 64)."""
    shared_actor: bool = True
    """One set of actor parameters with the agent's id as input, or one set for each agent."""
    critic_dim: int = number(128, UNITS)
    """Units of the critic's two hidden layers (PyMARL: 128)."""
    critic_update: Literal["epochs", "per_time_index"] = "per_time_index"
    """The critic trains on whole minibatches, or one step per time index of the batch, last first (PyMARL)."""
    epochs: int = number(4, EPOCHS)
    """Passes over a batch of a critic that trains by `epochs`; the actor takes one step per batch (PyMARL)."""
    minibatches: int = number(4, COUNT)
    """Parts of such a pass, split over environments, each a gradient step of the critic."""
    target_every: int = number(200, COUNT)
    """Hard copy of the critic into its target every so many critic steps (PyMARL: 200)."""

    gamma: float = number(0.99, FRACTION)
    """Discount (PyMARL: 0.99)."""
    td_lambda: float = number(0.8, FRACTION)
    """lambda of the critic's targets (PyMARL: 0.8)."""
    time_limit: Literal["truncate", "terminate"] = "truncate"
    """At a time limit: bootstrap (truncate), or end the task, as SMAC reports it (PyMARL: terminate)."""
    num_envs: int = number(8, COUNT)
    """Parallel environments (PyMARL: 8)."""
    rollout_length: int = number(64, COUNT)
    """Rows per environment and iteration; episodes continue across iterations (PyMARL: 8 whole episodes)."""
    entropy: float = number(0.0, FRACTION)
    """Weight of the entropy bonus (PyMARL: 0)."""
    optimizer: Literal["adam", "rmsprop"] = "rmsprop"
    """`rmsprop` is PyMARL's: decay 0.99, eps 1e-5 outside the root."""
    lr: float = number(5e-4, POSITIVE)
    """Learning rate of the actor (PyMARL: 5e-4)."""
    critic_lr: float = number(5e-4, POSITIVE)
    """Learning rate of the critic (PyMARL: 5e-4)."""
    anneal_steps: int = number(0, COUNT_OR_ZERO)
    """Env steps over which the learning rates fall linearly to `anneal_to` of themselves; 0: never."""
    anneal_to: float = number(0.0, FRACTION)
    """The fraction of the learning rates that is left at the end of annealing."""
    max_grad_norm: float = number(10.0, POSITIVE)
    """Gradient clip by global norm, of actor and critic separately (PyMARL: 10)."""
    epsilon_start: float = number(0.5, FRACTION)
    """Uniform exploration mixed into the policy at the start (PyMARL: 0.5)."""
    epsilon_end: float = number(0.01, FRACTION)
    """Uniform exploration at the end of `epsilon_steps` (PyMARL: 0.01)."""
    epsilon_steps: int = number(100_000, COUNT)
    """Env steps over which epsilon falls linearly (PyMARL: 100000)."""

    def check_choices(self) -> None:
        if self.critic_update == "epochs":
            check_minibatches(self.num_envs, self.minibatches)
