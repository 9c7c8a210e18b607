"""The part of `envs.check` that plays: random legal actions through a world, and what must hold of every row."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.base import ConfigError, Environment, EnvSpec, TimeStep
from envs.errors import in_one_line


def check_play(env: Environment, num_envs: int, steps: int) -> None:
    """Plays `steps` steps in `num_envs` lanes, and checks the rows, the endings, purity and restarts.

    Raises:
      ConfigError: one line, of what does not hold, or of what the world raises while it is played.
    """
    try:
        step = jax.jit(env.step)
        played = _play(env, num_envs, steps)
        _check_rows(env.spec, played.timesteps)
        _check_endings(env.spec, played.timesteps)
        _check_purity(env, step, played)
        _check_restart(env, step, played)
    except ConfigError:
        raise
    except Exception as error:  # a world is a user's program, and raises what it likes
        raise ConfigError(f"{env.spec.name}: fails when it is played ({in_one_line(error)})") from error


def random_actions(key: jax.Array, spec: EnvSpec, avail: jax.Array) -> jax.Array:
    """Uniform legal actions: int32[E, A], or f32[E, A, D] within the bounds, for avail bool[E, A, U]."""
    return _legal(spec, avail, jax.random.uniform(key, noise_shape(spec, avail.shape[0])))


def noise_shape(spec: EnvSpec, num_envs: int) -> tuple[int, ...]:
    """Of the random numbers that one step's actions are made of."""
    return (num_envs, spec.num_agents, spec.action.num_actions or spec.action.dim)


def _legal(spec: EnvSpec, avail: jax.Array, noise: jax.Array) -> jax.Array:
    """Legal actions from `noise`, uniform in [0, 1)."""
    if spec.action.discrete:
        return jnp.where(avail, noise, -1.0).argmax(-1).astype(jnp.int32)
    action = spec.action.low + (spec.action.high - spec.action.low) * noise
    return action if spec.action.mask is None else jnp.where(jnp.array(spec.action.mask), action, 0.0)


def require(condition: Any, name: str, text: str) -> None:
    """Raises ConfigError, `name: text`, unless `condition` holds."""
    if not condition:
        raise ConfigError(f"{name}: {text}")


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
    noise = jax.random.uniform(k_noise, (2, steps, *noise_shape(env.spec, num_envs)))
    try:
        both = jax.jit(jax.vmap(one))(jax.random.split(k_reset), jax.random.split(k_play, (2, steps)), noise)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ConfigError(f"{env.spec.name}: fails under vmap and scan ({in_one_line(error)})") from error
    return jax.tree.map(lambda x: x[1], both)


def _check_rows(spec: EnvSpec, timesteps: TimeStep) -> None:
    """Every row: finite numbers, and a legal action for every agent, dead or over though it be."""
    for path, leaf in jax.tree.leaves_with_path(timesteps):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            wrong = np.argwhere(~np.isfinite(leaf))
            field = jax.tree_util.keystr(path)[1:]
            if len(wrong):
                whose = f" of {_agent(timesteps, *wrong[0][:3])}" if field == "obs" else ""
                require(False, spec.name, f"{field}{whose} is not finite at step {wrong[0][0]}")
    if spec.action.discrete:
        legal = np.asarray(timesteps.avail).any(-1)
        step, lane, agent = np.unravel_index(np.argmin(legal), legal.shape)
        who = _agent(timesteps, step, lane, agent)
        text = f"{who} has no legal action at step {step}: give it at least one (a no-op, if dead)"
        require(legal.all(), spec.name, text)
    if spec.state_is_obs:
        same = (timesteps.obs.reshape(timesteps.state.shape) == timesteps.state).all((1, 2))
        text = f"the spec says state_is_obs, but state is not the observations in a row at step {np.argmin(same)}"
        require(same.all(), spec.name, text)


def _agent(timesteps: TimeStep, step: int, lane: int, agent: int) -> str:
    return f"agent {agent}" if timesteps.alive[step, lane, agent] else f"agent {agent}, which is dead,"


def _check_endings(spec: EnvSpec, timesteps: TimeStep) -> None:
    """No ending at reset, a truncation at the horizon and only there, and nothing lives on after an ending."""
    terminated, truncated = np.asarray(timesteps.terminated), np.asarray(timesteps.truncated)
    boundary = terminated | truncated
    for field, flag in (("terminated", terminated), ("truncated", truncated)):
        require(not flag[0].any(), spec.name, f"{field} is set by reset")
    require((timesteps.reward[0] == 0).all(), spec.name, "the reward of reset is not 0")
    require(timesteps.alive[0].any(-1).all(), spec.name, "no agent is alive after reset")
    early = truncated[: spec.horizon].any(1)
    text = f"truncated at step {np.argmax(early)}, the horizon is {spec.horizon}"
    require(not early.any(), spec.name, text)
    if len(boundary) > spec.horizon:
        text = f"an episode goes on past the horizon of {spec.horizon} steps: set truncated there"
        require(boundary[spec.horizon].all(), spec.name, text)
    revived = (boundary[:-1] & ~boundary[1:]).any(1)
    text = f"an episode that was over at step {np.argmax(revived)} goes on: a world must never restart by itself"
    require(not revived.any(), spec.name, text)


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
        require(path is None, name, f"a restart of no lane changes {path}")
        again, opened = restart(key, state, timestep, jnp.arange(num_envs) == 0)
        require(not opened.boundary[0], name, "a restarted lane is still terminated or truncated")
        require(opened.reward[0] == 0, name, "the reward of a restarted lane is not 0")
        path = _differ(_rest(opened), _rest(timestep))
        require(path is None, name, f"a restart of lane 0 changes {path} of the others")
        action = random_actions(key, env.spec, opened.avail)
        after, before = step(key, again, action)[1], step(key, state, action)[1]
        path = _differ(_rest(after), _rest(before))
        require(path is None, name, f"after a restart of lane 0, a step gives the others another {path}")


def _rest(timestep: TimeStep) -> TimeStep:
    return jax.tree.map(lambda x: x[1:], timestep)


def _check_purity(env: Environment, step: Callable, played: _Played) -> None:
    """The same key, state and action give the same: called again (bitwise), and in vmap and scan (to rounding)."""
    state = jax.tree.map(lambda x: x[0], played.states)
    given = step(played.keys[0], state, played.actions[0])
    path = _differ(step(played.keys[0], state, played.actions[0]), given)
    require(path is None, env.spec.name, f"the same step gives another {path} the second time: it must be pure")
    path = _differ(jax.tree.map(lambda x: x[1], (played.states, played.timesteps)), given, tolerance=1e-4)
    require(path is None, env.spec.name, f"under vmap and scan, the same step gives another {path}")
