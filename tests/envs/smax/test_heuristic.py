"""SMAC's built-in heuristic against a plain loop over units, and in scenes with literal answers."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.smax.battle import Roster
from envs.smax.env import Smax
from envs.smax.heuristic import choose, no_targets
from envs.smax.scenarios import get_scenario
from envs.smax.units import UNITS
from tests.helpers.battle_states import random_battle

MAPS = ("3m", "2s3z", "1c3s5z", "MMM", "3s_vs_5z", "6h_vs_8z")
E = 64


@partial(jax.jit, static_argnums=0)
def both(scenario, battle, targets):
    """What is chosen without and with the restriction to reach."""
    return [choose(scenario, battle, targets, restricted) for restricted in (False, True)]


def full_health(scenario):
    return np.repeat(np.array([[UNITS[name].hp] for name in scenario.units], np.float32), E, axis=1)


def snapshots(name, seed):
    """(scenario, a battle of E snapshots with units anywhere and some dead or damaged, the agents' old targets)."""
    rng = np.random.default_rng(seed)
    scenario = get_scenario(name)
    battle = random_battle(rng, Roster(scenario.units, scenario.num_allies, scenario.ground), E)
    shape = battle.x.shape
    share = rng.choice([0.0, 0.4, 1.0, 1.0], shape).astype(np.float32)
    x, y = rng.uniform(4, 28, shape).astype(np.float32), rng.uniform(8, 24, shape).astype(np.float32)
    heals = np.array([[scenario.has_medivac_rules and unit == "medivac"] for unit in scenario.allies])
    limit = np.where(heals, scenario.num_allies - 1, scenario.num_enemies)
    targets = rng.integers(-1, np.broadcast_to(limit, (scenario.num_allies, E)))
    return scenario, battle._replace(x=x, y=y, health=full_health(scenario) * share), targets.astype(np.int32)


def by_loop(scenario, battle, targets, restricted, e):
    """Environment e, one agent after another: [(action, target)]."""
    agents, out = scenario.num_allies, []
    units = [UNITS[name] for name in scenario.units]

    def distance(a, b):
        return math.hypot(battle.x[b, e] - battle.x[a, e], battle.y[b, e] - battle.y[a, e])

    for me in range(agents):
        heals = scenario.has_medivac_rules and units[me].heals
        side = range(agents) if heals else range(agents, len(units))

        def eligible(unit, heals=heals):
            if heals:
                return not units[unit].heals and 0 < battle.health[unit, e] < units[unit].hp
            return battle.health[unit, e] > 0

        target = targets[me, e]
        if target < 0 or not eligible(side[target]):
            choices = [(distance(me, unit), unit - side[0]) for unit in side if eligible(unit)]
            target = min(choices)[1] if choices else -1
        action = 6 + target
        if battle.health[me, e] <= 0 or target < 0:
            action = 0
        elif restricted and distance(me, side[target]) > 6:
            unit = side[target]
            dx, dy = battle.x[unit, e] - battle.x[me, e], battle.y[unit, e] - battle.y[me, e]
            action = (4 if dx > 0 else 5) if abs(dx) > abs(dy) else (2 if dy > 0 else 3)
        out.append((action, target))
    return out


@pytest.mark.parametrize("name", MAPS)
def test_it_chooses_as_a_loop_over_the_units_does(name):
    scenario, battle, targets = snapshots(name, seed=len(name))
    for restricted, chosen in enumerate(jax.device_get(both(scenario, battle, targets))):
        action, new = chosen
        for e in range(E):
            expected = by_loop(scenario, battle, targets, restricted, e)
            assert list(zip(action[:, e], new[:, e], strict=True)) == expected


def test_it_keeps_its_target_and_passes_the_masks():
    """3m: agent 0 keeps enemy 2 although enemy 1 is nearer; without a target it takes enemy 1. All are beyond 6."""
    env = Smax("3m")
    state, _ = env.reset(jax.random.key(0), 1)
    place = jnp.array([9.0, 9.0, 9.0, 25.0, 21.0, 23.0])[:, None]
    state = state._replace(battle=state.battle._replace(x=place, y=jnp.full((6, 1), 16.0)))
    old = no_targets(env.scenario, 1).at[0].set(2)
    action, new = both(env.scenario, state.battle, old)[0]
    assert action[:, 0].tolist() == [8, 7, 7] and new[:, 0].tolist() == [2, 1, 1]
    state, timestep = jax.jit(env.obey)(jax.random.key(1), state, action)
    assert timestep.avail[0, :, 6:].tolist() == [[False] * 3] * 3
    np.testing.assert_allclose(state.battle.x[0, 0], 9 + 1.125, atol=0.02)  # it walks there all the same
    action, _ = both(env.scenario, state.battle, new)[1]
    assert action[:, 0].tolist() == [4, 4, 4]


def test_nobody_is_hurt_so_the_medivac_rests():
    scenario, battle, _ = snapshots("MMM", seed=0)
    battle = battle._replace(health=full_health(scenario))
    action, targets = both(scenario, battle, no_targets(scenario, E))[0]
    assert (action[9] == 0).all() and (targets[9] == -1).all()
    battle.health[4] = 20.0
    action, targets = both(scenario, battle, targets)[0]
    assert (action[9] == 10).all() and (targets[9] == 4).all()
