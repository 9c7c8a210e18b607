"""Medivacs: whom they heal, and healing in one loop. Source: the SMAC interface specification, sections 5 and 7."""

import jax
import jax.numpy as jnp
import numpy as np

from envs.smax.battle import ATTACK, NOBODY, RESTING, Battle, Orders, Roster
from envs.smax.targeting import Aim, facing, in_range, over, settle
from envs.smax.units import ENERGY_REGEN, HEAL_COST, HEAL_END, HEAL_RATE, HEAL_SCAN, HEAL_START


def _patient(roster: Roster, battle: Battle, y: jax.Array, orders: Orders, med: int):
    """The patient of the medivac `med`: (index int32[E], offset c64[E], reach f32[E]); NOBODY if no unit is damaged.

    An allied medivac heals the unit that its order names. An enemy medivac heals the damaged unit within HEAL_SCAN that
    has the smallest fraction of its life left, and stays with a patient while it needs healing.
    """
    unit, shape, ally = roster.units[med], battle.x.shape[1:], med < roster.num_allies
    best, pick, reach_ = jnp.full(shape, jnp.inf), jnp.full(shape, NOBODY, jnp.int32), jnp.zeros(shape, jnp.float32)
    dx, dy = jnp.zeros(shape, jnp.float32), jnp.zeros(shape, jnp.float32)
    for j in roster.where(lambda patient: patient.biological):
        if (j < roster.num_allies) != ally:
            continue
        patient = roster.units[j]
        to_x, to_y = battle.x[j] - battle.x[med], y[j] - battle.y[med]
        if ally:
            key = jnp.where((orders.kind[med] == ATTACK) & (orders.target[med] == j), 0.0, jnp.inf)
        else:
            seen = to_x * to_x + to_y * to_y <= (HEAL_SCAN + unit.radius + patient.radius) ** 2
            mine = (battle.windup[med] >= 0.0) & (battle.target[med] == j)
            key = jnp.where(seen, battle.health[j] / patient.hp, jnp.inf) - jnp.where(mine, 2.0, 0.0)
        hurt = (battle.health[j] > 0.0) & (battle.health[j] < patient.hp) & battle.alive[med]
        better = hurt & (key < best)
        best, pick = jnp.where(better, key, best), jnp.where(better, j, pick)
        dx, dy = jnp.where(better, to_x, dx), jnp.where(better, to_y, dy)
        reach_ = jnp.where(better, np.float32(unit.range + unit.radius + patient.radius), reach_)
    return pick, jax.lax.complex(dx, dy), reach_


def tend(roster: Roster, loop, battle: Battle, y: jax.Array, aim: Aim, orders: Orders) -> Aim:
    """`aim` with the rows of medivacs filled in."""
    for med in roster.where(lambda unit: unit.heals):
        pick, offset, reach_ = settle(loop, _patient(roster, battle, y, orders, med))
        found = Aim(pick, jnp.real(offset), jnp.imag(offset), reach_)
        here = roster.rows == med
        aim = jax.tree.map(lambda value, old, here=here: jnp.where(here, value, old), found, aim)
    return aim


def patients(roster: Roster, battle: Battle, y: jax.Array, orders: Orders, unrolled: bool) -> jax.Array:
    """int32[N, E]: whom each unit of a drawn roster would heal if it is a medivac; the rule is that of `_patient`."""
    healer = next(unit for unit in roster.units if unit.heals)
    count = (len(roster), battle.x.shape[1])
    radius, full, biological = (
        jnp.broadcast_to(roster.column(value), count)
        for value in (lambda unit: unit.radius, lambda unit: unit.hp, lambda unit: unit.biological)
    )
    ordered = jnp.where(orders.kind == ATTACK, orders.target, NOBODY)
    ordered = jnp.concatenate([ordered, jnp.full((len(roster.enemies), count[1]), NOBODY, jnp.int32)])
    first = np.where(roster.is_ally, 0, roster.num_allies).astype(np.int32)
    own_side = np.where(roster.is_ally, roster.num_allies, len(roster.enemies))

    def consider(k, carry):
        best, pick = carry
        near_x, near_y, health, most, size, treatable = (
            facing(roster, leaf, k, ~roster.is_ally) for leaf in (battle.x, y, battle.health, full, radius, biological)
        )
        dx, dy = near_x - battle.x, near_y - y
        seen = dx * dx + dy * dy <= (HEAL_SCAN + healer.radius + size) ** 2
        mine = (battle.windup >= 0.0) & (battle.target == first + k)
        wish = jnp.where(seen, health / most, jnp.inf) - jnp.where(mine, 2.0, 0.0)
        wish = jnp.where(roster.is_ally, jnp.where(ordered == first + k, 0.0, jnp.inf), wish)
        hurt = (health > 0.0) & (health < most) & (treatable > 0.0) & (k < own_side)
        better = hurt & (wish < best)
        return jnp.where(better, wish, best), jnp.where(better, first + k, pick)

    start = jnp.full(count, jnp.inf, jnp.float32), jnp.full(count, NOBODY, jnp.int32)
    return over(roster.most_opponents, unrolled, consider, start)[1]


def heal(roster: Roster, loop, battle: Battle, aim: Aim, unrolled: bool) -> Battle:
    """Healing and energy of the medivacs that are still alive."""
    if roster.drawn:
        return _heal_drawn(roster, loop, battle, aim, unrolled) if roster.any(lambda unit: unit.heals) else battle
    full = roster.column(lambda unit: unit.hp)
    for med in roster.where(lambda unit: unit.heals):
        energy, alive = battle.energy[med], battle.alive[med]
        enough = energy > jnp.where(battle.windup[med] >= 0.0, 0.0, HEAL_START)
        able = alive & enough & in_range(Aim(*(leaf[med] for leaf in aim)))
        patient = able & (aim.target[med] == roster.rows) & battle.alive
        most = jnp.minimum(HEAL_RATE, energy / HEAL_COST)
        healed = jnp.where(patient, jnp.minimum(most, full - battle.health), 0.0)
        healed = settle(loop, healed)
        spent = energy - HEAL_COST * healed.sum(axis=0)
        gained = jnp.minimum(spent + ENERGY_REGEN, roster.units[med].max_energy)
        here = roster.rows == med
        battle = battle._replace(
            health=battle.health + healed,
            energy=jnp.where(here & alive, gained, battle.energy),
            windup=jnp.where(here, jnp.where(able & (spent > HEAL_END), 0.0, RESTING), battle.windup),
        )
    return battle


def _heal_drawn(roster: Roster, loop, battle: Battle, aim: Aim, unrolled: bool) -> Battle:
    """`heal` where any unit may be a medivac: one after another, in the units' order."""
    full = roster.column(lambda unit: unit.hp)
    healer = next(unit for unit in roster.units if unit.heals)
    enough = battle.energy > jnp.where(battle.windup >= 0.0, 0.0, HEAL_START)
    able = battle.alive & enough & in_range(aim) & roster.column(lambda unit: unit.heals, bool)
    most = jnp.minimum(HEAL_RATE, battle.energy / HEAL_COST)
    patient = jnp.where(able, aim.target, NOBODY)

    def treat(n, carry):
        health, spent = carry
        healed = jnp.where((patient[n] == roster.rows) & battle.alive, jnp.minimum(most[n], full - health), 0.0)
        return health + healed, spent + jnp.where(roster.rows == n, HEAL_COST * healed.sum(axis=0), 0.0)

    both = settle(loop, jax.lax.complex(*over(len(roster), unrolled, treat, (battle.health, jnp.zeros_like(most)))))
    left = battle.energy - jnp.imag(both)
    heals = roster.column(lambda unit: unit.heals, bool)
    windup = jnp.where(able & (left > HEAL_END), 0.0, RESTING)
    return battle._replace(
        health=jnp.real(both),
        energy=jnp.where(heals & battle.alive, jnp.minimum(left + ENERGY_REGEN, healer.max_energy), battle.energy),
        windup=jnp.where(heals, windup, battle.windup),
    )
