"""The battle engine: eight game loops per step, with fixed shapes and no data-dependent control flow.

One loop: targets, weapons, movement, push-out, damage, healing, regeneration. All units act on the state at the start
of the loop, and all hits of a loop land together. Source: the SMAC interface specification, sections 5.3 and 7.

The unit types are compile-time constants, so features that no unit of a battle has (shields, missiles, medivacs,
beams) cost nothing.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np

from envs.smax.battle import MOVE, NOBODY, RESTING, Battle, Orders, Roster, Rules, default_rules
from envs.smax.drawn import DrawnRoster
from envs.smax.medivacs import patients, tend
from envs.smax.motion import separate, walk
from envs.smax.paths import around_walls
from envs.smax.pursuit import Pursuit, pursue
from envs.smax.spawn import spawn
from envs.smax.targeting import UNROLL_LIMIT, Aim, acquire, ghost_y, locate, ordered, settle
from envs.smax.terrain import GO, STRIP, Ground
from envs.smax.units import JITTER_HIGH, JITTER_LOW, LOOPS_PER_STEP
from envs.smax.weapons import launch, recover, strike, suffer

__all__ = ["Battle", "Pursuit", "Orders", "Rules", "advance", "advance_drawn", "default_rules", "run_loops", "spawn"]


def _all(allies: jax.Array, enemies) -> jax.Array:
    """[N, E] of [A, E] and a value for all enemies."""
    return jnp.concatenate([allies, enemies], axis=0)


def _choose(roster: Roster, rules: Rules, orders: Orders, named, loop, battle: Battle, pursuit, unrolled: bool):
    """The Aim of all units in this loop, and the next `pursuit`. `named`: the allies' targets, from `ordered`."""
    y, first = ghost_y(roster, battle), roster.num_allies
    # An ally that winds up or recharges attacks the target it was ordered to.
    busy = (battle.windup[:first] >= 0.0) | (battle.cooldown[:first] > 0.0)
    attacked = jnp.where(busy & battle.alive[:first], named, NOBODY)
    acquired = acquire(roster, rules, battle, y, attacked, unrolled)
    if pursuit is not None:
        pursuit = pursue(roster, loop, battle, y, pursuit, unrolled)
        acquired = jnp.where(pursuit.prey != NOBODY, pursuit.prey, acquired)
    target = _all(named, acquired)
    if roster.drawn and roster.any(lambda unit: unit.heals):
        heals = roster.column(lambda unit: unit.heals, bool)
        target = settle(loop, jnp.where(heals, patients(roster, battle, y, orders, unrolled), target))
    aim = locate(roster, battle, y, target, unrolled)
    aim = aim if roster.drawn else tend(roster, loop, battle, y, aim, orders)
    target, offset = settle(loop, (aim.target, jax.lax.complex(aim.dx, aim.dy)))
    return Aim(target, jnp.real(offset), jnp.imag(offset), aim.reach), pursuit


def _march(roster: Roster, rules: Rules, orders: Orders, battle: Battle, aim: Aim, stands: jax.Array):
    """Movement: to a target out of range, else to the destination of the order. Returns (battle, goes bool[N, E])."""
    shape = (len(roster.enemies), battle.x.shape[1])
    stays = roster.enemies.column(lambda unit: unit.heals, bool) & (rules.enemy_medivac < 0.5)
    order = roster.ground.order
    marches = _all(orders.kind == MOVE, jnp.broadcast_to(~stays & (order.kind == GO), shape))
    goal = order.start if battle.goal is None else battle.goal
    goal_x = _all(orders.goal_x, jnp.broadcast_to(jnp.float32(goal[0]), shape))
    goal_y = _all(orders.goal_y, jnp.broadcast_to(jnp.float32(goal[1]), shape))
    chases = (aim.target != NOBODY) & ~stands
    goes = (chases | marches & (aim.target == NOBODY)) & battle.alive
    dx = jnp.where(goes, jnp.where(chases, aim.dx, goal_x - battle.x), 0.0)
    dy = jnp.where(goes, jnp.where(chases, aim.dy, goal_y - battle.y), 0.0)
    speed = roster.number("speed")
    if order.kind == GO and roster.enemies.any(lambda unit: unit.heals):
        # An enemy medivac flies no faster than its army walks.
        where = np if roster.numbers is None and not roster.drawn else jnp
        slowest = speed[roster.num_allies :].min(axis=0)
        cruise = where.where(~roster.is_ally & roster.column(lambda unit: unit.heals, bool), slowest, speed)
        speed = jnp.where(chases, speed, cruise.astype(np.float32))
    # An army that has arrived stands around its goal and does not push for the one spot.
    crowd = max(unit.separation for unit in roster.enemies.units) * len(roster.enemies) ** 0.5
    halt = jnp.where(chases, aim.reach, np.where(roster.is_ally, np.float32(0.0), np.float32(crowd)))
    if roster.ground.winding:
        dx, dy, halt = around_walls(roster, battle, dx, dy, halt)
    return walk(roster, battle, dx, dy, halt, speed), goes


def _loop(roster: Roster, rules: Rules, orders: Orders, named, jitter, loop, before: Battle, pursuit, unrolled: bool):
    """One game loop. Returns the next battle and pursuit."""
    aim, pursuit = _choose(roster, rules, orders, named, loop, before, pursuit, unrolled)
    battle, near, fired = strike(roster, rules, before, aim, jitter)
    armed = roster.column(lambda unit: unit.armed, bool)
    stands = near | fired | (armed & (battle.windup >= 0.0))
    battle, lands = launch(roster, battle, aim, fired)
    stands, lands = settle(loop, (stands, lands))
    battle, goes = _march(roster, rules, orders, battle, aim, stands)
    give = jnp.where(goes, rules.push_moving, jnp.where(stands, rules.push_attacking, rules.push_idle))
    yields = battle.alive & roster.column(lambda unit: not unit.structure, bool)
    battle = separate(roster, rules, loop, before, battle, jnp.where(yields, give, 0.0), unrolled)
    battle = suffer(roster, rules, loop, before, battle, aim, fired, lands, unrolled)
    return recover(roster, loop, battle, aim, unrolled), pursuit


def _begin(roster: Roster, rules: Rules, orders: Orders, battle: Battle) -> Battle:
    """Allies cancel a strike that has begun if their order changes."""
    first = roster.num_allies
    same = (orders.target == battle.target[:first]) & (rules.restart_windup < 0.5)
    windup = jnp.where(same, battle.windup[:first], RESTING)
    return battle._replace(windup=_all(windup, battle.windup[first:]))


def _widen(tree, extra: int, parts: int):
    """Appends `extra` environments of zeros (all units dead) to each of the parts of every leaf that has the axis E."""

    def widen(leaf):
        leaf = jnp.asarray(leaf)
        if not leaf.ndim:
            return leaf
        leaf, lead = leaf.reshape(*leaf.shape[:-1], parts, -1), leaf.shape[:-1]
        return jnp.pad(leaf, [(0, 0)] * (leaf.ndim - 1) + [(0, extra)]).reshape(*lead, -1)

    return jax.tree.map(widen, tree)


def _narrow(tree, num_envs: int, parts: int):
    """The inverse of `_widen`, of leaves [N, E + what was added]."""

    def narrow(leaf):
        lead = leaf.shape[:-1]
        return leaf.reshape(*lead, parts, -1)[..., : num_envs // parts].reshape(*lead, num_envs)

    return jax.tree.map(narrow, tree)


def _parts(num_envs: int) -> int:
    """Devices that the environments may be split over: axes of a mesh that are left to XLA's partitioner."""
    mesh = jax.sharding.get_abstract_mesh()
    count = math.prod(mesh.shape[name] for name in mesh.auto_axes)
    return count if num_envs % count == 0 else 1


def run_loops(roster: Roster, rules: Rules, battle: Battle, orders: Orders, jitter: jax.Array, count: int) -> Battle:
    """Runs `count` game loops, at most LOOPS_PER_STEP. `jitter` f32[N, E] (loops) is added to weapon periods."""
    return _run(roster, rules, battle, None, orders, jitter, count)[0]


def _run(roster: Roster, rules: Rules, battle: Battle, pursuit: Pursuit | None, orders: Orders, jitter, count: int):
    unrolled = len(roster) <= UNROLL_LIMIT
    roster = roster.by(rules)
    if roster.numbers is not None:
        jitter = jitter * roster.numbers.jitter
    named = ordered(roster, orders)

    def body(carry, loop):
        return _loop(roster, rules, orders, named, jitter, loop, *carry, unrolled), None

    return jax.lax.scan(body, (battle, pursuit), jnp.arange(count, dtype=jnp.int32))[0]


@partial(jax.jit, static_argnums=(0, 1), static_argnames=("loops", "ground"))
def advance(
    unit_types: tuple[str, ...],
    num_allies: int,
    rules: Rules,
    battle: Battle,
    orders: Orders,
    key: jax.Array,
    loops: int = LOOPS_PER_STEP,
    ground: Ground = STRIP,
) -> Battle:
    """Advances a battle by `loops` game loops; eight are one SMAC step.

    The only randomness is in the weapon periods. It is drawn once per unit and step, because no period is shorter than
    a step.

    Args:
      unit_types: all N names, allies first.
      num_allies: how many of them are allies.
      rules: fields are scalars or [E], its `numbers` [T, E].
      battle: fields [N, E].
      orders: fields [A, E].
      key: of the weapon periods.
      loops: at most LOOPS_PER_STEP.
      ground: where the battle takes place.
    """

    def roster(kind):
        return Roster(unit_types, num_allies, ground)

    return _advance(roster, None, rules, battle, None, orders, key, loops)[0]


@partial(jax.jit, static_argnums=(0, 1), static_argnames="ground")
def advance_drawn(
    types: tuple[str, ...],
    num_allies: int,
    kind: jax.Array,
    rules: Rules,
    battle: Battle,
    pursuit: Pursuit,
    orders: Orders,
    key: jax.Array,
    ground: Ground,
) -> tuple[Battle, Pursuit]:
    """`advance` by one SMAC step where the types are drawn: `kind` int32[N, E] indexes the names `types`."""

    def roster(kind):
        return DrawnRoster(types, num_allies, ground, kind=kind)

    return _advance(roster, kind, rules, battle, pursuit, orders, key, LOOPS_PER_STEP)


def _advance(make_roster, kind, rules: Rules, battle: Battle, pursuit: Pursuit | None, orders: Orders, key, loops: int):
    """Returns (battle, pursuit) after `loops` game loops; `make_roster(kind)` is the roster."""
    num_envs = battle.x.shape[-1]
    parts = _parts(num_envs)
    each = num_envs // parts
    jitter = jax.random.uniform(key, battle.x.shape, jnp.float32, JITTER_LOW, JITTER_HIGH)
    wide = each >= 128 and each % 32 == 0
    if wide:
        # Rows that are a power of two apart map to the same few sets of a CPU cache: without this, a step of 512
        # environments took 2.7 times as long per environment as a step of 528.
        kind, rules, battle, pursuit, orders, jitter = _widen((kind, rules, battle, pursuit, orders, jitter), 16, parts)
    roster = make_roster(kind)
    battle = _begin(roster, rules, orders, battle)
    after = _run(roster, rules, battle, pursuit, orders, jitter, loops)
    return _narrow(after, num_envs, parts) if wide else after
