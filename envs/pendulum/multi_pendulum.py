"""N pendulums that must be swung up and balanced at the same time (IAC paper, section 5.1, figures 4 to 6).

Each pendulum is gym's Pendulum-v1, as in gymnax: a rod of length 1 m and mass 1 kg, with a torque at its pivot that is
too weak to lift it directly. Each agent controls one pendulum and observes only that one; the reward is shared.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp

from envs.base import ActionSpec, ConfigError, EnvSpec, TimeStep, select_envs

# Pendulum-v1 of gym, gymnasium and gymnax
GRAVITY, MASS, LENGTH = 10.0, 1.0, 1.0  # m/s^2, kg, m
DT = 0.05  # s
MAX_SPEED, MAX_TORQUE = 8.0, 2.0  # rad/s, N m
START_SPEED = 1.0  # rad/s; an episode begins at a uniform angle with a uniform speed up to this
HORIZON = 200  # steps
UPRIGHT = 0.2  # rad: a pendulum is up while |angle| is below this (section 5.1)


class PendulumState(NamedTuple):
    """N pendulums in E environments; every array has E on its minor axis."""

    angle: jax.Array  # f32[N, E] rad, 0 is up; not wrapped, as in gym
    speed: jax.Array  # f32[N, E] rad/s
    steps: jax.Array  # int32[E] since the reset


def swing(angle: jax.Array, speed: jax.Array, torque: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Angle (rad) and speed (rad/s) of pendulums after one step under `torque` (N m, clipped); any shape."""
    torque = jnp.clip(torque, -MAX_TORQUE, MAX_TORQUE)
    pull = 1.5 * GRAVITY / LENGTH * jnp.sin(angle) + 3.0 / (MASS * LENGTH**2) * torque
    speed = jnp.clip(speed + pull * DT, -MAX_SPEED, MAX_SPEED)
    return angle + speed * DT, speed


class MultiPendulum:
    """`multi_pendulum:N` and `multi_pendulum_shaped:N`: an `Environment`.

    The reward depends on the angles after the step, wrapped to [-pi, pi]. Sparse: 5 while all pendulums are up
    (|angle| < `upright`), else 0, so an episode's return is at most 1000. Shaped (figure 6): 0.5 while all are up, else
    0.2 while three or more are, else 0.1 while one or more are. Episodes end by the time limit only (truncated).

    An agent's observation is (cos angle, sin angle, speed) of its pendulum; the global state is all observations. Its
    action is a torque f32[1] in [-2, 2] N m.

    Under uniformly random torques, the sparse reward occurs in 30 % of the episodes of 1 pendulum, 3 % of 2 and 0.15 %
    of 3.

    Raises:
      ConfigError: the number of pendulums or the horizon is below 1, or `upright` is not between 0 and pi.
    """

    def __init__(self, num_pendulums: int, shaped: bool = False, horizon: int = HORIZON, upright: float = UPRIGHT):
        name = f"multi_pendulum{'_shaped' if shaped else ''}:{num_pendulums}"
        for what, number in (("the number of pendulums", num_pendulums), ("horizon", horizon)):
            if not isinstance(number, int) or isinstance(number, bool) or number < 1:
                raise ConfigError(f"{name}: {what} must be an integer of at least 1, not {number!r}")
        if not isinstance(upright, int | float) or not 0 < upright < math.pi:
            raise ConfigError(f"{name}: upright must be an angle between 0 and pi, not {upright!r}")
        self.shaped, self.upright = shaped, float(upright)
        action = ActionSpec(dim=1, low=-MAX_TORQUE, high=MAX_TORQUE)
        self.spec = EnvSpec(name, num_pendulums, 3, 3 * num_pendulums, action, horizon, state_is_obs=True)

    def reset(self, key: jax.Array, num_envs: int) -> tuple[PendulumState, TimeStep]:
        shape = (2, self.spec.num_agents, num_envs)
        angle, speed = jax.random.uniform(key, shape, jnp.float32, minval=-1.0, maxval=1.0)
        state = PendulumState(math.pi * angle, START_SPEED * speed, jnp.zeros(num_envs, jnp.int32))
        return state, self._show(state, jnp.zeros(num_envs, jnp.float32), jnp.cos(state.angle))

    def step(self, key: jax.Array, state: PendulumState, action: jax.Array) -> tuple[PendulumState, TimeStep]:
        """One step under the torques `action` f32[E, A, 1]. After the time limit nothing moves and the reward is 0."""
        live = state.steps < self.spec.horizon
        angle, speed = swing(state.angle, state.speed, action[..., 0].T)
        angle, speed = jnp.where(live, angle, state.angle), jnp.where(live, speed, state.speed)
        state = PendulumState(angle, speed, state.steps + live.astype(jnp.int32))
        cosine = jnp.cos(angle)
        return state, self._show(state, jnp.where(live, self._reward(cosine), 0.0), cosine)

    def restart(
        self, key: jax.Array, state: PendulumState, timestep: TimeStep, where: jax.Array
    ) -> tuple[PendulumState, TimeStep]:
        """Starts new episodes where `where` is True. If it is nowhere (200 of 201 steps), nothing is drawn."""

        def fresh():
            opened, shown = self.reset(key, where.shape[0])
            merged = jax.tree.map(lambda new, old: jnp.where(where, new, old), opened, state)
            return merged, select_envs(where, shown, timestep)

        return jax.lax.cond(where.any(), fresh, lambda: (state, timestep))

    def _reward(self, cosine):
        """f32[E] from the cosines [N, E]: a pendulum is up where the cosine of its angle is above cos(upright)."""
        up = cosine > math.cos(self.upright)
        if not self.shaped:
            return jnp.where(up.all(0), 5.0, 0.0).astype(jnp.float32)
        count = up.sum(0)
        some = jnp.where(count >= 3, 0.2, jnp.where(count >= 1, 0.1, 0.0))
        return jnp.where(up.all(0), 0.5, some).astype(jnp.float32)

    def _show(self, state, reward, cosine) -> TimeStep:
        num_envs, agents = reward.shape[0], self.spec.num_agents
        sine = jnp.sin(state.angle)
        # column by column: a third faster than stacking the three arrays and moving E to the front
        columns = [x[n] for n in range(agents) for x in (cosine, sine, state.speed)]
        flat = jnp.stack(columns, axis=-1)
        return TimeStep(
            obs=flat.reshape(num_envs, agents, 3),
            state=flat,
            avail=jnp.ones((num_envs, agents, 0), bool),
            alive=jnp.ones((num_envs, agents), bool),
            reward=reward,
            terminated=jnp.zeros(num_envs, bool),
            truncated=state.steps >= self.spec.horizon,
            info={},
        )


def multi_pendulum(num_pendulums: int, horizon: int = HORIZON, upright: float = UPRIGHT) -> MultiPendulum:
    """The sparse task; see `MultiPendulum`."""
    return MultiPendulum(num_pendulums, False, horizon, upright)


def multi_pendulum_shaped(num_pendulums: int, horizon: int = HORIZON, upright: float = UPRIGHT) -> MultiPendulum:
    """The task of figure 6; see `MultiPendulum`."""
    return MultiPendulum(num_pendulums, True, horizon, upright)
