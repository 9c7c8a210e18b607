"""`check_env`: does a world keep the contract of `envs.base`? Says in one line what is wrong."""

from typing import Any

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
    _check_structure(env, num_envs)
    states, timesteps = _play(env, num_envs, env.spec.horizon + 2 if steps is None else steps)
    _check_rows(env.spec, timesteps)
    _check_endings(env.spec, timesteps)
    _check_restart(env, states, timesteps)
    _check_purity(env, num_envs)


def random_actions(key: jax.Array, spec: EnvSpec, avail: jax.Array) -> jax.Array:
    """Uniform legal actions: int32[E, A], or f32[E, A, D] within the bounds, for avail bool[E, A, U]."""
    if spec.action.discrete:
        return jax.random.categorical(key, jnp.where(avail, 0.0, -jnp.inf)).astype(jnp.int32)
    shape = (*avail.shape[:-1], spec.action.dim)
    action = jax.random.uniform(key, shape, jnp.float32, spec.action.low, spec.action.high)
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


def _check_structure(env: Environment, num_envs: int) -> None:
    """Shapes, dtypes and the tree of what reset, step and restart give, without running them."""
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


def _play(env: Environment, num_envs: int, steps: int) -> tuple[Any, TimeStep]:
    """States and timesteps of one episode a lane and of what follows, without restarts: leaves [steps + 1, ...]."""

    def body(carry, key):
        state, timestep = carry
        k_action, k_step = jax.random.split(key)
        action = random_actions(k_action, env.spec, timestep.avail)
        new = env.step(k_step, state, action)
        return new, new

    @jax.jit
    def play(key):
        k_reset, k_play = jax.random.split(key)
        opened = env.reset(k_reset, num_envs)
        rows = jax.lax.scan(body, opened, jax.random.split(k_play, steps))[1]
        return jax.tree.map(lambda x, xs: jnp.concatenate([x[None], xs]), opened, rows)

    return play(jax.random.key(1))


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


def _check_restart(env: Environment, states: Any, timesteps: TimeStep) -> None:
    """A restart opens the lanes asked for, and no trace of it is seen in the others, nor in their next step."""
    name, key = env.spec.name, jax.random.key(2)
    num_envs = timesteps.reward.shape[1]
    restart, step = jax.jit(env.restart), jax.jit(env.step)
    choose = jax.jit(lambda key, avail: random_actions(key, env.spec, avail))
    for row in {1, len(timesteps.reward) - 1}:
        state, timestep = jax.tree.map(lambda x, row=row: x[row], (states, timesteps))
        path = _differ(restart(key, state, timestep, jnp.zeros(num_envs, bool)), (state, timestep))
        _require(path is None, name, f"a restart of no lane changes {path}")
        where = jnp.arange(num_envs) == 0
        again, opened = restart(key, state, timestep, where)
        _require(not opened.boundary[0], name, "a restarted lane is still terminated or truncated")
        _require(opened.reward[0] == 0, name, "the reward of a restarted lane is not 0")
        path = _differ(_rest(opened), _rest(timestep))
        _require(path is None, name, f"a restart of lane 0 changes {path} of the others")
        action = choose(key, opened.avail)
        after, before = step(key, again, action)[1], step(key, state, action)[1]
        path = _differ(_rest(after), _rest(before))
        _require(path is None, name, f"after a restart of lane 0, a step gives the others another {path}")


def _rest(timestep: TimeStep) -> TimeStep:
    return jax.tree.map(lambda x: x[1:], timestep)


def _check_purity(env: Environment, num_envs: int) -> None:
    """The same key, state and action give the same, called again (bitwise), and by jit, vmap and scan (rounding)."""
    name = env.spec.name

    def episode(key):
        k_reset, k_action, k_step = jax.random.split(key, 3)
        state, timestep = env.reset(k_reset, num_envs)
        action = random_actions(k_action, env.spec, timestep.avail)
        return (state, timestep), env.step(k_step, state, action)

    key, other = jax.random.key(3), jax.random.key(4)
    expected = episode(key)
    path = _differ(episode(key), expected)
    _require(path is None, name, f"the same call gives another {path} the second time: it must be pure")
    ways = {
        "jit": jax.jit(episode)(key),
        "vmap": jax.tree.map(lambda x: x[1], jax.vmap(episode)(jnp.stack([other, key]))),
        "scan": jax.lax.scan(lambda carry, key: (carry, episode(key)), 0, jnp.stack([other, key]))[1],
    }
    ways["scan"] = jax.tree.map(lambda x: x[1], ways["scan"])
    for way, given in ways.items():
        path = _differ(given, expected, tolerance=1e-4)
        _require(path is None, name, f"under {way}, the same call gives another {path}")
