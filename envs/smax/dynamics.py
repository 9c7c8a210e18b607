"""The battle engine: eight game loops a step, with fixed shapes and no data-dependent control flow.

One loop: targets, weapons, movement, push-out, damage, healing, regeneration. All units act on what they see at the
loop's start, and all hits of a loop land together. Source: the SMAC interface specification, sections 5.3 and 7.

Compile-time constants are the unit types; what no unit of a battle has (shields, missiles, medivacs, beams) costs
nothing.
"""

from functools import partial

import jax
import jax.numpy as jnp

from envs.smax.battle import (
    MOVE,
    NOBODY,
    RESTING,
    Battle,
    Orders,
    Rules,
    Team,
    default_rules,
    join,
    make_teams,
    split,
)
from envs.smax.motion import fence, push, walk
from envs.smax.spawn import spawn
from envs.smax.targeting import (
    UNROLL_LIMIT,
    Aim,
    acquired_aim,
    ghost_y,
    healing_aim,
    in_range,
    ordered_aim,
    ordered_reach,
)
from envs.smax.units import ALLY_SPAWN, JITTER_HIGH, JITTER_LOW, LOOPS_PER_STEP
from envs.smax.weapons import launch, recover, strike, suffer

__all__ = ["Battle", "Orders", "Rules", "advance", "default_rules", "spawn"]

PUSH_ROUNDS = 1  # push-out rounds a loop


def _act(team: Team, rules: Rules, side: Battle, aim: Aim, goal, jitter):
    """Strikes and walks. `goal`: (dx, dy, bool: walks there if it has no target, speed).

    Returns (side, int32[n, E] whom each unit's hit lands on, f32[n, E] how much it gives way to others).
    """
    armed = team.column(lambda unit: unit.armed, bool)
    near = in_range(aim)
    old = side.windup
    side, fired = strike(team, rules, side, aim, near, jitter)
    side, lands = launch(team, side, aim, fired)
    # A medivac keeps whether it was healing; `recover` renews it.
    side = side._replace(windup=jnp.where(armed, side.windup, old))
    stands = near | (armed & (side.windup >= 0.0)) | fired
    chases = (aim.target != NOBODY) & ~stands
    goes = chases | (goal[2] & side.alive & (aim.target == NOBODY))
    dx = jnp.where(goes, jnp.where(chases, aim.dx, goal[0]), 0.0)
    dy = jnp.where(goes, jnp.where(chases, aim.dy, goal[1]), 0.0)
    speed = team.column(lambda unit: unit.speed)
    if (goal[3] != speed).any():
        speed = jnp.where(chases, speed, goal[3])
    side = walk(team, side, dx, dy, jnp.where(chases, aim.reach, 0.0), speed)
    give = jnp.where(stands, rules.push_attacking, jnp.where(goes, rules.push_moving, rules.push_idle))
    return side, lands, jnp.where(side.alive, give, 0.0)


def _separate(teams, sides, gives, unrolled: bool):
    """`PUSH_ROUNDS` Jacobi rounds of push-out between all units, then the walls."""
    for _ in range(PUSH_ROUNDS):
        placed = [(team, side.x, ghost_y(side, team.first)) for team, side in zip(teams, sides, strict=True)]
        moved = []
        for (team, x, y), side, give in zip(placed, sides, gives, strict=True):
            push_x, push_y = push(team, x, y, placed, give, unrolled)
            moved.append(side._replace(x=side.x + push_x, y=side.y + push_y))
        sides = moved
    return tuple(fence(team, side) for team, side in zip(teams, sides, strict=True))


def _loop(teams, rules: Rules, orders: Orders, reach, jitter, sides, unrolled: bool):
    """One game loop; `sides` and the result are (allies, enemies)."""
    (ours, theirs), (allies, enemies) = teams, sides
    ally_y, enemy_y = ghost_y(allies, ours.first), ghost_y(enemies, theirs.first)
    ally_aim = ordered_aim(
        ours, theirs, orders, reach, allies.alive, allies.x, allies.y, enemies.x, enemy_y, unrolled
    )
    attacks = jnp.where(in_range(ally_aim), ally_aim.target, NOBODY)
    enemy_aim = acquired_aim(theirs, ours, rules, enemies, enemies.y, allies.x, ally_y, attacks, unrolled)
    ally_aim = healing_aim(ours, allies, ally_y, ally_aim, orders)
    enemy_aim = healing_aim(theirs, enemies, enemy_y, enemy_aim, None)

    ally_goal = (orders.goal_x - allies.x, orders.goal_y - allies.y, orders.kind == MOVE, ours.column(lambda unit: unit.speed))
    slowest = min(unit.speed for unit in theirs.units)
    cruise = theirs.column(lambda unit: slowest if unit.heals else unit.speed)  # medivacs stay with their army
    stays = theirs.column(lambda unit: unit.heals, bool) & (rules.enemy_medivac < 0.5)
    enemy_goal = (ALLY_SPAWN[0] - enemies.x, ALLY_SPAWN[1] - enemies.y, ~stays, cruise)
    new_allies, ally_lands, ally_give = _act(ours, rules, allies, ally_aim, ally_goal, jitter[0])
    new_enemies, enemy_lands, enemy_give = _act(theirs, rules, enemies, enemy_aim, enemy_goal, jitter[1])
    moved = _separate(teams, (new_allies, new_enemies), (ally_give, enemy_give), unrolled)

    new_allies = suffer(ours, theirs, moved[0], enemy_lands, moved[1], enemy_aim, unrolled)
    new_enemies = suffer(theirs, ours, moved[1], ally_lands, moved[0], ally_aim, unrolled)
    return recover(ours, new_allies, ally_aim), recover(theirs, new_enemies, enemy_aim)


def _begin(battle: Battle, orders: Orders, rules: Rules) -> Battle:
    """Allies drop the strike that has begun if the new order is another one."""
    same = (orders.target == battle.target) & (rules.restart_windup < 0.5)
    return battle._replace(windup=jnp.where(same, battle.windup, RESTING))


@partial(jax.jit, static_argnums=(0, 1))
def advance(
    unit_types: tuple[str, ...], num_allies: int, rules: Rules, battle: Battle, orders: Orders, key: jax.Array
) -> Battle:
    """Eight game loops, one SMAC step.

    `unit_types`: all N names, allies first; `battle` [N, E]; `orders` [A, E]. The only randomness is that of weapon
    periods, drawn once per unit: no period is shorter than a step.
    """
    teams = make_teams(unit_types, num_allies)
    unrolled = len(unit_types) <= UNROLL_LIMIT
    jitter = jax.random.uniform(key, battle.x.shape, jnp.float32, JITTER_LOW, JITTER_HIGH)
    jitter = jitter[:num_allies], jitter[num_allies:]
    allies, enemies = split(battle, num_allies)
    reach = ordered_reach(*teams, orders)

    def body(sides, _):
        return _loop(teams, rules, orders, reach, jitter, sides, unrolled), None

    sides, _ = jax.lax.scan(body, (_begin(allies, orders, rules), enemies), None, LOOPS_PER_STEP)
    return join(*sides)
