"""`check_env`: does a world keep the contract of `envs.base`? Says in one line what is wrong."""

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from envs.base import ActionSpec, ConfigError, Environment, EnvSpec, TimeStep
from envs.check_play import check_play, noise_shape, require
from envs.check_play import random_actions as random_actions  # those who want to play look for it here
from envs.errors import in_one_line

NUM_ENVS = 3  # lanes, by default
MOST_STEPS, MOST_BYTES = 10_000, 2**28  # that a check before a training plays, and keeps


def check_env(env: Environment, num_envs: int = NUM_ENVS, steps: int | None = None) -> None:
    """Plays random legal actions and checks shapes, dtypes, masks, flags, restarts and purity.

    Args:
      env: the world.
      num_envs: lanes to play, at least 2, so that a restart of one can be seen to leave the others alone.
      steps: steps to play; None: two past the horizon. The horizon itself is checked only if `steps` reaches it.

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
      ConfigError: one line, as of `check_env`.
    """
    _check_spec(env.spec)
    _check_structure(env, NUM_ENVS)


def steps_to_play(env: Environment) -> int:
    """The steps of a whole episode and two more, or as many as are played in little memory and time.

    `env` must have passed `check_structure`.
    """
    rows = jax.eval_shape(lambda key: env.reset(key, NUM_ENVS), jax.random.key(0))
    numbers = sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(rows))
    numbers += 4 * math.prod(noise_shape(env.spec, NUM_ENVS))
    most = min(MOST_STEPS, MOST_BYTES // (2 * numbers))  # two seeds are played
    return max(2, min(env.spec.horizon + 2, most))


def _check_spec(spec: EnvSpec) -> None:
    action = spec.action
    for field in ("num_agents", "obs_dim", "state_dim", "horizon"):
        size = getattr(spec, field)
        right = isinstance(size, int) and not isinstance(size, bool) and size > 0
        require(right, spec.name, f"{field} is {size!r}, it must be a positive integer")
    require(isinstance(action, ActionSpec), spec.name, f"action is a {type(action).__name__}, it must be an ActionSpec")
    for field in ("num_actions", "dim"):
        size = getattr(action, field)
        right = isinstance(size, int) and not isinstance(size, bool) and size >= 0
        require(right, spec.name, f"{field} is {size!r}, it must be an integer, at least 0")
    require((action.num_actions > 0) != (action.dim > 0), spec.name, "give one of num_actions and dim, not both")
    require(not action.discrete or action.num_actions >= 2, spec.name, "num_actions is 1, give at least 2")
    bounds = action.low, action.high
    plain = all(isinstance(bound, int | float) and math.isfinite(bound) for bound in bounds)
    text = f"low and high are {action.low!r} and {action.high!r}, they must be finite numbers"
    require(action.discrete or plain, spec.name, text)
    text = f"low {action.low} is not below high {action.high}"
    require(action.discrete or action.low < action.high, spec.name, text)
    size = spec.num_agents * spec.obs_dim
    text = f"the spec says state_is_obs, but state_dim is {spec.state_dim} and the observations have {size} numbers"
    require(not spec.state_is_obs or spec.state_dim == size, spec.name, text)
    if action.mask is not None:
        try:
            shape = np.shape(action.mask)
        except ValueError:  # rows of several lengths
            shape = "no shape"
        due = (spec.num_agents, action.dim)
        require(shape == due, spec.name, f"the action mask has shape {shape}, the spec says {due}")


def _timestep_shapes(spec: EnvSpec, num_envs: int) -> dict[str, tuple]:
    agents = (num_envs, spec.num_agents)
    lanes = (num_envs,)
    return {
        "obs": ((*agents, spec.obs_dim), jnp.float32),
        "state": ((num_envs, spec.state_dim), jnp.float32),
        "avail": ((*agents, spec.action.num_actions), jnp.bool_),
        "alive": (agents, jnp.bool_),
        "reward": (lanes, jnp.float32),
        "terminated": (lanes, jnp.bool_),
        "truncated": (lanes, jnp.bool_),
    }


def _trace(name: str, call: str, function, *args) -> Any:
    try:
        return jax.eval_shape(function, *args)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"{name}: {call} cannot be traced by jax ({in_one_line(error)})") from error


def _check_structure(env: Environment, num_envs: int) -> tuple[Any, TimeStep]:
    """Shapes, dtypes and the tree of what reset, step and restart give, without running them. Returns reset's."""
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
    for call, given in calls.items():
        _check_timestep(spec, num_envs, call, given)
        keys, due = set(given[1].info), set(timestep.info)
        text = f"info of {call} has the keys {sorted(keys)}, that of reset {sorted(due)}"
        require(keys == due, spec.name, text)
        same = jax.tree.structure(given) == jax.tree.structure(opened)
        require(same, spec.name, f"{call} gives another tree than reset, so a scan cannot carry it")
        for (path, a), b in zip(jax.tree.leaves_with_path(given), jax.tree.leaves(opened), strict=True):
            text = f"{call} gives {_describe(a)} at {jax.tree_util.keystr(path)}, reset gives {_describe(b)}"
            require((a.shape, a.dtype) == (b.shape, b.dtype), spec.name, text)
    return opened


def _check_tracing(env: Environment, opened: tuple[Any, TimeStep]) -> None:
    """Traced twice, a pure function is the same program with the same constants: no dice, no counters in Python."""
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
        # a function of its own each time, or the second would be jax's memory of the first
        one, two = (jax.make_jaxpr(lambda *args, f=function: f(*args))(*args) for _ in range(2))
        same = str(one) == str(two) and all(map(np.array_equal, one.consts, two.consts))
        require(same, name, f"{call} is another program each time it is traced: it must be pure")


def _describe(leaf) -> str:
    return f"{leaf.dtype}{list(leaf.shape)}"


def _check_timestep(spec: EnvSpec, num_envs: int, call: str, given: Any) -> None:
    pair = isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], TimeStep)
    require(pair, spec.name, f"{call} must give (state, TimeStep)")
    timestep = given[1]
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
        text = f"info[{key!r}] of {call} has shape {leaf.shape}, it must begin with {num_envs} lanes"
        require(leaf.shape[:1] == (num_envs,), spec.name, text)
    won = info.get("won")
    require(won is None or (won.shape, won.dtype) == ((num_envs,), bool), spec.name, "info['won'] must be bool[E]")
    for path, leaf in jax.tree.leaves_with_path(given):
        text = f"{call} gives a weakly typed leaf at {jax.tree_util.keystr(path)}: name its dtype"
        require(not leaf.weak_type, spec.name, text)
