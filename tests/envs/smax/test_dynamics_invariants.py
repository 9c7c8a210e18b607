"""What must hold in any battle, and how battles open."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.smax.battle import ATTACK, STOP, Orders, Roster, default_rules
from envs.smax.dynamics import advance, run_loops, spawn
from envs.smax.scenarios import get_scenario
from envs.smax.spawn import hexagonal_places
from tests.helpers.battle_states import FIELDS, random_battle, random_orders, random_rules

RULES = default_rules()
LANES = 16
PROTOSS = Roster(("stalker", "zealot", "zealot") + ("stalker", "stalker", "zealot"), 3)
TERRAN = Roster(("marauder", "marine", "marine", "medivac") + ("marine", "marine", "marauder", "medivac"), 4)
ROSTERS = pytest.mark.parametrize("roster", [PROTOSS, TERRAN], ids=["protoss", "terran"])


@partial(jax.jit, static_argnums=(0, 5))
def loops(roster, rules, battle, orders, jitter, count=8):
    return run_loops(roster, rules, battle, orders, jitter, count)


def step(roster, rules, battle, orders, jitter):
    """NumPy in and out."""
    return jax.tree.map(np.array, loops(roster, rules, battle, orders, np.asarray(jitter, np.float32)))


@ROSTERS
def test_nothing_is_created_but_by_healing_and_regeneration(roster):
    rng = np.random.default_rng(0)
    battle = random_battle(rng, roster, LANES)
    rules = random_rules(rng, LANES)
    heals = roster.column(lambda unit: unit.heals, bool)[:, 0]
    for _ in range(25):
        orders = random_orders(rng, roster, LANES)
        after = step(roster, rules, battle, orders, rng.uniform(-1, 2, battle.x.shape))
        gain = after.health - battle.health
        for side in (slice(0, roster.num_allies), slice(roster.num_allies, None)):
            healers = (battle.alive[side] & heals[side, None]).sum(axis=0)  # [E]
            assert (np.maximum(gain[side], 0).sum(axis=0) <= 4.5 * healers + 1e-3).all()  # 0.5625 x 8 each
            # Energy pays for it: 0.33 a point, less what grows by itself (0.03515625 x 8).
            spent = np.where(battle.alive & after.alive & heals[:, None], battle.energy - after.energy + 0.28125, 0)
            net = np.maximum(gain[side], 0).sum(axis=0)
            lost_medivac = (battle.alive & ~after.alive & heals[:, None])[side].any(axis=0)
            assert (net <= spent[side].sum(axis=0) / 0.33 + 1e-2)[~lost_medivac].all()
        assert (after.shield - battle.shield <= 1.0 + 1e-5).all()
        assert (after.energy - battle.energy <= 0.28125 + 1e-4).all()
        for value, most in (("health", "hp"), ("shield", "shield"), ("energy", "max_energy")):
            limit = roster.column(lambda unit, most=most: getattr(unit, most))
            assert (getattr(after, value) >= 0).all() and (getattr(after, value) <= limit + 1e-3).all()
        assert np.isfinite(np.stack([after.x, after.y, after.cooldown, after.windup])).all()
        battle = after


@ROSTERS
def test_the_dead_do_nothing(roster):
    """They keep their place, never rise, and whatever they were about has no effect on the living."""
    rng = np.random.default_rng(1)
    battle, orders = random_battle(rng, roster, LANES), random_orders(rng, roster, LANES)
    other, dead = random_battle(np.random.default_rng(2), roster, LANES), ~battle.alive
    ghosts = {
        name: np.where(dead, getattr(other, name), getattr(battle, name))
        for name in ("x", "y", "cooldown", "windup", "target", "energy", "shield_timer")
    }
    rules, jitter = random_rules(rng, LANES), rng.uniform(-1, 2, battle.x.shape)
    after = step(roster, rules, battle, orders, jitter)
    haunted = step(roster, rules, battle._replace(**ghosts), orders, jitter)
    assert dead.sum() > 5 and not after.alive[dead].any()
    np.testing.assert_allclose(after.x[dead], battle.x[dead], atol=0.7)  # walls may shift the random ones
    for name in FIELDS:
        got, expected = getattr(haunted, name), getattr(after, name)
        np.testing.assert_array_equal(got[~dead], expected[~dead], err_msg=name)
    again = step(roster, rules, after, orders, jitter)
    gone = ~after.alive
    np.testing.assert_array_equal(again.x[gone], after.x[gone])
    np.testing.assert_array_equal(again.y[gone], after.y[gone])
    assert (again.target[gone] == -1).all() and (again.health[gone] == 0).all()


def test_a_mirror_image_battle_mirrors():
    """Three duels of equal units. Allies are ordered to attack the unit they face; enemies choose the same."""
    roster = Roster(("stalker", "zealot", "marine") * 2, 3)
    battle = jax.tree.map(np.array, spawn(roster.names, 3, RULES, jax.random.key(0), 1))
    battle.x[:, 0], battle.y[:, 0] = [13.4] * 3 + [18.6] * 3, [10.0, 16.0, 22.0] * 2
    columns = (np.full((3, 1), ATTACK), np.zeros((3, 1)), np.zeros((3, 1)), np.arange(3, 6)[:, None])
    orders = Orders(*(np.asarray(c, t) for c, t in zip(columns, (np.int32, *[np.float32] * 2, np.int32), strict=True)))
    rng = np.random.default_rng(0)
    for _ in range(40):
        half = rng.uniform(-1, 2, (3, 1))
        battle = step(roster, RULES, battle, orders, np.concatenate([half, half]))
        # Weapons start to differ only by the rule that prefers attackers, of which there is one for each.
        np.testing.assert_allclose(battle.x[:3] + battle.x[3:], 32, atol=1e-4)
        for name in ("y", "health", "shield", "cooldown", "windup", "pending_time"):
            ours, theirs = np.split(getattr(battle, name), 2)
            np.testing.assert_allclose(ours, theirs, atol=1e-4, err_msg=name)
    assert (battle.health < 80).all()


@ROSTERS
def test_reflecting_the_map_reflects_the_battle(roster):
    rng = np.random.default_rng(3)
    battle, orders = random_battle(rng, roster, LANES), random_orders(rng, roster, LANES)
    rules, jitter = random_rules(rng, LANES), rng.uniform(-1, 2, battle.x.shape)
    rules = rules._replace(slide=np.float32(0.0))  # it has a left and a right side
    flipped = battle._replace(y=32 - battle.y, vy=-battle.vy)
    after = step(roster, rules, battle, orders, jitter)
    mirror = step(roster, rules, flipped, orders._replace(goal_y=32 - orders.goal_y), jitter)
    np.testing.assert_allclose(mirror.y, 32 - after.y, atol=2e-4)
    for name in set(FIELDS) - {"y", "vy"}:
        np.testing.assert_allclose(getattr(mirror, name), getattr(after, name), atol=2e-4, err_msg=name)


def test_environments_are_independent():
    """128 environments, which run with a margin of dead ones, and each of two seeds of a vmap equal the plain loops."""
    roster, num_envs = PROTOSS, 128
    rng = np.random.default_rng(4)
    battle, orders = random_battle(rng, roster, num_envs), random_orders(rng, roster, num_envs)
    first = roster.num_allies
    kept = (orders.target == battle.target[:first]) & (orders.kind == ATTACK)
    battle.windup[:first] = np.where(kept, battle.windup[:first], -1.0)  # as `advance` begins
    keys = jax.random.split(jax.random.key(0), 2)
    both = jax.vmap(lambda key: advance(roster.names, first, RULES, battle, orders, key))(keys)
    for seed, key in enumerate(keys):
        alone = advance(roster.names, first, RULES, battle, orders, key)
        jitter = jax.random.uniform(key, battle.x.shape, jnp.float32, -1.0, 2.0)
        plain = loops(roster, RULES, battle, orders, jitter)
        for name in FIELDS:
            expected = getattr(plain, name)
            np.testing.assert_allclose(getattr(alone, name), expected, atol=1e-4, err_msg=name)
            np.testing.assert_allclose(getattr(both, name)[seed], expected, atol=1e-4, err_msg=name)


# --- openings ---------------------------------------------------------------------------------------------------------


def test_places_are_compact():
    places = hexagonal_places(19)  # the origin and two full rings
    gaps = np.linalg.norm(places[:, None] - places[None], axis=-1) + 9 * np.eye(19)
    np.testing.assert_allclose(places[0], 0, atol=1e-6)
    np.testing.assert_allclose(gaps.min(), 1.0, rtol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(places, axis=1).max(), 2.0, rtol=1e-6)


def test_spawn():
    names = ("stalker",) * 2 + ("zealot",) * 3
    battle = jax.device_get(spawn(names * 2, 5, RULES, jax.random.key(0), 500))
    blocks = (slice(0, 2), slice(2, 5), slice(5, 7), slice(7, 10))
    for block in blocks[:2]:  # SMAC sorts its agents by (type, x, y)
        assert (np.diff(battle.x[block], axis=0) >= 0).all()
    for block in blocks[2:]:  # and leaves the enemies as they were made
        share = (np.diff(battle.x[block], axis=0) >= 0).mean()
        assert 0.3 < share < 0.7
    np.testing.assert_allclose(battle.x[:5].mean(), 9, atol=0.01)
    np.testing.assert_allclose(battle.x[5:].mean(), 23 - 0.16, atol=0.02)  # the mean speed is 0.1582
    np.testing.assert_allclose(battle.y.mean(), 16, atol=0.01)
    assert battle.health[:, 0].tolist() == [80, 80, 100, 100, 100] * 2
    assert battle.shield[:, 0].tolist() == [80, 80, 50, 50, 50] * 2
    assert (battle.target == -1).all() and (battle.windup == -1).all() and (battle.cooldown == 0).all()


def test_the_mmm_maps_create_marines_first_and_the_medivac_on_the_point():
    """The script makes seven marines, two marauders, a medivac; agents are ordered marauders, marines, medivac."""
    still = RULES._replace(spawn_noise=np.float32(0.0), pre_advance=np.float32(0.0), spawn_gap=np.float32(0.0))
    scenario = get_scenario("MMM")
    battle = jax.device_get(spawn(scenario.units, 10, still, jax.random.key(0), 1))
    x, y = battle.x[:, 0] - 9, battle.y[:, 0] - 16  # neighbours are one cell apart
    rise = 3**0.5 / 2
    lattice = np.array([(0, 0), (-0.5, -1), (0.5, -1), (1, 0), (0.5, 1), (-0.5, 1), (-1, 0), (-1.5, -1), (0, -2)])
    lattice = (lattice - lattice.mean(axis=0)) * (1, rise)
    expected = sorted(map(tuple, lattice[7:])) + sorted(map(tuple, lattice[:7])) + [(0.0, 0.0)]
    np.testing.assert_allclose(np.stack([x[:10], y[:10]], 1), expected, atol=1e-5)
    # The enemies' places are the same, turned about the point, and their marines come first.
    enemies = np.stack([x[10:] - 14, y[10:]], 1)
    np.testing.assert_allclose(sorted(map(tuple, enemies[:7])), sorted(map(tuple, -lattice[:7])), atol=1e-5)
    np.testing.assert_allclose(sorted(map(tuple, enemies[7:9])), sorted(map(tuple, -lattice[7:])), atol=1e-5)
    np.testing.assert_allclose(enemies[9], 0.0, atol=1e-5)


def test_enemies_walk_up_to_two_loops_before_the_first_observation():
    still = RULES._replace(spawn_noise=np.float32(0.0), pre_advance=np.float32(0.0))
    walked = still._replace(pre_advance=np.float32(2.0))
    names = ("marine",) * 6
    start = spawn(names, 3, still, jax.random.key(0), 300)
    ahead = start.x - spawn(names, 3, walked, jax.random.key(0), 300).x
    assert (ahead[:3] == 0).all()
    assert ahead[3:].min() >= -1e-5 and 0.25 < ahead[3:].max() < 0.28126  # 2 x 0.140625


def idle(count, num_envs):
    zeros = np.zeros((count, num_envs))
    kind, goal, target = (zeros + STOP).astype(np.int32), zeros.astype(np.float32), zeros.astype(np.int32)
    return Orders(kind, goal, goal.copy(), target)


def test_the_enemy_comes():
    """Vector 22: the front pair is in range (5.75) after 6 to 8 steps; no marine is at x = 9 before step 13."""
    names = ("marine",) * 16
    battle = spawn(names, 8, RULES, jax.random.key(1), 8)
    orders = idle(8, 8)
    first_hit = None
    for number in range(1, 10):
        battle = advance(names, 8, RULES, battle, orders, jax.random.key(number))
        if first_hit is None and (battle.health < 45).any():
            first_hit = number
    assert 6 <= first_hit <= 8
    gone = battle._replace(health=battle.health.at[:8].set(0.0))
    gone = gone._replace(x=gone.x.at[8:].set(23.0 + np.arange(8.0)[:, None]))
    for number in range(12):
        gone = advance(names, 8, RULES, gone, orders, jax.random.key(0))
        if number == 7:
            np.testing.assert_allclose(gone.x[8:].min(axis=0), 23 - 8 * 1.125, atol=0.05)
    assert gone.x[8:].min() > 9


def test_a_crowd_keeps_its_distance():
    """Eight marines that walk to one point end up side by side round it: separation radii make 0.75 apart."""
    names = ("marine",) * 16
    battle = spawn(names, 8, RULES, jax.random.key(1), 8)
    battle = battle._replace(health=battle.health.at[:8].set(0.0))
    for number in range(25):
        battle = advance(names, 8, RULES, battle, idle(8, 8), jax.random.key(number))
    x, y = np.asarray(battle.x[8:]), np.asarray(battle.y[8:])
    gap = np.hypot(x[:, None] - x[None], y[:, None] - y[None]) + 9 * np.eye(8)[:, :, None]
    assert gap.min() > 0.74
    assert np.hypot(x - 9, y - 16).max() < 1.5


def test_units_on_one_spot_part():
    names = ("marine",) * 16
    battle = spawn(names, 8, RULES, jax.random.key(1), 8)
    battle = battle._replace(x=battle.x.at[:2].set(5.0), y=battle.y.at[:2].set(16.0))
    for number in range(3):
        battle = advance(names, 8, RULES, battle, idle(8, 8), jax.random.key(number))
    assert np.hypot(*(np.asarray(leaf[0] - leaf[1]) for leaf in (battle.x, battle.y))).min() > 0.7
