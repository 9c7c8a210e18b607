"""Predator-prey: compared with mpe2's simple_tag step by step; contacts and masks by hand, options and their errors."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.base import ConfigError
from envs.check import check_env, random_actions
from envs.mpe.physics import Motion
from envs.mpe.predator_prey import HuntState, PredatorPrey, po_predator_prey, predator_prey

KEY = jax.random.key(0)


def placed(env, x, y=None, vx=None, vy=None):
    """The state of one environment with bodies (predators, prey, landmarks) where `x` and `y` say."""
    zeros = [0.0] * env.bodies
    rows = (x, y or zeros, vx or zeros[: env.movers], vy or zeros[: env.movers])
    motion = Motion(*(jnp.asarray(row, jnp.float32)[:, None] for row in rows))
    return HuntState(motion, jnp.zeros(1, jnp.int32))


def show(env, state):
    """The time step of `state`, from a restart of no environment."""
    timestep = env.reset(KEY, 1)[1]
    return jax.tree.map(lambda leaf: leaf[0], env.restart(KEY, state, timestep, jnp.zeros(1, bool))[1])


def velocity_first(world, forces):
    """The integration of 2017, in place of mpe2's: each body moves by its new velocity."""
    for body, force in zip(world.entities, forces, strict=True):
        if body.movable:
            velocity = body.state.p_vel * (1 - world.damping)
            velocity = velocity if force is None else velocity + force / body.mass * world.dt
            speed = np.sqrt((velocity**2).sum())
            body.state.p_vel = velocity * min(1.0, body.max_speed / max(speed, 1e-12))
            body.state.p_pos = body.state.p_pos + body.state.p_vel * world.dt


@pytest.mark.parametrize(
    "predators, prey, landmarks, physics", [(3, 1, 2, "mpe2"), (4, 2, 1, "mpe2"), (3, 1, 2, "openai")]
)
def test_every_step_is_mpe2s(predators, prey, landmarks, physics, monkeypatch):
    """100 steps of five episodes that approach the prey. mpe2's environment, set to our state before each step, with
    the same forces, has the same places, velocities, observations and reward; for "openai" in the order of 2017."""
    from mpe2._mpe_utils.core import World
    from mpe2.simple_tag.simple_tag import Scenario

    if physics == "openai":
        monkeypatch.setattr(World, "integrate_state", velocity_first)
    scenario = Scenario()
    world = scenario.make_world(prey, predators, landmarks)
    env = predator_prey(num_predators=predators, num_prey=prey, num_landmarks=landmarks, physics=physics)

    def step(carry, key):
        state, timestep = carry
        k_act, k_step = jax.random.split(key)
        goal = timestep.obs[..., -4 * prey : -4 * prey + 2]  # of the first prey
        action = jnp.clip(3 * goal + 0.3 * jax.random.normal(k_act, goal.shape), -1.0, 1.0)
        new, timestep = env.step(k_step, state, action)
        return (new, timestep), (state.motion, new.motion, action, env.prey_force(k_step, 5), timestep)

    play = jax.jit(lambda: jax.lax.scan(step, env.reset(KEY, 5), jax.random.split(KEY, 100))[1])
    before, after, actions, flights, timesteps = jax.tree.map(np.asarray, play())

    for t, e in np.ndindex(100, 5):
        old, new = ([np.float64(leaf[t, :, e]) for leaf in motion] for motion in (before, after))
        for i, body in enumerate(world.entities):
            body.state.p_pos = np.array([old[0][i], old[1][i]])
            body.state.p_vel = np.array([old[2][i], old[3][i]]) if i < env.movers else np.zeros(2)
        for i, agent in enumerate(world.agents):
            force = actions[t, e, i] if i < predators else flights[t, :, i - predators, e]
            agent.action.u = agent.accel * np.float64(force)
        world.step()
        np.testing.assert_allclose(new[:2], np.transpose([e.state.p_pos for e in world.entities]), atol=1e-5)
        np.testing.assert_allclose(new[2:], np.transpose([a.state.p_vel for a in world.agents]), atol=1e-5)
        theirs = [scenario.observation(agent, world) for agent in world.agents[:predators]]
        np.testing.assert_allclose(timesteps.obs[t, e], theirs, atol=1e-5)
        assert timesteps.reward[t, e] == scenario.reward(world.agents[0], world)
    assert timesteps.reward.max() >= 20 and (timesteps.reward > 0).mean() > 0.1  # there was something to compare


@pytest.mark.parametrize("reward, expected", [("per_pair", 30.0), ("flat", 10.0)])
def test_contacts_are_counted(reward, expected):
    """Contact is nearer than 0.075 + 0.05 = 0.125. Prey at 0 and 0.2, predators at 0.1 (both), -0.12 (one), -0.13."""
    env = predator_prey(num_prey=2, num_landmarks=0, reward=reward, prey="still", physics="mpe2")
    state = placed(env, [0.1, -0.12, -0.13, 0.0, 0.2])
    touching = np.asarray(env.contacts(state.motion))[..., 0]
    np.testing.assert_array_equal(touching, [[True, True], [True, False], [False, False]])
    timestep = env.step(KEY, state, jnp.zeros((1, 3, 2)))[1]  # at rest: nothing has moved yet when contact is read
    assert timestep.reward[0] == expected


def test_observation_and_state_by_hand():
    env = predator_prey(num_predators=2, num_landmarks=1)
    state = placed(env, [0.0, 0.5, -0.25, 1.0], [0.0, 0.25, 0.5, -1.0], [0.1, 0.2, 0.3], [0.4, 0.5, 0.6])
    seen = show(env, state)
    first = [0.1, 0.4, 0.0, 0.0, 1.0, -1.0, 0.5, 0.25, -0.25, 0.5, 0.3, 0.6]
    second = [0.2, 0.5, 0.5, 0.25, 0.5, -1.25, -0.5, -0.25, -0.75, 0.25, 0.3, 0.6]
    np.testing.assert_allclose(seen.obs, [first, second], atol=1e-7)
    whole = [0.0, 0.5, -0.25, 1.0, 0.0, 0.25, 0.5, -1.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    np.testing.assert_allclose(seen.state, whole, atol=1e-7)


def test_the_partial_version_hides_what_is_far_and_nothing_from_the_state():
    """From predator 0: the landmark at 0.6, 0.8 is 1.0 away, predator 1 at 0.79, the prey at 0.81; predator 1 sees the
    prey. Features: own velocity and position, landmark, other, prey, its velocity, then a bit each."""
    make = {"num_predators": 2, "num_landmarks": 1}
    env, full = po_predator_prey(**make), predator_prey(**make)
    place = [0.0, 0.79, 0.81, 0.6], [0.0, 0.0, 0.0, 0.8], [0.1, 0.0, 0.7], [0.2, 0.0, -0.5]
    partly, wholly = show(env, placed(env, *place)), show(full, placed(full, *place))
    np.testing.assert_allclose(partly.obs[0], [0.1, 0.2, 0, 0, 0, 0, 0.79, 0, 0, 0, 0, 0, 0, 1, 0], atol=1e-7)
    np.testing.assert_allclose(partly.obs[1, 8:], [0.02, 0, 0.7, -0.5, 0, 1, 1], atol=1e-6)
    np.testing.assert_array_equal(partly.state, wholly.state)
    unmarked = po_predator_prey(visible_bit=False, **make)
    np.testing.assert_array_equal(show(unmarked, placed(unmarked, *place)).obs, partly.obs[:, :12])
    everything = po_predator_prey(radius=9.0, visible_bit=False, **make)
    np.testing.assert_array_equal(show(everything, placed(everything, *place)).obs, wholly.obs)


def test_actions_are_forces_of_at_most_one():
    env = predator_prey(num_predators=1, num_landmarks=0, prey="still")
    state = env.step(KEY, placed(env, [0.0, 1.0]), jnp.array([[[0.5, -7.0]]]))[0]
    np.testing.assert_allclose(state.motion.vx[:, 0], [0.15, 0.0], atol=1e-7)  # 0.5 * 3 * 0.1
    np.testing.assert_allclose(state.motion.vy[:, 0], [-0.3, 0.0], atol=1e-7)  # cut to -1: -1 * 3 * 0.1


def test_prey_moves_at_random():
    draw = {kind: np.asarray(predator_prey(prey=kind).prey_force(KEY, 5000))[:, 0] for kind in ("uniform", "cardinal")}
    assert abs(draw["uniform"]).max() <= 1
    np.testing.assert_allclose(draw["uniform"].var(1), 1 / 3, atol=0.02)
    np.testing.assert_allclose(draw["uniform"].mean(1), 0, atol=0.035)
    five, share = np.unique(draw["cardinal"], axis=1, return_counts=True)
    np.testing.assert_array_equal(five.T, [[-1, 0], [0, -1], [0, 0], [0, 1], [1, 0]])
    np.testing.assert_allclose(share / 5000, 0.2, atol=0.025)  # four standard deviations


def test_clamp_stops_bodies_at_the_edge():
    env = predator_prey(num_predators=2, num_landmarks=0, prey="still", boundary="clamp", physics="mpe2")
    start = placed(env, [0.98, -0.98, 0.0], None, [0.8, 0.8, 0.0])
    motion = env.step(KEY, start, jnp.zeros((1, 2, 2)))[0].motion
    np.testing.assert_allclose(motion.x[:, 0], [1.0, -0.9, 0.0], atol=1e-6)
    np.testing.assert_allclose(motion.vx[:, 0], [0.0, 0.6, 0.0], atol=1e-6)  # 0.8 * 0.75


def test_reset_places_bodies_at_rest_and_the_limit_truncates():
    env = predator_prey(horizon=3)
    state, timestep = env.reset(KEY, 400)
    place = np.stack(state.motion[:2])
    assert 0.99 < abs(place[:, :4]).max() <= 1 and 0.89 < abs(place[:, 4:]).max() <= 0.9
    assert not np.concatenate(state.motion[2:]).any()
    for t in range(3):
        assert not timestep.truncated.any()
        action = random_actions(KEY, env.spec, timestep.avail)
        state, timestep = env.step(jax.random.fold_in(KEY, t), state, action)
    assert timestep.truncated.all() and not timestep.terminated.any()


def test_defaults_are_the_papers():
    assert predator_prey().spec._replace(action=None) == ("predator_prey", 3, 16, 20, None, 100, False)
    assert po_predator_prey().spec.obs_dim == 16 + 5
    assert po_predator_prey().spec.name == "po_predator_prey" and po_predator_prey().radius == 0.8


@pytest.mark.parametrize(
    "make", [predator_prey, partial(po_predator_prey, num_predators=2, num_prey=2, num_landmarks=0, boundary="clamp")]
)
def test_keeps_the_contract(make):
    check_env(make(horizon=4))


@pytest.mark.parametrize(
    "make, options, text",
    [
        (predator_prey, {"num_predators": 0}, "num_predators is 0, give a whole number of at least 1"),
        (predator_prey, {"num_prey": 1.5}, "num_prey is 1.5"),
        (predator_prey, {"reward": "shared"}, "reward 'shared' does not exist, give one of per_pair, flat"),
        (predator_prey, {"physics": "box2d"}, "physics 'box2d' does not exist, give one of mpe2, openai"),
        (po_predator_prey, {"radius": -1.0}, "radius -1.0 must be above 0"),
        (po_predator_prey, {"radius": None}, "use predator_prey"),
    ],
)
def test_options_that_cannot_work(make, options, text):
    with pytest.raises(ConfigError, match=text):
        make(**options)


def test_openai_physics_holds_a_contact_longer():
    """A predator that presses on a still prey at rest: with the old velocity's step it is a step late."""
    gaps = {}
    for physics in ("mpe2", "openai"):
        env = PredatorPrey(num_predators=1, num_landmarks=0, prey="still", physics=physics)
        state = env.step(KEY, placed(env, [0.0, 0.2]), jnp.array([[[1.0, 0.0]]]))[0]
        gaps[physics] = float(state.motion.x[1, 0] - state.motion.x[0, 0])
    np.testing.assert_allclose([gaps["mpe2"], gaps["openai"]], [0.2, 0.2 - 0.3 * 0.1], atol=1e-6)
