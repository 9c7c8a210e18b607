"""NumPy in, NumPy out: an environment for programs that do not use JAX.

`NumpyEnv` plays E parallel environments. A step is one call of a compiled program, which hands back its whole
`TimeStep` as one array, so that there is one transfer from the device.
"""

import functools
import secrets
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.base import ConfigError, Environment, EnvSpec, EnvState, TimeStep

# Of the CPU's compiler. A step of few environments is many small operations: threads would cost more than they save.
CPU_OPTIONS = {"xla_disable_hlo_passes": "cpu-parallel-task-assigner"}


class TimeStepLayout:
    """Where each leaf of a `TimeStep` lies in one f32 vector. Whole numbers are exact up to 2^24."""

    def __init__(self, timestep: TimeStep):
        """`timestep`: arrays, or shapes as `jax.eval_shape` returns them."""
        leaves, self._tree = jax.tree.flatten(timestep)
        ends = np.cumsum([leaf.size for leaf in leaves]).tolist()
        self._parts = [
            (slice(end - leaf.size, end), leaf.shape, None if leaf.dtype == jnp.float32 else np.dtype(leaf.dtype))
            for leaf, end in zip(leaves, ends, strict=True)
        ]

    def pack(self, timestep: TimeStep) -> jax.Array:
        """f32[K]: all leaves, one after the other."""
        return jnp.concatenate([leaf.astype(jnp.float32).ravel() for leaf in jax.tree.leaves(timestep)])

    def unpack(self, flat: Any) -> TimeStep:
        """The inverse of `pack`. `flat`: of NumPy, then the leaves are too, and the f32 ones are views; or of jax."""
        leaves = [flat[part].reshape(shape) for part, shape, _ in self._parts]
        kinds = [kind for *_, kind in self._parts]
        leaves = [leaf if kind is None else leaf.astype(kind) for leaf, kind in zip(leaves, kinds, strict=True)]
        return jax.tree.unflatten(self._tree, leaves)


class _Programs(NamedTuple):
    """Compiled functions; a carry is (key, state of the environment), a flat one a packed `TimeStep`."""

    layout: TimeStepLayout
    reset: Callable  # (key, episode int32[]) -> (carry, flat)
    step: Callable  # (carry, action) -> (carry, flat)
    restart: Callable  # (carry, flat, where bool[E]) -> (carry, flat)


@functools.lru_cache(maxsize=32)  # the environments of one map share their programs
def _programs(env: Environment, num_envs: int, platform: str) -> _Programs:
    options = CPU_OPTIONS if platform == "cpu" else None
    key = jax.random.key(0)
    layout = TimeStepLayout(jax.eval_shape(lambda: env.reset(key, num_envs))[1])

    def reset(key, episode):
        key, k_reset = jax.random.split(jax.random.fold_in(key, episode))
        state, timestep = env.reset(k_reset, num_envs)
        return (key, state), layout.pack(timestep)

    def step(carry, action):
        key, k_step = jax.random.split(carry[0])
        state, timestep = env.step(k_step, carry[1], action)
        return (key, state), layout.pack(timestep)

    def restart(carry, flat, where):
        key, k_restart = jax.random.split(carry[0])
        state, timestep = env.restart(k_restart, carry[1], layout.unpack(flat), where)
        return (key, state), layout.pack(timestep)

    return _Programs(
        layout,
        jax.jit(reset, compiler_options=options),
        jax.jit(step, donate_argnums=0, compiler_options=options),
        jax.jit(restart, donate_argnums=0, compiler_options=options),
    )


def find_device(name: str | None) -> jax.Device:
    """The first device of the platform `name` ("cpu", "gpu", ...); None: jax's default.

    Raises:
      ConfigError: there is none.
    """
    try:
        return jax.devices(name)[0]
    except RuntimeError:
        raise ConfigError(f"device={name}: jax finds no such device; it has {jax.default_backend()}") from None


class NumpyEnv:
    """E parallel environments whose actions and time steps are NumPy arrays.

    The same seed and the same actions give the same episodes.

    Args:
      env: what is played. Instances with the same `env` and `num_envs` share their compiled programs.
      num_envs: E.
      seed: of the episodes; None: drawn by the operating system.
      device: "cpu", "gpu" or None for jax's default. One environment at a time is played fastest by a CPU.
    """

    def __init__(self, env: Environment, num_envs: int = 1, seed: int | None = None, device: str | None = None):
        self.spec: EnvSpec = env.spec
        self.num_envs = num_envs
        self.episode = -1  # counts the calls of `reset` since the last `seed`
        self._device = find_device(device)
        self._programs = _programs(env, num_envs, self._device.platform)
        self._carry: Any = None
        self._flat: Any = None
        self.seed(seed)

    def seed(self, seed: int | None = None) -> None:
        """Makes the next `reset` the first one of `seed`."""
        number = secrets.randbits(32) if seed is None else int(seed) % 2**32
        self._key = jax.device_put(jax.random.key(np.uint32(number)), self._device)
        self.episode = -1

    @property
    def state(self) -> EnvState:
        """The state of the environments, on the device. The next step reuses its memory: copy what is to be kept."""
        return self._carry[1]

    def reset(self) -> TimeStep:
        """Starts an episode in each environment. Every leaf of what is returned has E in front."""
        self.episode += 1
        return self._take(self._programs.reset(self._key, np.int32(self.episode)))

    def step(self, action: np.ndarray) -> TimeStep:
        """Advances all environments by one step of the joint actions int32[E, A] or f32[E, A, D]."""
        return self._take(self._programs.step(self._carry, action))

    def restart(self, where: np.ndarray) -> TimeStep:
        """Starts new episodes where `where` (bool[E]); the other environments keep their time step."""
        return self._take(self._programs.restart(self._carry, self._flat, where))

    def replay(self, episode: int, actions: Iterable[np.ndarray]) -> Iterator[tuple[EnvState, TimeStep]]:
        """Plays a `reset` and the steps after it again, without touching what is being played.

        Args:
          episode: the value of `self.episode` after that reset.
          actions: what `step` received.
        """
        carry, flat = self._programs.reset(self._key, np.int32(episode))
        yield jax.tree.map(jnp.copy, carry[1]), self._unpack(flat)
        for action in actions:
            carry, flat = self._programs.step(carry, action)
            yield jax.tree.map(jnp.copy, carry[1]), self._unpack(flat)

    def _take(self, result: tuple[Any, jax.Array]) -> TimeStep:
        self._carry, self._flat = result
        return self._unpack(self._flat)

    def _unpack(self, flat: jax.Array) -> TimeStep:
        return self._programs.layout.unpack(np.array(flat))  # a copy, which the caller may write to
