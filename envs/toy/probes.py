"""Probes: tiny environments with discrete actions whose best return and value function are known.

A probe isolates one thing that an algorithm must get right: the value of an observation, discounting, the time limit,
memory, dead agents. `PROBES` gives the numbers that a correct algorithm reaches in each. `envs.toy.continuous_probes`
has the versions with continuous actions.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from envs.base import ActionSpec, ConfigError, Environment, EnvSpec, TimeStep, vectorize


class ToyState(NamedTuple):
    """`t` steps have been taken; `hidden` was drawn at the start of the episode (0 if nothing is drawn)."""

    t: jax.Array  # int32[]
    hidden: jax.Array  # int32[]


def _nothing(key: jax.Array) -> jax.Array:
    return jnp.int32(0)


@dataclass(frozen=True)
class Toy:
    """A `SingleEnvironment` defined by a few functions of the time `t` and of `hidden`; use it with `vectorize`.

    An episode ends after `length(hidden)` steps: terminated, or truncated if `truncates`. After that nothing changes.
    """

    spec: EnvSpec
    observe: Callable  # (t, hidden) -> [A, O]
    reward: Callable  # (t, hidden, action int32[A] or f32[A, D]) -> [], for the action taken after t steps
    draw: Callable = _nothing  # (key) -> int32[]
    length: Callable | None = None  # (hidden) -> steps; None: the horizon
    alive: Callable | None = None  # (t, hidden) -> bool[A]; None: all
    avail: Callable | None = None  # (alive) -> bool[A, U]; None: everything
    truncates: bool = field(default=False)
    state: tuple[float, ...] | None = None  # a constant global state; None: the observations

    def reset(self, key: jax.Array) -> tuple[ToyState, TimeStep]:
        state = ToyState(jnp.int32(0), self.draw(key).astype(jnp.int32))
        return state, self._show(state, jnp.float32(0.0))

    def step(self, key: jax.Array, state: ToyState, action: jax.Array) -> tuple[ToyState, TimeStep]:
        """One step. After the end of the episode nothing changes and the reward is 0."""
        live = state.t < self._length(state.hidden)
        reward = jnp.where(live, self.reward(state.t, state.hidden, action), 0.0).astype(jnp.float32)
        state = ToyState(state.t + live.astype(jnp.int32), state.hidden)
        return state, self._show(state, reward)

    def _length(self, hidden):
        return jnp.int32(self.spec.horizon) if self.length is None else self.length(hidden)

    def _show(self, state: ToyState, reward: jax.Array) -> TimeStep:
        agents, actions = self.spec.num_agents, self.spec.action.num_actions
        obs = jnp.asarray(self.observe(state.t, state.hidden), jnp.float32).reshape(agents, self.spec.obs_dim)
        alive = jnp.ones(agents, bool) if self.alive is None else self.alive(state.t, state.hidden)
        avail = jnp.ones((agents, actions), bool) if self.avail is None else self.avail(alive)
        over = state.t >= self._length(state.hidden)
        return TimeStep(
            obs=obs,
            state=obs.reshape(-1) if self.state is None else jnp.array(self.state, jnp.float32),
            avail=avail,
            alive=alive,
            reward=reward,
            terminated=over & (not self.truncates),
            truncated=over & self.truncates,
            info={},
        )


def _spec(name: str, agents: int, obs: int, actions: int, horizon: int) -> EnvSpec:
    return EnvSpec(f"toy:{name}", agents, obs, agents * obs, ActionSpec(num_actions=actions), horizon, True)


def _same(agents: int, *features) -> jax.Array:
    """The same features for every agent: f32[A, O]."""
    row = jnp.stack([jnp.asarray(x, jnp.float32) for x in features])
    return jnp.tile(row, (agents, 1))


def _share(chosen: jax.Array, among: jax.Array | None = None) -> jax.Array:
    """The share of agents (of those in `among`) that are in `chosen`: f32[]."""
    among = jnp.ones_like(chosen) if among is None else among
    return (chosen & among).sum().astype(jnp.float32) / jnp.maximum(among.sum(), 1).astype(jnp.float32)


def constant() -> Environment:
    """One step, reward 1 for any action. V = 1."""
    return vectorize(
        Toy(
            spec=_spec("constant", 2, 1, 2, horizon=1),
            observe=lambda t, hidden: _same(2, 1.0),
            reward=lambda t, hidden, action: 1.0,
        )
    )


def observation() -> Environment:
    """One step; observation and reward are both +1 or both -1, with equal probability. V(obs) = obs."""
    return vectorize(
        Toy(
            spec=_spec("observation", 2, 1, 2, horizon=1),
            draw=lambda key: jax.random.randint(key, (), 0, 2),
            observe=lambda t, hidden: _same(2, 2 * hidden - 1),
            reward=lambda t, hidden, action: 2 * hidden - 1,
        )
    )


def discounting() -> Environment:
    """Two steps, reward 1 after the second. The observation is t. V(0) = gamma, V(1) = 1."""
    return vectorize(
        Toy(
            spec=_spec("discounting", 2, 1, 2, horizon=2),
            observe=lambda t, hidden: _same(2, t),
            reward=lambda t, hidden, action: t == 1,
        )
    )


def action() -> Environment:
    """One step; the reward is the share of agents that choose action 1 of {0, 1}. Best return 1, random 0.5."""
    return vectorize(
        Toy(
            spec=_spec("action", 2, 1, 2, horizon=1),
            observe=lambda t, hidden: _same(2, 1.0),
            reward=lambda t, hidden, action: _share(action == 1),
        )
    )


def time_limit() -> Environment:
    """Reward 1 per step, truncated after 5 steps.

    The observation is constant, so the value cannot depend on the step: V = 1 / (1 - gamma) if the truncation is
    bootstrapped, and less if it is treated as a termination.
    """
    return vectorize(
        Toy(
            spec=_spec("time_limit", 2, 1, 2, horizon=5),
            observe=lambda t, hidden: _same(2, 1.0),
            reward=lambda t, hidden, action: 1.0,
            truncates=True,
        )
    )


def memory(num_agents: int = 2, length: int = 4) -> Environment:
    """A cue, -1 or +1, is visible at step 0 only; at the last step each agent must repeat it (action 0 or 1).

    The observation is (cue or 0, t / (length - 1)). The reward after the last step is the share of agents that are
    right: return 1 with memory, 0.5 without. V = gamma^(length - 1 - t) with memory.
    """
    if num_agents < 1 or length < 2:
        raise ConfigError("toy:memory: give at least 1 agent and a length of at least 2")
    return vectorize(
        Toy(
            spec=_spec("memory", num_agents, 2, 2, horizon=length),
            draw=lambda key: jax.random.randint(key, (), 0, 2),
            observe=lambda t, hidden: _same(num_agents, jnp.where(t == 0, 2 * hidden - 1, 0), t / (length - 1)),
            reward=lambda t, hidden, action: jnp.where(t == length - 1, _share(action == hidden), 0.0),
        )
    )


def coordination() -> Environment:
    """One step, three actions, reward 1 only if both agents choose action 2. Best return 1, random 1/9."""
    return vectorize(
        Toy(
            spec=_spec("coordination", 2, 1, 3, horizon=1),
            observe=lambda t, hidden: _same(2, 1.0),
            reward=lambda t, hidden, action: (action == 2).all(),
        )
    )


def _remaining(length: Callable, horizon: int, agents: int) -> Callable:
    return lambda t, hidden: _same(agents, (length(hidden) - t) / horizon)


def death() -> Environment:
    """Agent 1 dies after 1, 2 or 3 steps (drawn), two steps before the end, so episodes last 3, 4 or 5 steps.

    Actions 1 and 2 are legal for living agents; a dead agent can only take action 0, and observes zeros. The reward of
    a step is the share of LIVING agents that chose 1, so the best return is the length, 4 on average. The observation
    is (steps left) / 5; V = 1 + gamma + ..., one term for each step left.
    """
    lives = partial(_lives, agents=2)
    shown = _remaining(lambda hidden: hidden + 2, 5, 2)

    def avail(alive):
        return jnp.where(alive[:, None], jnp.array([False, True, True]), jnp.array([True, False, False]))

    return vectorize(
        Toy(
            spec=_spec("death", 2, 1, 3, horizon=5),
            draw=lambda key: jax.random.randint(key, (), 1, 4),
            length=lambda hidden: hidden + 2,
            observe=lambda t, hidden: jnp.where(lives(t, hidden)[:, None], shown(t, hidden), 0.0),
            reward=lambda t, hidden, action: _share(action == 1, lives(t, hidden)),
            alive=lives,
            avail=avail,
        )
    )


def _lives(t: jax.Array, hidden: jax.Array, agents: int) -> jax.Array:
    """bool[A]: all agents live, but the last one only during the first `hidden` steps."""
    return jnp.where(jnp.arange(agents) == agents - 1, t < hidden, True)


def variable() -> Environment:
    """Episodes of 1 to 5 steps, each length equally likely; the reward of a step is the share of agents that choose 1.

    The best return is the length, 3 on average. The observation is (steps left) / 5; V = 1 + gamma + ..., one term for
    each step left.
    """
    return vectorize(
        Toy(
            spec=_spec("variable", 2, 1, 2, horizon=5),
            draw=lambda key: jax.random.randint(key, (), 1, 6),
            length=lambda hidden: hidden,
            observe=_remaining(lambda hidden: hidden, 5, 2),
            reward=lambda t, hidden, action: _share(action == 1),
        )
    )


class Probe(NamedTuple):
    """The best return of a probe and the value function of its optimal policy."""

    best_return: float  # mean, undiscounted
    # (gamma, obs [..., A, O]) -> [...]: the value of observations in which an action is taken, under the optimal
    # policy, with truncation bootstrapped.
    value: Callable[[float, jax.Array], jax.Array]


def _annuity(gamma: float, obs: jax.Array) -> jax.Array:
    """The value of reward 1 for each step left: 1 + gamma + ...; obs is (steps left) / 5."""
    return (1 - gamma ** jnp.round(5 * obs[..., 0, 0])) / (1 - gamma)


PROBES: dict[str, Probe] = {
    "constant": Probe(1.0, lambda gamma, obs: jnp.ones(obs.shape[:-2])),
    "observation": Probe(0.0, lambda gamma, obs: obs[..., 0, 0]),
    "discounting": Probe(1.0, lambda gamma, obs: jnp.where(obs[..., 0, 0] == 0, gamma, 1.0)),
    "action": Probe(1.0, lambda gamma, obs: jnp.ones(obs.shape[:-2])),
    "time_limit": Probe(5.0, lambda gamma, obs: jnp.full(obs.shape[:-2], 1 / (1 - gamma))),
    "memory": Probe(1.0, lambda gamma, obs: gamma ** jnp.round(3 * (1 - obs[..., 0, 1]))),
    "coordination": Probe(1.0, lambda gamma, obs: jnp.ones(obs.shape[:-2])),
    "death": Probe(4.0, _annuity),
    "variable": Probe(3.0, _annuity),
}

TOYS: dict[str, Callable[..., Environment]] = {
    "constant": constant,
    "observation": observation,
    "discounting": discounting,
    "action": action,
    "time_limit": time_limit,
    "memory": memory,
    "coordination": coordination,
    "death": death,
    "variable": variable,
}
