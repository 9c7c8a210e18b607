"""What a picture of a battle shows, read off its pixels."""

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image, ImageColor

from envs.base import ConfigError
from envs.rendering import Episode, frames, has_renderer, save_gif
from envs.smax.canvas import (
    ALLY,
    EMPTY,
    ENEMY,
    FIRE,
    GROUND,
    HEADER,
    HEAL,
    HIGH,
    LOST,
    PLUS,
    SHIELD,
    VIEW,
    WALL,
    WIDTH,
)  # fmt: skip
from envs.smax.rendering import BattleScene, agent_targets, camera, draw_frame, scene_of
from envs.smax.scenarios import get_scenario
from envs.smax.units import UNITS

SCALE = WIDTH / (VIEW[1] - VIEW[0])  # pixels a map unit when all of the map is seen


def make_scene(types=("marine", "marine"), num_allies=1, **changes):
    count = len(types)
    scene = BattleScene(
        name="test",
        types=types,
        num_allies=num_allies,
        x=np.linspace(10.0, 22.0, count),
        y=np.full(count, 16.0),
        health=np.array([UNITS[t].hp for t in types]),
        shield=np.array([UNITS[t].shield for t in types]),
        energy=np.full(count, 50.0),
        target=np.full(count, -1),
        lost=np.zeros(count),
        step=3,
        limit=60,
    )
    return scene._replace(**changes)


def pixel(image, x, y):
    return image.getpixel((round((x - VIEW[0]) * SCALE), round(HEADER + (VIEW[3] - y) * SCALE)))


def count(image, colour, box=None, tolerance=12):
    part = np.asarray(image.crop(box) if box else image).astype(int)
    return int((np.abs(part - np.array(colour)).max(axis=-1) <= tolerance).sum())


def map_box(x0, y0, x1, y1):
    left, right = ((x - VIEW[0]) * SCALE for x in (x0, x1))
    top, bottom = (HEADER + (VIEW[3] - y) * SCALE for y in (y1, y0))
    return tuple(round(v) for v in (left, top, right, bottom))


def close(a, b):
    return max(abs(i - j) for i, j in zip(a, b, strict=True)) <= 12


def test_units_stand_where_they_are_in_their_size_and_colour():
    image = draw_frame(make_scene())
    radius = UNITS["marine"].radius
    for x, colour in ((10.0, ALLY), (22.0, ENEMY)):
        # 0.7 of the radius out is body (the letter is narrower), 1.2 is ground, in all four directions but up (the bar)
        for dx, dy in ((-0.7, 0), (0.7, 0), (0, -0.7)):
            assert close(pixel(image, x + dx * radius, 16 + dy * radius), colour)
            assert not close(pixel(image, x + 1.7 * dx * radius, 16 + 1.7 * dy * radius), colour)


def test_the_map_is_the_right_way_up():
    image = draw_frame(make_scene(y=np.array([20.0, 11.0])))
    low = np.asarray(image)[HEADER + 250 : -40]  # the lower half of the map, 250 of 503 pixels down
    assert count(Image.fromarray(low), ENEMY) > 150 and count(Image.fromarray(low), ALLY) == 0


def test_bars_are_as_long_as_what_is_left():
    def shield_pixels(shield):
        scene = make_scene(("stalker", "zealot"), shield=np.array([shield, 0.0]))
        return count(draw_frame(scene), SHIELD, map_box(9, 16.3, 11, 18), tolerance=40)

    full, half = shield_pixels(80.0), shield_pixels(40.0)
    none = shield_pixels(0.0)  # a few pixels of the body's smooth edge
    assert full > 40 and none < 5
    assert abs((half - none) / (full - none) - 0.5) < 0.08


def test_what_was_lost_is_white():
    # 45 - 20 = 25 of 45 health left: a white piece as long as 20 / 25 of the coloured one
    hurt = make_scene(health=np.array([25.0, 45.0]), lost=np.array([20.0, 0.0]))
    box = map_box(9.4, 16.3, 10.6, 17.2)
    assert count(draw_frame(hurt), LOST, box, 40) > 10
    assert count(draw_frame(hurt._replace(lost=np.zeros(2))), LOST, box, 40) == 0


def test_the_dead_are_faint_and_have_no_aim():
    scene = make_scene(health=np.array([0.0, 45.0]), target=np.array([1, 0]), x=np.array([14.0, 18.0]))
    image, alone = draw_frame(scene), draw_frame(scene._replace(target=np.array([-1, 0])))
    assert count(image, ALLY, map_box(0, 8, 32, 24)) == 0
    assert image.tobytes() == alone.tobytes()


def test_heals_are_green_and_shots_out_of_reach_are_dotted():
    types = ("medivac", "marine", "marine")
    between = map_box(11.2, 15, 12.4, 17)
    near = make_scene(types, 2, x=np.array([10.0, 13.5, 30.0]), target=np.array([1, -1, -1]))
    far = near._replace(x=np.array([10.0, 20.0, 30.0]))
    solid, dotted = (count(draw_frame(s), HEAL, between, 70) for s in (near, far))
    assert solid > 60 and dotted == 0  # heal range 4 + radii 0.75 + 0.375 = 5.125: 3.5 is near, 10 is far
    assert count(draw_frame(near._replace(target=np.full(3, -1))), HEAL, between, 70) == 0


def test_values_ring_the_agents():
    box = map_box(9, 15, 11, 17)
    assert count(draw_frame(make_scene()), PLUS, box, 40) == 0
    assert count(draw_frame(make_scene(values=np.array([0.5]))), PLUS, box, 40) > 40


def test_agent_targets_by_hand():
    # MMM: agents 0-9 (medivac 9), enemies 10-19. Id 6 + j: enemy j is unit 10 + j; the medivac's id 9 is ally 3.
    action = np.array([6, 15, 0, 1, 2, 3, 4, 5, 8, 9])
    expected = [10, 19, -1, -1, -1, -1, -1, -1, 12, 3]
    np.testing.assert_array_equal(agent_targets(get_scenario("MMM"), action), expected)


def test_camera_shows_all_who_live_and_no_more_than_the_map():
    near = make_scene(x=np.array([9.0, 23.0]), y=np.array([15.0, 17.0]))
    x0, x1, y0, y1 = camera([near], margin=1.5)
    # 14 + 2 * 1.5 = 17 wide; high 17 * 17.4 / 33.2 = 8.9096; about (16, 16)
    np.testing.assert_allclose([x0, x1, y0, y1], [7.5, 24.5, 16 - 4.4548, 16 + 4.4548], atol=1e-4)
    dead = near._replace(health=np.zeros(2), x=np.array([2.3, 29.7]))
    np.testing.assert_allclose(camera([near, dead], margin=1.5), [x0, x1, y0, y1])
    # The strip is walkable in 2 <= x <= 30, 7 <= y <= 25. With 0.6 around it that is 29.2 by 19.2 about (16, 16): a
    # frame of its height is 19.2 * 33.2 / 17.4 = 36.6345 wide.
    whole = [16 - 18.3172, 16 + 18.3172, 6.4, 25.6]
    np.testing.assert_allclose(camera([dead]), whole, atol=1e-4)
    corners = make_scene(x=np.array([2.4, 29.6]), y=np.array([7.4, 24.6]))
    np.testing.assert_allclose(camera([near, corners]), whole, atol=1e-4)


def test_square_arenas_have_taller_frames():
    """bane_vs_bane's is 22 cells wide and high, 23.2 with the margin: all of it is 29 wide in a frame of 0.8."""
    dead = make_scene(health=np.zeros(2), terrain=get_scenario("bane_vs_bane").ground.terrain)
    np.testing.assert_allclose(camera([dead]), [1.5, 30.5, 4.4, 27.6], atol=1e-6)
    assert draw_frame(dead, 480, camera([dead])).size == (480, (66 + 768 + 34) // 2)
    assert draw_frame(make_scene(), 480).size == (480, round((66 + 503 + 34) / 2))


def test_camera_follows_those_who_fly_over_walls():
    """A medivac at y = 1, below the strip: 0 <= y <= 25.6 is shown, as high as 22.4 + 2 * 1.6."""
    flying = make_scene(("medivac", "marine"), x=np.array([16.0, 16.0]), y=np.array([1.0, 23.4]))
    x0, x1, y0, y1 = camera([flying])
    np.testing.assert_allclose([y0, y1, x1 - x0], [0.0, 25.6, 25.6 * 33.2 / 17.4], atol=1e-4)


def test_walls_high_ground_and_cliffs_look_different():
    """2c_vs_64zg: the plateau at y = 14, low ground at y = 9, a cliff at y = 12 that has lines, the void at y = 2."""
    scene = make_scene(health=np.zeros(2), x=np.full(2, 1.0), y=np.full(2, 1.0))
    image = draw_frame(scene._replace(terrain=get_scenario("2c_vs_64zg").ground.terrain), view=(2.0, 30.0, 0.5, 15.2))
    scale = WIDTH / 28.0
    colours = {y: image.getpixel((round(8.6 * scale), round(HEADER + (15.2 - y) * scale))) for y in (2.5, 9.5, 14.5)}
    low, high = ImageColor.getrgb(GROUND), ImageColor.getrgb(HIGH)
    assert close(colours[2.5], ImageColor.getrgb(WALL)) and close(colours[9.5], low) and close(colours[14.5], high)
    assert not close(colours[2.5], colours[9.5]) and not close(colours[9.5], colours[14.5])
    cliff = np.asarray(image.crop((200, round(HEADER + 2.4 * scale), 500, round(HEADER + 3.0 * scale)))).astype(int)
    assert cliff.sum(axis=2).max() - cliff.sum(axis=2).min() > 40


def test_bursts_and_beams_are_orange():
    around = map_box(9.2, 13, 11, 19)
    bombs = make_scene(("baneling", "marine"), health=np.array([0.0, 45.0]), x=np.array([12.0, 22.0]))
    burst = draw_frame(bombs._replace(burst=np.array([True, False])))
    assert count(draw_frame(bombs), FIRE, around, 90) == 0 and count(burst, FIRE, around, 90) > 40  # 2.2 to the left
    shot = make_scene(("colossus", "marine"), x=np.array([10.0, 15.0]), target=np.array([1, -1]))
    # The line is 2.8 long across the shot, at x = 15: from y = 14.6 to 17.4.
    beam = draw_frame(shot._replace(fired=np.array([True, False])))
    for box in (map_box(14.7, 14.7, 15.3, 15.5), map_box(14.7, 17.0, 15.3, 17.3)):
        assert count(draw_frame(shot), FIRE, box, 90) == 0 and count(beam, FIRE, box, 90) > 10
    assert count(beam, FIRE, map_box(14.5, 17.7, 15.5, 19), 90) == 0


def test_shots_and_bursts_of_a_step_are_found():
    """A baneling of the enemies dies, and a zergling's cooldown grows, between two moments of bane_vs_bane."""
    scenario = get_scenario("bane_vs_bane")
    count = len(scenario.units)
    fields = {name: np.zeros((count, 1)) for name in ("x", "y", "shield", "energy", "cooldown")}
    first = SimpleNamespace(**fields, health=np.ones((count, 1)), target=np.full((count, 1), -1))
    health, cooldown = first.health.copy(), first.cooldown.copy()
    health[[45, 5]], cooldown[7] = 0.0, 9.0  # unit 45 is a baneling, 5 and 7 are zerglings
    second = SimpleNamespace(**{**vars(first), "health": health, "cooldown": cooldown})
    before = scene_of(scenario, first, 0, 0, None, None)
    after = scene_of(scenario, second, 0, 1, np.full(24, 1), before)
    assert (np.flatnonzero(after.burst).tolist(), np.flatnonzero(after.fired).tolist()) == ([45], [7])


def test_unhurt_units_of_a_large_side_have_no_bars():
    health = np.full(32, 45.0)
    health[3] = 20.0
    many = make_scene(("marine",) * 32, 16, health=health, x=np.linspace(2, 30, 32))
    boxes = [map_box(many.x[n] - 0.3, 16.4, many.x[n] + 0.3, 17) for n in (3, 5)]
    hurt, unhurt = (count(draw_frame(many), EMPTY, box, 12) for box in boxes)
    assert hurt > 10 and unhurt == 0
    few = make_scene(("marine",) * 30, 15, x=many.x[:30])
    assert count(draw_frame(few), (70, 220, 70), map_box(few.x[5] - 0.3, 16.3, few.x[5] + 0.3, 17), 90) > 10


def make_episode(steps=5, won=True):
    """3m in two environments. In number 1 the third enemy dies at `steps`, in 0 nothing happens; then one more step."""
    states, timesteps, actions = [], [], []
    for t in range(steps + 2):
        health = np.full((6, 2), 45.0)
        health[3:5, 1], health[5, 1] = 0.0, 45.0 * (t < steps)
        column = np.arange(6.0)[:, None] + np.zeros((1, 2))
        battle = SimpleNamespace(
            x=10 + 2 * column, y=16 + 0 * column, health=health, shield=0 * column, energy=0 * column,
            cooldown=0 * column, target=np.full((6, 2), -1),
        )  # fmt: skip
        ended = np.array([False, t == steps])
        states.append(SimpleNamespace(battle=battle))
        timesteps.append(SimpleNamespace(terminated=ended, truncated=np.zeros(2, bool), info={"won": ended & won}))
        actions.append(np.full((2, 3), 8))
    return Episode(states, timesteps, actions[1:])


def test_frames_stop_at_the_end_of_the_episode_and_show_the_result():
    env = SimpleNamespace(spec=SimpleNamespace(name="smax:3m"))
    corner = (800, 4, 960, 32)
    won = frames(env, make_episode(), index=1, width=960)
    assert len(won) == 6 and won[0].size[0] == 960
    assert count(won[-1], HEAL, corner, 30) > 50 and count(won[-2], HEAL, corner, 30) == 0
    lost = frames(env, make_episode(won=False), index=1, width=960)
    assert count(lost[-1], ENEMY, corner, 30) > 50
    assert len(frames(env, make_episode(), index=0)) == 7


def test_an_environment_without_a_renderer_is_refused():
    env = SimpleNamespace(spec=SimpleNamespace(name="matrix_game"))
    assert has_renderer("smax:8m") and not has_renderer("matrix_game")
    with pytest.raises(ConfigError, match="'matrix_game' has no renderer"):
        frames(env, make_episode())


def test_gif_is_small_and_keeps_rare_colours(tmp_path):
    def moment(t):
        scene = make_scene(("marine",) * 8, 4, step=t, target=np.array([4, 5, 6, 7, 0, 1, 2, 3]))
        scene = scene._replace(x=np.linspace(9, 23, 8) + 0.05 * t, y=16 + np.sin(0.1 * t + np.arange(8)))
        return draw_frame(scene, 640, camera([scene]))

    images = [moment(t) for t in range(24)]
    save_gif(images, tmp_path / "a.gif", fps=8, hold=1.5)
    assert (tmp_path / "a.gif").stat().st_size < 2e6 * 24 / 60  # 2 MB for 60 pictures
    with Image.open(tmp_path / "a.gif") as gif:
        assert gif.n_frames == 24 and gif.size == images[0].size
        assert gif.info["duration"] in (120, 125, 130) and gif.info["loop"] == 0
        gif.seek(23)
        assert gif.info["duration"] == 1500
        shown = gif.convert("RGB")
    for colour in (ALLY, ENEMY, LOST):
        assert count(shown, colour, tolerance=30) > 0.7 * count(images[23], colour, tolerance=30)
    error = np.abs(np.asarray(shown).astype(int) - np.asarray(images[23]).astype(int)).mean()
    assert error < 3.0  # of 255
