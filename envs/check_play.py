"""The part of `envs.check` that plays random legal actions and checks what the environment returns."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.base import ConfigError, Environment, EnvSpec, TimeStep
from envs.errors import in_one_line


def check_play(env: Environment, num_envs: int, steps: int) -> None:
    """Plays `steps` steps in `num_envs` environments and checks values, endings, purity and restarts.

    Raises:
      ConfigError: one line that says what is wrong, or what the environment raised.
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
    except Exception as error:  # user code may raise anything
        raise ConfigError(f"{env.spec.name}: fails while it is played ({in_one_line(error)})") from error


def random_actions(key: jax.Array, spec: EnvSpec, avail: jax.Array) -> jax.Array:
    """Uniform legal actions: int32[E, A], or f32[E, A, D] within the bounds, for avail bool[E, A, U]."""
    return _legal(spec, avail, jax.random.uniform(key, noise_shape(spec, avail.shape[0])))


def noise_shape(spec: EnvSpec, num_envs: int) -> tuple[int, ...]:
    """The shape of the random numbers from which one step's actions are made: (E, A, U) or (E, A, D)."""
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
    """T steps of E environments without restarts: an episode each, and the steps after its end."""

    states: Any  # [T + 1, ...]
    timesteps: TimeStep  # [T + 1, E, ...]
    keys: jax.Array  # [T]
    actions: jax.Array  # [T, E, ...]


def _play(env: Environment, num_envs: int, steps: int) -> _Played:
    """Plays under vmap (two seeds) and scan (time), as training does. Returns the second seed's play."""

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

    # All random numbers are drawn here: inside the scan they would take longer to compile than most environments.
    k_reset, k_play, k_noise = jax.random.split(jax.random.key(1), 3)
    noise = jax.random.uniform(k_noise, (2, steps, *noise_shape(env.spec, num_envs)))
    try:
        both = jax.jit(jax.vmap(one))(jax.random.split(k_reset), jax.random.split(k_play, (2, steps)), noise)
    except (TypeError, ValueError, NotImplementedError) as error:
        raise ConfigError(f"{env.spec.name}: fails under vmap and scan ({in_one_line(error)})") from error
    return jax.tree.map(lambda x: x[1], both)


def _check_rows(spec: EnvSpec, timesteps: TimeStep) -> None:
    """Every time step: finite numbers, and a legal action for every agent, dead or alive, before and after the end."""
    for path, leaf in jax.tree.leaves_with_path(timesteps):
        if jnp.issubdtype(leaf.dtype, jnp.floating):
            wrong = np.argwhere(~np.isfinite(leaf))
            field = jax.tree_util.keystr(path)[1:]
            if len(wrong):
                whose = f" of {_agent(timesteps, *wrong[0][:3])}" if field == "obs" else ""
                require(False, spec.name, f"{field}{whose} is not finite at step {wrong[0][0]}")
    if spec.action.discrete:
        legal = np.asarray(timesteps.avail).any(-1)
        step, env, agent = np.unravel_index(np.argmin(legal), legal.shape)
        who = _agent(timesteps, step, env, agent)
        text = f"{who} has no legal action at step {step}: give it at least one (a no-op, if dead)"
        require(legal.all(), spec.name, text)
    if spec.state_is_obs:
        same = (timesteps.obs.reshape(timesteps.state.shape) == timesteps.state).all((1, 2))
        text = f"the spec says state_is_obs, but state is not the concatenated observations at step {np.argmin(same)}"
        require(same.all(), spec.name, text)


def _agent(timesteps: TimeStep, step: int, env: int, agent: int) -> str:
    return f"agent {agent}" if timesteps.alive[step, env, agent] else f"agent {agent}, which is dead,"


def _check_endings(spec: EnvSpec, timesteps: TimeStep) -> None:
    """No ending at reset, truncation at the horizon and only there, and no episode continues after its end."""
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
        text = f"an episode continues past the horizon of {spec.horizon} steps: set truncated there"
        require(boundary[spec.horizon].all(), spec.name, text)
    revived = (boundary[:-1] & ~boundary[1:]).any(1)
    text = (
        f"an episode that was over at step {np.argmax(revived)} continues: an environment must never restart by itself"
    )
    require(not revived.any(), spec.name, text)


def _leaves(tree: Any) -> list[np.ndarray]:
    def host(x):
        return np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)

    return [host(leaf) for leaf in jax.tree.leaves(tree)]


def _differ(a: Any, b: Any, tolerance: float = 0.0) -> str | None:
    """Path of the first leaf in which `a` and `b` differ (floats: by more than `tolerance`), or None."""
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree.leaves_with_path(a)]
    for path, x, y in zip(paths, _leaves(a), _leaves(b), strict=True):
        close = np.issubdtype(x.dtype, np.floating) and np.allclose(x, y, rtol=tolerance, atol=tolerance)
        if not (close or np.array_equal(x, y)):
            return path
    return None


def _check_restart(env: Environment, step: Callable, played: _Played) -> None:
    """`restart` starts the selected episodes and changes nothing in the others, nor in their next step."""
    name, key, restart = env.spec.name, jax.random.key(2), jax.jit(env.restart)
    num_envs = played.timesteps.reward.shape[1]
    for row in (1, len(played.keys)):
        state, timestep = jax.tree.map(lambda x, row=row: x[row], (played.states, played.timesteps))
        path = _differ(restart(key, state, timestep, jnp.zeros(num_envs, bool)), (state, timestep))
        require(path is None, name, f"a restart of no environment changes {path}")
        again, opened = restart(key, state, timestep, jnp.arange(num_envs) == 0)
        require(not opened.boundary[0], name, "a restarted environment is still terminated or truncated")
        require(opened.reward[0] == 0, name, "the reward of a restarted environment is not 0")
        path = _differ(_rest(opened), _rest(timestep))
        require(path is None, name, f"a restart of environment 0 changes {path} of the others")
        action = random_actions(key, env.spec, opened.avail)
        after, before = step(key, again, action)[1], step(key, state, action)[1]
        path = _differ(_rest(after), _rest(before))
        require(
            path is None, name, f"after a restart of environment 0, a step returns a different {path} for the others"
        )


def _rest(timestep: TimeStep) -> TimeStep:
    return jax.tree.map(lambda x: x[1:], timestep)


def _check_purity(env: Environment, step: Callable, played: _Played) -> None:
    """The same key, state and action give the same result: called again (bitwise), and under vmap and scan (nearly)."""
    state = jax.tree.map(lambda x: x[0], played.states)
    first = step(played.keys[0], state, played.actions[0])
    path = _differ(step(played.keys[0], state, played.actions[0]), first)
    require(path is None, env.spec.name, f"the same step returns a different {path} the second time: it must be pure")
    path = _differ(jax.tree.map(lambda x: x[1], (played.states, played.timesteps)), first, tolerance=1e-4)
    require(path is None, env.spec.name, f"under vmap and scan, the same step returns a different {path}")
