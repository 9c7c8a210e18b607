"""`check_env`: tests an environment against the contract of `envs.base`, and says in one line what is wrong."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from envs.base import ActionSpec, ConfigError, Environment, EnvSpec, TimeStep
from envs.check_play import check_play, noise_shape, require
from envs.check_play import random_actions as random_actions  # public here
from envs.errors import in_one_line

NUM_ENVS = 3  # parallel environments, by default
MOST_STEPS, MOST_BYTES = (
    10_000,
    2**28,
)  # limits of the check before a training: steps played, memory for what is recorded


def check_env(env: Environment, num_envs: int = NUM_ENVS, steps: int | None = None) -> None:
    """Plays random legal actions and checks shapes, dtypes, masks, flags, restarts and purity.

    Args:
      env: the environment to check.
      num_envs: parallel environments to play, at least 2: restarting one must not change the others.
      steps: steps to play; None: two past the horizon. The time limit is checked only if `steps` reaches it.

    Raises:
      ConfigError: one line, e.g. "toy:x: obs of step has shape (3, 2, 4), the spec says (3, 2, 5)".
    """
    if num_envs < 2:
        raise ConfigError(f"check_env: num_envs is {num_envs}, give at least 2")
    _check_spec(env.spec)
    opened = _check_structure(env, num_envs)
    _check_tracing(env, opened)
    check_play(env, num_envs, env.spec.horizon + 2 if steps is None else steps)


def check_structure(env: Environment) -> None:
    """The part of `check_env` that runs nothing: the spec, and the shapes and dtypes of reset, step and restart.

    Raises:
      ConfigError: as for `check_env`.
    """
    _check_spec(env.spec)
    _check_structure(env, NUM_ENVS)


def steps_to_play(env: Environment) -> int:
    """How many steps the check before a training plays: two past the horizon, or fewer to limit memory and time.

    `env` must have passed `check_structure`.
    """
    rows = jax.eval_shape(lambda key: env.reset(key, NUM_ENVS), jax.random.key(0))
    numbers = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(rows))
    numbers += 4 * math.prod(noise_shape(env.spec, NUM_ENVS))
    most = min(MOST_STEPS, MOST_BYTES // (2 * numbers))  # the check plays two seeds
    return max(2, min(env.spec.horizon + 2, most))


def _check_spec(spec: EnvSpec) -> None:
    action = spec.action
    for field in ("num_agents", "obs_dim", "state_dim", "horizon"):
        size = getattr(spec, field)
        valid = isinstance(size, int) and not isinstance(size, bool) and size > 0
        require(valid, spec.name, f"{field} is {size!r}, it must be a positive integer")
    require(isinstance(action, ActionSpec), spec.name, f"action is a {type(action).__name__}, it must be an ActionSpec")
    for field in ("num_actions", "dim"):
        size = getattr(action, field)
        valid = isinstance(size, int) and not isinstance(size, bool) and size >= 0
        require(valid, spec.name, f"{field} is {size!r}, it must be an integer, at least 0")
    require((action.num_actions > 0) != (action.dim > 0), spec.name, "give one of num_actions and dim, not both")
    require(not action.discrete or action.num_actions >= 2, spec.name, "num_actions is 1, give at least 2")
    bounds = action.low, action.high
    finite = all(isinstance(bound, int | float) and math.isfinite(bound) for bound in bounds)
    text = f"low and high are {action.low!r} and {action.high!r}, they must be finite numbers"
    require(action.discrete or finite, spec.name, text)
    text = f"low {action.low} is not below high {action.high}"
    require(action.discrete or action.low < action.high, spec.name, text)
    size = spec.num_agents * spec.obs_dim
    text = f"the spec says state_is_obs, but state_dim is {spec.state_dim} and the observations have {size} numbers"
    require(not spec.state_is_obs or spec.state_dim == size, spec.name, text)
    if action.mask is not None:
        try:
            shape = np.shape(action.mask)
        except ValueError:  # rows of different lengths
            shape = "no shape (its rows differ in length)"
        expected = (spec.num_agents, action.dim)
        require(shape == expected, spec.name, f"the action mask has shape {shape}, the spec says {expected}")


def _timestep_shapes(spec: EnvSpec, num_envs: int) -> dict[str, tuple]:
    agents = (num_envs, spec.num_agents)
    envs = (num_envs,)
    return {
        "obs": ((*agents, spec.obs_dim), jnp.float32),
        "state": ((num_envs, spec.state_dim), jnp.float32),
        "avail": ((*agents, spec.action.num_actions), jnp.bool_),
        "alive": (agents, jnp.bool_),
        "reward": (envs, jnp.float32),
        "terminated": (envs, jnp.bool_),
        "truncated": (envs, jnp.bool_),
    }


def _trace(name: str, call: str, function, *args) -> Any:
    try:
        return jax.eval_shape(function, *args)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{name}: {call} cannot be traced by jax ({in_one_line(error)})") from error


def _check_structure(env: Environment, num_envs: int) -> tuple[Any, TimeStep]:
    """Checks shapes, dtypes and pytrees of reset, step and restart by tracing them. Returns those of reset."""
    spec, key = env.spec, jax.random.key(0)
    opened = _trace(spec.name, "reset", lambda k: env.reset(k, num_envs), key)
    _check_timestep(spec, num_envs, "reset", opened)
    state, timestep = opened
    avail = jax.ShapeDtypeStruct(timestep.avail.shape, bool)
    action = jax.eval_shape(lambda k, a: random_actions(k, spec, a), key, avail)
    where = jax.ShapeDtypeStruct((num_envs,), bool)
    calls = {
        "step": _trace(spec.name, "step", env.step, key, state, action),
        "restart": _trace(spec.name, "restart", env.restart, key, state, timestep, where),
    }
    for call, returned in calls.items():
        _check_timestep(spec, num_envs, call, returned)
        keys, expected = set(returned[1].info), set(timestep.info)
        text = f"info of {call} has the keys {sorted(keys)}, info of reset has {sorted(expected)}"
        require(keys == expected, spec.name, text)
        same = jax.tree.structure(returned) == jax.tree.structure(opened)
        require(same, spec.name, f"{call} returns a different pytree than reset, so a scan cannot carry it")
        for (path, a), b in zip(jax.tree.leaves_with_path(returned), jax.tree.leaves(opened), strict=True):
            text = f"{call} returns {_describe(a)} at {jax.tree_util.keystr(path)}, reset returns {_describe(b)}"
            require((a.shape, a.dtype) == (b.shape, b.dtype), spec.name, text)
    return opened


def _check_tracing(env: Environment, opened: tuple[Any, TimeStep]) -> None:
    """Traces each function twice: a pure one gives the same program with the same constants.

    This finds Python random numbers and counters.
    """
    name, key = env.spec.name, jax.random.key(0)
    state, timestep = opened
    num_envs = timestep.reward.shape[0]
    action = jax.eval_shape(lambda k, avail: random_actions(k, env.spec, avail), key, timestep.avail)
    where = jax.ShapeDtypeStruct((num_envs,), bool)
    calls = {
        "reset": (lambda k: env.reset(k, num_envs), key),
        "step": (env.step, key, state, action),
        "restart": (env.restart, key, state, timestep, where),
    }
    for call, (function, *args) in calls.items():
        # a new lambda each time, so that jax does not return the first trace from its cache
        one, two = (jax.make_jaxpr(lambda *args, f=function: f(*args))(*args) for _ in range(2))
        same = str(one) == str(two) and all(map(np.array_equal, one.consts, two.consts))
        require(same, name, f"{call} gives a different program each time it is traced: it must be pure")


def _describe(leaf) -> str:
    return f"{leaf.dtype}{list(leaf.shape)}"


def _check_timestep(spec: EnvSpec, num_envs: int, call: str, returned: Any) -> None:
    pair = isinstance(returned, tuple) and len(returned) == 2 and isinstance(returned[1], TimeStep)
    require(pair, spec.name, f"{call} must return (state, TimeStep)")
    timestep = returned[1]
    info = timestep.info
    require(
        isinstance(info, dict), spec.name, f"info of {call} is a {type(info).__name__}, it must be a dict of arrays"
    )
    for field, (shape, dtype) in _timestep_shapes(spec, num_envs).items():
        leaf = getattr(timestep, field)
        require(hasattr(leaf, "shape"), spec.name, f"{field} of {call} is a {type(leaf).__name__}, it must be an array")
        require(leaf.shape == shape, spec.name, f"{field} of {call} has shape {leaf.shape}, the spec says {shape}")
        text = f"{field} of {call} is {leaf.dtype}, it must be {jnp.dtype(dtype)}"
        require(leaf.dtype == dtype, spec.name, text)
    for key, leaf in info.items():
        text = f"info[{key!r}] of {call} is a {type(leaf).__name__}, it must be an array"
        require(hasattr(leaf, "shape"), spec.name, text)
        text = f"info[{key!r}] of {call} has shape {leaf.shape}, its first axis must be num_envs = {num_envs}"
        require(leaf.shape[:1] == (num_envs,), spec.name, text)
    won = info.get("won")
    require(won is None or (won.shape, won.dtype) == ((num_envs,), bool), spec.name, "info['won'] must be bool[E]")
    for path, leaf in jax.tree.leaves_with_path(returned):
        text = f"{call} returns a weakly typed array at {jax.tree_util.keystr(path)}: give it an explicit dtype"
        require(not leaf.weak_type, spec.name, text)
