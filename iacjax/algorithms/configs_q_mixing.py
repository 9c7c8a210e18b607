"""Configurations of the Q-learners with mixed values: frozen dataclasses without jax, so that `--help` is quick.

Table numbers are those of IAC's paper. A docstring under a field is what `--help` shows.
"""

import dataclasses
from typing import Literal


@dataclasses.dataclass(frozen=True)
class QmixConfig:
    """IQL, VDN, QMIX, QMIXs: one learner, two choices (`mixer` and `others_actions`)."""

    mixer: Literal["iql", "vdn", "qmix"] = "qmix"
    """The team's value of the agents': none (each learns by itself), their sum, or QMIX's network on the state."""
    others_actions: bool = False
    """Q_i(o_i, u_i, u_-i) also reads the others' actions (QMIXs, eq. 27); acting then needs all observations."""
    double_q: bool = True
    """The target's greedy actions are the online networks' (double Q-learning), or the target networks' own."""

    share_agents: bool = True
    """One Q network for all agents, told the agent's id, or one an agent."""
    hidden_dim: int = 64
    """Units of the hidden layers of the agents' networks (appendix B: 64)."""
    agent_layers: int = 2
    """How many of them (table 7 names none for discrete agents)."""
    mixer_dim: int = 64
    """Units of the mixing network (appendix B: 64)."""
    hyper_dim: int = 64
    """Hidden units of the networks that make its weights (appendix B: 64)."""
    mixer_layers: int = 2
    """Layers of those networks (table 7, "QMIX net": 2)."""

    gamma: float = 0.95
    """Discount (table 5: 0.95)."""
    lr: float = 1e-3
    """Learning rate (table 5, value network: 1e-3)."""
    optimizer: Literal["adam", "rmsprop"] = "adam"
    """Table 5 has Adam; `rmsprop` is PyMARL's: decay 0.99, eps 1e-5 outside the root."""
    max_grad_norm: float = 10.0
    """Gradient clip by global norm (QMIX's code: 10)."""
    batch_size: int = 256
    """Transitions of an update (table 5: 256)."""
    buffer_size: int = 500_000
    """Transitions that the replay holds, per seed (table 5: 5 x 10^5)."""
    target_every: int = 200
    """Hard copy into the target networks every so many updates (table 5: 200)."""
    num_envs: int = 8
    """Parallel environments."""
    rollout_length: int = 8
    """Rows per environment and iteration."""
    updates_per_step: float = 0.125
    """Updates per environment step."""
    warmup: int = 1000
    """Env steps before the first update."""
    epsilon_start: float = 1.0
    """Share of uniform actions at the start, agent by agent."""
    epsilon_end: float = 0.05
    """The same at the end of `epsilon_steps`."""
    epsilon_steps: int = 50_000
    """Env steps over which epsilon falls linearly."""


@dataclasses.dataclass(frozen=True)
class QmixsConfig(QmixConfig):
    """QMIXs (IAC, appendix A): QMIX whose agents know each other's actions. Centralised, small games only."""

    others_actions: bool = True
