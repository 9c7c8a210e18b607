"""The battle engine in numbers: the specification's test vectors 15 to 22, and invariants."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.smax.battle import ATTACK, MOVE, STOP, Orders, Roster, default_rules
from envs.smax.dynamics import advance, run_loops, spawn
from envs.smax.units import UNITS

RULES = default_rules()


def arena(names, num_allies, places, **fields):
    """One environment of full, idle units at `places` [(x, y)]; `fields` overrides a field by a list over units."""
    battle = jax.tree.map(np.array, spawn(names, num_allies, RULES, jax.random.key(0), 1))
    x, y = np.array(places, np.float32).T
    battle = battle._replace(x=x[:, None].copy(), y=y[:, None].copy())
    new = {name: np.array(value, getattr(battle, name).dtype)[:, None] for name, value in fields.items()}
    return battle._replace(**new)


def orders_of(kinds, targets=0, goals=(0.0, 0.0), num_envs=1):
    """The same orders in every environment; `targets` and `goals` per ally or for all."""
    count = len(kinds)
    goal = np.broadcast_to(np.array(goals, np.float32), (count, 2))
    columns = (np.array(kinds, np.int32), goal[:, 0], goal[:, 1], np.broadcast_to(np.array(targets, np.int32), count))
    return Orders(*(np.repeat(column[:, None], num_envs, axis=1) for column in columns))


@partial(jax.jit, static_argnums=(0, 1, 4))
def play_loops(names, num_allies, battle, orders, loops, key):
    """Battles after each of `loops` loops, [loops, N, E], each weapon period with a jitter of its own."""
    roster = Roster(names, num_allies)

    def step(battle, key):
        jitter = jax.random.uniform(key, battle.x.shape, jnp.float32, -1.0, 2.0)
        battle = run_loops(roster, RULES, battle, orders, jitter, 1)
        return battle, battle

    return jax.lax.scan(step, jax.tree.map(jnp.asarray, battle), jax.random.split(key, loops))[1]


# --- damage -----------------------------------------------------------------------------------------------------------

VICTIMS = ("marine", "marauder", "medivac", "stalker", "zealot")
KILLERS = ("marine", "marauder", "stalker", "zealot")
HITS = {
    ("marine", "marine"): 8,  # 45 / 6 = 7.5
    ("marine", "marauder"): 25,  # 125 / (6 - 1)
    ("marine", "medivac"): 30,  # 150 / (6 - 1)
    ("marine", "stalker"): 30,  # shield 80: 13 hits take 78; the 14th 2, then 4 - 1 = 3; 77 / 5 -> 16
    ("marine", "zealot"): 29,  # shield 50: 8 hits take 48; the 9th 2, then 3; 97 / 5 -> 20
    ("marauder", "marine"): 5,  # 45 / 10
    ("marauder", "marauder"): 7,  # 125 / (20 - 1) = 6.6
    ("marauder", "medivac"): 0,  # cannot shoot up
    ("marauder", "stalker"): 9,  # shield 80 / 20 = 4; 80 / 19 = 4.2
    ("marauder", "zealot"): 17,  # shield 50 / 10 = 5; 100 / 9 = 11.1
    ("stalker", "marine"): 5,  # 45 / 10
    ("stalker", "marauder"): 10,  # 125 / 13 = 9.6
    ("stalker", "medivac"): 12,  # 150 / 13 = 11.5
    ("stalker", "stalker"): 12,  # shield 80: 5 hits take 70; the 6th 10, then 4 - 1 = 3; 77 / 13 -> 6
    ("stalker", "zealot"): 17,  # shield 5; 100 / 9 -> 12
    ("zealot", "marine"): 6,  # 45 / 8
    ("zealot", "marauder"): 18,  # 125 / 7 = 17.9
    ("zealot", "medivac"): 0,
    ("zealot", "stalker"): 22,  # shield 10; 80 / 7 -> 12: 11 attacks of two blows
    ("zealot", "zealot"): 21,  # shield 50: 6 blows take 48; the 7th 2, then 6 - 1 = 5; 95 / 7 -> 14: 11 attacks
}


@pytest.fixture(scope="module")
def duels():
    """One environment per (killer, victim), all other units dead: 480 loops of an enemy against a passive ally.

    Returns (frames, index): arrays [480, N, E] and {(killer, victim): environment}.
    """
    names, pairs = VICTIMS + KILLERS, list(HITS)
    battle = arena(names, len(VICTIMS), [(9.0, 12.0 + n) for n in range(5)] + [(0.0, 0.0)] * 4)
    battle = jax.tree.map(lambda leaf: np.repeat(leaf, len(pairs), axis=1), battle)
    for e, (killer, victim) in enumerate(pairs):
        v, k = VICTIMS.index(victim), len(VICTIMS) + KILLERS.index(killer)
        battle.x[k, e], battle.y[k, e] = battle.x[v, e] + 1.05, battle.y[v, e]
        for unit in set(range(len(names))) - {v, k}:
            battle.health[unit, e] = 0.0
    orders = orders_of([STOP] * len(VICTIMS), num_envs=len(pairs))
    frames = play_loops(names, len(VICTIMS), battle, orders, 480, jax.random.key(1))
    return jax.device_get(frames), {pair: e for e, pair in enumerate(pairs)}


@pytest.mark.parametrize("pair", HITS)
def test_hits_to_kill(duels, pair):
    frames, index = duels
    victim = UNITS[pair[1]]
    row = VICTIMS.index(pair[1])
    total = (frames.health + frames.shield)[:, row, index[pair]]
    total = np.concatenate([[victim.hp + victim.shield], total])
    assert (np.diff(total) < 0).sum() == HITS[pair]
    assert (total[-1] == 0) == (HITS[pair] > 0)


def test_shields_absorb_first(duels):
    frames, index = duels

    def after(pair, hits):
        """(shield, health) after that many hits."""
        row, e = VICTIMS.index(pair[1]), index[pair]
        shield, health = frames.shield[:, row, e], frames.health[:, row, e]
        drops = np.flatnonzero(np.diff(shield + health, prepend=np.float32(1e9)) < 0)[1:]  # the first is no hit
        return shield[drops[hits - 1]], health[drops[hits - 1]]

    assert after(("stalker", "zealot"), 1) == (40, 100)
    assert after(("stalker", "zealot"), 6) == (0, 91)  # 5 x 10 on the shield, then 10 - 1
    assert after(("stalker", "stalker"), 6) == (0, 77)  # 5 x 14; 10 absorbed, then 4 - 1


def test_zealots_strike_twice(duels):
    frames, index = duels
    health = frames.health[:, VICTIMS.index("marauder"), index["zealot", "marauder"]]
    hits = np.flatnonzero(np.diff(health, prepend=np.float32(125)) < 0)
    # The second blow lands 4.48, so 5 loops after the first; attacks are 18.2 .. 21.2 loops apart, rounded up.
    assert (np.diff(hits)[::2] == 5).all()
    assert set(np.diff(hits[::2])) <= {19, 20, 21, 22}


def test_time_to_kill_a_marine():
    """8 shots, 7 intervals of ceil(13.77 + U(-1, 2)) loops, 13 to 16: 91 to 112 loops, on the mean about 104."""
    num_envs = 512
    battle = arena(("marine", "marine"), 1, [(9.0, 16.0), (14.0, 16.0)])
    battle = jax.tree.map(lambda leaf: np.repeat(leaf, num_envs, axis=1), battle)
    frames = play_loops(("marine", "marine"), 1, battle, orders_of([STOP], num_envs=num_envs), 120, jax.random.key(2))
    health = np.asarray(frames.health[:, 0])  # [120, E]
    intervals = np.argmax(health == 0, axis=0) - np.argmax(health < 45, axis=0)
    assert (health[-1] == 0).all()
    assert intervals.min() >= 91 and intervals.max() <= 112
    # E ceil(13.7728 + U(-1, 2)) = (0.2272 x 13 + 14 + 15 + 0.7728 x 16) / 3 = 14.773; times 7 = 103.4
    assert abs(intervals.mean() - 103.4) < 0.5


PROTOSS = ("stalker", "zealot", "stalker", "zealot")  # two allies, two enemies


def protoss(**alive):
    """An environment of PROTOSS with only the units named alive, e.g. s0=(x, y): ally stalker; z1: enemy zealot."""
    slots = ("s0", "z0", "s1", "z1")
    health = [(80, 100)[n % 2] if slot in alive else 0 for n, slot in enumerate(slots)]
    return arena(PROTOSS, 2, [alive.get(slot, (31.0, 9.0)) for slot in slots], health=health)


def test_missiles_fly_and_outlive_their_shooter():
    """A stalker 6 cells away: wind-up 2.67 loops, then 6 / 1.171875 = 5.12 loops of flight."""
    orders = orders_of([STOP, STOP])
    frames = play_loops(PROTOSS, 2, protoss(s0=(12.0, 16.0), s1=(18.0, 16.0)), orders, 12, jax.random.key(3))
    # Begun in loop 0, launched when 2.67 - 3 < 0 in loop 3, landed 6 loops later in loop 9 (counted from 0).
    assert np.flatnonzero(np.asarray(frames.shield[:, 0, 0]) < 80)[0] == 9
    assert np.asarray(frames.pending_target)[:, 2, 0].tolist() == [-1] * 3 + [0] * 6 + [-1] * 3
    flying = jax.tree.map(lambda leaf: np.array(leaf[5]), frames)
    flying.health[2] = 0.0
    frames = play_loops(PROTOSS, 2, flying, orders, 12, jax.random.key(3))
    assert np.asarray(frames.shield[-1, 0, 0]) == 80 - 14


def test_the_second_blow_of_a_dead_zealot_misses():
    orders = orders_of([STOP, STOP])
    frames = play_loops(PROTOSS, 2, protoss(z0=(12.0, 16.0), z1=(13.0, 16.0)), orders, 12, jax.random.key(3))
    assert np.asarray(frames.shield[-1, 1, 0]) == 50 - 2 * 8
    struck = jax.tree.map(lambda leaf: np.array(leaf[1]), frames)
    struck.health[3] = 0.0
    assert np.asarray(play_loops(PROTOSS, 2, struck, orders, 12, jax.random.key(3)).shield[-1, 1, 0]) == 50 - 8


def test_a_colossus_burns_a_line():
    """Zealots on a line across the shot burn, those behind it do not: 2 x 20 on a shield of 50."""
    names = ("zealot",) * 4 + ("colossus",)
    battle = arena(names, 4, [(12.0, 16.0), (12.0, 17.0), (12.0, 19.0), (10.0, 16.0), (18.0, 16.0)])
    frames = play_loops(names, 4, battle, orders_of([STOP] * 4), 12, jax.random.key(3))
    # wind-up 1.33 loops: one attack within 12 loops; half the line is 1.4 long and a zealot 0.5 wide: 17 burns, 19 not
    assert np.asarray(frames.shield[-1, :4, 0]).tolist() == [10, 10, 50, 50]


@pytest.mark.parametrize("name, windup", [("stalker", 1.67), ("colossus", -1.0)])
def test_only_a_colossus_cancels_a_strike_when_its_target_leaves_the_range(name, windup):
    """The target is half a cell beyond weapon range. RangeSlop is 1 for a stalker and 0 for a colossus."""
    names = ("zealot", name)
    reach = UNITS[name].range + UNITS[name].radius + UNITS["zealot"].radius
    battle = arena(names, 1, [(9.0, 16.0), (9.5 + reach, 16.0)], windup=[-1, 2.67], target=[-1, 0])
    frames = play_loops(names, 1, battle, orders_of([STOP]), 1, jax.random.key(3))
    assert np.asarray(frames.windup[0, 1, 0]) == pytest.approx(windup, abs=1e-6)


# --- orders -----------------------------------------------------------------------------------------------------------


def one_step(names, num_allies, battle, orders, rules=RULES):
    return jax.device_get(advance(names, num_allies, rules, battle, orders, jax.random.key(5)))


def test_a_new_order_drops_the_windup():
    battle = protoss(s0=(9.0, 16.0), z1=(15.0, 16.0))
    battle.windup[0], battle.target[0] = 2.0, 3
    away = one_step(PROTOSS, 2, battle, orders_of([MOVE, STOP], 3, (7.0, 16.0)))
    assert away.windup[0, 0] == -1 and away.cooldown[0, 0] == 0 and away.pending_target[0, 0] == -1
    go_on = one_step(PROTOSS, 2, battle, orders_of([ATTACK, STOP], 3))
    # Launched in the second loop; six loops of cooldown have passed since.
    assert 23.04 - 1 - 6 <= go_on.cooldown[0, 0] <= 23.04 + 2 - 6
    again = one_step(PROTOSS, 2, battle, orders_of([ATTACK, STOP], 3), RULES._replace(restart_windup=np.float32(1.0)))
    # Restarted with 2.67 loops: launched in the fourth loop.
    assert 23.04 - 1 - 4 <= again.cooldown[0, 0] <= 23.04 + 2 - 4


def test_no_cooldown_is_spent_on_the_dead():
    battle = protoss(s0=(9.0, 16.0), z1=(15.0, 16.0))
    after = one_step(PROTOSS, 2, battle, orders_of([ATTACK, STOP], 2))
    assert after.cooldown[0, 0] == 0 and after.x[0, 0] == 9 and after.target[0, 0] == -1


def test_allies_attack_only_on_orders_and_step_in():
    names = ("marine", "marauder")
    battle = arena(names, 1, [(9.0, 16.0), (15.0, 16.0)])
    idle = one_step(names, 1, battle, orders_of([STOP]))
    assert idle.x[0, 0] == 9 and idle.cooldown[0, 0] == 0
    fight = one_step(names, 1, battle, orders_of([ATTACK], 1))
    # It shoots from 5 + 0.375 + 0.5625 = 5.9375: one loop of 0.0625 cells to get there.
    assert fight.x[0, 0] == pytest.approx(9.0625, abs=1e-5) and fight.cooldown[0, 0] > 0


WALKERS = {"marine": 1.125, "stalker": 1.47655, "zealot": 1.125, "colossus": 1.125, "medivac": 0.289}


def test_free_movement_over_a_step():
    """Vector 21. A medivac from rest: 0.5 x 2.3125 x 0.5^2 = 0.289; at speed 0.171875 x 8 = 1.375."""
    names, cells = (*WALKERS, "marine"), np.array(list(WALKERS.values()))
    places = np.array([(9.0 + 2 * n, 16.0) for n in range(5)])
    battle = arena(names, 5, [*places, (31.0, 9.0)])
    battle.health[5] = 0.0
    for dx, dy in ((0, 1), (0, -1), (0.6, 0.8)):
        after = one_step(names, 5, battle, orders_of([MOVE] * 5, 0, places + np.array([(2 * dx, 2 * dy)])))
        np.testing.assert_allclose(after.x[:5, 0] - places[:, 0], cells * dx, atol=1e-3)
        np.testing.assert_allclose(after.y[:5, 0] - 16, cells * dy, atol=1e-3)
    battle.vy[4] = 0.171875
    after = one_step(names, 5, battle, orders_of([MOVE] * 5, 0, (17.0, 28.0)))
    np.testing.assert_allclose(after.y[4, 0], 16 + 1.375, atol=1e-3)


def test_walls():
    """Nobody leaves the strip 2 <= x <= 30, 7 <= y <= 25; medivacs leave the strip, not the map 0 <= x, y <= 32."""
    names = ("marine", "stalker", "medivac", "marine")
    corners = [(29.0, 23.0), (3.0, 9.0), (30.0, 24.0), (16.0, 16.0)]
    battle = arena(names, 3, corners, health=[45, 80, 150, 0])
    goals = [(40.0, 40.0), (-9.0, -9.0), (40.0, 40.0)]
    for _ in range(10):
        battle = one_step(names, 3, battle, orders_of([MOVE] * 3, 0, goals))
    np.testing.assert_allclose(battle.x[:3, 0], [30 - 0.375, 2.5, 32], atol=1e-5)
    np.testing.assert_allclose(battle.y[:3, 0], [25 - 0.375, 7.5, 32], atol=1e-5)


def test_a_wall_stops_a_colossus_at_its_inner_radius():
    battle = arena(("colossus", "marine"), 1, [(16.0, 24.0), (16.0, 10.0)], health=[200, 0])
    after = one_step(("colossus", "marine"), 1, battle, orders_of([MOVE], 0, (16.0, 40.0)))
    assert after.y[0, 0] == pytest.approx(25 - 0.5625, abs=1e-6)


# --- healing and regeneration -----------------------------------------------------------------------------------------

HEALERS = ("marine", "medivac", "marine")


@jax.jit
def nurse(battle):
    """(life that unit 1 gives unit 0, who is kept at 10, and its energy) after each of 340 loops."""
    orders = orders_of([STOP, ATTACK], [0, 0])

    def step(battle, _):
        battle = run_loops(Roster(HEALERS, 2), RULES, battle, orders, jnp.zeros((3, 1)), 1)
        gain = battle.health[0, 0] - 10.0
        return battle._replace(health=battle.health.at[0].set(10.0)), (gain, battle.energy[1, 0])

    return jax.lax.scan(step, battle, None, 340)[1]


def healed(energy):
    """What `nurse` says of a medivac with `energy` that is in reach."""
    places = [(9.0, 16.0), (12.0, 16.0), (31.0, 9.0)]
    battle = arena(HEALERS, 2, places, health=[10, 150, 0], energy=[0, energy, 0])
    return jax.device_get(nurse(jax.tree.map(jnp.asarray, battle)))


def test_healing():
    """Vector 19: 0.5625 life a loop, 0.33 energy a life point against a regeneration of 0.03515625."""
    gain, energy = healed(50.0)
    np.testing.assert_allclose(gain[:8].sum(), 4.5, atol=1e-4)
    np.testing.assert_allclose(energy[7], 50 - 1.485 + 0.28125, atol=1e-4)
    # 50 / (0.185625 - 0.03515625) = 332.3 loops, 187 life; then it waits for 5 energy again
    stopped = np.flatnonzero(gain == 0)[0]
    assert 331 <= stopped <= 334
    np.testing.assert_allclose(gain.sum(), 187.0, atol=0.5)
    assert (gain[stopped:] == 0).all()


def test_a_heal_needs_five_energy_to_begin():
    gain, _ = healed(4.9)
    # 4.9 + 0.03515625 k > 5 from k = 3 loops on
    assert (gain[:3] == 0).all() and (gain[3:9] > 0).all()


def test_healing_stops_at_full_life_and_out_of_reach():
    for x, expected in ((12.0, 45.0), (20.0, 44.5)):
        battle = arena(HEALERS, 2, [(9.0, 16.0), (x, 16.0), (31.0, 9.0)], health=[44.5, 150, 0])
        after = one_step(HEALERS, 2, battle, orders_of([STOP, ATTACK], [0, 0]))
        assert after.health[0, 0] == expected
        assert (after.x[1, 0] < x) == (expected == 44.5)  # it flies there


def test_shields_grow_after_ten_seconds():
    """Vector 20: nothing for 20 steps after the last damage, then 1.0 a step; a stalker's 0 -> 80 takes 80 steps."""
    battle = protoss(s0=(9.0, 16.0))
    battle.shield[0], battle.shield_timer[0] = 0.0, 0.0
    shields = []
    for _ in range(102):
        battle = one_step(PROTOSS, 2, battle, orders_of([STOP, STOP]))
        shields.append(battle.shield[0, 0].item())
    assert shields == [0.0] * 20 + [float(k) for k in range(1, 81)] + [80.0] * 2


def test_hydralisks_recover_life():
    names = ("hydralisk", "zealot")
    battle = arena(names, 1, [(9.0, 16.0), (31.0, 9.0)], health=[10, 0])
    after = one_step(names, 1, battle, orders_of([STOP]))
    np.testing.assert_allclose(after.health[0, 0], 10 + 8 * 0.2734 / 16, rtol=1e-6)
