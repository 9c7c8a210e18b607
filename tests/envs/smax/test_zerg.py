"""Zerglings, banelings and spine crawlers, and the ground of SMAC's other maps, in numbers."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.smax.battle import ATTACK, MOVE, STOP, Orders, Roster, default_rules
from envs.smax.dynamics import advance, run_loops, spawn
from envs.smax.env import Smax
from envs.smax.scenarios import get_scenario
from envs.smax.terrain import STRIP
from envs.smax.units import UNITS

RULES = default_rules()


def arena(names, num_allies, places, ground=STRIP, **fields):
    """One environment of full, idle units at `places` [(x, y)]; `fields` overrides a field by a list over units."""
    battle = jax.tree.map(np.array, spawn(names, num_allies, RULES, jax.random.key(0), 1, ground=ground))
    x, y = np.array(places, np.float32).T
    battle = battle._replace(x=x[:, None].copy(), y=y[:, None].copy(), target=np.full_like(battle.target, -1))
    new = {name: np.array(value, getattr(battle, name).dtype)[:, None] for name, value in fields.items()}
    return battle._replace(**new)


def orders_of(kinds, targets=0, goals=(0.0, 0.0)):
    """Orders of one environment; `targets` and `goals` per ally or for all."""
    count = len(kinds)
    goal = np.broadcast_to(np.array(goals, np.float32), (count, 2))
    columns = (np.array(kinds, np.int32), goal[:, 0], goal[:, 1], np.broadcast_to(np.array(targets, np.int32), count))
    return Orders(*(column[:, None] for column in columns))


@partial(jax.jit, static_argnums=(0, 1, 4, 5))
def play(names, num_allies, battle, orders, count, ground=STRIP, rules=RULES):
    """Battles after each of `count` loops, [count, N, 1], without the random part of weapon periods."""

    def step(battle, _):
        battle = run_loops(Roster(names, num_allies, ground), rules, battle, orders, jnp.zeros(battle.x.shape), 1)
        return battle, battle

    return jax.lax.scan(step, jax.tree.map(jnp.asarray, battle), None, count)[1]


@pytest.mark.parametrize(
    "killer, victim, hits",
    [
        ("stalker", "spine_crawler", 25),  # 300 / (14 - 2)
        ("spine_crawler", "stalker", 6),  # shield 2 x 30; then 20 of 30, 10 - 1 of life; 71 / 29 -> 3
        ("zealot", "zergling", 5),  # 35 / 8
        ("zergling", "zealot", 35),  # shield 50 / 5; 100 / 4 -> 25
        ("zergling", "colossus", 80),  # shield 150 / 5 = 30; 200 / 4 = 50
        ("zealot", "baneling", 4),  # 30 / 8
    ],
)
def test_hits_to_kill(killer, victim, hits):
    """By the data alone: shield first, then life minus armor, 0.5 at the least."""
    shooter, target = UNITS[killer], UNITS[victim]
    life, shield, count = target.hp, target.shield, 0
    while life > 0:
        raw = shooter.raw_damage(target)
        absorbed = min(shield, raw)
        shield -= absorbed
        life -= max(raw - absorbed - target.armor, 0.5) if raw > absorbed else 0.0
        count += 1
    assert count == hits


def test_a_burst_hits_all_ground_units_in_reach_once_and_its_own_side_not():
    """Edges within 2.2: a zealot's centre within 2.7. On its shield 35, on a stalker 20, on a zergling of its own 0."""
    names = ("zealot", "zealot", "zealot", "stalker", "baneling", "zergling")
    # 1.0 apart the baneling attacks at once: 0.25 + 0.375 + 0.5 = 1.125
    places = [(10.0, 16.0), (11.0, 18.6), (11.0, 18.8), (13.0, 16.0), (11.0, 16.0), (11.5, 16.0)]
    battle = arena(names, 4, places, health=[100, 100, 100, 80, 30, 30], cooldown=[9, 9, 9, 9, 0, 9])
    frames = jax.device_get(play(names, 4, battle, orders_of([STOP] * 4), 3))
    assert frames.shield[0, :4, 0].tolist() == [15, 15, 50, 60]
    assert frames.health[0, :5, 0].tolist() == [100, 100, 100, 80, 0] and frames.health[0, 5, 0] > 30
    assert frames.shield[2, :4, 0].tolist() == [15, 15, 50, 60]  # no second burst


def test_a_killed_baneling_bursts_once_and_sets_off_those_it_kills():
    """A zealot's blow kills the baneling beside it, whose burst kills the allied baneling 2 cells on; that one's burst
    comes a loop later and kills the zergling next to it."""
    names = ("zealot", "baneling", "baneling", "zergling")
    battle = arena(
        names, 2, [(10.0, 16.0), (13.0, 16.0), (10.95, 16.0), (15.0, 16.0)],
        health=[100, 20, 5, 30], cooldown=[0, 50, 50, 50],
    )  # fmt: skip
    frames = jax.device_get(play(names, 2, battle, orders_of([ATTACK, STOP], [2, 2]), 3))
    assert frames.health[0, :3, 0].tolist() == [100, 0, 0] and frames.shield[0, 0, 0] == 15
    assert frames.health[0, 3, 0] > 30 and frames.pending_target[0, :, 0].tolist()[1:3] == [1, -1]
    assert frames.health[1, :, 0].tolist() == [100, 0, 0, 0]
    assert frames.shield[2, 0, 0] == 15 and (frames.pending_target[2, 1:] == -1).all()


def test_a_burst_spares_structures_and_agents_burst_only_on_orders():
    names = ("baneling", "spine_crawler", "zergling")
    battle = arena(names, 1, [(10.0, 16.0), (11.0, 16.0), (10.0, 17.0)], health=[30, 200, 35], cooldown=[0, 99, 99])
    idle = jax.device_get(play(names, 1, battle, orders_of([STOP]), 4))
    assert (idle.health[:, 0] > 0).all() and (idle.health[:, 2] == 35).all()
    after = jax.device_get(play(names, 1, battle, orders_of([ATTACK], 2), 1))
    # its own weapon period does not matter: it bursts in the first loop; the zergling takes 35, the crawler regenerates
    assert after.health[0, 0, 0] == 0 and after.health[0, 2, 0] == 0 and after.health[0, 1, 0] > 200


def test_the_last_of_both_sides_can_die_together():
    env = Smax("so_many_baneling")
    state, _ = env.reset(jax.random.key(0), 1)
    battle = state.battle
    x, y = battle.x.at[0].set(10.0).at[7].set(11.0), battle.y.at[jnp.array([0, 7])].set(14.0)
    health = jnp.zeros_like(battle.health).at[0].set(10.0).at[7].set(30.0)
    state = state._replace(battle=battle._replace(x=x, y=y, health=health, shield=battle.shield.at[0].set(0.0)))
    _, timestep = env.step(jax.random.key(0), state, jnp.zeros((1, 7), jnp.int32).at[0, 0].set(1))
    assert timestep.terminated[0] and not timestep.info["won"][0] and not timestep.truncated[0]
    np.testing.assert_allclose(timestep.reward, [40 / 74], rtol=1e-6)


def test_a_crawler_stands_shoots_at_eight_and_a_half_and_is_not_pushed():
    """7 + 0.875 + 0.625 = 8.5 to a stalker, edge to edge: 30 on its shield."""
    scenario = get_scenario("2s_vs_1sc")
    names = scenario.units
    for gap, shield in ((8.45, 50.0), (8.6, 80.0)):
        battle = arena(names, 2, [(14.0, 20.0 - gap), (9.0, 9.0), (14.0, 20.0)], scenario.ground)
        frames = jax.device_get(play(names, 2, battle, orders_of([STOP, STOP]), 14, scenario.ground))
        assert frames.shield[-1, 0, 0] == shield
    battle = arena(names, 2, [(14.0, 18.9), (13.0, 20.5), (14.0, 20.0)], scenario.ground)
    after = jax.device_get(
        advance(names, 2, RULES, battle, orders_of([STOP, STOP]), jax.random.key(0), ground=scenario.ground)
    )
    assert after.x[2, 0] == 14 and after.y[2, 0] == 20
    assert (np.hypot(after.x[:2] - 14, after.y[:2] - 20) > 1.4).all()  # 0.875 + 0.625, less what a push leaves


def test_a_colossus_steps_over_the_cliff_and_a_zergling_does_not():
    """Row 12 is the cliff between the low ground, y 5..11, and the plateau."""
    scenario = get_scenario("2c_vs_64zg")
    names = ("colossus", "zergling", "zergling")
    battle = arena(names, 2, [(16.0, 14.5), (14.0, 13.4), (9.0, 9.0)], scenario.ground, health=[200, 35, 0])
    orders = orders_of([MOVE, MOVE], 0, [(16.0, 8.0), (14.0, 8.0)])
    frames = jax.device_get(play(names, 2, battle, orders, 30, scenario.ground))
    # 2.25 cells per second: 14.5 - 30 x 0.140625
    np.testing.assert_allclose(frames.y[-1, 0, 0], 14.5 - 30 * 0.140625, atol=1e-4)
    # The zergling looks for a way round: to the end of the cliff in the west, past x = 5, at 2.9531 cells per second.
    assert frames.y[:, 1, 0].min() >= 13.375 - 1e-5  # its inner radius from the cliff
    np.testing.assert_allclose(frames.x[-1, 1, 0], 14 - 30 * 0.18457, atol=0.05)


def test_enemies_of_2m_vs_1z_walk_to_a_point_of_their_own():
    """Between (13, 12) and (19, 12); on the other maps the goal is a constant."""
    scenario = get_scenario("2m_vs_1z")
    battle = spawn(scenario.units, 2, RULES, jax.random.key(3), 256, ground=scenario.ground)
    goal = np.asarray(battle.goal)
    assert (goal[1] == 12).all() and 13 <= goal[0].min() < 13.2 and 18.8 < goal[0].max() <= 19
    assert abs(goal[0].mean() - 16) < 0.3  # 6 / sqrt(12 x 256) = 0.11
    dead = battle._replace(health=battle.health.at[:2].set(0.0))
    orders = Orders(*(np.zeros((2, 256), t) for t in (np.int32, np.float32, np.float32, np.int32)))
    for _ in range(8):
        dead = advance(scenario.units, 2, RULES, dead, orders, jax.random.key(0), ground=scenario.ground)
    gap = np.hypot(np.asarray(dead.x[2]) - goal[0], np.asarray(dead.y[2]) - goal[1])
    assert (gap < 0.5).all()
    assert spawn(("marine",) * 2, 1, RULES, jax.random.key(0), 1).goal is None


def test_zerglings_of_2c_vs_64zg_hunt_the_colossus_that_was_nearest():
    """They keep their target wherever it goes, and stand when it is dead and no other is within 5 of them."""
    scenario = get_scenario("2c_vs_64zg")
    battle = jax.tree.map(np.array, spawn(scenario.units, 2, RULES, jax.random.key(0), 1, ground=scenario.ground))
    distance = np.hypot(battle.x[2:] - battle.x[:2, 0], battle.y[2:] - battle.y[:2, 0])  # [64, 2]
    np.testing.assert_array_equal(battle.target[2:, 0], distance.argmin(axis=1))
    battle.target[2:, 0] = np.arange(64) % 2
    battle.x[:2, 0], battle.y[:2, 0] = (28.0, 28.0), (20.0, 17.0)
    loops = jax.device_get(play(scenario.units, 2, battle, orders_of([STOP, STOP]), 8, scenario.ground))
    np.testing.assert_array_equal(loops.target[-1, 2:], battle.target[2:])
    battle.health[0] = 0.0
    loops = jax.device_get(play(scenario.units, 2, battle, orders_of([STOP, STOP]), 2, scenario.ground))
    np.testing.assert_array_equal(loops.target[-1, 2:, 0], np.where(battle.target[2:, 0] == 1, 1, -1))
