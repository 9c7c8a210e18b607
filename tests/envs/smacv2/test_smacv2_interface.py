"""SMACv2's interface by literal numbers: the test lines of its specification, section 8."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.smacv2 import interface, outcome
from envs.smacv2.cone import in_cone
from envs.smacv2.memory import Memory, forget, forget_all, look, shown
from envs.smacv2.orders import new_orders, no_orders, turn
from envs.smacv2.scenarios import CONE_ACTIONS, RACES, SIZES, DrawnScenario
from envs.smax.battle import ATTACK, MOVE, NO_ORDER, STOP
from envs.smax.interface import Snapshot
from envs.smax.units import UNITS

PROTOSS, TERRAN = RACES["protoss"], RACES["terran"]


def scene(scenario, names, places, **fields):
    """(kind, units) of one environment, all at full health; `fields` replace columns."""
    kind = jnp.array([[scenario.race.types.index(name)] for name in names], jnp.int32)
    x, y = np.array(places, np.float32).T[..., None]
    columns = {
        "health": [UNITS[name].hp for name in names], "shield": [UNITS[name].shield for name in names],
        "cooldown": [0.0] * len(names), "energy": [UNITS[name].energy for name in names],
    } | fields  # fmt: skip
    columns = {name: jnp.array(value, jnp.float32)[:, None] for name, value in columns.items()}
    return kind, Snapshot(jnp.asarray(x), jnp.asarray(y), **columns)


@partial(jax.jit, static_argnums=0)
def observe(scenario, kind, units):
    """obs [A, O] of the environment where all agents know about all enemies."""
    facing = jnp.zeros((scenario.num_allies, 1), jnp.int32)
    sight = interface.survey(scenario, kind, units, facing)
    avail = interface.available(scenario, kind, units, sight, True)
    rows = jnp.ones((scenario.num_enemies, scenario.num_allies, 1), bool)
    return interface.observations(scenario, kind, units, facing, sight, avail, rows)[0]


SURVEY = jax.jit(interface.survey, static_argnums=0)


SIZES_BY_HAND = {  # obs, state, actions; and with the conic field of view
    ("protoss", 5, 5): ((92, 130, 11), (94, 200, 23)),
    ("terran", 5, 5): ((82, 120, 11), (84, 190, 23)),
    ("zerg", 5, 5): ((82, 120, 11), (84, 190, 23)),
    ("protoss", 10, 10): ((182, 310, 16), (184, 450, 28)),
    ("protoss", 10, 11): ((191, 327, 17), (193, 467, 29)),
    ("terran", 10, 10): ((162, 290, 16), (164, 430, 28)),
    ("zerg", 10, 11): ((170, 306, 17), (172, 446, 29)),
    ("protoss", 20, 20): ((362, 820, 26), (364, 1100, 38)),
    ("protoss", 20, 23): ((389, 901, 29), (391, 1181, 41)),
    ("terran", 20, 20): ((322, 780, 26), (324, 1060, 38)),
    ("zerg", 20, 23): ((346, 858, 29), (348, 1138, 41)),
}


@pytest.mark.parametrize("size", SIZES_BY_HAND, ids=lambda size: "_".join(map(str, size)))
def test_sizes(size):
    assert size[1:] in SIZES
    for looks, want in zip((0, CONE_ACTIONS), SIZES_BY_HAND[size], strict=True):
        scenario = DrawnScenario(RACES[size[0]], *size[1:], looks)
        assert (scenario.obs_dim, scenario.state_dim, scenario.num_actions) == want


def test_type_bits_of_agents_and_enemies():
    scenario = DrawnScenario(PROTOSS, 3, 1)
    kind, units = scene(scenario, ("colossus", "stalker", "zealot", "zealot"), [(10, 16), (11, 16), (12, 16), (14, 16)])
    obs = observe(scenario, kind, units)
    assert obs[:, -3:].tolist() == [[0, 0, 1], [1, 0, 0], [0, 1, 0]]  # own bits: stalker, zealot, colossus
    assert obs[0, 4:13].tolist() == pytest.approx([1, 0.4, 0.4, 0, 1, 1, 0, 1, 0])  # the zealot at distance 4 of 10


def test_own_place_is_absolute():
    scenario = DrawnScenario(RACES["zerg"], 1, 1)
    kind, units = scene(scenario, ("hydralisk", "baneling"), [(8, 24), (30, 2)])
    assert observe(scenario, kind, units)[0, -6:].tolist() == [1, 0.25, 0.75, 0, 1, 0]


@pytest.mark.parametrize("name, row", [("stalker", [0, 0.95, 0.95, 0, 1, 1, 1, 0, 0]), ("zealot", [0] * 9)])
def test_sight_is_the_observers(name, row):
    scenario = DrawnScenario(PROTOSS, 1, 1)
    kind, units = scene(scenario, (name, "stalker"), [(16, 16), (25.5, 16)])
    assert observe(scenario, kind, units)[0, 4:13].tolist() == pytest.approx(row)


def test_reach_by_type():
    """Masks open at max(range, 2): zealot 2, stalker 6, colossus 7; inclusive."""
    scenario = DrawnScenario(PROTOSS, 3, 3)
    names = ("colossus", "stalker", "zealot") * 2
    kind, units = scene(scenario, names, [(10, 10), (10, 13), (10, 16), (17, 10), (16, 13), (12.25, 16)])
    sight = SURVEY(scenario, kind, units, jnp.zeros((3, 1), jnp.int32))
    assert np.diagonal(sight.reach[..., 0]).tolist() == [True, True, False]


def test_a_medivac_heals_agents():
    scenario = DrawnScenario(TERRAN, 3, 3)
    names = ("marauder", "medivac", "medivac", "marine", "marine", "marine")
    kind, units = scene(scenario, names, [(10, 16), (12, 16), (14, 16), (13, 16), (13, 17), (13, 15)])
    sight = SURVEY(scenario, kind, units, jnp.zeros((3, 1), jnp.int32))
    assert sight.reach[1:, :, 0].tolist() == [[True, False, False], [True, False, False]]


@pytest.mark.parametrize("unfound, rows", [([4], []), ([0], [1, 2, 3, 4]), ([2], [3, 4]), ([], [0, 1, 2, 3, 4])])
def test_an_unfound_enemy_blanks_the_rows_before_it(unfound, rows):
    known = np.ones((5, 2, 1), bool)
    known[unfound] = False
    assert np.flatnonzero(shown(jnp.asarray(known), True)[:, 0, 0]).tolist() == rows
    assert np.flatnonzero(shown(jnp.asarray(known), False)[:, 0, 0]).tolist() == [
        e for e in range(5) if e not in unfound
    ]


def test_who_knows_what_in_one_round():
    """Agents 2, 0, 1 look in this order; 0 and 1 see the enemy: 0 finds it, and 2 has looked before."""
    rank, visible = jnp.array([[1.0], [2.0], [0.0]]), jnp.array([[[True]], [[True]], [[False]]])
    for told in (True, False):
        memory, known = look(forget_all(1, 3, 1), visible, rank, told)
        assert memory.finder.tolist() == [[0]] and memory.seen[0, :, 0].tolist() == [True, told, told]
        assert known[0, :, 0].tolist() == [True, told, False]
    memory, known = look(memory, visible, rank, True)  # nobody is told twice
    assert known[0, :, 0].tolist() == [True, False, False]


def test_what_is_forgotten():
    """Enemy 0 was found by agent 0, enemies 1 and 2 by agent 1; agent 0 and enemy 2 die."""
    memory = Memory(jnp.array([[0], [1], [1]]), jnp.ones((3, 2, 1), bool))
    after = forget(memory, jnp.array([[False], [True]]), jnp.array([[True], [True], [False]]))
    assert after.finder[:, 0].tolist() == [-1, 1, -1]
    assert after.seen[..., 0].tolist() == [[False, False], [False, True], [False, False]]


DEGREES = {  # facing -> where a target is seen, by the table of the specification
    0: [(345, 375), (165, 195)], 30: [(15, 45), (90, 105)], 60: [(45, 75), (90, 105)], 90: [(75, 105)],
    120: [(105, 135), (75, 90)], 150: [(135, 165), (75, 90)], 180: [(345, 375), (165, 195)],
    210: [(195, 225), (270, 285)], 240: [(225, 255), (270, 285)], 270: [(255, 285)],
    300: [(285, 315), (255, 270)], 330: [(315, 345), (255, 270)],
}  # fmt: skip


@pytest.mark.parametrize("facing", DEGREES)
def test_the_cone_and_its_extra_pieces(facing):
    degrees = np.arange(0.5, 360, 1.0)
    angle = np.radians(degrees)
    dx, dy = (jnp.asarray(3 * f(angle), jnp.float32)[None, :, None] for f in (np.cos, np.sin))
    got = in_cone(CONE_ACTIONS, jnp.array([[facing // 30]]), dx, dy)[0, :, 0]
    want = [any(low <= d + turn < high for low, high in DEGREES[facing] for turn in (0, 360)) for d in degrees]
    np.testing.assert_array_equal(got, want)


def test_regenerated_shields_pay_nothing():
    scenario = DrawnScenario(PROTOSS, 1, 1)
    kind, before = scene(scenario, ("zealot", "zealot"), [(10, 16), (20, 16)], shield=[50, 20])
    after = before._replace(shield=before.shield + jnp.array([[0.0], [1.0]]))
    assert outcome.reward(scenario, kind, before, after, jnp.array([False]), jnp.array([360.0])).tolist() == [0.0]
    hit = before._replace(shield=before.shield - jnp.array([[0.0], [18.0]]))
    assert outcome.reward(scenario, kind, before, hit, jnp.array([False]), jnp.array([360.0])).tolist() == [1.0]


@pytest.mark.parametrize(
    "names, health, over, won, lost",
    [
        (("marine", "medivac", "marine", "medivac"), [0, 150, 0, 150], True, False, True),  # both at once: defeat
        (("marine", "medivac", "marine", "medivac"), [45, 0, 0, 150], True, True, False),
        (("marine", "medivac", "medivac", "medivac"), [45, 0, 150, 150], True, True, False),
        (("marine", "medivac", "marine", "medivac"), [0, 150, 45, 0], True, False, True),
        (("marine", "medivac", "marine", "medivac"), [45, 0, 45, 0], False, False, False),
        (("zealot",) * 4, [0, 0, 0, 0], True, False, False),  # a draw
        (("zealot",) * 4, [0, 0, 9, 0], True, False, True),
    ],
)
def test_endings(names, health, over, won, lost):
    scenario = DrawnScenario(TERRAN if "marine" in names else PROTOSS, 2, 2)
    kind, units = scene(scenario, names, [(10, 16)] * 4, health=health)
    ended = outcome.ending(scenario, kind, units)
    assert [bool(flag[0]) for flag in (*ended, outcome.lost(scenario, kind, units))] == [over, won, lost]


def test_the_largest_return_is_that_of_the_enemy_team():
    scenario = DrawnScenario(PROTOSS, 1, 3)
    kind, _ = scene(scenario, ("zealot", "colossus", "stalker", "zealot"), [(0, 0)] * 4)
    assert outcome.max_reward(scenario, kind).tolist() == [350 + 160 + 150 + 3 * 10 + 200]


def test_orders_go_on_until_another_one_is_sent():
    scenario = DrawnScenario(PROTOSS, 1, 2, looks=CONE_ACTIONS)
    kind, units = scene(scenario, ("stalker", "zealot", "zealot"), [(10, 16), (14, 16), (26, 16)])
    act = jax.jit(partial(new_orders, scenario, kind, units))
    reach, orders = jnp.array([[[True], [False]]]), no_orders(1, 1)
    numbers = []
    for action in (18, 7, 19, 2, 9, 1):  # attack 0; look; attack 1 out of reach; north; look; stop
        orders = act(orders, jnp.array([[action]]), reach)
        numbers.append(tuple(float(leaf[0, 0]) for leaf in orders))
    attack, north = (ATTACK, 10, 16, 1), (MOVE, 10, 18, 0)
    assert numbers == [attack, attack, attack, north, north, (STOP, 10, 16, 0)]
    assert act(no_orders(1, 1), jnp.array([[7]]), reach).kind.tolist() == [[NO_ORDER]]
    assert turn(scenario, jnp.array([[4]]), jnp.array([[8]])).tolist() == [[2]]
    assert turn(scenario, jnp.array([[4]]), jnp.array([[18]])).tolist() == [[4]]
