"""The vectorised engine against a slow one-unit-at-a-time oracle, on random states of mixed armies."""

import copy
from functools import partial

import jax
import numpy as np
import pytest

from envs.smax.battle import Orders, Roster
from envs.smax.dynamics import run_loops
from envs.smax.rules import UNKNOWN
from envs.smax.terrain import GROUNDS, OCTAGON, SQUARE, STRIP
from tests.helpers.battle_oracle import Unit, game_loop
from tests.helpers.battle_states import FIELDS, random_battle, random_orders, random_rules

ARMIES = {
    "2s3z": (["stalker"] * 2 + ["zealot"] * 3, ["stalker"] * 2 + ["zealot"] * 3),
    "MMM": (["marauder"] + ["marine"] * 3 + ["medivac"], ["marine"] * 4 + ["marauder", "medivac"]),
    "3s_vs_5z": (["stalker"] * 3, ["zealot"] * 5),
    "1c3s5z": (["colossus"] + ["stalker"] * 2 + ["zealot"] * 2, ["colossus"] + ["stalker"] + ["zealot"] * 3),
    "6h_vs_8z": (["hydralisk"] * 4, ["zealot"] * 5),
    "13m_vs_14m": (["marine"] * 13, ["marine"] * 14),  # above UNROLL_LIMIT
    "2m_vs_1z": (["marine"] * 2, ["zealot"]),
    "2s_vs_1sc": (["stalker"] * 2, ["spine_crawler"]),
    "so_many_baneling": (["zealot"] * 7, ["baneling"] * 12),
    "bane_vs_bane": (["baneling"] * 3 + ["zergling"] * 6, ["zergling"] * 6 + ["baneling"] * 3),
    "10b_vs_16z": (["baneling"] * 10, ["zealot"] * 3 + ["baneling"] * 13),  # above UNROLL_LIMIT
    "2c_vs_24zg": (["colossus"] * 2, ["zergling"] * 24),
    "3s_vs_24m": (["stalker", "colossus", "marauder"], ["marine"] * 20 + ["stalker"] * 4),
    "corridor": (["zealot"] * 6, ["zergling"] * 12),
}
WHERE = GROUNDS | {"3s_vs_5z": SQUARE, "6h_vs_8z": OCTAGON, "2c_vs_24zg": GROUNDS["2c_vs_64zg"]}
NUM_ENVS = 24


def oracle(roster, rules, battle, orders, jitter, e):
    """Fields of Battle after one loop of one environment, [N] each."""
    units = []
    for n, name in enumerate(roster.names):
        fields = {key: getattr(battle, key)[n, e].item() for key in FIELDS}
        units.append(Unit(name, int(n >= roster.num_allies), fields))
    env_orders = [{key: getattr(orders, key)[n, e].item() for key in Orders._fields} for n in range(roster.num_allies)]
    before = copy.deepcopy(units)
    env_rules = {name: float(getattr(rules, name)[e]) for name in UNKNOWN}
    goal = roster.ground.order.start if battle.goal is None else tuple(battle.goal[:, e])
    game_loop(units, before, env_orders, [float(value) for value in jitter[:, e]], env_rules, roster.ground, goal)
    return {name: np.array([getattr(unit, name) for unit in units]) for name in FIELDS}


@pytest.mark.parametrize("army", ARMIES)
def test_one_loop_equals_the_oracle(army):
    allies, enemies = ARMIES[army]
    roster = Roster(tuple(allies + enemies), len(allies), WHERE.get(army, STRIP))
    step = jax.jit(partial(run_loops, roster, count=1))
    fired = 0
    for seed in range(4):
        rng = np.random.default_rng(seed)
        rules = random_rules(rng, NUM_ENVS)
        battle, orders = random_battle(rng, roster, NUM_ENVS), random_orders(rng, roster, NUM_ENVS)
        jitter = rng.uniform(-1, 2, battle.x.shape).astype(np.float32)
        after = jax.device_get(step(rules, battle, orders, jitter))
        fired += (after.cooldown > battle.cooldown).sum()
        for e in range(NUM_ENVS):
            expected = oracle(roster, rules, battle, orders, jitter, e)
            for name in FIELDS:
                got = getattr(after, name)[:, e]
                np.testing.assert_allclose(got, expected[name], atol=2e-4, err_msg=f"{army} {seed} {e} {name}")
    assert fired > min(30, len(roster))  # the states are violent enough to mean something
