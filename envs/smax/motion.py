"""Movement and push-out of one game loop.

All arrays are `[N, E]`. How the real game steers and pushes units is not published; here units walk straight, are
pushed out of each other's separation radii, and go round those who are in their way.
"""

import jax
import jax.numpy as jnp
import numpy as np

from envs.smax.battle import Battle, Roster, Rules
from envs.smax.targeting import FAR, ghost_y, over, row, settle
from envs.smax.walls import fence

SPLIT = 1e-5  # cells between units on the same spot, so that the push has a direction


def walk(roster: Roster, battle: Battle, dx, dy, stop, speed) -> Battle:
    """One loop of movement along (dx, dy) at `speed` cells per loop, stopping `stop` cells before its end."""
    square = jnp.maximum(dx * dx + dy * dy, 1e-12)
    inverse = jax.lax.rsqrt(square)
    gap = jnp.maximum(square * inverse - stop, 0.0)
    pace = jnp.minimum(gap, speed) * inverse
    vx, vy = dx * pace, dy * pace
    if roster.any(lambda unit: unit.acceleration < 1.0):
        slow = roster.column(lambda unit: unit.acceleration < 1.0, bool)
        gain = roster.number("acceleration")
        # Brake in time: v = sqrt(2 a gap).
        wanted = jnp.minimum(speed, jnp.sqrt(2.0 * gain * gap)) * inverse
        change_x, change_y = dx * wanted - battle.vx, dy * wanted - battle.vy
        change = jax.lax.rsqrt(jnp.maximum(change_x**2 + change_y**2, 1e-12))
        cut = jnp.minimum(gain * change, 1.0)
        drifts = slow & battle.alive
        drift_x = jnp.where(drifts, battle.vx + change_x * cut, 0.0)
        drift_y = jnp.where(drifts, battle.vy + change_y * cut, 0.0)
        # The mean of the old and the new velocity is exact under constant acceleration.
        vx = jnp.where(drifts, (battle.vx + drift_x) / 2, vx)
        vy = jnp.where(drifts, (battle.vy + drift_y) / 2, vy)
        battle = battle._replace(vx=drift_x, vy=drift_y)
    return battle._replace(x=battle.x + vx, y=battle.y + vy)


def _overlaps(roster: Roster):
    """A function (n) -> 1 / R^2 of unit n and each unit, [N, 1] or [N, E]; FAR if they never touch."""

    def constant(unit, by):
        return 1.0 / (unit.separation + by.separation) ** 2 if unit.plane == by.plane else FAR

    if roster.numbers is None:
        table = roster.table(roster, constant)
        return lambda n: row(table, n)
    touch = roster.table(roster, lambda unit, by: unit.plane == by.plane, bool)
    size = roster.numbers.separation
    return lambda n: jnp.where(row(touch, n), 1.0 / jnp.maximum(size + size[n], SPLIT) ** 2, FAR)


def separate(
    roster: Roster, rules: Rules, loop: jax.Array, before: Battle, battle: Battle, give: jax.Array, unrolled: bool
) -> Battle:
    """Pushes living units out of each other's separation radii, then out of walls. `before`: at the start of the loop.

    Two units at a distance d < R, the sum of their radii, are each moved by about `give` (R - d). With
    u = 1 - d^2 / R^2, the polynomial u (1/2 + u^2 (1/2 + 3/2 u^2)) is within 20 % of R / d - 1 from d = R to d = R / 3,
    and needs no square root. Walking units go round those who are in their way (`Rules.slide`).
    """
    inverse_square = _overlaps(roster)
    x, y = settle(loop, (battle.x, ghost_y(roster, battle) + SPLIT * roster.rows.astype(np.float32)))

    def body(n, carry):
        dx, dy = x - x[n], y - y[n]
        near = jnp.maximum(1.0 - (dx * dx + dy * dy) * inverse_square(n), 0.0)
        square = near * near
        size = near * (0.5 + square * (0.5 + 1.5 * square))
        return carry[0] + dx * size, carry[1] + dy * size

    zeros = jnp.zeros(x.shape, jnp.float32)
    push = settle(loop, jax.lax.complex(*over(len(roster), unrolled, body, (zeros, zeros))))
    push_x, push_y = jnp.real(push) * give, jnp.imag(push) * give
    side_x, side_y = _sideways(roster, rules, before, battle, push_x, push_y)
    battle = battle._replace(x=battle.x + push_x + side_x, y=battle.y + push_y + side_y)
    return fence(roster, loop, before, battle)


def _sideways(roster: Roster, rules: Rules, before: Battle, battle: Battle, push_x, push_y):
    """How far a unit that is pushed back while it walks moves across its way instead: round those who stand there.

    Every other unit of a battle goes round on the left, the others on the right, so that a crowd parts.
    """
    vx, vy = battle.x - before.x, battle.y - before.y
    back = -(push_x * vx + push_y * vy) / jnp.maximum(vx * vx + vy * vy, 1e-12)
    side = np.where(roster.rows % 2 == 0, np.float32(1.0), np.float32(-1.0))
    share = rules.slide * side * jnp.clip(back, 0.0, 1.0)
    return -vy * share, vx * share
