"""The particle physics: numbers computed by hand, and mpe2 under the same forces."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.mpe.physics import Discs, Motion, advance, contact_forces

PAIR = Discs(radius=(0.075, 0.05), max_speed=(1.0, 1.3))


def motion(x, y=None, vx=None, vy=None, movers=2):
    """One environment of float32 arrays [K, 1]."""
    zeros = [0.0] * len(x)
    rows = (x, y or zeros, vx or zeros[:movers], vy or zeros[:movers])
    return Motion(*(jnp.asarray(row, jnp.float32)[:, None] for row in rows))


def forces(*rows):
    return jnp.asarray(rows, jnp.float32)[:, None]


def test_a_step_by_hand():
    start = motion([0.0, 5.0], [0.0, 5.0], [0.5, 0.0], [0.0, -0.2])
    new = advance(PAIR, start, forces(3.0, 0.0), forces(0.0, 4.0))
    # Moved by the old velocity: 0 + 0.5 * 0.1 and 5 - 0.2 * 0.1. Velocity: 0.5 * 0.75 + 3 * 0.1; -0.2 * 0.75 + 4 * 0.1
    np.testing.assert_allclose(new.x[:, 0], [0.05, 5.0], atol=1e-6)
    np.testing.assert_allclose(new.y[:, 0], [0.0, 4.98], atol=1e-6)
    np.testing.assert_allclose(new.vx[:, 0], [0.675, 0.0], atol=1e-6)
    np.testing.assert_allclose(new.vy[:, 0], [0.0, 0.25], atol=1e-6)


def test_openai_moves_by_the_new_velocity():
    start = motion([0.0, 5.0], [0.0, 5.0], [0.5, 0.0], [0.0, -0.2])
    new = advance(PAIR, start, forces(3.0, 0.0), forces(0.0, 4.0), "openai")
    np.testing.assert_allclose(new.x[:, 0], [0.0675, 5.0], atol=1e-6)  # 0 + 0.675 * 0.1
    np.testing.assert_allclose(new.y[:, 0], [0.0, 5.025], atol=1e-6)  # 5 + 0.25 * 0.1
    np.testing.assert_allclose(new.vx[:, 0], [0.675, 0.0], atol=1e-6)


def test_speed_is_cut_to_each_disc_s_own_limit():
    # (0.8, 0.6) * 0.75 + (3, 4) * 0.1 = (0.9, 0.85), of length 1.238: cut to 1 for the first disc, left for the second
    new = advance(PAIR, motion([0.0, 5.0], None, [0.8, 0.8], [0.6, 0.6]), forces(3.0, 3.0), forces(4.0, 4.0))
    np.testing.assert_allclose(new.vx[:, 0], [0.9 / 1.23794, 0.9], atol=1e-5)
    np.testing.assert_allclose(new.vy[:, 0], [0.85 / 1.23794, 0.85], atol=1e-5)


def test_contact_pushes_apart_by_the_overlap():
    # Centres 0.1 apart on a 3-4-5 direction, radii 0.075 + 0.05: overlap 0.025, force 100 * 0.025 = 2.5
    fx, fy = contact_forces(PAIR, *motion([0.0, 0.06], [0.0, 0.08])[:2])
    np.testing.assert_allclose(fx[:, 0], [-1.5, 1.5], atol=1e-4)
    np.testing.assert_allclose(fy[:, 0], [-2.0, 2.0], atol=1e-4)


def test_contact_sets_in_softly():
    # Just touching: 100 * 0.001 * log 2
    fx, _ = contact_forces(PAIR, *motion([0.0, 0.125])[:2])
    np.testing.assert_allclose(fx[:, 0], [-0.0693147, 0.0693147], rtol=1e-3)


def test_a_landmark_pushes_and_stays():
    discs = Discs(radius=(0.075, 0.2), max_speed=(1.0,))
    new = advance(discs, motion([0.0, 0.25], movers=1), forces(0.0), forces(0.0))
    np.testing.assert_allclose(new.vx[:, 0], [-0.25], atol=1e-5)  # 100 * (0.275 - 0.25) * 0.1
    np.testing.assert_allclose(new.x[:, 0], [0.0, 0.25], atol=0)


def test_discs_at_one_place_exert_no_force():
    np.testing.assert_array_equal(contact_forces(PAIR, *motion([0.3, 0.3])[:2])[0], np.zeros((2, 1)))


@pytest.mark.parametrize("predators, prey, landmarks", [(3, 1, 2), (5, 2, 3)])
def test_agrees_with_mpe2_among_many_collisions(predators, prey, landmarks):
    """Both in float64, from the same places, under the same forces, 50 steps without ever being set equal again.

    Collisions are chaotic: a rounding error of 1e-16 is 1e-7 after a hundred steps among this many.
    """
    from mpe2.simple_tag.simple_tag import Scenario

    world = Scenario().make_world(prey, predators, landmarks)
    rng = np.random.default_rng(0)
    movers = predators + prey
    place = rng.uniform(-0.5, 0.5, (2, movers + landmarks))
    for body, (x, y) in zip(world.entities, place.T, strict=True):
        body.state.p_pos, body.state.p_vel = np.array([x, y]), np.zeros(2)
    discs = Discs(tuple(e.size for e in world.entities), tuple(a.max_speed for a in world.agents))

    pushes, places, speeds = [], [], []
    for _ in range(50):
        for agent in world.agents:
            agent.action.u = rng.uniform(-3, 3, 2) - 2 * agent.state.p_pos  # inwards, so that they keep meeting
        pushes.append(np.stack([a.action.u for a in world.agents], 1))
        world.step()
        places.append(np.stack([e.state.p_pos for e in world.entities], 1))
        speeds.append(np.stack([a.state.p_vel for a in world.agents], 1))
    with jax.enable_x64(True):
        still = np.zeros((movers, 1))
        start = Motion(*(jnp.asarray(v) for v in (*place[..., None], still, still)))
        step = lambda now, force: (advance(discs, now, *force),) * 2  # noqa: E731
        ours = jax.device_get(jax.jit(lambda: jax.lax.scan(step, start, jnp.asarray(pushes)[..., None])[1])())
    assert ours.x.dtype == np.float64
    np.testing.assert_allclose(np.stack([ours.x, ours.y], 1)[..., 0], places, atol=1e-6)
    np.testing.assert_allclose(np.stack([ours.vx, ours.vy], 1)[..., 0], speeds, atol=1e-6)
    places = np.array(places)
    gaps = np.linalg.norm(places[:, :, :movers, None] - places[:, :, None, :movers], axis=1) + 9 * np.eye(movers)
    assert ((gaps < 0.1).any((1, 2))).sum() > 5  # steps in which two of them were in contact
