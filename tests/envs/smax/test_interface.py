"""Hand-made scenes with literal numbers: the test vectors 1 to 14 of the SMAC interface specification."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.errors import ConfigError
from envs.smax import interface, outcome
from envs.smax.scenarios import SCENARIOS, get_scenario
from envs.smax.units import UNITS

OBSERVE = jax.jit(interface.observe, static_argnums=0)


def scene(scenario, places, **changes):
    """One environment of full-health units at `places` [(x, y)]; `changes` are {field: {unit: value}}."""
    fields = {
        "x": [x for x, _ in places],
        "y": [y for _, y in places],
        "health": [UNITS[name].hp for name in scenario.units],
        "shield": [UNITS[name].shield for name in scenario.units],
        "cooldown": [0.0] * len(places),
        "energy": [UNITS[name].energy for name in scenario.units],
    }
    for field, entries in changes.items():
        for unit, value in entries.items():
            fields[field][unit] = value
    return interface.Snapshot(**{name: jnp.asarray(value, jnp.float32)[:, None] for name, value in fields.items()})


def apart(scenario):
    """Both teams at their spawn points, out of each other's sight."""
    return [(9.0, 16.0)] * scenario.num_allies + [(23.0, 16.0)] * scenario.num_enemies


def look(scenario, units, last_action=None):
    actions = jnp.full((scenario.num_allies, 1), -1) if last_action is None else jnp.asarray(last_action)[:, None]
    return OBSERVE(scenario, units, actions)


@pytest.mark.parametrize(
    "name,obs,state,actions,limit,reward",
    [
        ("3m", 30, 48, 9, 60, 365),
        ("8m", 80, 168, 14, 120, 640),
        ("2s3z", 80, 120, 11, 120, 1020),
        ("3s5z", 128, 216, 14, 150, 1510),
        ("MMM", 160, 290, 16, 150, 1015),
        ("MMM2", 176, 322, 18, 180, 1205),
        ("5m_vs_6m", 55, 98, 12, 70, 530),
        ("27m_vs_30m", 285, 1170, 36, 180, 1850),
        ("1c3s5z", 162, 270, 15, 180, 1870),
        ("6h_vs_8z", 78, 140, 14, 150, 1480),
        ("2m_vs_1z", 16, 26, 7, 150, 360),
        ("2s_vs_1sc", 17, 27, 7, 300, 510),
        ("3s_vs_3z", 36, 54, 9, 150, 680),
        ("3s_vs_4z", 42, 61, 10, 200, 840),
        ("so_many_baneling", 202, 397, 38, 100, 1480),
        ("bane_vs_bane", 336, 984, 30, 200, 1260),
        ("2c_vs_64zg", 332, 342, 70, 400, 3080),
        ("corridor", 156, 282, 30, 400, 1280),
    ],
)
def test_sizes(name, obs, state, actions, limit, reward):
    scenario = get_scenario(name)
    sizes = (scenario.obs_dim, scenario.state_dim, scenario.num_actions, scenario.limit)
    assert sizes == (obs, state, actions, limit)
    assert outcome.max_reward(scenario) == reward


def test_unknown_map_lists_the_known_ones():
    with pytest.raises(ConfigError, match="2s3z.*MMM2"):
        get_scenario("2s4z")
    assert len(SCENARIOS) == 23


def scene_2s3z():
    allies = [(9, 16), (10, 16), (9, 17), (10, 17), (11, 17)]
    return [*allies, (12, 16), (30, 20), (12, 17), (30, 21), (30, 22)]


def test_observation_of_a_stalker():
    scenario = get_scenario("2s3z")
    obs = look(scenario, scene(scenario, scene_2s3z())).obs[0, 0]
    np.testing.assert_allclose(obs[:4], [1, 1, 1, 1])
    # the enemy's type bits are swapped: zealot first. 3 / 9, and sqrt(9 + 1) / 9, 3 / 9, 1 / 9
    np.testing.assert_allclose(obs[4:12], [1, 0.33333334, 0.33333334, 0, 1, 1, 0, 1], atol=1e-7)
    np.testing.assert_allclose(obs[20:28], [1, 0.3513642, 0.33333334, 0.11111111, 1, 1, 1, 0], atol=1e-7)
    np.testing.assert_allclose(obs[12:20], np.zeros(8))  # 21 away
    np.testing.assert_allclose(obs[44:52], [1, 0.11111111, 0.11111111, 0, 1, 1, 1, 0], atol=1e-7)
    np.testing.assert_allclose(obs[76:], [1, 1, 1, 0])


def test_state_of_the_same_scene():
    scenario = get_scenario("2s3z")
    state = look(scenario, scene(scenario, scene_2s3z(), cooldown={1: 7.0})).state[0]
    np.testing.assert_allclose(state[:7], [1, 0, -0.21875, 0, 1, 1, 0])  # (9 - 16) / 32
    np.testing.assert_allclose(state[7:14], [1, 0.2, -0.1875, 0, 1, 1, 0], atol=1e-7)  # 7 loops of 35
    np.testing.assert_allclose(state[35:41], [1, -0.125, 0, 1, 0, 1])
    np.testing.assert_allclose(state[47:53], [1, -0.125, 0.03125, 1, 1, 0])
    np.testing.assert_allclose(state[65:], np.zeros(55))  # no last action after a reset


def test_last_actions_in_the_state():
    scenario = get_scenario("3m")
    blocks = look(scenario, scene(scenario, apart(scenario)), [1, 0, 8]).state[0, 21:].reshape(3, 9)
    np.testing.assert_array_equal(blocks.argmax(1), [1, 0, 8])
    np.testing.assert_array_equal(blocks.sum(1), [1, 1, 1])


@pytest.mark.parametrize(
    "x,y,mask",
    [
        (3.0, 16, "1111"), (2.99, 16, "1110"), (28.99, 16, "1111"), (29.0, 16, "1101"), (1.5, 16, "0010"),
        (16, 23.99, "1111"), (16, 24.0, "0111"), (16, 8.0, "1111"), (16, 7.99, "1011"), (16, 6.5, "1000"),
    ],
)  # fmt: skip
def test_move_mask_truncates(x, y, mask):
    scenario = get_scenario("3m")
    seen = look(scenario, scene(scenario, [(x, y), *apart(scenario)[1:]]))
    assert "".join(str(int(flag)) for flag in seen.avail[0, 0, 2:6]) == mask
    np.testing.assert_array_equal(seen.obs[0, 0, :4], seen.avail[0, 0, 2:6])


@pytest.mark.parametrize(
    "x,y,mask",
    [
        (0.3, 16, "1111"), (0.0, 16, "1110"), (30.99, 16, "1111"), (31.0, 16, "1101"), (16, 30.99, "1111"),
        (16, 31.0, "0111"), (16, 0.5, "1111"), (16, 0.0, "1011"),
    ],
)  # fmt: skip
def test_int_truncates_towards_zero_where_the_edge_of_the_map_is_walkable(x, y, mask):
    """A grid of a game replaces ours: all cells walkable, and all but one, which is looked up cell by cell."""
    scenario = get_scenario("3m")
    for grid in (np.ones((32, 32), bool), np.arange(1024).reshape(32, 32) != 20 * 32 + 20):
        ground = dataclasses.replace(scenario.ground, terrain=scenario.ground.terrain.with_walkable(grid))
        seen = look(dataclasses.replace(scenario, ground=ground), scene(scenario, [(x, y), *apart(scenario)[1:]]))
        assert "".join(str(int(flag)) for flag in seen.avail[0, 0, 2:6]) == mask
    below = look(dataclasses.replace(scenario, ground=ground), scene(scenario, [(20.5, 19.5), *apart(scenario)[1:]]))
    assert not below.avail[0, 0, 2] and below.avail[0, 0, 3:6].all()


def test_a_draw_ends_the_battle_and_is_no_win():
    """The last zealot and the last banelings burn together: kills are paid, 32 (30 + 10) / 74, but no win."""
    scenario = get_scenario("so_many_baneling")
    before, after = after_deaths(scenario, *range(39))
    assert judged(scenario, before, after) == pytest.approx((17.297297, True, False), abs=1e-5)


def test_a_colossus_is_masked_by_the_ground_grid():
    """Row 12 is the cliff, x 5..25: no step to the south from row 13, none to the north from row 11, and on the cliff
    itself no step to the east or west."""
    scenario = get_scenario("2c_vs_64zg")
    for y, mask in ((13.5, "1011"), (11.5, "0111"), (12.5, "1100"), (15.5, "1111")):
        seen = look(scenario, scene(scenario, [(16, y), *apart(scenario)[1:]]))
        assert "".join(str(int(flag)) for flag in seen.avail[0, 0, 2:6]) == mask


def test_masks_of_the_octagon():
    """Row 8 is x 9..20, row 9 is x 8..21: at (8.5, 9.5) south and west are blocked."""
    scenario = get_scenario("6h_vs_8z")
    seen = look(scenario, scene(scenario, [(8.5, 9.5), *apart(scenario)[1:]]))
    np.testing.assert_array_equal(seen.avail[0, 0, 2:6], [True, False, True, False])


def test_shooting_at_six_seeing_below_nine():
    scenario = get_scenario("3m")
    places = [(9, 16), (9, 16), (9, 16), (15, 16), (15.001, 16), (18, 16)]
    seen = look(scenario, scene(scenario, places))
    np.testing.assert_array_equal(seen.avail[0, 0, 6:], [True, False, False])
    # enemy rows: reach, distance / 9, ...; 9 itself is out of sight
    np.testing.assert_allclose(seen.obs[0, 0, 4:19].reshape(3, 5)[:, 0], [1, 0, 0])
    np.testing.assert_allclose(seen.obs[0, 0, 4:19].reshape(3, 5)[:, 4], [1, 1, 0])


def test_medivac():
    scenario = get_scenario("MMM")
    places = apart(scenario)
    places[10], places[19] = (16, 16), (18, 16)
    seen = look(scenario, scene(scenario, places, health={0: 0.0, 3: 20.0}))
    # it heals living allies that are no medivac; agent 0 is dead. Slot 15 is never its own
    expected = [0, 1, 1, 1, 1, 1, 0, 1, 1, 1, 1, 1, 1, 1, 1, 0]
    np.testing.assert_array_equal(seen.avail[0, 9], np.asarray(expected, bool))
    np.testing.assert_allclose(seen.state[0, 63:70], [1, 0.25, -0.21875, 0, 0, 0, 1])  # energy 50 of 200
    np.testing.assert_allclose(seen.state[0, 70:76], [1, 0, 0, 0, 1, 0])  # enemy marine
    np.testing.assert_allclose(seen.state[0, 124:130], [1, 0.0625, 0, 0, 0, 1])  # enemy medivac
    # the first entry of its enemy row 0 says whether it can heal ALLY 0 (dead), though it sees enemy 0, 7 away
    np.testing.assert_allclose(seen.obs[0, 9, 4:12], [0, 7 / 9, 7 / 9, 0, 1, 0, 1, 0], atol=1e-7)


def test_dead_agent_sees_nothing_and_does_nothing():
    scenario = get_scenario("8m")
    seen = look(scenario, scene(scenario, [(9, 16)] * 16, health={2: 0.0, 9: 0.0}))
    np.testing.assert_array_equal(seen.obs[0, 2], np.zeros(80))
    np.testing.assert_array_equal(seen.avail[0, 2], np.arange(14) == 0)
    np.testing.assert_array_equal(seen.state[0, 8:12], np.zeros(4))
    assert not seen.avail[0, 0, 0] and not seen.avail[0, 0, 7] and seen.avail[0, 0, 6]


def judged(scenario, before, after):
    over, won = outcome.ending(scenario, after)
    reward, _ = outcome.reward(scenario, outcome.tally(scenario, before), after, won)
    return float(reward[0]), bool(over[0]), bool(won[0])


def after_deaths(scenario, *dead):
    places = apart(scenario)
    return scene(scenario, places), scene(scenario, places, health=dict.fromkeys(dead, 0.0))


def test_rewards_of_3m():
    scenario = get_scenario("3m")
    full, hurt = scene(scenario, apart(scenario)), scene(scenario, apart(scenario), health={3: 39.0})
    assert judged(scenario, full, hurt) == pytest.approx((6 / 18.25, False, False), abs=1e-6)
    # 135 hp + 30 for the deaths + 200 = 365, / 18.25
    assert judged(scenario, *after_deaths(scenario, 3, 4, 5)) == pytest.approx((20.0, True, True))
    # a draw: 165 / 18.25
    assert judged(scenario, *after_deaths(scenario, *range(6))) == pytest.approx((9.041096, True, False), abs=1e-6)
    assert judged(scenario, *after_deaths(scenario, 0, 1, 2)) == (0.0, True, False)
    assert [int(count[0]) for count in outcome.count_dead(scenario, after_deaths(scenario, 1, 3, 5)[1])] == [1, 2]


def test_a_regenerating_enemy_shield_pays():
    scenario = get_scenario("2m_vs_1z")
    assert outcome.max_reward(scenario) == 360
    before = scene(scenario, apart(scenario), shield={2: 20.0})
    after = scene(scenario, apart(scenario), shield={2: 21.0})
    assert judged(scenario, before, after) == pytest.approx((1 / 18, False, False), abs=1e-6)


@pytest.mark.parametrize(
    "dead,expected",
    [
        # all enemies but the medivac: 9 deaths * 10 + 565 hp + 200 = 855, / 50.75
        (range(10, 19), (16.847291, True, True)),
        (range(0, 9), (0.0, True, False)),
        ([*range(0, 9), *range(10, 19)], (12.906404, True, False)),
        (range(20), (16.059113, True, False)),
        (range(10, 18), (10.246305, False, False)),  # a marauder is left: (8 * 10 + 440) / 50.75
    ],
)
def test_endings_of_mmm(dead, expected):
    scenario = get_scenario("MMM")
    assert judged(scenario, *after_deaths(scenario, *dead)) == pytest.approx(expected, abs=2e-6)


def test_dead_enemies_stay_counted():
    """An enemy recorded dead pays no more, whatever its numbers do."""
    scenario = get_scenario("3m")
    full, one_dead = after_deaths(scenario, 3)
    _, memory = outcome.reward(scenario, outcome.tally(scenario, full), one_dead, jnp.zeros(1, bool))
    risen = scene(scenario, apart(scenario), health={4: 40.0})
    reward, memory = outcome.reward(scenario, memory, risen, jnp.zeros(1, bool))
    assert float(reward[0]) == pytest.approx(5 / 18.25)
    np.testing.assert_array_equal(memory.enemies.tracked[:, 0], [False, True, True])
