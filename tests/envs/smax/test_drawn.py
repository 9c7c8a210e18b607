"""Drawn unit types: the engine gives what it gives for the same types as constants, and enemies that pursue agents."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.smax.battle import NOBODY, Battle, Roster
from envs.smax.drawn import DrawnRoster
from envs.smax.dynamics import run_loops
from envs.smax.pursuit import Pursuit, pursue
from envs.smax.targeting import ghost_y
from tests.helpers.battle_states import FIELDS, random_battle, random_orders, random_rules

LANES = 16
PROTOSS = ("stalker", "zealot", "colossus", "zealot", "stalker", "colossus", "zealot")
ZERG = ("baneling", "zergling", "hydralisk", "baneling", "zergling", "hydralisk", "baneling")
TERRAN = ("marauder", "marine", "medivac", "medivac", "marine", "medivac", "marauder")
ROSTERS = pytest.mark.parametrize("names", [PROTOSS, TERRAN, ZERG], ids=["protoss", "terran", "zerg"])


def kinds_of(names, num_envs):
    types = tuple(sorted(set(names)))
    return types, np.repeat(np.array([[types.index(name)] for name in names], np.int32), num_envs, axis=1)


@partial(jax.jit, static_argnums=(0, 1))
def drawn_loops(types, num_allies, kind, rules, battle, orders, jitter):
    return run_loops(DrawnRoster(types, num_allies, kind=kind), rules, battle, orders, jitter, 8)


@partial(jax.jit, static_argnums=(0, 1))
def constant_loops(names, num_allies, rules, battle, orders, jitter):
    return run_loops(Roster(names, num_allies), rules, battle, orders, jitter, 8)


@ROSTERS
def test_drawn_types_play_like_constant_ones(names):
    rng, (types, kind) = np.random.default_rng(0), kinds_of(names, LANES)
    roster = Roster(names, 4)
    battle, rules = random_battle(rng, roster, LANES), random_rules(rng, LANES)
    for _ in range(4):
        orders = random_orders(rng, roster, LANES)
        jitter = rng.uniform(-1, 2, battle.x.shape).astype(np.float32)
        want = jax.device_get(constant_loops(names, 4, rules, battle, orders, jitter))
        got = drawn_loops(types, 4, kind, rules, battle, orders, jitter)
        for name in FIELDS:
            np.testing.assert_allclose(getattr(got, name), getattr(want, name), atol=2e-4, err_msg=name)
        battle = want


def hunt_once(names, alive, prey, tick, loop):
    """One loop of orders on an empty field: agents at x = 10, 14, ..., enemies at x = 20, on the same line."""
    types, kind = kinds_of(names, 1)
    roster = DrawnRoster(types, 2, kind=jnp.asarray(kind))
    zeros = jnp.zeros((len(names), 1))
    fields = {name: zeros for name in FIELDS}
    x = jnp.array([[10.0], [14.0]] + [[20.0]] * (len(names) - 2))
    battle = Battle(**fields)._replace(x=x, y=zeros + 16, health=jnp.asarray(alive, jnp.float32)[:, None])
    pursuit = Pursuit(jnp.asarray(prey, jnp.int32)[:, None], jnp.array([tick]))
    return pursue(roster, jnp.int32(loop), battle, ghost_y(roster, battle), pursuit, True).prey[:, 0].tolist()


@pytest.mark.parametrize(
    "alive, prey, tick, loop, want",
    [
        ([1, 1, 1, 1], [NOBODY, NOBODY], 3, 3, [1, 1]),  # the nearest
        ([1, 1, 1, 1], [NOBODY, NOBODY], 3, 4, [NOBODY, NOBODY]),  # not the script's loop
        ([1, 1, 1, 1], [0, NOBODY], 3, 3, [0, 1]),  # an order stands while the agent lives
        ([0, 1, 1, 1], [0, 0], 3, 2, [NOBODY, NOBODY]),  # then the enemy is idle
        ([0, 1, 1, 1], [0, 0], 3, 3, [1, 1]),
        ([0, 0, 1, 1], [0, 1], 3, 3, [NOBODY, NOBODY]),
    ],
)
def test_idle_enemies_are_sent_after_the_nearest_agent(alive, prey, tick, loop, want):
    assert hunt_once(("zealot", "stalker", "zealot", "stalker"), alive, prey, tick, loop) == want


def test_an_order_that_the_weapon_cannot_carry_out_is_refused():
    """The nearest agent is a medivac: a marine shoots at it, a marauder and a medivac cannot."""
    names = ("marine", "medivac", "marine", "marauder", "medivac")
    assert hunt_once(names, [1] * 5, [NOBODY] * 3, 0, 0) == [1, NOBODY, NOBODY]
