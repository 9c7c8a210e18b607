"""What a picture of predator-prey shows, read off its pixels."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.mpe.predator_prey import PredatorPrey, po_predator_prey, predator_prey
from envs.mpe.rendering import (
    FOOTER,
    GOLD,
    HEADER,
    LANDMARK,
    PREDATORS,
    PREY,
    WIDTH,
    ParticleScene,
    cameras,
    draw_frame,
)
from envs.rendering import Episode, frames

VIEW = ((0.0, 0.0), 2.5)


def make_scene(env, x, y, **changes):
    touching = np.zeros((env.num_predators, env.num_prey), bool)
    return ParticleScene(np.array(x), np.array(y), touching, step=7, gained=0.0, total=30.0)._replace(**changes)


def pixel(image, x, y):
    unit = WIDTH / VIEW[1]
    return image.getpixel((round(WIDTH / 2 + x * unit), round(HEADER + WIDTH / 2 - y * unit)))


def near(a, b, tolerance=12):
    return max(abs(i - j) for i, j in zip(a, b, strict=True)) <= tolerance


def gold(image):
    """Pixels of the contact colour in the arena's part of the image."""
    arena = np.asarray(image.crop((0, HEADER, WIDTH, HEADER + WIDTH))).astype(int)
    return int((np.abs(arena - np.array(GOLD)).max(-1) <= 12).sum())


def test_bodies_stand_where_they_are_in_their_size_and_colour():
    env = predator_prey(num_predators=2, num_landmarks=1)
    image = draw_frame(env, [make_scene(env, [-0.8, 0.8, 0.0, 0.5], [0.5, 0.5, 0.3, -0.5])], VIEW)
    assert image.size == (WIDTH, WIDTH + HEADER + FOOTER)
    bodies = ((-0.8, 0.5, 0.075, PREDATORS[0]), (0.8, 0.5, 0.075, PREDATORS[1]), (0.0, 0.3, 0.05, PREY))
    for x, y, radius, colour in (*bodies, (0.5, -0.5, 0.2, LANDMARK)):
        for dx, dy in ((0.75, 0), (-0.75, 0), (0, 0.75), (0, -0.75)):
            assert near(pixel(image, x + dx * radius, y + dy * radius), colour)
            assert not near(pixel(image, x + 1.6 * dx * radius, y + 1.6 * dy * radius), colour)
    assert gold(image) == 0


def test_contact_wears_a_halo():
    env = predator_prey(num_predators=2, num_landmarks=0)
    scene = make_scene(env, [-0.5, 0.5, -0.4], [0.0, 0.0, 0.0], gained=10.0)
    touched = draw_frame(env, [scene._replace(touching=np.array([[True], [False]]))], VIEW)
    assert gold(touched) > 300
    assert near(pixel(touched, -0.5 - 0.075 - 0.015, 0.0), GOLD) and not near(pixel(touched, 0.59, 0.0), GOLD)


def test_trails_lead_to_where_a_body_is():
    env = predator_prey(num_predators=1, num_landmarks=0)
    path = [make_scene(env, [x, 0.9], [0.0, 0.9]) for x in (-0.6, -0.45, -0.3, -0.15)]
    image = draw_frame(env, path, VIEW)
    assert near(pixel(image, -0.25, 0.0), PREDATORS[0], 70) and not near(pixel(image, 0.25, 0.0), PREDATORS[0], 70)


def test_the_partial_version_shows_sight_and_leaves_the_unseen_hollow():
    env = po_predator_prey(num_predators=1, num_landmarks=1)
    image = draw_frame(env, [make_scene(env, [-0.8, -0.4, 0.7], [0.0, 0.0, 0.0])], VIEW)
    assert near(pixel(image, -0.4, 0.0), PREY)  # 0.4 away, within 0.8
    assert not near(pixel(image, 0.7, 0.0), LANDMARK)  # 1.5 away
    whole = PredatorPrey(num_predators=1, num_landmarks=1)
    bare = draw_frame(whole, [make_scene(whole, [-0.8, -0.4, 0.7], [0.0, 0.0, 0.0])], VIEW)
    assert near(pixel(bare, 0.7, 0.0), LANDMARK)
    assert pixel(image, -0.3, 0.5) != pixel(bare, -0.3, 0.5)  # sqrt(0.5) away: within sight, which is tinted


def test_the_camera_holds_still_if_all_fits_and_follows_if_not():
    env = predator_prey(num_predators=1, num_landmarks=0)
    near_by = [make_scene(env, [x, 0.0], [0.0, 0.5]) for x in (0.0, 0.5, 1.0)]
    assert len(set(cameras(env, near_by))) == 1
    far = [make_scene(env, [x, x], [0.0, 0.5]) for x in np.linspace(0.0, 6.0, 30)]
    (first, span), (last, _) = cameras(env, far)[0], cameras(env, far)[-1]
    assert span < 6 and first[0] < 1.5 < 4.5 < last[0]


def test_the_camera_keeps_in_view_those_that_part():
    env = predator_prey(num_predators=1, num_landmarks=0)
    scenes = [make_scene(env, [8 * u, -u], [u, 5 * u * u]) for u in np.linspace(0.0, 1.0, 40)]
    for scene, (centre, span) in zip(scenes, cameras(env, scenes), strict=True):
        assert max(abs(scene.x - centre[0]).max(), abs(scene.y - centre[1]).max()) <= span / 2 - 0.2


@pytest.mark.parametrize("values", [False, True])
def test_an_episode_ends_with_its_picture(values):
    env = predator_prey(horizon=3)
    key = jax.random.key(0)
    moments, actions = [env.reset(key, 2)], []
    for t in range(3):
        actions.append(np.full((2, 3, 2), 0.5, np.float32))
        moments.append(env.step(jax.random.fold_in(key, t), moments[-1][0], jnp.asarray(actions[-1])))
    states, timesteps = map(list, zip(*jax.device_get(moments), strict=True))
    worn = [np.array([[0.1, -0.2, 0.3]] * 2)] * 3 if values else None
    images = frames(env, Episode(states, timesteps, actions, worn), index=1, width=320)
    assert len(images) == 4 and images[0].size == (320, 357)
    assert images[0].tobytes() != images[3].tobytes()
