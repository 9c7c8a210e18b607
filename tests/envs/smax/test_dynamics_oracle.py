"""The vectorised engine against a slow one-unit-at-a-time oracle, on random states of mixed armies."""

import copy
from functools import partial

import jax
import numpy as np
import pytest

from envs.smax.battle import Battle, Orders, Roster, Rules
from envs.smax.dynamics import run_loops
from tests.envs.smax.battle_oracle import Unit, game_loop

ARMIES = {
    "2s3z": (["stalker"] * 2 + ["zealot"] * 3, ["stalker"] * 2 + ["zealot"] * 3),
    "MMM": (["marauder"] + ["marine"] * 3 + ["medivac"], ["marine"] * 4 + ["marauder", "medivac"]),
    "3s_vs_5z": (["stalker"] * 3, ["zealot"] * 5),
    "1c3s5z": (["colossus"] + ["stalker"] * 2 + ["zealot"] * 2, ["colossus"] + ["stalker"] + ["zealot"] * 3),
    "6h_vs_8z": (["hydralisk"] * 4, ["zealot"] * 5),
    "13m_vs_14m": (["marine"] * 13, ["marine"] * 14),  # above UNROLL_LIMIT
}
LANES = 24


def random_rules(rng):
    """[E] each, every rule across its range."""
    uniform = {
        "scan_margin": (-1, 1), "keep_slop": (0, 1), "response": (0, 4), "medivac_rank": (0, 2), "range_slop": (0, 1),
        "push_moving": (0.2, 0.6), "push_idle": (0.2, 0.6), "push_attacking": (0, 0.3), "pre_advance": (0, 2),
        "spawn_gap": (0, 0.2), "spawn_noise": (0, 0.3),
    }  # fmt: skip
    values = {name: rng.uniform(*uniform.get(name, (0, 1)), LANES).astype(np.float32) for name in Rules._fields}
    for name in set(Rules._fields) - set(uniform):
        values[name] = np.round(values[name])
    return Rules(**values)


def random_battle(rng, roster):
    """A scrum: everything that can be under way is under way for somebody."""
    shape = (len(roster), LANES)
    first = roster.num_allies
    opponent = np.where(roster.is_ally, rng.integers(first, len(roster), shape), rng.integers(0, first, shape))
    heals = roster.column(lambda unit: unit.heals, bool)
    fellow = np.where(roster.is_ally, rng.integers(0, first, shape), rng.integers(first, len(roster), shape))
    target = np.where(rng.random(shape) < 0.3, -1, np.where(heals, fellow, opponent))
    alive = rng.random(shape) < 0.85
    later = roster.column(lambda unit: unit.missile_speed > 0 or unit.second_hit_delay > 0, bool)
    armed = roster.column(lambda unit: unit.armed, bool)
    winds = (rng.random(shape) < 0.4) & (target >= 0) & alive
    point = np.where(armed, np.maximum(roster.column(lambda unit: unit.damage_point), 0.01), 0.0)
    health = roster.column(lambda unit: unit.hp) * np.where(rng.random(shape) < 0.3, 1.0, rng.random(shape))
    shield = roster.column(lambda unit: unit.shield) * np.where(rng.random(shape) < 0.3, 0.0, rng.random(shape))
    speed = np.where(heals, 0.1, 0.0)
    fields = {
        "x": rng.uniform(12, 18, shape) + np.where(rng.random(shape) < 0.1, 13, 0),
        "y": rng.uniform(13, 17, shape) + rng.choice([-4.5, 0, 6.8], shape, p=[0.1, 0.8, 0.1]),
        "vx": speed * rng.uniform(-1, 1, shape), "vy": speed * rng.uniform(-1, 1, shape),
        "health": np.where(alive, health, 0.0), "shield": np.where(alive, shield, 0.0),
        "energy": roster.column(lambda unit: unit.max_energy) * rng.choice([0.001, 0.02, 0.5, 1.0], shape),
        "cooldown": armed * rng.choice([0.0, 0.0, 0.4, 1.7, 3.1, 9.3], shape),
        "windup": np.where(winds, np.where(armed, point * rng.random(shape), 0.0), -1.0),
        "target": target,
        "shield_timer": rng.choice([0.0, 158.0, 159.0, 160.0], shape),
        "pending_time": later * rng.uniform(0, 4, shape),
        "pending_target": np.where(later & (rng.random(shape) < 0.5), opponent, -1),
    }  # fmt: skip
    kinds = {"target": np.int32, "pending_target": np.int32}
    return Battle(**{name: value.astype(kinds.get(name, np.float32)) for name, value in fields.items()})


def random_orders(rng, roster):
    shape = (roster.num_allies, LANES)
    heals = roster.allies.column(lambda unit: unit.heals, bool)
    foe, friend = rng.integers(roster.num_allies, len(roster), shape), rng.integers(0, roster.num_allies, shape)
    return Orders(
        kind=rng.choice([0, 1, 2, 3, 3, 3], shape).astype(np.int32),
        goal_x=rng.uniform(0, 32, shape).astype(np.float32),
        goal_y=rng.uniform(0, 32, shape).astype(np.float32),
        target=np.where(heals, friend, foe).astype(np.int32),
    )


def oracle(roster, rules, battle, orders, jitter, lane):
    """Fields of Battle after one loop of one lane, [N] each."""
    units = []
    for n, name in enumerate(roster.names):
        fields = {key: getattr(battle, key)[n, lane].item() for key in Battle._fields}
        units.append(Unit(name, int(n >= roster.num_allies), fields))
    lane_orders = [
        {key: getattr(orders, key)[n, lane].item() for key in Orders._fields} for n in range(roster.num_allies)
    ]
    before = copy.deepcopy(units)
    lane_rules = {name: float(getattr(rules, name)[lane]) for name in Rules._fields}
    game_loop(units, before, lane_orders, [float(value) for value in jitter[:, lane]], lane_rules)
    return {name: np.array([getattr(unit, name) for unit in units]) for name in Battle._fields}


@pytest.mark.parametrize("army", ARMIES)
def test_one_loop_equals_the_oracle(army):
    allies, enemies = ARMIES[army]
    roster = Roster(tuple(allies + enemies), len(allies))
    step = jax.jit(partial(run_loops, roster, count=1))
    fired = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        rules, battle, orders = random_rules(rng), random_battle(rng, roster), random_orders(rng, roster)
        jitter = rng.uniform(-1, 2, battle.x.shape).astype(np.float32)
        after = jax.device_get(step(rules, battle, orders, jitter))
        fired += (after.cooldown > battle.cooldown).sum()
        for lane in range(LANES):
            expected = oracle(roster, rules, battle, orders, jitter, lane)
            for name in Battle._fields:
                got = getattr(after, name)[:, lane]
                np.testing.assert_allclose(got, expected[name], atol=2e-4, err_msg=f"{army} {seed} {lane} {name}")
    assert fired > 30  # the states are violent enough to mean something
