"""Who attacks or heals whom: allied orders, enemy acquisition, medivacs.

Everything is `[n, E]`, n units of one side. Pair work runs over ONE unit index of the other side: unrolled for small
battles, a loop above `UNROLL_LIMIT` units.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.smax.battle import ATTACK, NOBODY, Battle, Orders, Rules, Team
from envs.smax.units import HEAL_SCAN

UNROLL_LIMIT = 24  # units in a battle; above it pair work is a compiled loop
FAR = 1e4  # cells: where the dead are put, out of everybody's reach
TOUCH = 1e-3  # cells of tolerance in "within range": a unit walks up to exactly its range
_FIRST = 1e5  # cells^2: what rules of precedence weigh against distance


class Aim(NamedTuple):
    """What a unit attacks or heals in this loop; each field [n, E]."""

    target: jax.Array  # int32 unit index, NOBODY if none
    dx: jax.Array  # f32 centre to centre, from the unit to its target; any value without a target
    dy: jax.Array
    reach: jax.Array  # f32 centre distance within which it can act on the target


def in_range(aim: Aim, slop=TOUCH) -> jax.Array:
    """bool[n, E]: there is a target, and it is at most `slop` cells out of reach."""
    return (aim.target != NOBODY) & (aim.dx * aim.dx + aim.dy * aim.dy <= (aim.reach + slop) ** 2)


def over(count: int, unrolled: bool, body, carry):
    """Folds `carry = body(index, carry)` over 0..count-1, the index static where `unrolled`."""
    if unrolled:
        for index in range(count):
            carry = body(index, carry)
        return carry
    return jax.lax.fori_loop(0, count, body, carry)


def row(table: np.ndarray, index):
    """`table[index]`, the index static or traced."""
    return table[index] if isinstance(index, int) else jnp.asarray(table)[index]


def ghost_y(battle: Battle, first: int) -> jax.Array:
    """y, with the dead far away and apart from each other: distances to them need no mask."""
    numbers = first + np.arange(battle.y.shape[0], dtype=np.float32)[:, None]
    return jnp.where(battle.alive, battle.y, FAR * (1.0 + numbers))


def _reach_table(attackers: Team, targets: Team, value) -> np.ndarray:
    """f32[targets, attackers, 1]: `value(attacker)` measured edge to edge, as a centre distance."""
    return np.stack([attackers.column(lambda unit, t=t: value(unit) + unit.radius + t.radius) for t in targets.units])


def ordered_reach(team: Team, others: Team, orders: Orders) -> jax.Array:
    """f32[A, E]: `Aim.reach` of the ordered target, fixed for a step; -FAR where the weapon cannot hit it."""
    reach = _reach_table(team, others, lambda unit: unit.range)
    hits = np.stack([team.column(lambda unit, t=t: unit.can_hit(t), bool) for t in others.units])
    out = jnp.full(orders.target.shape, -FAR, jnp.float32)
    for m in range(len(others)):
        out = jnp.where((orders.target == others.first + m) & hits[m], reach[m], out)
    return out


def ordered_aim(team: Team, others: Team, orders: Orders, reach, alive, x, y, other_x, other_y, unrolled) -> Aim:
    """Allies attack whom they are told to; an order on the dead is void. `y`, `other_y` by `ghost_y`."""

    def find(m, carry):
        target_x, target_y = carry
        hit = orders.target == others.first + m
        return jnp.where(hit, other_x[m], target_x), jnp.where(hit, other_y[m], target_y)

    nowhere = jnp.full(x.shape, FAR, jnp.float32)
    target_x, target_y = over(len(others), unrolled, find, (nowhere, nowhere))
    valid = alive & (orders.kind == ATTACK) & (target_y < 0.5 * FAR) & (reach > 0.0)
    return Aim(jnp.where(valid, orders.target, NOBODY), target_x - x, target_y - y, reach)


def acquired_aim(team: Team, others: Team, rules: Rules, side: Battle, y, other_x, other_y, aimed_at, unrolled) -> Aim:
    """Enemies choose for themselves (specification 5.3): the target they have while it is in range, else the nearest.

    `aimed_at`: int32[A, E], whom each ally attacks within its range, NOBODY if none. `y`, `other_y` by `ghost_y`.
    """
    contact = _reach_table(team, others, lambda unit: unit.range)
    radii = contact - team.column(lambda unit: unit.range)
    rank = np.array([[_FIRST if t.heals else 0.0] for t in others.units], np.float32)
    hits = np.stack([team.column(lambda unit, t=t: unit.can_hit(t), bool) for t in others.units])
    scan = team.column(lambda unit: unit.scan) + rules.scan_margin
    slop = jnp.where(side.windup >= 0.0, jnp.maximum(rules.keep_slop, rules.range_slop), rules.keep_slop)
    keep = jnp.maximum(team.column(lambda unit: unit.range) + slop, rules.chase * scan)
    numbers = team.first + np.arange(len(team), dtype=np.int32)[:, None]
    medivacs = others.any(lambda unit: unit.heals)

    def consider(a, carry):
        best, target, best_dx, best_dy, reach = carry
        dx, dy = other_x[a] - side.x, other_y[a] - y
        near = dx * dx + dy * dy
        kept = (side.target == others.first + a) & (near <= (keep + row(radii, a)) ** 2)
        attacker = aimed_at[a] == numbers
        limit = scan + rules.scan_edge * row(radii, a) + jnp.where(attacker, rules.response, 0.0)
        key = near - jnp.where(attacker, _FIRST * rules.prefer_attackers, 0.0)
        if medivacs:
            key = key + row(rank, a) * rules.medivac_rank
        key = jnp.where(kept, -jnp.inf, jnp.where(near <= limit * limit, key, jnp.inf))
        better = (key < best) & row(hits, a)
        pick = (others.first + a, dx, dy, row(contact, a))
        return (jnp.where(better, key, best), *(jnp.where(better, n, o) for n, o in zip(pick, carry[1:], strict=True)))

    zeros = jnp.zeros(side.x.shape, jnp.float32)
    start = (jnp.full(zeros.shape, jnp.inf, jnp.float32), jnp.full(zeros.shape, NOBODY, jnp.int32), zeros, zeros, zeros)
    _, target, dx, dy, reach = over(len(others), unrolled, consider, start)
    return Aim(jnp.where(side.alive, target, NOBODY), dx, dy, reach)


def healing_aim(team: Team, side: Battle, y: jax.Array, aim: Aim, orders: Orders | None) -> Aim:
    """`aim` with the rows of medivacs filled in: whom they fly to and heal, on their own side.

    With `orders` a medivac heals whom it is told to. Without, the damaged unit within HEAL_SCAN that has the smallest
    fraction of its life left, staying with one patient while it lasts.
    """
    for med in team.where(lambda unit: unit.heals):
        unit = team.units[med]
        found = (jnp.full(y.shape[1:], jnp.inf), jnp.full(y.shape[1:], NOBODY, jnp.int32)) + (jnp.zeros(y.shape[1:]),) * 3
        for j in team.where(lambda patient: patient.biological):
            patient = team.units[j]
            reach = np.float32(unit.range + unit.radius + patient.radius)
            dx, dy = side.x[j] - side.x[med], y[j] - y[med]
            near = dx * dx + dy * dy
            hurt = (side.health[j] > 0.0) & (side.health[j] < patient.hp) & side.alive[med]
            if orders is not None:
                key = jnp.where((orders.kind[med] == ATTACK) & (orders.target[med] == team.first + j), 0.0, jnp.inf)
            else:
                mine = (side.windup[med] >= 0.0) & (side.target[med] == team.first + j)
                seen = near <= (HEAL_SCAN + unit.radius + patient.radius) ** 2
                key = jnp.where(seen, side.health[j] / patient.hp, jnp.inf) - jnp.where(mine, 2.0, 0.0)
            better = hurt & (key < found[0])
            pick = (key, np.int32(team.first + j), dx, dy, reach)
            found = tuple(jnp.where(better, new, old) for new, old in zip(pick, found, strict=True))
        here = np.arange(len(team))[:, None] == med
        aim = Aim(*(jnp.where(here, value, old) for value, old in zip(found[1:], aim, strict=True)))
    return aim
