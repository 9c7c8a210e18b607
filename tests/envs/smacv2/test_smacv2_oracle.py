"""Battles of drawn teams whose enemies pursue agents, against a slow one-unit-at-a-time oracle."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.smacv2.scenarios import GROUND, RACES
from envs.smax.battle import Orders
from envs.smax.drawn import DrawnRoster
from envs.smax.dynamics import advance_drawn
from envs.smax.pursuit import Pursuit
from envs.smax.rules import UNKNOWN
from envs.smax.targeting import TOUCH
from envs.smax.units import JITTER_HIGH, JITTER_LOW, UNITS
from tests.helpers.battle_oracle import NOBODY, Unit
from tests.helpers.battle_states import FIELDS, random_battle, random_orders, random_rules
from tests.helpers.pursuit_oracle import step

ALLIES, ENEMIES, ENVS, STEPS = 4, 5, 12, 5


def random_pursuit(rng, types, kind):
    """A third of the enemies are after an agent, dead or alive, that they can hit."""
    prey, enemy = rng.integers(0, ALLIES, (ENEMIES, ENVS)), kind[ALLIES:]
    hits = np.array([[UNITS[a].can_hit(UNITS[b]) for b in types] for a in types])
    can = hits[enemy, np.take_along_axis(kind[:ALLIES], prey, axis=0)]
    prey = np.where(can & (rng.random(prey.shape) < 1 / 3), prey, NOBODY)
    return Pursuit(prey.astype(np.int32), rng.integers(0, 8, ENVS).astype(np.int32))


def played(names, rules, battle, pursuit, orders, jitter, e):
    """The units of environment `e` after a step of the oracle. `names`: of their types."""
    units = []
    for n, name in enumerate(names):
        units.append(Unit(name, int(n >= ALLIES), {key: getattr(battle, key)[n, e].item() for key in FIELDS}))
        units[-1].prey = pursuit.prey[n - ALLIES, e].item() if n >= ALLIES else NOBODY
    each = [{key: getattr(orders, key)[n, e].item() for key in Orders._fields} for n in range(ALLIES)]
    env_rules = {name: float(getattr(rules, name)[e]) for name in UNKNOWN}
    step(units, each, [float(value) for value in jitter[:, e]], pursuit.tick[e].item(), env_rules, GROUND)
    return units


def check(names, before, pursuit, after, hunts, expected, e, label):
    """Asserts that a step did to environment `e` what it did to the units `expected`. Returns what happened in it."""
    for name in FIELDS:
        want = np.array([getattr(unit, name) for unit in expected])
        close = 2.5 * TOUCH if name in "xy" else 2e-4  # one follows a target that is TOUCH too far, the other does not
        np.testing.assert_allclose(getattr(after, name)[:, e], want, atol=close, err_msg=f"{label} {name}")
    found = {"sent": 0, "dropped": 0, "healed": 0, "burst": 0}
    for m, enemy in enumerate(expected[ALLIES:]):
        old, new = pursuit.prey[m, e], hunts.prey[m, e]
        if enemy.alive:
            assert new == enemy.prey, f"{label}: enemy {m} is after {new}, not {enemy.prey}"
            found["sent"] += new not in (NOBODY, old)
            found["dropped"] += old not in (NOBODY, new)
    for n, unit in enumerate(expected):
        alive = before.health[n, e] > 0
        found["healed"] += unit.kind.heals and unit.alive and before.energy[n, e] > unit.energy
        found["burst"] += bool(unit.kind.burst) and alive and not unit.alive
    return found


@pytest.mark.parametrize("race", RACES)
def test_pursuing_enemies_play_like_the_oracle(race):
    types, rng = RACES[race].types, np.random.default_rng(1)
    kind = rng.integers(0, 3, (ALLIES + ENEMIES, ENVS)).astype(np.int32)
    roster = DrawnRoster(types, ALLIES, GROUND, kind=jnp.asarray(kind))
    happened = dict.fromkeys(("sent", "dropped", "healed", "burst"), 0)
    battle, rules = random_battle(rng, roster, ENVS), random_rules(rng, ENVS)
    pursuit = random_pursuit(rng, types, kind)
    for t in range(STEPS):
        orders, key = random_orders(rng, roster, ENVS), jax.random.key(t)
        jitter = np.asarray(jax.random.uniform(key, battle.x.shape, jnp.float32, JITTER_LOW, JITTER_HIGH))
        after, hunts = jax.device_get(
            advance_drawn(types, ALLIES, kind, rules, battle, pursuit, orders, key, ground=GROUND)
        )
        for e in range(ENVS):
            names = [types[k] for k in kind[:, e]]
            units = played(names, rules, battle, pursuit, orders, jitter, e)
            for name, number in check(names, battle, pursuit, after, hunts, units, e, f"{race} {t} {e}").items():
                happened[name] += number
        battle, pursuit = after, hunts
    assert happened["sent"] > 10 and happened["dropped"] > 1, happened
    assert (happened["healed"] > 5) == (race == "terran") and (happened["burst"] > 3) == (race == "zerg"), happened
