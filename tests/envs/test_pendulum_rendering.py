"""Pictures of pendulums: where things are drawn, and that a video shows the episode that was played."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from envs.pendulum.multi_pendulum import multi_pendulum, multi_pendulum_shaped
from envs.pendulum.rendering import (
    LEFT,
    REST,
    RIGHT,
    ROD,
    UP,
    PendulumCanvas,
    PendulumScene,
    draw_frame,
    grid,
    scenes,
    tip,
)
from envs.rendering import Episode, frames, frames_per_second, save_gif

WIDTH = 320  # half of the 640 that lengths are given for


def scene(*angles, torque=None, rewards=(), upright=0.2):
    """A scene of pendulums at `angles` without a trail."""
    torque = None if torque is None else np.array(torque)
    return PendulumScene("multi_pendulum:x", upright, 200, np.array([angles]), torque, np.array(rewards, float), 5.0)


def near(image, place, colour, reach=3):
    """Whether a pixel of about this colour lies within `reach` pixels of `place`, given in pixels of a full frame."""
    x, y = (round(v * WIDTH / 640) for v in place)
    patch = np.asarray(image, int)[y - reach : y + reach + 1, x - reach : x + reach + 1]
    return bool((np.abs(patch - np.array(colour)).max(-1) < 40).any())


def test_dials_stand_in_even_rows():
    assert [grid(n) for n in (1, 3, 5, 6, 8, 11)] == [(1, 1), (3, 1), (5, 1), (3, 2), (4, 2), (4, 3)]


def test_a_tip_is_where_gym_draws_it():
    # gym turns the rod to angle + pi / 2: up at 0, to the left at pi / 2, down at pi
    np.testing.assert_allclose([tip(10, 20, 4, a) for a in (0, math.pi / 2, math.pi)], [(10, 16), (6, 20), (10, 24)])


def test_rods_are_drawn_at_their_angles_and_coloured_by_being_up():
    angles = (0.1, math.pi / 2, -2.0)
    image = draw_frame(scene(*angles), WIDTH)
    for n, (angle, colour) in enumerate(zip(angles, (UP, REST, REST), strict=True)):
        x, y, r = PendulumCanvas(WIDTH, 3).dial(n)
        assert near(image, tip(x, y, 0.9 * ROD * r, angle), colour), n
        assert not near(image, tip(x, y, 0.6 * r, angle + 2.5), colour), n


def test_the_arrow_turns_to_the_side_of_the_torque():
    image = draw_frame(scene(0.0, 0.0, torque=(2.0, -2.0)), WIDTH)
    for n, (colour, other, side) in enumerate([(LEFT, RIGHT, 1), (RIGHT, LEFT, -1)]):
        x, y, r = PendulumCanvas(WIDTH, 2).dial(n)
        assert near(image, (x + side * 0.27 * r, y), colour) and not near(image, (x - side * 0.27 * r, y), colour)
        assert not near(image, (x + side * 0.27 * r, y), other)


def test_the_strip_is_gold_where_there_was_a_reward():
    rewards = np.zeros(100)
    rewards[40:60] = 5.0
    image = draw_frame(scene(1.0, rewards=rewards), WIDTH)
    strip = image.height * 640 / WIDTH - 16  # steps are 612 / 200 = 3.06 wide, from 14 on
    assert near(image, (14 + 50 * 3.06, strip), UP, reach=1) and not near(image, (14 + 20 * 3.06, strip), UP, reach=1)


def test_sizes():
    # 46 + 300 + 30 for one dial, 46 + 640 / 3 + 30 for three; half as large
    assert draw_frame(scene(0.0), WIDTH).size == (320, 188)
    assert draw_frame(scene(0.0, 1.0, 2.0), WIDTH).size == (320, round(289.33 / 2))


@pytest.mark.parametrize("env", [multi_pendulum(2, horizon=6), multi_pendulum_shaped(3, horizon=6)])
def test_a_film_shows_the_episode(env, tmp_path):
    key, agents = jax.random.key(0), env.spec.num_agents
    state, timestep = env.reset(key, 2)
    states, timesteps, actions = [state], [timestep], []
    for t in range(8):  # two steps more than there are
        actions.append(np.full((2, agents, 1), 0.5 * t, np.float32))
        state, timestep = env.step(key, state, jnp.asarray(actions[-1]))
        states.append(state)
        timesteps.append(timestep)
    episode = Episode(states, timesteps, actions)
    shown = scenes(env, episode, 1)
    assert [len(s.rewards) for s in shown] == list(range(7)) and shown[0].torque is None
    np.testing.assert_array_equal(shown[3].torque, np.full(agents, 1.0))
    np.testing.assert_array_equal(shown[6].angle[-1], states[6].angle[:, 1])
    np.testing.assert_array_equal(shown[6].angle[0], states[3].angle[:, 1])
    np.testing.assert_allclose(shown[6].rewards, [float(ts.reward[1]) for ts in timesteps[1:7]])
    assert [s.full for s in shown] == [0.5 if env.shaped else 5.0] * 7
    images = frames(env, episode, 1, WIDTH)
    save_gif(images, tmp_path / "a.gif", frames_per_second(env.spec.name))
    with Image.open(tmp_path / "a.gif") as gif:
        assert (gif.n_frames, gif.info["duration"]) == (7, 50)
