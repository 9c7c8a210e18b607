"""Configurations of the Q-learners with mixed values: frozen dataclasses without jax, so that `--help` is quick.

A docstring under a field is what `--help` shows. "PyMARL" names the published settings of github.com/oxwhirl/pymarl for
StarCraft, "PyMARL2" those of github.com/hijkzzz/pymarl2 (Hu et al. 2021); tables are those of IAC's paper, whose matrix
game has presets of its own. `without` names the fields that are no options of a row: the choices that make it, and
what has no effect beside them.
"""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class QmixConfig:
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
    """One Q network for all agents, told the agent's id, or one an agent."""
    hidden_dim: int = 64
    """Units of the agents' encoder and GRU, or of their hidden layers (PyMARL, table 7: 64)."""
    agent_layers: int = 2
    """How many hidden layers without `recurrent` (table 7 names none for discrete agents)."""
    mixer_dim: int = 32
    """Units of the mixing network (PyMARL: 32)."""
    hyper_dim: int = 64
    """Hidden units of the networks that make its weights (PyMARL, table 7: 64)."""
    mixer_layers: int = 2
    """Layers of those networks (PyMARL, table 7: 2; PyMARL's first version: 1)."""
    mixer_scale: float = 1.0
    """Scale of the weights that the state makes at the start (PyMARL: 1; JaxMARL: 0.001, its states are large)."""

    reward_scale: float = 1.0
    """Rewards are learned times this (JaxMARL: 10 on its SMAX, whose battles pay 2 where SMAC's pay 20)."""
    gamma: float = 0.99
    """Discount (PyMARL: 0.99)."""
    td_lambda: float = 0.0
    """lambda of the returns with `recurrent` (PyMARL: 0, one step; PyMARL2: 0.6)."""
    time_limit: Literal["truncate", "terminate"] = "truncate"
    """A time limit bootstraps (truncate), or counts as an end of the task (PyMARL on StarCraft: terminate)."""
    lr: float = 5e-4
    """Learning rate (PyMARL: 5e-4)."""
    optimizer: Literal["adam", "rmsprop"] = "rmsprop"
    """`rmsprop` is PyMARL's: decay 0.99, eps 1e-5 outside the root."""
    max_grad_norm: float = 10.0
    """Gradient clip by global norm (PyMARL: 10)."""
    batch_size: int = 32
    """Sequences of an update (PyMARL: 32 episodes), or transitions without `recurrent`."""
    window: int = 0
    """Rows of a sequence; 0: the world's horizon and one more, the least with which all of an episode is learned."""
    whole_episodes: bool = True
    """A sequence counts to the end of its first episode (PyMARL), or with the episodes that follow in it."""
    buffer_size: int = 200_000
    """Rows that the replay holds, per seed: about 5000 battles (PyMARL: 5000 episodes). An episode has one row more
    than steps."""
    storage: Literal["float16", "bfloat16", "float32"] = "float16"
    """How sequences' observations and states are kept."""
    target_every: int = 200
    """Hard copy into the target networks every so many updates (PyMARL: 200 episodes, of one update each)."""
    num_envs: int = 8
    """Parallel environments (PyMARL: 1; PyMARL2: 8)."""
    rollout_length: int = 8
    """Rows per environment and iteration; episodes go on across iterations."""
    updates_per_step: float = 1 / 64
    """Updates per row of a rollout (an env step, or an episode's end), at least one an iteration (PyMARL: one an
    episode)."""
    warmup: int = 2000
    """Env steps before the first update (PyMARL: 32 episodes), at least a sequence in every environment."""
    epsilon_start: float = 1.0
    """Share of uniform actions at the start, agent by agent (PyMARL: 1)."""
    epsilon_end: float = 0.05
    """The same at the end of `epsilon_steps` (PyMARL: 0.05)."""
    epsilon_steps: int = 50_000
    """Env steps over which epsilon falls linearly (PyMARL: 50000)."""


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
    mixer_dim: int = 64
    """Units of the joint value's networks (PyMARL: 64)."""
    opt_weight: float = 1.0
    """Weight of L_opt (PyMARL, QTRAN's paper: 1)."""
    nopt_weight: float = 0.1
    """Weight of L_nopt (PyMARL: 0.1; QTRAN's paper: 1)."""
