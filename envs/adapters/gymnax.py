"""gymnax's single-agent environments: `gymnax:CartPole-v1` and so on.

The observation is flattened, and is also the state. The end of the task is `terminated`; gymnax's
`max_steps_in_episode` is the horizon, which truncates. Options are the arguments of the environment's class and the
fields of its `EnvParams` (`max_steps_in_episode=100`, `gravity=5.0`).
"""

from collections.abc import Callable
from dataclasses import fields
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from envs.adapters.common import Adapted, flat, package, plain_options, taking
from envs.base import ActionSpec, ConfigError, Environment, EnvSpec, TimeStep, vectorize


def gymnax_env(member: str) -> Callable[..., Environment]:
    """A function that builds gymnax's environment `member` from its options, given by keyword.

    Raises:
      ConfigError: gymnax is not installed, or has no such environment.
    """
    registration = package("gymnax.registration")
    if member not in registration.registered_envs:
        raise ConfigError(f"gymnax:{member}: the installed version of gymnax does not have it")
    make = partial(registration.make, member)
    theirs, params = make()
    arguments = plain_options(type(theirs))
    return taking(partial(_build, member, make, arguments), [*arguments, *(field.name for field in fields(params))])


def _build(member: str, make: Callable, arguments: list[str], **options) -> Environment:
    theirs, params = make(**{name: value for name, value in options.items() if name in arguments})
    params = params.replace(**{name: value for name, value in options.items() if name not in arguments})
    spaces = theirs.action_space(params), theirs.observation_space(params)
    action, decode = _actions(f"gymnax:{member}", spaces[0])
    obs_dim = int(np.prod(spaces[1].shape, dtype=int))
    horizon = int(params.max_steps_in_episode)
    if horizon < 1:
        raise ConfigError(f"gymnax:{member}: max_steps_in_episode is {horizon}, give at least 1")
    spec = EnvSpec(f"gymnax:{member}", 1, obs_dim, obs_dim, action, horizon, state_is_obs=True)

    def open(key):
        obs, inner = theirs.reset_env(key, params)
        return inner, _show(action, obs, jnp.float32(0.0), jnp.bool_(False), jnp.bool_(False))

    def move(key, inner, chosen):
        obs, inner, reward, terminated, _ = theirs.step_env(key, inner, decode(chosen[0]), params)
        return inner, _show(action, obs, reward, terminated, theirs.is_truncated(inner, params))

    return vectorize(Adapted(spec, open, move))


def _show(action: ActionSpec, obs: Any, reward: Any, terminated: Any, truncated: Any) -> TimeStep:
    row = flat(obs)
    return TimeStep(
        obs=row[None],
        state=row,
        avail=jnp.ones((1, action.num_actions), bool),
        alive=jnp.ones(1, bool),
        reward=jnp.asarray(reward, jnp.float32).reshape(()),
        terminated=jnp.asarray(terminated, bool).reshape(()),
        truncated=jnp.asarray(truncated, bool).reshape(()),
        info={},
    )


def _actions(name: str, space: Any) -> tuple[ActionSpec, Callable[[jax.Array], jax.Array]]:
    """Our spec of gymnax's action space, and a function from our action (int32[] or f32[D]) to gymnax's.

    If the bounds differ between dimensions, our actions lie in [-1, 1] and are rescaled.
    """
    if hasattr(space, "n"):
        return ActionSpec(num_actions=int(space.n)), lambda action: action
    if not hasattr(space, "low"):
        raise ConfigError(f"{name}: no adapter for its actions ({type(space).__name__})")
    shape = tuple(space.shape)
    low, high = (np.broadcast_to(np.asarray(bound, np.float32), shape).reshape(-1) for bound in (space.low, space.high))
    if (low == low[0]).all() and (high == high[0]).all():
        spec = ActionSpec(dim=low.size, low=float(low[0]), high=float(high[0]))
        return spec, lambda action: action.reshape(shape)
    return ActionSpec(dim=low.size), lambda action: (low + (high - low) * (action + 1) / 2).reshape(shape)
