"""What the adapters share: a single world of somebody else's as a `SingleEnvironment`, its options, its imports."""

import inspect
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp

from envs.base import ConfigError, EnvSpec, TimeStep


class AdaptedState(NamedTuple):
    """Their state of one world, and whether its episode is over."""

    inner: Any
    terminated: jax.Array  # bool[]
    truncated: jax.Array  # bool[]


@dataclass(frozen=True)
class Adapted:
    """One world given by two functions that step somebody else's; lift it with `vectorize`.

    `open(key)` and `move(key, inner, action)` give their state and our `TimeStep`; `move` must not reset. Here its
    leaves get the types they had at the beginning, and an episode that is over stays over: its world stands still and
    pays 0.
    """

    spec: EnvSpec
    open: Callable[[jax.Array], tuple[Any, TimeStep]]
    move: Callable[[jax.Array, Any, jax.Array], tuple[Any, TimeStep]]

    def reset(self, key: jax.Array) -> tuple[AdaptedState, TimeStep]:
        inner, timestep = self.open(key)
        return AdaptedState(jax.tree.map(_strong, inner), timestep.terminated, timestep.truncated), timestep

    def step(self, key: jax.Array, state: AdaptedState, action: jax.Array) -> tuple[AdaptedState, TimeStep]:
        """One step. An end that is also the time limit's is an end."""
        over = state.terminated | state.truncated
        inner, timestep = self.move(key, state.inner, action)
        inner = jax.tree.map(lambda old, new: jnp.where(over, old, _like(new, old)), state.inner, inner)
        terminated = jnp.where(over, state.terminated, timestep.terminated)
        timestep = timestep._replace(
            reward=jnp.where(over, jnp.float32(0.0), timestep.reward),
            terminated=terminated,
            truncated=jnp.where(over, state.truncated, timestep.truncated & ~terminated),
        )
        return AdaptedState(inner, timestep.terminated, timestep.truncated), timestep


def _is_key(leaf: Any) -> bool:
    return hasattr(leaf, "dtype") and jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)


def _strong(leaf: Any) -> jax.Array:
    """`leaf` as an array that keeps its type: Python's numbers do not."""
    return leaf if _is_key(leaf) else jnp.asarray(leaf, jnp.asarray(leaf).dtype)


def _like(leaf: Any, model: jax.Array) -> jax.Array:
    return leaf if _is_key(model) else jnp.asarray(leaf, model.dtype).reshape(model.shape)


def flat(leaf: Any, length: int | None = None) -> jax.Array:
    """`leaf` as f32[length], with zeros behind it; None: as long as it is."""
    row = jnp.asarray(leaf).astype(jnp.float32).reshape(-1)
    return row if length is None else jnp.pad(row, (0, length - row.shape[0]))


def team_reward(rewards: jax.Array, how: str) -> jax.Array:
    """f32[] of each agent's reward [A], or of one that is common already []."""
    rewards = jnp.asarray(rewards, jnp.float32).reshape(-1)
    return {"sum": jnp.sum, "mean": jnp.mean, "first": lambda x: x[0]}[how](rewards)


def check_reward(name: str, how: str) -> None:
    """Raises ConfigError unless `how` is a way to pay a team."""
    if how not in ("sum", "mean", "first"):
        raise ConfigError(f"{name}: reward is {how!r}: give sum, mean or first (of the agents' rewards)")


def package(name: str) -> ModuleType:
    """Imports `name`, without the warnings and the prints that are none of the user's business.

    Raises:
      ConfigError: it is not installed, or does not import.
    """
    with warnings.catch_warnings(), mock.patch("builtins.print"):  # something in there undoes redirect_stdout
        warnings.simplefilter("ignore")
        try:
            return import_module(name)
        except ImportError as error:
            top = name.partition(".")[0]
            text = f"{top} cannot be imported ({error}): install it with pip install '{top}'"
            raise ConfigError(" ".join(text.split())) from error


def plain_options(build: Callable) -> list[str]:
    """The parameters of `build` that a command line can give: those whose default is a number, a word or None."""
    parameters = inspect.signature(build).parameters.values()
    return [p.name for p in parameters if p.default is None or isinstance(p.default, bool | int | float | str)]


def taking(build: Callable, options: Iterable[str]) -> Callable:
    """`build`, saying that it takes `options`, by name, and nothing else: the registry reads it."""

    def call(**given):
        return build(**given)

    kind = inspect.Parameter.KEYWORD_ONLY
    call.__signature__ = inspect.Signature([inspect.Parameter(name, kind) for name in sorted(set(options))])
    return call
