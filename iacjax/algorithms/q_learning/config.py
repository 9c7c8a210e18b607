"""Configurations of the Q-learners with mixed values. No jax here, so that `--help` is quick.

The docstring under a field is its text in `--help`. "PyMARL" names the published settings of github.com/oxwhirl/pymarl
for StarCraft, "PyMARL2" those of github.com/hijkzzz/pymarl2 (Hu et al. 2021); tables are those of IAC's paper, whose
matrix game has presets of its own.
"""

import dataclasses
from typing import Literal

from envs.errors import ConfigError
from iacjax.algorithms.common.config import AlgorithmConfig
from iacjax.schema import COUNT, COUNT_OR_ZERO, FRACTION, LAYERS, NOT_NEGATIVE, POSITIVE, UNITS, UPDATES, number


@dataclasses.dataclass(frozen=True)
class QmixConfig(AlgorithmConfig):
    """IQL, VDN, QMIX, QMIXs: one learner, three choices (`mixer`, `recurrent` and `others_actions`)."""

    mixer: Literal["iql", "vdn", "qmix"] = "qmix"
    """The team's value of the agents': none (each learns by itself), their sum, or QMIX's network on the state."""
    recurrent: bool = True
    """Agents with a GRU, which learn from sequences; or feed-forward ones, which learn from single transitions."""
    others_actions: bool = False
    """Q_i(o_i, u_i, u_-i) also reads the others' actions (QMIXs, eq. 27); acting then needs all observations."""
    double_q: bool = True
    """The target's greedy actions are the online networks' (double Q-learning), or the target networks' own."""

    share_agents: bool = True
    """One Q network for all agents, with the agent's id as input, or one for each agent."""
    hidden_dim: int = number(64, UNITS)
    """Units of the agents' encoder and GRU, or of their hidden layers (PyMARL, table 7: 64)."""
    agent_layers: int = number(2, LAYERS)
    """Hidden layers without `recurrent` (table 7 names no number for discrete agents)."""
    mixer_dim: int = number(32, UNITS)
    """Units of the mixing network (PyMARL: 32)."""
    hyper_dim: int = number(64, UNITS)
    """Hidden units of the networks that make its weights (PyMARL, table 7: 64)."""
    mixer_layers: int = number(2, LAYERS)
    """Layers of those networks (PyMARL, table 7: 2; PyMARL's first version: 1)."""
    mixer_scale: float = number(1.0, POSITIVE)
    """Scale of the mixer's initial weights (PyMARL: 1; JaxMARL: 0.001, its states are large)."""

    reward_scale: float = number(1.0, POSITIVE)
    """Factor of the rewards that are learned (JaxMARL: 10 on its SMAX, whose returns reach 2 where SMAC's reach 20)."""
    gamma: float = number(0.99, FRACTION)
    """Discount (PyMARL: 0.99)."""
    td_lambda: float = number(0.0, FRACTION)
    """lambda of the returns with `recurrent` (PyMARL: 0, one step; PyMARL2: 0.6)."""
    time_limit: Literal["truncate", "terminate"] = "truncate"
    """At a time limit: bootstrap (truncate), or treat it as an end of the task (PyMARL on StarCraft: terminate)."""
    lr: float = number(5e-4, POSITIVE)
    """Learning rate (PyMARL: 5e-4)."""
    optimizer: Literal["adam", "rmsprop"] = "rmsprop"
    """`rmsprop` is PyMARL's: decay 0.99, eps 1e-5 outside the root."""
    max_grad_norm: float = number(10.0, POSITIVE)
    """Gradient clip by global norm (PyMARL: 10)."""
    batch_size: int = number(32, COUNT)
    """Sequences of an update (PyMARL: 32 episodes), or transitions without `recurrent`."""
    window: int = number(0, COUNT_OR_ZERO)
    """Rows of a sequence; 0: the environment's horizon plus 1, the least with which whole episodes are learned."""
    whole_episodes: bool = True
    """A sequence counts to the end of its first episode (PyMARL), or with the episodes that follow in it."""
    buffer_size: int = number(200_000, COUNT)
    """Rows that the replay holds, per seed: about 5000 episodes of 2s3z (PyMARL: 5000). An episode has one row more
    than steps."""
    storage: Literal["float16", "bfloat16", "float32"] = "float16"
    """The type in which the replay keeps observations and states of sequences."""
    target_every: int = number(200, COUNT)
    """Hard copy into the target networks every so many updates (PyMARL: 200 episodes, of one update each)."""
    num_envs: int = number(8, COUNT)
    """Parallel environments (PyMARL: 1; PyMARL2: 8)."""
    rollout_length: int = number(8, COUNT)
    """Rows per environment and iteration; episodes continue across iterations."""
    updates_per_step: float = number(1 / 64, UPDATES)
    """Updates per row of a rollout (an env step, or an episode's end), at least one per iteration (PyMARL: one per
    episode)."""
    warmup: int = number(2000, COUNT_OR_ZERO)
    """Env steps before the first update (PyMARL: 32 episodes), at least a sequence in every environment."""
    epsilon_start: float = number(1.0, FRACTION)
    """Share of uniform actions at the start, agent by agent (PyMARL: 1)."""
    epsilon_end: float = number(0.05, FRACTION)
    """Uniform exploration at the end of `epsilon_steps` (PyMARL: 0.05)."""
    epsilon_steps: int = number(50_000, COUNT)
    """Env steps over which epsilon falls linearly (PyMARL: 50000)."""

    def check_choices(self) -> None:
        if self.recurrent and self.others_actions:
            raise ConfigError("--others-actions has no recurrent agents: use --no-recurrent with it")
        if self.others_actions and self.mixer == "iql":
            raise ConfigError("--mixer iql has no team value that joint actions could be chosen by: use vdn or qmix")
        # A float that a sweep may trace: such a sweep then compiles each value by itself.
        if not self.recurrent and self.td_lambda:
            raise ConfigError("--td-lambda needs sequences: use --recurrent, or --td-lambda 0")


_MIXER = ("mixer_dim", "hyper_dim", "mixer_layers", "mixer_scale")
_SEQUENCES = ("td_lambda", "window", "whole_episodes", "storage")


@dataclasses.dataclass(frozen=True)
class VdnConfig(QmixConfig):
    """VDN (Sunehag et al. 2018): the team's value is the sum of the agents'."""

    without = ("mixer", *_MIXER)
    mixer: Literal["iql", "vdn", "qmix"] = "vdn"


@dataclasses.dataclass(frozen=True)
class IqlConfig(QmixConfig):
    """IQL (Tan 1993): each agent learns by itself, from the team's reward."""

    without = ("mixer", "others_actions", *_MIXER)
    mixer: Literal["iql", "vdn", "qmix"] = "iql"


@dataclasses.dataclass(frozen=True)
class QmixsConfig(QmixConfig):
    """QMIXs (IAC, appendix A): QMIX whose agents know each other's actions. Centralised, small games only."""

    without = ("recurrent", "others_actions", *_SEQUENCES)
    recurrent: bool = False
    others_actions: bool = True


@dataclasses.dataclass(frozen=True)
class QtranConfig(QmixConfig):
    """QTRAN-base (Son et al. 2019, in PyMARL's form): a joint value, and individual ones that have its best action."""

    without = ("mixer", "recurrent", "others_actions", "agent_layers", "hyper_dim", "mixer_layers", "mixer_scale")
    mixer_dim: int = number(64, UNITS)
    """Units of the joint value's networks (PyMARL: 64)."""
    opt_weight: float = number(1.0, NOT_NEGATIVE)
    """Weight of L_opt (PyMARL, QTRAN's paper: 1)."""
    nopt_weight: float = number(0.1, NOT_NEGATIVE)
    """Weight of L_nopt (PyMARL: 0.1; QTRAN's paper: 1)."""

    def check_choices(self) -> None:
        if not self.recurrent or self.others_actions:
            text = "qtran's joint value reads recurrent agents' memories: use --recurrent --no-others-actions"
            raise ConfigError(text)


@dataclasses.dataclass(frozen=True)
class QplexConfig(QmixConfig):
    """QPLEX (Wang et al. 2021): a duplex duelling mixer, which reaches every value whose best action is the agents'."""

    without = ("mixer", "recurrent", "others_actions", "agent_layers", "mixer_dim")
    kernels: int = number(4, UNITS)
    """Kernels of the attention that weighs the agents' advantages (QPLEX on StarCraft: 4, on matrix games: 10)."""
    advantage_layers: int = number(1, LAYERS)
    """Layers of the networks that make those weights (QPLEX on StarCraft: 1, on matrix games: 3)."""
    advantage_dim: int = number(64, UNITS)
    """Hidden units of these networks, with two layers or more (QPLEX: 64)."""

    def check_choices(self) -> None:
        if not self.recurrent or self.others_actions:
            raise ConfigError("qplex has recurrent agents alone: use --recurrent --no-others-actions")
