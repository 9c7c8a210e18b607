"""Configurations of AIIR-MIX, RMIX, AIIR and LIIR. No jax here, so that `--help` is quick.

The docstring under a field is its text in `--help`. "LIIR" names the published settings of the code that AIIR-MIX's
authors most likely started from (`--preset paper`); a default that differs was tuned for sample efficiency here.
"""

import dataclasses
from typing import Literal

from iacjax.algorithms.common.config import AlgorithmConfig, check_minibatches
from iacjax.schema import COUNT, COUNT_OR_ZERO, EPOCHS, FRACTION, NOT_NEGATIVE, POSITIVE, UNITS, number


@dataclasses.dataclass(frozen=True)
class IntrinsicConfig(AlgorithmConfig):
    """LIIR, RMIX, AIIR, AIIR-MIX: one learner, two choices (`reward_net` and `combine`)."""

    added = {"embed_end": "relu", "attention_temperature": 1.0}

    reward_net: Literal["attention", "mlp", "none"] = "attention"
    """What makes r_in: `attention` over agents (AIIR, eq. 9 to 12), `mlp` LIIR's net, `none`: r_total = r_ex."""
    combine: Literal["mixing", "linear", "sum"] = "mixing"
    """r_total of r_ex and r_in: `mixing` (eq. 14), `linear` (eq. 13, weights learned), `sum` (eq. 13, fixed weight)."""
    similarity: Literal["cosine", "dot", "mlp"] = "cosine"
    """The attention's similarity (eq. 9)."""
    embed_end: Literal["linear", "relu"] = "linear"
    """Last layer of the feature extractor. The paper's "ReLU-FC-ReLU-FC" ends in a linear one; after a ReLU no cosine
    is negative, and of five agents' weights none can leave [0.08, 0.41]."""
    attention_temperature: float = number(0.2, POSITIVE)
    """The similarities are divided by it before the softmax of eq. 10; lower: more concentrated. As printed it is 1, at
    which cosines leave the weights nearly uniform."""
    reward_action: Literal["taken", "last"] = "taken"
    """The reward net's input: the action just taken, or the one before it, which could not credit the action."""
    embed_dim: int = number(64, UNITS)
    """Units of the reward net's hidden layers; the last is the attention embedding v_i."""
    reward_bound: float = number(10.0, POSITIVE)
    """r_in is bounded to +-this by b tanh(x / b) (LIIR's code)."""
    mix_dim: int = number(32, UNITS)
    """Hidden units of the reward mixing network."""
    mix_activation: Literal["none", "elu", "relu"] = "none"
    """The activation between its two layers. Eq. 14 as printed has none."""
    mix_init: Literal["identity", "random"] = "identity"
    """`identity`: r_total starts as r_ex + small; `random`: weights and biases from U(-1, 1), as a linear layer of one
    input starts in PyTorch; r_total may then fall as r_ex rises."""
    intrinsic_weight: float = number(0.01, NOT_NEGATIVE)
    """lambda of eq. 13 (LIIR: 0.01), and the weight of r_in at the start of `mixing` and `linear`."""
    reward_lr: float = number(5e-4, POSITIVE)
    """Learning rate of the reward net and the mixing (LIIR: 5e-4)."""
    lookahead_lr: float = number(5e-4, POSITIVE)
    """Step size beta of the look-ahead theta' = theta + beta grad; the meta-gradient is divided by it."""

    hidden_dim: int = number(64, UNITS)
    """Units of the actor's encoder and GRU (LIIR: 64)."""
    shared_actor: bool = True
    """One set of actor parameters with the agent's id as input, or one set for each agent."""
    critic_dim: int = number(128, UNITS)
    """Units of both hidden layers of both critics (LIIR: 128)."""
    critic_others_actions: bool = False
    """V_total,i also reads the others' current actions (LIIR: True)."""
    critic_update: Literal["epochs", "per_time_index"] = "epochs"
    """Critics train in the actor's epochs, or one step per time index of the batch, last first (LIIR)."""
    critic_target_every: int = number(0, COUNT_OR_ZERO)
    """Hard copy of both critics into their targets every so many critic steps (LIIR: 200); 0: no target copies."""

    gamma: float = number(0.99, FRACTION)
    """Discount (LIIR: 0.99)."""
    td_lambda: float = number(0.95, FRACTION)
    """lambda of the returns and advantages (LIIR: 0.8)."""
    time_limit: Literal["truncate", "terminate"] = "truncate"
    """At a time limit: bootstrap (truncate), or end the task, as PyMARL stores it (LIIR: terminate)."""
    num_envs: int = number(64, COUNT)
    """Parallel environments (LIIR: 32)."""
    rollout_length: int = number(32, COUNT)
    """Rows per environment and iteration; episodes continue across iterations."""
    epochs: int = number(4, EPOCHS)
    """Passes over a batch (LIIR: 1, which makes the clipped loss the plain policy gradient)."""
    minibatches: int = number(4, COUNT)
    """Parts of a batch, split over environments, each a gradient step."""
    clip: float = number(0.2, POSITIVE)
    """Clipping of the probability ratio."""
    entropy: float = number(0.01, FRACTION)
    """Weight of the entropy bonus."""
    optimizer: Literal["adam", "rmsprop"] = "adam"
    """`rmsprop` is PyMARL's: decay 0.99, eps 1e-5 outside the root."""
    lr: float = number(2e-3, POSITIVE)
    """Learning rate of the actor (LIIR: 5e-4)."""
    critic_lr: float = number(1e-3, POSITIVE)
    """Learning rate of both critics (LIIR: 5e-4)."""
    anneal_steps: int = number(1_000_000, COUNT_OR_ZERO)
    """Env steps over which actor's and critics' learning rates fall linearly to `anneal_to` of themselves; 0: never."""
    anneal_to: float = number(0.25, FRACTION)
    """The fraction of the learning rates that is left at the end of annealing."""
    max_grad_norm: float = number(10.0, POSITIVE)
    """Gradient clip by global norm (LIIR: 10)."""
    value_norm: bool = True
    """Critics predict normalised values, V_total and V_ex separately (LIIR: False)."""
    epsilon_start: float = number(0.0, FRACTION)
    """Uniform exploration mixed into the policy at the start (LIIR: 0.5)."""
    epsilon_end: float = number(0.0, FRACTION)
    """Uniform exploration at the end of `epsilon_steps` (LIIR: 0.01)."""
    epsilon_steps: int = number(50_000, COUNT)
    """Env steps over which epsilon falls linearly (LIIR: 50000)."""

    def check_choices(self) -> None:
        check_minibatches(self.num_envs, self.minibatches)


@dataclasses.dataclass(frozen=True)
class AiirMixConfig(IntrinsicConfig):
    """AIIR-MIX: attention-made individual intrinsic rewards, mixed with the team reward by eq. 14."""

    reward_lr: float = number(5e-5, POSITIVE)
    """Learning rate of the reward net and the mixing (LIIR: 5e-4, at which 8m is learned late; the paper has none)."""


_ATTENTION = ("similarity", "embed_end", "attention_temperature")
_MIXING = ("mix_dim", "mix_activation", "mix_init")


@dataclasses.dataclass(frozen=True)
class RmixConfig(IntrinsicConfig):
    """RMIX: LIIR's reward net with AIIR-MIX's mixing, that is, AIIR-MIX without its attention."""

    without = ("reward_net", "combine", *_ATTENTION)
    reward_net: Literal["attention", "mlp", "none"] = "mlp"
    embed_dim: int = number(128, UNITS)  # as in LIIR's code


@dataclasses.dataclass(frozen=True)
class LiirConfig(RmixConfig):
    """LIIR (Du et al. 2019): its own reward net, r_total = r_ex + lambda r_in."""

    without = ("reward_net", "combine", *_ATTENTION, *_MIXING)
    combine: Literal["mixing", "linear", "sum"] = "sum"


@dataclasses.dataclass(frozen=True)
class AiirConfig(IntrinsicConfig):
    """AIIR: attention-made intrinsic rewards, combined linearly: AIIR-MIX without its mixing."""

    without = ("reward_net", "combine", *_MIXING)
    combine: Literal["mixing", "linear", "sum"] = "linear"
