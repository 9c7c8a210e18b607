"""The environment contract: what every world takes and gives.

Shape letters used throughout the project: S seeds, E parallel environments, T time, B batch, A agents,
U discrete actions, D action dimensions, O observation, X global state.

An environment is BATCH-NATIVE: everything it takes and gives has a leading axis E. It is pure, and it never
resets by itself: the rollout restarts finished lanes, so the true successor of a step is always in hand.
Simple worlds are written for one environment and lifted by `vectorize`.
"""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from envs.errors import ConfigError as ConfigError  # defined there so that the command line needs no jax

EnvState = Any


class ActionSpec(NamedTuple):
    """What one agent may do: `num_actions` discrete actions (U), or `dim` continuous ones (D) in [low, high].

    `mask` (continuous only) is [A][D] of bools; False marks a padded dimension of an agent that has fewer.
    """

    num_actions: int = 0
    dim: int = 0
    low: float = -1.0
    high: float = 1.0
    mask: tuple[tuple[bool, ...], ...] | None = None

    @property
    def discrete(self) -> bool:
        return self.num_actions > 0


class EnvSpec(NamedTuple):
    """Static sizes of an environment. `horizon` is the time limit in steps.

    `state_is_obs`: the global state is no more than the agents' observations one after the other, always, so that a
    replay need not store it beside them.
    """

    name: str
    num_agents: int
    obs_dim: int
    state_dim: int
    action: ActionSpec
    horizon: int
    state_is_obs: bool = False


class TimeStep(NamedTuple):
    """What the world shows after `reset`, `step` or `restart`. Leading axis E; a scan adds T in front."""

    obs: jax.Array  # f32[A, O]
    state: jax.Array  # f32[X]     global state; the concatenated observations where a world has none
    avail: jax.Array  # bool[A, U]  legal discrete actions; U = 0 in a continuous world
    alive: jax.Array  # bool[A]
    reward: jax.Array  # f32[]      team reward of the step that led here; 0 after a reset
    terminated: jax.Array  # bool[]  the task ended here: bootstrap 0
    truncated: jax.Array  # bool[]   the time limit cut here: bootstrap from this observation
    info: dict[str, jax.Array]  # fixed keys per environment, e.g. {"won": bool[]}

    @property
    def boundary(self) -> jax.Array:
        """bool[]: no action is taken from here, the episode is over."""
        return self.terminated | self.truncated


class Environment(Protocol):
    """A batch of E independent worlds."""

    spec: EnvSpec

    def reset(self, key: jax.Array, num_envs: int) -> tuple[EnvState, TimeStep]:
        """Opens an episode in each of `num_envs` lanes."""

    def step(self, key: jax.Array, state: EnvState, action: jax.Array) -> tuple[EnvState, TimeStep]:
        """Advances every lane by `action` (int32[E, A], or f32[E, A, D]). A lane that is over stays over."""

    def restart(
        self, key: jax.Array, state: EnvState, timestep: TimeStep, where: jax.Array
    ) -> tuple[EnvState, TimeStep]:
        """Opens fresh episodes in the lanes of `where` (bool[E]); the others keep `state` and `timestep`."""


class SingleEnvironment(Protocol):
    """One world, without the axis E; `vectorize` makes an `Environment` of it."""

    spec: EnvSpec

    def reset(self, key: jax.Array) -> tuple[EnvState, TimeStep]: ...

    def step(self, key: jax.Array, state: EnvState, action: jax.Array) -> tuple[EnvState, TimeStep]: ...


def select_lanes(where: jax.Array, on_true: Any, on_false: Any) -> Any:
    """Takes lane e of `on_true` where `where[e]`, else of `on_false`; every leaf has E in front."""

    def pick(a, b):
        return jnp.where(where.reshape(where.shape + (1,) * (a.ndim - 1)), a, b)

    return jax.tree.map(pick, on_true, on_false)


class _Vectorized:
    def __init__(self, env: SingleEnvironment):
        self.env = env
        self.spec = env.spec

    def reset(self, key, num_envs):
        return jax.vmap(self.env.reset)(jax.random.split(key, num_envs))

    def step(self, key, state, action):
        keys = jax.random.split(key, action.shape[0])
        return jax.vmap(self.env.step)(keys, state, action)

    def restart(self, key, state, timestep, where):
        return select_lanes(where, self.reset(key, where.shape[0]), (state, timestep))


def vectorize(env: SingleEnvironment) -> Environment:
    """Lifts a world written for one environment to the batch-native contract."""
    return _Vectorized(env)
