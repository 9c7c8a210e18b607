"""Predator-prey of the IAC paper (section 5.1): slow predators, the agents, hunt a faster prey that moves at random.

Bodies, physics and observations are those of MPE's simple_tag; see `envs.mpe.physics`. The prey is part of the
environment.
"""

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.base import ActionSpec, ConfigError, EnvSpec, TimeStep
from envs.mpe.physics import PHYSICS, Discs, Motion, advance

# simple_tag.py of multiagent-particle-envs and of mpe2; lengths in units, half the arena's side.
PREDATOR_SIZE, PREY_SIZE, LANDMARK_SIZE = 0.075, 0.05, 0.2
PREDATOR_ACCEL, PREY_ACCEL = 3.0, 4.0  # force of an action of length 1
PREDATOR_SPEED, PREY_SPEED = 1.0, 1.3  # top speeds
ARENA, LANDMARK_ARENA = 1.0, 0.9  # bodies start within +- ARENA, landmarks lie within +- LANDMARK_ARENA
CATCH_REWARD = 10.0

REWARDS = ("per_pair", "flat")
PREY = ("uniform", "cardinal", "still")
BOUNDARIES = ("none", "clamp")


class HuntState(NamedTuple):
    """E environments; every array has E on its minor axis. Discs: predators, then prey, then landmarks."""

    motion: Motion  # [K, E]
    steps: jax.Array  # int32[E] since the reset


class PredatorPrey:
    """`predator_prey` and, with a `radius`, `po_predator_prey`: an `Environment`.

    An action is a force f32[E, A, 2] in [-1, 1]^2 (clipped) that accelerates a predator by up to PREDATOR_ACCEL. The
    shared reward counts the predators that touch prey after the step; 100 steps, then truncation.

    Observation of a predator, in this order: its velocity (2) and position (2); the landmarks' positions relative to
    it (2 each); those of the other predators, then of the prey (2 each); the velocities of the prey (2 each). With a
    `radius`, all features of a body whose centre is farther away are 0, and (`visible_bit`) a bit is added for each
    landmark, other predator and prey: 1 if it is visible. `TimeStep.state` is never masked: x of all bodies, y of
    all, then the velocities along x of predators and prey, then those along y.

    Args:
      num_predators, num_prey, num_landmarks: how many; 3, 1 and 2 in the paper.
      reward: "per_pair", 10 for each pair of a predator and a prey in contact, summed as in simple_tag; "flat", 10 if
        there is any such pair, which limits an episode's return to 1000, the paper's threshold.
      radius: how far a predator sees; None: everything. 0.8 in the paper's partial version.
      visible_bit: with a radius, whether to add the bits.
      prey: the paper says "moves randomly". "uniform": each step a force uniform in [-1, 1]^2; "cardinal": one of MPE's
        five discrete actions (rest, or force 1 along an axis); "still": none.
      boundary: "none", as in simple_tag, where leaving the arena only costs a learning prey reward, so that a prey
        which moves at random or is pushed may leave it; "clamp": bodies stop at the arena's edge.
      physics: "openai", the code of the paper's time (2021), in which discs move by their new velocity and so stay in
        contact longer: a chaser's return is twice as high; "mpe2", the code maintained today (see `envs.mpe.physics`).
      horizon: steps per episode.

    Raises:
      ConfigError: a choice does not exist, or a number is out of range.
    """

    def __init__(
        self,
        num_predators: int = 3,
        num_prey: int = 1,
        num_landmarks: int = 2,
        reward: str = "per_pair",
        radius: float | None = None,
        visible_bit: bool = True,
        prey: str = "uniform",
        boundary: str = "none",
        physics: str = "openai",
        horizon: int = 100,
    ):
        name = "predator_prey" if radius is None else "po_predator_prey"
        _check_counts(name, num_predators, num_prey, num_landmarks, horizon)
        choices = {"reward": (reward, REWARDS), "prey": (prey, PREY), "boundary": (boundary, BOUNDARIES)}
        _check_choices(name, {**choices, "physics": (physics, PHYSICS)})
        if radius is not None and not radius > 0:
            raise ConfigError(f"{name}: radius {radius} must be above 0")
        self.num_predators, self.num_prey, self.num_landmarks = num_predators, num_prey, num_landmarks
        self.reward, self.radius, self.prey, self.boundary, self.physics = reward, radius, prey, boundary, physics
        self.visible_bit = visible_bit and radius is not None
        self.movers = num_predators + num_prey
        self.bodies = self.movers + num_landmarks
        self.discs = Discs(
            (PREDATOR_SIZE,) * num_predators + (PREY_SIZE,) * num_prey + (LANDMARK_SIZE,) * num_landmarks,
            (PREDATOR_SPEED,) * num_predators + (PREY_SPEED,) * num_prey,
        )
        others = self.bodies - 1
        self.spec = EnvSpec(
            name=name,
            num_agents=num_predators,
            obs_dim=4 + 2 * others + 2 * num_prey + (others if self.visible_bit else 0),
            state_dim=2 * self.bodies + 2 * self.movers,
            action=ActionSpec(dim=2),
            horizon=horizon,
        )

    @partial(jax.jit, static_argnums=(0, 2))
    def reset(self, key: jax.Array, num_envs: int) -> tuple[HuntState, TimeStep]:
        """Starts with all bodies at rest at random places. Bodies may overlap; they push each other apart."""
        state = self._open(key, num_envs)
        return state, self._show(state, jnp.zeros(num_envs, jnp.float32), jnp.zeros(num_envs, bool))

    @partial(jax.jit, static_argnums=0)
    def step(self, key: jax.Array, state: HuntState, action: jax.Array) -> tuple[HuntState, TimeStep]:
        """One step of 0.1 s under the forces f32[E, A, 2]. After the end the bodies still move, and it stays over."""
        force = jnp.clip(action, -1.0, 1.0).transpose(2, 1, 0) * PREDATOR_ACCEL
        flight = self.prey_force(key, state.steps.shape[0]) * PREY_ACCEL
        fx, fy = jnp.concatenate([force, flight], axis=1)
        motion = advance(self.discs, state.motion, fx, fy, self.physics)
        if self.boundary == "clamp":
            motion = self._clamp(motion)
        state = HuntState(motion, state.steps + 1)
        return state, self._show(state, self._reward(motion), state.steps >= self.spec.horizon)

    @partial(jax.jit, static_argnums=0)
    def restart(
        self, key: jax.Array, state: HuntState, timestep: TimeStep, where: jax.Array
    ) -> tuple[HuntState, TimeStep]:
        """Starts new episodes where `where` is True; the other environments keep their state and time step."""
        num_envs = where.shape[0]
        # All episodes have the same length, so most steps need no new state, and drawing one costs more than a step.
        # Under vmap over seeds the branch becomes a select: no gain there, no harm.
        fresh = jax.lax.cond(where.any(), lambda key: self._open(key, num_envs), lambda key: state, key)
        state = jax.tree.map(lambda new, old: jnp.where(where, new, old), fresh, state)
        return state, self._show(state, jnp.where(where, 0.0, timestep.reward), timestep.truncated & ~where)

    def contacts(self, motion: Motion) -> jax.Array:
        """bool[P, M, E]: predator p touches prey m (the distance of the centres is below the sum of the radii)."""
        hunters, hunted = slice(self.num_predators), slice(self.num_predators, self.movers)
        dx = motion.x[hunters, None] - motion.x[None, hunted]
        dy = motion.y[hunters, None] - motion.y[None, hunted]
        return dx * dx + dy * dy < (PREDATOR_SIZE + PREY_SIZE) ** 2

    def _reward(self, motion: Motion) -> jax.Array:
        touching = self.contacts(motion)
        count = touching.sum((0, 1)) if self.reward == "per_pair" else touching.any((0, 1))
        return CATCH_REWARD * count.astype(jnp.float32)

    def _open(self, key: jax.Array, num_envs: int) -> HuntState:
        half = np.where(np.arange(self.bodies) < self.movers, ARENA, LANDMARK_ARENA).astype(np.float32)[:, None]
        bits = jax.random.bits(key, (self.bodies, num_envs), jnp.uint32)  # 16 bits per coordinate: a resolution of 3e-5
        x, y = (((part.astype(jnp.float32) + 0.5) / 2**15 - 1) * half for part in (bits & 0xFFFF, bits >> 16))
        rest = (
            jnp.zeros((self.movers, num_envs), jnp.float32) for _ in range(2)
        )  # separate buffers, so that a caller may donate them
        return HuntState(Motion(x, y, *rest), jnp.zeros(num_envs, jnp.int32))

    def prey_force(self, key: jax.Array, num_envs: int) -> jax.Array:
        """The prey's force f32[2, M, E], in units of PREY_ACCEL."""
        shape = (self.num_prey, num_envs)
        if self.prey == "uniform":
            return jax.random.uniform(key, (2, *shape), minval=-1.0)
        if self.prey == "still":
            return jnp.zeros((2, *shape), jnp.float32)
        choice = jax.random.randint(key, shape, 0, 5)  # rest, left, right, down, up
        along = [(choice == plus).astype(jnp.float32) - (choice == plus - 1) for plus in (2, 4)]
        return jnp.stack(along)

    def _clamp(self, motion: Motion) -> Motion:
        def stop(place, speed):
            moving = place[: self.movers]
            speed = jnp.where((jnp.abs(moving) > ARENA) & (moving * speed > 0), 0.0, speed)
            return place.at[: self.movers].set(jnp.clip(moving, -ARENA, ARENA)), speed

        (x, vx), (y, vy) = stop(motion.x, motion.vx), stop(motion.y, motion.vy)
        return Motion(x, y, vx, vy)

    def _observe(self, motion: Motion) -> jax.Array:
        """f32[E, A, O]. Features are [A, E] rows. An agent's k-th other body is body k, or k + 1 if k >= its index."""
        x, y, vx, vy = motion
        hunters = slice(self.num_predators)
        index = np.arange(self.num_predators)[:, None]

        def other(values, k):
            after = values[k + 1]
            return jnp.where(index <= k, after, values[k]) if k < self.num_predators - 1 else after

        def slot(k):
            dx, dy = other(x, k) - x[hunters], other(y, k) - y[hunters]
            seen = None if self.radius is None else (dx * dx + dy * dy <= self.radius**2).astype(jnp.float32)
            return (dx, dy, seen) if seen is None else (dx * seen, dy * seen, seen)

        movers = [slot(k) for k in range(self.movers - 1)]
        landmarks = [slot(k) for k in range(self.movers - 1, self.bodies - 1)]
        rows = [vx[hunters], vy[hunters], x[hunters], y[hunters]]
        for dx, dy, _ in landmarks + movers:
            rows += [dx, dy]
        for m in range(self.num_predators, self.movers):
            seen = 1.0 if self.radius is None else movers[m - 1][2]
            rows += [jnp.broadcast_to(v[m] * seen, x[hunters].shape) for v in (vx, vy)]
        if self.visible_bit:
            rows += [seen for _, _, seen in landmarks + movers]
        return jnp.stack(rows).transpose(2, 1, 0)

    def _show(self, state: HuntState, reward: jax.Array, truncated: jax.Array) -> TimeStep:
        num_envs, agents = state.steps.shape[0], self.num_predators
        return TimeStep(
            obs=self._observe(state.motion),
            state=jnp.concatenate(state.motion).T,
            avail=jnp.zeros((num_envs, agents, 0), bool),
            alive=jnp.ones((num_envs, agents), bool),
            reward=reward,
            terminated=jnp.zeros(num_envs, bool),
            truncated=truncated,
            info={},
        )


def _check_choices(name: str, choices: dict[str, tuple[str, tuple[str, ...]]]) -> None:
    for option, (value, known) in choices.items():
        if value not in known:
            raise ConfigError(f"{name}: {option} '{value}' does not exist, give one of {', '.join(known)}")


def _check_counts(name: str, num_predators: int, num_prey: int, num_landmarks: int, horizon: int) -> None:
    lowest = {"num_predators": 1, "num_prey": 1, "num_landmarks": 0, "horizon": 1}
    given = {"num_predators": num_predators, "num_prey": num_prey, "num_landmarks": num_landmarks, "horizon": horizon}
    for option, least in lowest.items():
        value = given[option]
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ConfigError(f"{name}: {option} is {value!r}, give a whole number of at least {least}")


def predator_prey(
    num_predators: int = 3,
    num_prey: int = 1,
    num_landmarks: int = 2,
    reward: str = "per_pair",
    prey: str = "uniform",
    boundary: str = "none",
    physics: str = "openai",
    horizon: int = 100,
) -> PredatorPrey:
    """Predator-prey in which every predator sees everything; the options are those of `PredatorPrey`."""
    return PredatorPrey(**locals())


def po_predator_prey(
    radius: float = 0.8,
    visible_bit: bool = True,
    num_predators: int = 3,
    num_prey: int = 1,
    num_landmarks: int = 2,
    reward: str = "per_pair",
    prey: str = "uniform",
    boundary: str = "none",
    physics: str = "openai",
    horizon: int = 100,
) -> PredatorPrey:
    """The partially observable version: bodies beyond `radius` are hidden in the observations, not in the state."""
    if radius is None:
        raise ConfigError("po_predator_prey: give a radius, or use predator_prey, where everything is visible")
    return PredatorPrey(**locals())
