"""The configurations of IPPO, MAPPO, HAPPO and MAT. No jax here: `--help` and wrong input are answered at once.

"JaxMARL" names its scripts for SMAX (baselines/IPPO and MAPPO, ..._rnn_smax), whose settings the defaults are;
"MAPPO" the code that Yu et al. 2022 published, its settings for StarCraft (`--preset paper`); "HARL" that of HAPPO;
"official" that of MAT, github.com/PKU-MARL/Multi-Agent-Transformer, its script for StarCraft (`--preset official`).
"""

import dataclasses
from typing import Literal

from iacjax.algorithms.common.config import AlgorithmConfig, check_heads, check_minibatches
from iacjax.schema import (
    BELOW_ONE,
    COUNT,
    COUNT_OR_ZERO,
    EPOCHS,
    FRACTION,
    LAYERS,
    NOT_NEGATIVE,
    POSITIVE,
    UNITS,
    number,
)


@dataclasses.dataclass(frozen=True)
class ClippingConfig(AlgorithmConfig):
    """What all of them and MAT have: returns, rollouts, the gradient steps of a batch."""

    gamma: float = number(0.99, FRACTION)
    """Discount."""
    td_lambda: float = number(0.95, FRACTION)
    """lambda of the advantages (GAE) and of the returns that the critic learns."""
    time_limit: Literal["truncate", "terminate"] = "truncate"
    """At a time limit: bootstrap (truncate; HARL skips the last step), or an end of the task (others: terminate)."""
    num_envs: int = number(128, COUNT)
    """Parallel environments (MAPPO: 8)."""
    rollout_length: int = number(128, COUNT)
    """Rows per environment and iteration; episodes continue across iterations (MAPPO: 400)."""
    epochs: int = number(4, EPOCHS)
    """Passes over a batch (MAPPO: 5, 10 or 15 by map)."""
    minibatches: int = number(4, COUNT)
    """Parts of a batch, split over environments, each a gradient step (MAPPO: 1)."""
    clip: float = number(0.2, POSITIVE)
    """Clipping of the probability ratio."""
    value_clip: float = number(0.2, NOT_NEGATIVE)
    """Clipping of a value's change within one batch, in the critic's own units; 0: unclipped."""
    huber_delta: float = number(0.0, NOT_NEGATIVE)
    """Errors of the critic beyond this count linearly (MAPPO: 10); 0: squared throughout."""
    entropy: float = number(0.01, FRACTION)
    """Weight of the entropy bonus."""
    optimizer: Literal["adam", "rmsprop"] = "adam"
    """`adam` has eps 1e-5; `rmsprop` is PyMARL's: decay 0.99, eps 1e-5 outside the root."""
    lr: float = number(2e-3, POSITIVE)
    """Learning rate of the actor (MAPPO: 5e-4)."""
    anneal_steps: int = number(0, COUNT_OR_ZERO)
    """Env steps over which the learning rates fall linearly to `anneal_to` of themselves; 0: never."""
    anneal_to: float = number(0.0, FRACTION)
    """The fraction of the learning rates that is left at the end of annealing."""
    max_grad_norm: float = number(0.25, POSITIVE)
    """Gradient clip by global norm, of actor and critic separately (MAPPO: 10)."""
    value_norm: bool = True
    """The critic predicts normalised values (MAPPO: True, JaxMARL: False, whose rewards are 20 times smaller)."""
    value_norm_decay: float = number(0.9, BELOW_ONE)
    """Decay of the running moments of the returns, per batch (MAPPO: 0.99999 at every gradient step)."""

    def check_choices(self) -> None:
        check_minibatches(self.num_envs, self.minibatches)


@dataclasses.dataclass(frozen=True)
class PpoConfig(ClippingConfig):
    """IPPO and MAPPO: one learner, one choice (`critic_input`); HAPPO has its own order of updates."""

    added = {"value_norm_decay": 0.9, "layer_norm": False, "actor_memory": True}
    added |= {"squash": "none", "state_std": False, "sigma_init": 1.0}

    critic_input: Literal["obs", "state", "state_and_obs"] = "state"
    """The inputs of V_i, with the agent's id: own observations and last action (IPPO), the state, or all of them."""
    critic_memory: bool = True
    """The critic is recurrent too (JaxMARL, MAPPO), or feed-forward."""
    critic_dim: int = number(128, UNITS)
    """Units of the critic's layers (JaxMARL: 128, MAPPO: 64)."""
    hidden_dim: int = number(128, UNITS)
    """Units of the actor's encoder and GRU (JaxMARL: 128, MAPPO: 64)."""
    actor_memory: bool = True
    """The actor is recurrent and knows its last action, or it acts by the present observation alone."""
    shared_actor: bool = True
    """One set of actor parameters with the agent's id as input, or one set for each agent."""
    squash: Literal["none", "tanh"] = "none"
    """Continuous actions: the Gaussian's value clipped to the bounds (all codes: not clipped), or tanh of it."""
    state_std: bool = False
    """Continuous actions: deviations are outputs of the actor, or parameters that depend on no input (all codes)."""
    sigma_init: float = number(1.0, POSITIVE)
    """Continuous actions: the first standard deviation, in half ranges (MAPPO, JaxMARL: 1, HARL: 0.37)."""
    layer_norm: bool = False
    """LayerNorm of the inputs, after each layer and after the GRU, of actor and critic (MAPPO: True)."""
    critic_lr: float = number(2e-3, POSITIVE)
    """Learning rate of the critic (MAPPO: 5e-4)."""


@dataclasses.dataclass(frozen=True)
class MappoConfig(PpoConfig):
    """MAPPO (Yu et al. 2022): PPO whose critic reads the state."""

    entropy: float = number(0.0, FRACTION)


@dataclasses.dataclass(frozen=True)
class IppoConfig(PpoConfig):
    """IPPO (de Witt et al. 2020): PPO whose critics read each agent's own observations."""

    critic_input: Literal["obs", "state", "state_and_obs"] = "obs"
    lr: float = number(4e-3, POSITIVE)
    critic_lr: float = number(4e-3, POSITIVE)
    clip: float = number(0.05, POSITIVE)
    value_clip: float = number(0.05, NOT_NEGATIVE)


@dataclasses.dataclass(frozen=True)
class HappoConfig(PpoConfig):
    """HAPPO (Kuba et al. 2022): PPO whose agents learn one after the other, each with parameters of its own."""

    shared_actor: bool = False
    agent_order: Literal["random", "fixed"] = "random"
    """The order in which the agents learn: drawn for every batch, or that of their numbers (HARL: random)."""


@dataclasses.dataclass(frozen=True)
class MatConfig(ClippingConfig):
    """MAT (Wen et al. 2022): PPO of a transformer whose agents act one after the other, knowing those before."""

    hidden_dim: int = number(64, UNITS)
    """Units of all layers (official: 64)."""
    blocks: int = number(1, LAYERS)
    """Blocks of the encoder, and of the decoder (official: 1)."""
    heads: int = number(1, COUNT)
    """Heads of every attention (official: 1)."""
    last_action: bool = True
    """The encoder reads the agents' last actions too (official: True on StarCraft, as part of its observations)."""
    squash: Literal["none", "tanh"] = "none"
    """Continuous actions: the Gaussian's value clipped to the bounds (official: not clipped), or tanh of it."""
    sigma_init: float = number(1.0, POSITIVE)
    """Continuous actions: the first standard deviation, in half ranges (official: 0.37, and always below 0.5)."""
    num_envs: int = number(64, COUNT)
    """Parallel environments (official: 32)."""
    rollout_length: int = number(32, COUNT)
    """Rows per environment and iteration; episodes continue across iterations (official: 100)."""
    epochs: int = number(4, EPOCHS)
    """Passes over a batch (official: 15)."""
    lr: float = number(1e-3, POSITIVE)
    """Learning rate of encoder and decoder (official: 5e-4)."""
    max_grad_norm: float = number(10.0, POSITIVE)
    """Gradient clip by global norm, of encoder and decoder together (official: 10)."""
    value_weight: float = number(1.0, NOT_NEGATIVE)
    """Weight of the value loss, whose gradient shares the encoder with the policy's (official: 1)."""

    def check_choices(self) -> None:
        super().check_choices()
        check_heads(self.hidden_dim, self.heads)
