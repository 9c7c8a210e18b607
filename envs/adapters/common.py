"""Shared by the adapters: another library's environment as a `SingleEnvironment`, its options, its imports.

In the adapters, `theirs` is the other library's environment and `inner` its state.
"""

import inspect
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from importlib import import_module
from types import ModuleType
from typing import Any, NamedTuple
from unittest import mock

import jax
import jax.numpy as jnp

from envs.base import ConfigError, EnvSpec, TimeStep


class AdaptedState(NamedTuple):
    """The other library's state of one environment, and whether its episode is over."""

    inner: Any
    terminated: jax.Array  # bool[]
    truncated: jax.Array  # bool[]


@dataclass(frozen=True)
class Adapted:
    """A `SingleEnvironment` built from two functions that call another library; use it with `vectorize`.

    `open(key)` and `move(key, inner, action)` return the library's state and our `TimeStep`; `move` must not reset.
    This class keeps the dtypes of the state constant. It also freezes an episode that is over: its state no longer
    changes, and its reward is 0.
    """

    spec: EnvSpec
    open: Callable[[jax.Array], tuple[Any, TimeStep]]
    move: Callable[[jax.Array, Any, jax.Array], tuple[Any, TimeStep]]

    def reset(self, key: jax.Array) -> tuple[AdaptedState, TimeStep]:
        inner, timestep = self.open(key)
        return AdaptedState(jax.tree.map(_strong, inner), timestep.terminated, timestep.truncated), timestep

    def step(self, key: jax.Array, state: AdaptedState, action: jax.Array) -> tuple[AdaptedState, TimeStep]:
        """One step. If an episode is both terminated and truncated, it is terminated."""
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
    """`leaf` as a strongly typed array; Python numbers would be weakly typed."""
    return leaf if _is_key(leaf) else jnp.asarray(leaf, jnp.asarray(leaf).dtype)


def _like(leaf: Any, model: jax.Array) -> jax.Array:
    return leaf if _is_key(model) else jnp.asarray(leaf, model.dtype).reshape(model.shape)


def flat(leaf: Any, length: int | None = None) -> jax.Array:
    """`leaf` flattened to f32[length], padded with zeros at the end. None: no padding."""
    row = jnp.asarray(leaf).astype(jnp.float32).reshape(-1)
    return row if length is None else jnp.pad(row, (0, length - row.shape[0]))


def team_reward(rewards: jax.Array, how: str) -> jax.Array:
    """The team reward f32[] from the agents' rewards [A], or from a reward [] that is already shared."""
    rewards = jnp.asarray(rewards, jnp.float32).reshape(-1)
    return {"sum": jnp.sum, "mean": jnp.mean, "first": lambda x: x[0]}[how](rewards)


def check_reward(name: str, how: str) -> None:
    """Raises ConfigError unless `how` is one of sum, mean and first, the reductions of `team_reward`."""
    if how not in ("sum", "mean", "first"):
        raise ConfigError(f"{name}: reward is {how!r}: give sum, mean or first (of the agents' rewards)")


def package(name: str) -> ModuleType:
    """Imports `name`, without the warnings and messages that it prints.

    Raises:
      ConfigError: it is not installed, or the import fails.
    """
    streams = sys.stdout, sys.stderr  # JaxMARL replaces them
    with warnings.catch_warnings(), mock.patch("builtins.print"):
        warnings.simplefilter("ignore")
        try:
            return import_module(name)
        except ImportError as error:
            top = name.partition(".")[0]
            text = f"{top} cannot be imported ({error}): install it with pip install '{top}'"
            raise ConfigError(" ".join(text.split())) from error
        finally:
            sys.stdout, sys.stderr = streams


def plain_options(build: Callable) -> list[str]:
    """The parameters of `build` that the command line can set: those whose default is a number, a string or None."""
    parameters = inspect.signature(build).parameters.values()
    return [p.name for p in parameters if p.default is None or isinstance(p.default, bool | int | float | str)]


def taking(build: Callable, options: Iterable[str]) -> Callable:
    """`build` with a signature that has exactly the keyword parameters `options`, for the registry to inspect.

    If `options` is a mapping, its values are the annotations.
    """

    def call(**given):
        return build(**given)

    kind, kinds = inspect.Parameter.KEYWORD_ONLY, options if isinstance(options, Mapping) else {}
    parameters = [
        inspect.Parameter(name, kind, annotation=kinds.get(name, inspect.Parameter.empty))
        for name in sorted(set(options))
    ]
    call.__signature__ = inspect.Signature(parameters)
    return call
