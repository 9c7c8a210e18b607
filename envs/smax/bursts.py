"""Banelings: one burst each, when they attack or when they are killed.

A burst hits every ground unit of the other side whose edge is within `UnitType.burst` of the baneling's centre, and
spares structures; then the baneling is dead. Source: the specification of SMAC's other maps, section 5.2.

A baneling that is killed by the hits of a loop bursts in the same loop. One that is killed by another burst has its own
index as `pending_target`, and bursts in the next loop.
"""

import jax
import jax.numpy as jnp
import numpy as np

from envs.smax.battle import NOBODY, Battle, Roster
from envs.smax.targeting import over
from envs.smax.units import MIN_HIT


def _bursting_rows(roster: Roster, ally: bool) -> np.ndarray:
    """int[B]: the units of a side that may burst."""
    rows = roster.rows[:, 0] if roster.drawn else np.array(roster.where(lambda unit: unit.burst > 0.0), np.int32)
    return rows[(rows < roster.num_allies) == ally]


def _burn(roster: Roster, before: Battle, bursts: jax.Array, health, shield, ally: bool, unrolled: bool):
    """(health, shield) [n, E] of the side opposite to the banelings of the side `ally`, after their bursts."""
    first = roster.num_allies
    side = slice(first, None) if ally else slice(first)
    team = roster.enemies if ally else roster.allies
    x, y, alive, health, shield = (leaf[side] for leaf in (before.x, before.y, before.alive, health, shield))
    rows = _bursting_rows(roster, ally)
    if not len(rows):
        return health, shield
    bomb = next(unit for unit in roster.units if unit.burst > 0.0)
    raw, light = team.column(lambda unit: bomb.raw_damage(unit)), team.column(bomb.has_bonus)
    radius, armor = team.column(lambda unit: bomb.burst + unit.radius), team.column(lambda unit: unit.armor)
    open_to = alive & team.column(lambda unit: not (unit.air or unit.structure), bool)

    def body(b, carry):
        health, shield = carry
        n = rows[b] if isinstance(b, int) else jnp.asarray(rows)[b]
        dx, dy = x - before.x[n], y - before.y[n]
        hit = bursts[n] & open_to & (dx * dx + dy * dy <= radius * radius)
        points = raw if roster.numbers is None else roster.numbers.damage[n] + roster.numbers.bonus[n] * light
        damage = jnp.where(hit, points, 0.0)
        spill = jnp.maximum(damage - shield, 0.0)
        health = health - jnp.where(spill > 0.0, jnp.maximum(spill - armor, MIN_HIT), 0.0)
        return health, jnp.maximum(shield - damage, 0.0)

    return over(len(rows), unrolled, body, (health, shield))


def burst(roster: Roster, before: Battle, battle: Battle, fired, health, shield, unrolled: bool):
    """Bursts after the hits of a loop. Returns (battle, health, shield).

    `before`: the battle at the start of the loop. `fired`: bool[N, E], who attacks. `health`, `shield`: after the hits.
    """
    bombs = roster.column(lambda unit: unit.burst > 0.0, bool)
    bursts = bombs & (before.alive & (fired | (health <= 0.0)) | (before.pending_target == roster.rows))
    ours = _burn(roster, before, bursts, health, shield, False, unrolled)
    theirs = _burn(roster, before, bursts, health, shield, True, unrolled)
    health, shield = (jnp.concatenate(pair) for pair in zip(ours, theirs, strict=True))
    health = jnp.where(bursts, 0.0, health)
    later = bombs & before.alive & ~bursts & (health <= 0.0)
    pending = jnp.where(later, roster.rows, jnp.where(bombs, NOBODY, battle.pending_target))
    return battle._replace(pending_target=pending), health, shield
