"""Targets: allied orders, enemy target acquisition, medivacs.

Pairwise work loops over ONE unit index on `[n, E]` arrays: unrolled in small battles, a compiled loop above
`UNROLL_LIMIT` units. XLA's CPU fusions have one output each. So a fold over the units is written to return one array
(two numbers as one complex array), and `settle` keeps XLA from computing it again for each of its uses.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.smax.battle import ATTACK, NOBODY, Battle, Orders, Roster, Rules
from envs.smax.units import HEAL_SCAN, LOOPS_PER_STEP

UNROLL_LIMIT = 24  # units in a battle; above it, pairwise work is a compiled loop
FAR = 1e4  # cells: where dead units are placed, out of reach of all others
TOUCH = 1e-3  # cells of tolerance for "in range", because units walk up to exactly their range
_FIRST = 2048.0  # cells^2, more than any squared distance on the map: the weight of precedence over distance


class Aim(NamedTuple):
    """What a unit attacks or heals in this loop; each field [N, E]."""

    target: jax.Array  # int32 unit index, NOBODY if none
    dx: jax.Array  # f32 from the unit's centre to its target's; undefined without a target
    dy: jax.Array
    reach: jax.Array  # f32 centre distance within which it can act on the target


def in_range(aim: Aim, slop=TOUCH) -> jax.Array:
    """bool[N, E]: there is a target, at most `slop` cells beyond the reach."""
    return (aim.target != NOBODY) & (aim.dx * aim.dx + aim.dy * aim.dy <= (aim.reach + slop) ** 2)


def over(count: int, unrolled: bool, body, carry):
    """Folds `carry = body(index, carry)` over 0..count-1; the index is static if `unrolled`."""
    if unrolled:
        for index in range(count):
            carry = body(index, carry)
        return carry
    return jax.lax.fori_loop(0, count, body, carry, unroll=4)


def row(table: np.ndarray, index):
    """`table[index]`, the index static or traced."""
    return table[index] if isinstance(index, int) else jnp.asarray(table)[index]


def facing(roster: Roster, values: jax.Array, k) -> jax.Array:
    """[N, E]: for each unit, the entry of `values` [N, E] of its opponent k (of the last one if it has fewer)."""
    lower = min if isinstance(k, int) else jnp.minimum
    enemy = values[roster.num_allies + lower(k, len(roster.enemies) - 1)]
    return jnp.where(roster.is_ally, enemy, values[lower(k, roster.num_allies - 1)])


def settle(loop: jax.Array, tree):
    """The identity. On a CPU it makes XLA compute `tree` once instead of inside each of its uses.

    There XLA fuses across its optimisation barrier, but not into a conditional. `loop` is the index of the game loop.
    """

    def barrier(tree):
        return jax.lax.cond(loop < LOOPS_PER_STEP, lambda t: t, lambda t: jax.tree.map(jnp.zeros_like, t), tree)

    return jax.lax.platform_dependent(tree, cpu=barrier, default=lambda tree: tree)


def ghost_y(roster: Roster, battle: Battle) -> jax.Array:
    """y, with dead units far away and apart from each other, so that distances need no mask."""
    return jnp.where(battle.alive, battle.y, FAR * (1.0 + roster.rows.astype(np.float32)))


def ordered(roster: Roster, orders: Orders) -> jax.Array:
    """int32[A, E]: the ordered attack target of each ally; NOBODY if none, or if it cannot be hit. Fixed for a step."""
    allowed = jnp.zeros(orders.target.shape, bool)
    for m, enemy in enumerate(roster.enemies.units):
        hits = roster.allies.column(lambda unit, enemy=enemy: unit.can_hit(enemy), bool)
        allowed |= (orders.target == roster.num_allies + m) & hits
    return jnp.where(allowed & (orders.kind == ATTACK), orders.target, NOBODY)


def acquire(roster: Roster, rules: Rules, battle: Battle, y: jax.Array, attacked: jax.Array, unrolled: bool):
    """int32[M, E]: the target of each enemy (specification 5.3): the current one while in range, else the nearest.

    `y`: from `ghost_y`. `attacked`: int32[A, E], the unit that each ally attacks in its range, NOBODY if none.
    """
    allies, enemies, first = roster.allies, roster.enemies, roster.num_allies
    x, own_y, target, windup = (leaf[first:] for leaf in (battle.x, battle.y, battle.target, battle.windup))
    radii = enemies.table(allies, lambda unit, ally: unit.radius + ally.radius)
    hits = enemies.table(allies, lambda unit, ally: unit.can_hit(ally), bool)
    medivac = allies.column(lambda unit: unit.heals)
    scan = roster.number("scan")[first:] + rules.scan_margin
    # Without numbers, both are constants.
    healer_first = False if roster.numbers is None else rules.medivac_rank < 0.0
    stays = -jnp.inf if healer_first is False else jnp.where(healer_first, -2.0 * _FIRST, -jnp.inf)
    begun = jnp.maximum(rules.keep_slop, roster.range_slop(rules)[first:])
    slop = jnp.where(windup >= 0.0, begun, rules.keep_slop)
    keep = jnp.maximum(enemies.column(lambda unit: unit.range) + slop, rules.chase * scan)

    def consider(a, carry):
        best, pick = carry
        dx, dy = battle.x[a] - x, y[a] - own_y
        near = dx * dx + dy * dy
        attacker = attacked[a] == enemies.rows + first
        limit = scan + rules.scan_edge * row(radii, a) + jnp.where(attacker, rules.response, 0.0)
        key = near - jnp.where(attacker, _FIRST * rules.prefer_attackers, 0.0)
        if medivac.any():  # (d + rank)^2
            key += row(medivac, a) * rules.medivac_rank * (2.0 * jnp.sqrt(near) + rules.medivac_rank)
            if healer_first is not False:
                key -= row(medivac, a) * jnp.where(healer_first, 4.0 * _FIRST, 0.0)
        kept = (target == a) & (near <= (keep + row(radii, a)) ** 2)
        key = jnp.where(kept, stays, jnp.where(near <= limit * limit, key, jnp.inf))
        if not hits.all():
            key = jnp.where(row(hits, a), key, jnp.inf)
        return jnp.minimum(key, best), jnp.where(key < best, a, pick)

    start = (jnp.full(x.shape, jnp.inf, jnp.float32), jnp.full(x.shape, NOBODY, jnp.int32))
    _, pick = over(len(allies), unrolled, consider, start)
    return jnp.where(battle.alive[first:], pick, NOBODY)


def locate(roster: Roster, battle: Battle, y: jax.Array, target: jax.Array, unrolled: bool) -> Aim:
    """The Aim [N, E] of all units: offsets to their targets and the reach of their weapons. Dead targets are dropped.

    `target`: indices of opponents, or NOBODY; `y`: from `ghost_y`.
    """
    number = target - np.where(roster.is_ally, roster.num_allies, 0).astype(np.int32)

    def find(values):
        def pick(k, found):
            return jnp.where(number == k, facing(roster, values, k), found)

        return over(roster.most_opponents, unrolled, pick, jnp.full(number.shape, 2.0 * FAR * len(roster), jnp.float32))

    dx, dy = find(battle.x) - battle.x, find(y) - battle.y
    valid = battle.alive & (jnp.abs(dy) < 0.5 * FAR)
    return Aim(jnp.where(valid, target, NOBODY), dx, dy, reach(roster, target))


def reach(roster: Roster, target: jax.Array) -> jax.Array:
    """f32[N, E]: weapon range to `target`, centre to centre."""
    radii = [unit.radius for unit in roster.units]
    out = jnp.full(target.shape, radii[0], jnp.float32)
    for n in range(1, len(roster)):
        if radii[n] != radii[n - 1]:
            out = jnp.where(target >= n, np.float32(radii[n]), out)
    return out + roster.column(lambda unit: unit.range + unit.radius)


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
