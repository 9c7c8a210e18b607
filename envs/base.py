"""The environment contract: what every environment receives and returns.

Shape letters used throughout the project:

    S seeds   E parallel environments   T time steps   B batch   A agents
    U discrete actions   D action dimensions   O observation size   X state size

An `Environment` is a batch of E independent environments. It has a static `spec` and three pure functions:

    state, timestep = env.reset(key, num_envs)                   # starts E episodes
    state, timestep = env.step(key, state, action)               # advances all of them by one step
    state, timestep = env.restart(key, state, timestep, where)   # starts new episodes where `where` is True

An environment never resets itself. The rollout calls `restart` after it has used the last `TimeStep` of an episode,
so the true next observation of every step is available to the learner.

It is often simpler to write the functions for one environment, without the axis E (`SingleEnvironment`); `vectorize`
turns that into an `Environment`. `envs.check.check_env` tests an environment against this contract.
"""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from envs.errors import ConfigError as ConfigError  # defined there so that the command line needs no jax

EnvState = Any  # a pytree of arrays; only the environment looks inside


class ActionSpec(NamedTuple):
    """The action space of one agent. Set exactly one of `num_actions` and `dim`.

    Attributes:
      num_actions: U, the number of discrete actions (at least 2), or 0.
      dim: D, the number of continuous action dimensions, or 0.
      low: lower bound of every continuous dimension.
      high: upper bound of every continuous dimension.
      mask: bools [A, D] for continuous agents of different sizes: False marks a padded dimension, whose value is
        ignored. None: no padding.
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
    """The static sizes of an environment.

    Attributes:
      name: how the environment is named in files and messages, e.g. "smax:2s3z".
      num_agents: A.
      obs_dim: O, the length of one agent's observation.
      state_dim: X, the length of the global state.
      action: the action space, the same for every agent.
      horizon: the time limit, in steps. An episode that reaches it is truncated.
      state_is_obs: True if the global state always equals the agents' observations, concatenated. Replay buffers then
        do not store it.
    """

    name: str
    num_agents: int
    obs_dim: int
    state_dim: int
    action: ActionSpec
    horizon: int
    state_is_obs: bool = False


class TimeStep(NamedTuple):
    """What `reset`, `step` and `restart` return beside the state.

    The shapes below are those of one environment. An `Environment` puts E in front, and a scan puts T in front of that.

    If the task ends in the last step that the time limit allows, set `terminated` only.
    """

    obs: jax.Array  # f32[A, O]  observations; 0 where an agent has fewer features than O
    state: jax.Array  # f32[X]  global state; the concatenated observations if there is nothing better
    avail: jax.Array  # bool[A, U]  legal discrete actions, at least one per agent; U = 0 for continuous actions
    alive: jax.Array  # bool[A]  False for an agent that no longer takes part in the episode
    reward: jax.Array  # f32[]  team reward of the step that led here; 0 after reset and restart
    terminated: jax.Array  # bool[]  the task ended: the value of this state is 0
    truncated: jax.Array  # bool[]  the time limit ended the episode: bootstrap from the value of this state
    info: dict[str, jax.Array]  # the same keys at every step; {"won": bool[]} if episodes can be won

    @property
    def boundary(self) -> jax.Array:
        """bool[]: the episode is over, no action is taken from here."""
        return self.terminated | self.truncated


class Environment(Protocol):
    """A batch of E independent environments. All three functions are pure and traceable by jax."""

    spec: EnvSpec

    def reset(self, key: jax.Array, num_envs: int) -> tuple[EnvState, TimeStep]:
        """Starts an episode in each of `num_envs` environments.

        Returns:
          (state, timestep): every leaf has E = `num_envs` in front.
        """

    def step(self, key: jax.Array, state: EnvState, action: jax.Array) -> tuple[EnvState, TimeStep]:
        """Advances every environment by one step.

        Args:
          key: the random key of this step, for all E environments.
          state: from `reset`, `step` or `restart`.
          action: int32[E, A] (discrete) or f32[E, A, D] (continuous).

        Returns:
          (state, timestep): the same pytree, shapes and dtypes as from `reset`. An episode that is over stays over.
        """

    def restart(
        self, key: jax.Array, state: EnvState, timestep: TimeStep, where: jax.Array
    ) -> tuple[EnvState, TimeStep]:
        """Starts new episodes in the environments selected by `where` (bool[E]).

        The other environments keep their `state` and `timestep` unchanged.
        """


class SingleEnvironment(Protocol):
    """One environment: the functions of `Environment` without the axis E, and without `restart`. See `vectorize`."""

    spec: EnvSpec

    def reset(self, key: jax.Array) -> tuple[EnvState, TimeStep]:
        """Starts an episode."""

    def step(self, key: jax.Array, state: EnvState, action: jax.Array) -> tuple[EnvState, TimeStep]:
        """Advances the environment by `action`, int32[A] or f32[A, D]. An episode that is over stays over."""


def select_envs(where: jax.Array, on_true: Any, on_false: Any) -> Any:
    """Selects environment e from `on_true` where `where[e]` is True, and from `on_false` elsewhere.

    Args:
      where: bool[E].
      on_true, on_false: pytrees of the same structure; every leaf has E in front.
    """

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
        return select_envs(where, self.reset(key, where.shape[0]), (state, timestep))


def vectorize(env: SingleEnvironment) -> Environment:
    """Turns an environment written for one episode into a batch of E (`jax.vmap`, one key per environment)."""
    return _Vectorized(env)
