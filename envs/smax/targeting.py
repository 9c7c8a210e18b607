"""Targets: allied orders and enemy target acquisition.

Pairwise work loops over ONE unit index on `[n, E]` arrays: unrolled in small battles, a compiled loop above
`UNROLL_LIMIT` units. XLA's CPU fusions have one output each. So a fold over the units is written to return one array
(two numbers as one complex array), and `settle` keeps XLA from computing it again for each of its uses.
"""

from collections.abc import Iterable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from envs.smax.battle import ATTACK, NOBODY, Battle, Orders, Roster, Rules
from envs.smax.terrain import HUNT
from envs.smax.units import LOOPS_PER_STEP

LOPSIDED = 2  # how many times larger one side is, from which on pairwise work takes each side by itself
UNROLL_LIMIT = 24  # units in a battle; above it, pairwise work is a compiled loop
FEW = 8  # opponents up to which pairwise work is unrolled in any battle
FAR = 1e4  # cells: where dead units are placed, out of reach of all others
ANYWHERE = 64.0  # cells: more than any distance on the map, less than FAR
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


def row(table, index):
    """`table[index]`, the index static or traced."""
    traced = isinstance(table, np.ndarray) and not isinstance(index, int)
    return (jnp.asarray(table) if traced else table)[index]


def facing(roster: Roster, values: jax.Array, k, outward=None) -> jax.Array:
    """[N, E]: for each unit, the entry of `values` [N, E] of its opponent k (of the last one if it has fewer).

    `outward`: whose opponents are the enemies; None: the allies'.
    """
    lower = min if isinstance(k, int) else jnp.minimum
    enemy = values[roster.num_allies + lower(k, len(roster.enemies) - 1)]
    return jnp.where(roster.is_ally if outward is None else outward, enemy, values[lower(k, roster.num_allies - 1)])


def parts(roster: Roster) -> tuple[tuple[slice, int], ...]:
    """(units, number of their opponents) of each part of the units that pairwise work takes by itself.

    All units at once, or each side by itself where one is much larger: 64 opponents of 2 units and 2 of 64 are less
    work than 64 of 66.
    """
    first, count = roster.num_allies, len(roster)
    larger, smaller = max(first, count - first), min(first, count - first)
    if roster.drawn or count <= UNROLL_LIMIT or larger < LOPSIDED * smaller:
        return ((slice(None), larger),)
    return (slice(0, first), count - first), (slice(first, None), first)


def join(pieces: Iterable[jax.Array]) -> jax.Array:
    """[N, E] of the arrays of all parts."""
    pieces = list(pieces)
    return pieces[0] if len(pieces) == 1 else jnp.concatenate(pieces)


def opponent(roster: Roster, values: jax.Array, k, part: slice) -> jax.Array:
    """The entry of `values` [N, E] of opponent k of the units of a part, in a shape that broadcasts to theirs."""
    if part == slice(None):
        return facing(roster, values, k)
    return values[k + (roster.num_allies if part.start == 0 else 0)]


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
    hits = roster.allies.table(roster.enemies, lambda unit, enemy: unit.can_hit(enemy), bool)
    for m in range(len(roster.enemies)):
        allowed |= (orders.target == roster.num_allies + m) & hits[m]
    return jnp.where(allowed & (orders.kind == ATTACK), orders.target, NOBODY)


def acquire(roster: Roster, rules: Rules, battle: Battle, y: jax.Array, attacked: jax.Array, unrolled: bool):
    """int32[M, E]: the target of each enemy (specification 5.3): the current one while in range, else the nearest.

    An enemy that walks to its target attacks another that comes into its weapon's reach (`Rules.switch`), since the
    first may be behind a crowd. Those who were sent to hunt the agents answer an attack on any of them.

    `y`: from `ghost_y`. `attacked`: int32[A, E], the unit that each ally attacks in its range, NOBODY if none.
    """
    allies, enemies, first = roster.allies, roster.enemies, roster.num_allies
    x, own_y, target, windup = (leaf[first:] for leaf in (battle.x, battle.y, battle.target, battle.windup))
    radii = enemies.table(allies, lambda unit, ally: unit.radius + ally.radius)
    hits = enemies.table(allies, lambda unit, ally: unit.can_hit(ally), bool)
    hits_all = all(unit.can_hit(ally) for unit in enemies.units for ally in allies.units)
    medivac = allies.column(lambda unit: unit.heals)
    scan = roster.number("scan")[first:] + rules.scan_margin
    # Without numbers, both are constants.
    healer_first = False if roster.numbers is None else rules.medivac_rank < 0.0
    stays = -jnp.inf if healer_first is False else jnp.where(healer_first, -2.0 * _FIRST, -jnp.inf)
    # A unit that only walks to its target: first this one if in reach, then others in reach, then this one.
    walks = (windup < 0.0) & (rules.switch > 0.5)
    stays, at_hand = jnp.where(walks, -1.5 * _FIRST, stays), jnp.where(walks, 2.0 * _FIRST, 0.0)
    weapon = enemies.column(lambda unit: unit.range)
    keep = _keep_range(roster, rules, windup, weapon, scan)
    hunts = roster.ground.order.kind == HUNT

    def consider(a, carry):
        best, pick = carry
        dx, dy = battle.x[a] - x, y[a] - own_y
        near = dx * dx + dy * dy
        attacker = attacked[a] != NOBODY if hunts else attacked[a] == enemies.rows + first
        reached = weapon + row(radii, a)
        limit = jnp.maximum(scan + rules.scan_edge * row(radii, a), rules.weapon_scan * reached)
        limit += jnp.where(attacker, rules.response, 0.0)
        key = near - jnp.where(attacker, _FIRST * rules.prefer_attackers, 0.0)
        if allies.any(lambda unit: unit.heals):  # (d + rank)^2
            key += row(medivac, a) * rules.medivac_rank * (2.0 * jnp.sqrt(near) + rules.medivac_rank)
            if healer_first is not False:
                key -= row(medivac, a) * jnp.where(healer_first, 4.0 * _FIRST, 0.0)
        kept = (target == a) & (near <= (keep + row(radii, a)) ** 2)
        key = jnp.where(kept, stays, jnp.where(near <= limit * limit, key, jnp.inf))
        key = jnp.where(near <= (reached + TOUCH) ** 2, key - at_hand, key)
        if not hits_all:
            key = jnp.where(row(hits, a), key, jnp.inf)
        return jnp.minimum(key, best), jnp.where(key < best, a, pick)

    start = (jnp.full(x.shape, jnp.inf, jnp.float32), jnp.full(x.shape, NOBODY, jnp.int32))
    _, pick = over(len(allies), unrolled, consider, start)
    return jnp.where(battle.alive[first:], pick, NOBODY)


def _keep_range(roster: Roster, rules: Rules, windup, weapon, scan):
    """f32[M, E] or a number: the distance, edge to edge, within which each enemy keeps its target."""
    if roster.ground.order.kind == HUNT:
        return ANYWHERE
    begun = jnp.maximum(rules.keep_slop, roster.range_slop(rules)[roster.num_allies :])
    slop = jnp.where(windup >= 0.0, begun, rules.keep_slop)
    return jnp.maximum(weapon + slop, rules.chase * scan)


def locate(roster: Roster, battle: Battle, y: jax.Array, target: jax.Array, unrolled: bool) -> Aim:
    """The Aim [N, E] of all units: offsets to their targets and the reach of their weapons. Dead targets are dropped.

    `target`: indices of opponents, or NOBODY; `y`: from `ghost_y`.
    """
    outward = roster.is_ally  # whose target is an enemy; a medivac's target is of its own side
    if roster.drawn and roster.any(lambda unit: unit.heals):
        outward = outward != roster.column(lambda unit: unit.heals, bool)
    number = target - jnp.where(outward, roster.num_allies, 0).astype(np.int32)

    def find(values):
        def of(part, count):
            def pick(k, found):
                entry = facing(roster, values, k, outward) if roster.drawn else opponent(roster, values, k, part)
                return jnp.where(number[part] == k, entry, found)

            start = jnp.full(number[part].shape, 2.0 * FAR * len(roster), jnp.float32)
            return over(count, unrolled or count <= FEW, pick, start)

        return join(of(*part) for part in parts(roster))

    dx, dy = find(battle.x) - battle.x, find(y) - battle.y
    valid = battle.alive & (jnp.abs(dy) < 0.5 * FAR)
    if roster.drawn:
        radius = jnp.broadcast_to(roster.column(lambda unit: unit.radius), dx.shape)
        span = find(radius) + roster.column(lambda unit: unit.range + unit.radius)
    else:
        span = reach(roster, target)
    return Aim(jnp.where(valid, target, NOBODY), dx, dy, span)


def reach(roster: Roster, target: jax.Array) -> jax.Array:
    """f32[N, E]: weapon range to `target`, centre to centre."""
    radii = [unit.radius for unit in roster.units]
    out = jnp.full(target.shape, radii[0], jnp.float32)
    for n in range(1, len(roster)):
        if radii[n] != radii[n - 1]:
            out = jnp.where(target >= n, np.float32(radii[n]), out)
    return out + roster.column(lambda unit: unit.range + unit.radius)
