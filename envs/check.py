"""`check_env`: does a world keep the contract of `envs.base`? Says in one line what is wrong."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.base import ConfigError, Environment, EnvSpec, TimeStep


def check_env(env: Environment, num_envs: int = 3, steps: int | None = None) -> None:
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
    step = jax.jit(env.step)
    played = _play(env, num_envs, env.spec.horizon + 2 if steps is None else steps)
    _check_rows(env.spec, played.timesteps)
    _check_endings(env.spec, played.timesteps)
    _check_purity(env, step, played)
    _check_restart(env, step, played)


def random_actions(key: jax.Array, spec: EnvSpec, avail: jax.Array) -> jax.Array:
    """Uniform legal actions: int32[E, A], or f32[E, A, D] within the bounds, for avail bool[E, A, U]."""
    return _legal(spec, avail, jax.random.uniform(key, _noise_shape(spec, avail.shape[0])))


def _noise_shape(spec: EnvSpec, num_envs: int) -> tuple[int, ...]:
    return (num_envs, spec.num_agents, spec.action.num_actions or spec.action.dim)


def _legal(spec: EnvSpec, avail: jax.Array, noise: jax.Array) -> jax.Array:
    """Legal actions from `noise`, uniform in [0, 1)."""
    if spec.action.discrete:
        return jnp.where(avail, noise, -1.0).argmax(-1).astype(jnp.int32)
    action = spec.action.low + (spec.action.high - spec.action.low) * noise
    return action if spec.action.mask is None else jnp.where(jnp.array(spec.action.mask), action, 0.0)


def _require(condition: Any, name: str, text: str) -> None:
    if not condition:
        raise ConfigError(f"{name}: {text}")


def _check_spec(spec: EnvSpec) -> None:
    action = spec.action
    for field in ("num_agents", "obs_dim", "state_dim", "horizon"):
        size = getattr(spec, field)
        _require(isinstance(size, int) and size > 0, spec.name, f"{field} is {size!r}, it must be a positive integer")
    _require((action.num_actions > 0) != (action.dim > 0), spec.name, "give one of num_actions and dim, not both")
    _require(not action.discrete or action.num_actions >= 2, spec.name, "num_actions is 1, give at least 2")
    text = f"low {action.low} is not below high {action.high}"
    _require(action.discrete or action.low < action.high, spec.name, text)
    size = spec.num_agents * spec.obs_dim
    text = f"the spec says state_is_obs, but state_dim is {spec.state_dim} and the observations have {size} numbers"
    _require(not spec.state_is_obs or spec.state_dim == size, spec.name, text)
    if action.mask is not None:
        shape = np.shape(action.mask)
        due = (spec.num_agents, action.dim)
        _require(shape == due, spec.name, f"the action mask has shape {shape}, the spec says {due}")


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
    except Exception as error:
        line = str(error).strip().splitlines()[0]
        raise ConfigError(f"{name}: {call} cannot be traced by jax ({type(error).__name__}: {line})") from error


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
        _require(keys == due, spec.name, text)
        same = jax.tree.structure(given) == jax.tree.structure(opened)
        _require(same, spec.name, f"{call} gives another tree than reset, so a scan cannot carry it")
        for (path, a), b in zip(jax.tree.leaves_with_path(given), jax.tree.leaves(opened), strict=True):
            text = f"{call} gives {_describe(a)} at {jax.tree_util.keystr(path)}, reset gives {_describe(b)}"
            _require((a.shape, a.dtype) == (b.shape, b.dtype), spec.name, text)
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
        _require(same, name, f"{call} is another program each time it is traced: it must be pure")


def _describe(leaf) -> str:
    return f"{leaf.dtype}{list(leaf.shape)}"


def _check_timestep(spec: EnvSpec, num_envs: int, call: str, given: Any) -> None:
    pair = isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], TimeStep)
    _require(pair, spec.name, f"{call} must give (state, TimeStep)")
    timestep = given[1]
    for field, (shape, dtype) in _timestep_shapes(spec, num_envs).items():
        leaf = getattr(timestep, field)
        _require(leaf.shape == shape, spec.name, f"{field} of {call} has shape {leaf.shape}, the spec says {shape}")
        text = f"{field} of {call} is {leaf.dtype}, it must be {jnp.dtype(dtype)}"
        _require(leaf.dtype == dtype, spec.name, text)
    for key, leaf in timestep.info.items():
        text = f"info[{key!r}] of {call} has shape {leaf.shape}, it must begin with {num_envs} lanes"
        _require(leaf.shape[:1] == (num_envs,), spec.name, text)
    won = timestep.info.get("won")
    _require(won is None or (won.shape, won.dtype) == ((num_envs,), bool), spec.name, "info['won'] must be bool[E]")
    for path, leaf in jax.tree.leaves_with_path(given):
        text = f"{call} gives a weakly typed leaf at {jax.tree_util.keystr(path)}: name its dtype"
        _require(not leaf.weak_type, spec.name, text)


class _Played(NamedTuple):
    """An episode a lane and what follows it, without restarts; T + 1 rows, E lanes."""

    states: Any  # [T + 1, ...]
    timesteps: TimeStep  # [T + 1, E, ...]
    keys: jax.Array  # [T]
    actions: jax.Array  # [T, E, ...]


def _play(env: Environment, num_envs: int, steps: int) -> _Played:
    """Scanned over time and mapped over two seeds, of which the second is handed back: as training does it."""

    def body(carry, inputs):
        key, noise = inputs
        action = _legal(env.spec, carry[1].avail, noise)
        new = env.step(key, carry[0], action)
        return new, (new, action)

    def one(k_reset, keys, noise):
        opened = env.reset(k_reset, num_envs)
        rows, actions = jax.lax.scan(body, opened, (keys, noise))[1]
        states, timesteps = jax.tree.map(lambda x, xs: jnp.concatenate([x[None], xs]), opened, rows)
        return _Played(states, timesteps, keys, actions)

    # All that is drawn for the actions is drawn here: in the scan it would take longer to compile than most worlds.
    k_reset, k_play, k_noise = jax.random.split(jax.random.key(1), 3)
    noise = jax.random.uniform(k_noise, (2, steps, *_noise_shape(env.spec, num_envs)))
    try:
        both = jax.jit(jax.vmap(one))(jax.random.split(k_reset), jax.random.split(k_play, (2, steps)), noise)
    except (TypeError, ValueError, NotImplementedError) as error:
        line = str(error).strip().splitlines()[0]
        raise ConfigError(f"{env.spec.name}: fails under vmap and scan ({type(error).__name__}: {line})") from error
    return jax.tree.map(lambda x: x[1], both)


def _check_rows(spec: EnvSpec, timesteps: TimeStep) -> None:
    """Every row: finite numbers, and a legal action for every agent, dead or over though it be."""
    for path, leaf in jax.tree.leaves_with_path(timesteps):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            finite = np.isfinite(leaf).reshape(leaf.shape[0], -1).all(1)
            text = f"{jax.tree_util.keystr(path)[1:]} is not finite at step {np.argmin(finite)}"
            _require(finite.all(), spec.name, text)
    if spec.action.discrete:
        legal = np.asarray(timesteps.avail).any(-1)
        step, lane, agent = np.unravel_index(np.argmin(legal), legal.shape)
        dead = "" if timesteps.alive[step, lane, agent] else ", which is dead,"
        text = f"agent {agent}{dead} has no legal action at step {step}: give it at least one (a no-op, if dead)"
        _require(legal.all(), spec.name, text)
    if spec.state_is_obs:
        same = (timesteps.obs.reshape(timesteps.state.shape) == timesteps.state).all((1, 2))
        text = f"the spec says state_is_obs, but state is not the observations in a row at step {np.argmin(same)}"
        _require(same.all(), spec.name, text)


def _check_endings(spec: EnvSpec, timesteps: TimeStep) -> None:
    """No ending at reset, a truncation at the horizon and only there, and nothing lives on after an ending."""
    terminated, truncated = np.asarray(timesteps.terminated), np.asarray(timesteps.truncated)
    boundary = terminated | truncated
    for field, flag in (("terminated", terminated), ("truncated", truncated)):
        _require(not flag[0].any(), spec.name, f"{field} is set by reset")
    _require((timesteps.reward[0] == 0).all(), spec.name, "the reward of reset is not 0")
    _require(timesteps.alive[0].any(-1).all(), spec.name, "no agent is alive after reset")
    early = truncated[: spec.horizon].any(1)
    text = f"truncated at step {np.argmax(early)}, the horizon is {spec.horizon}"
    _require(not early.any(), spec.name, text)
    if len(boundary) > spec.horizon:
        text = f"an episode goes on past the horizon of {spec.horizon} steps: set truncated there"
        _require(boundary[spec.horizon].all(), spec.name, text)
    revived = (boundary[:-1] & ~boundary[1:]).any(1)
    text = f"an episode that was over at step {np.argmax(revived)} goes on: a world must never restart by itself"
    _require(not revived.any(), spec.name, text)


def _leaves(tree: Any) -> list[np.ndarray]:
    def host(x):
        return np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)

    return [host(leaf) for leaf in jax.tree.leaves(tree)]


def _differ(a: Any, b: Any, tolerance: float = 0.0) -> str | None:
    """Path of the first leaf where `a` and `b` differ (floats by more than `tolerance`, the rest at all), or None."""
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(a)]
    for path, x, y in zip(paths, _leaves(a), _leaves(b), strict=True):
        close = np.issubdtype(x.dtype, np.floating) and np.allclose(x, y, rtol=tolerance, atol=tolerance)
        if not (close or np.array_equal(x, y)):
            return path
    return None


def _check_restart(env: Environment, step: Callable, played: _Played) -> None:
    """A restart opens the lanes asked for, and no trace of it is seen in the others, nor in their next step."""
    name, key, restart = env.spec.name, jax.random.key(2), jax.jit(env.restart)
    num_envs = played.timesteps.reward.shape[1]
    for row in (1, len(played.keys)):
        state, timestep = jax.tree.map(lambda x, row=row: x[row], (played.states, played.timesteps))
        path = _differ(restart(key, state, timestep, jnp.zeros(num_envs, bool)), (state, timestep))
        _require(path is None, name, f"a restart of no lane changes {path}")
        again, opened = restart(key, state, timestep, jnp.arange(num_envs) == 0)
        _require(not opened.boundary[0], name, "a restarted lane is still terminated or truncated")
        _require(opened.reward[0] == 0, name, "the reward of a restarted lane is not 0")
        path = _differ(_rest(opened), _rest(timestep))
        _require(path is None, name, f"a restart of lane 0 changes {path} of the others")
        action = random_actions(key, env.spec, opened.avail)
        after, before = step(key, again, action)[1], step(key, state, action)[1]
        path = _differ(_rest(after), _rest(before))
        _require(path is None, name, f"after a restart of lane 0, a step gives the others another {path}")


def _rest(timestep: TimeStep) -> TimeStep:
    return jax.tree.map(lambda x: x[1:], timestep)


def _check_purity(env: Environment, step: Callable, played: _Played) -> None:
    """The same key, state and action give the same: called again (bitwise), and in vmap and scan (to rounding)."""
    state = jax.tree.map(lambda x: x[0], played.states)
    given = step(played.keys[0], state, played.actions[0])
    path = _differ(step(played.keys[0], state, played.actions[0]), given)
    _require(path is None, env.spec.name, f"the same step gives another {path} the second time: it must be pure")
    path = _differ(jax.tree.map(lambda x: x[1], (played.states, played.timesteps)), given, tolerance=1e-4)
    _require(path is None, env.spec.name, f"under vmap and scan, the same step gives another {path}")
