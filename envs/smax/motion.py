"""Movement, push-out and walls of one game loop.

Everything is `[n, E]`, n units of one side. The real game steers and pushes by rules nobody published; here units walk
straight and are pushed out of each other's separation radii.
"""

import jax
import jax.numpy as jnp
import numpy as np

from envs.smax.battle import Battle, Team
from envs.smax.targeting import FAR, over, row
from envs.smax.units import MAP_SIZE, STRIP_HIGH, STRIP_LOW


def walk(team: Team, side: Battle, dx, dy, stop, speed) -> Battle:
    """One loop of movement along (dx, dy) at `speed` cells a loop, halting `stop` before its end."""
    square = jnp.maximum(dx * dx + dy * dy, 1e-12)
    inverse = jax.lax.rsqrt(square)
    gap = jnp.maximum(square * inverse - stop, 0.0)
    pace = jnp.minimum(gap, speed) * inverse
    vx, vy = dx * pace, dy * pace
    if team.any(lambda unit: unit.acceleration < 1.0):
        slow = team.column(lambda unit: unit.acceleration < 1.0, bool)
        gain = team.column(lambda unit: unit.acceleration)
        # Brake in time: v = sqrt(2 a gap).
        wanted = jnp.minimum(speed, jnp.sqrt(2.0 * gain * gap)) * inverse
        change_x, change_y = dx * wanted - side.vx, dy * wanted - side.vy
        change = jax.lax.rsqrt(jnp.maximum(change_x**2 + change_y**2, 1e-12))
        cut = jnp.minimum(gain * change, 1.0)
        drift_x = jnp.where(slow & side.alive, side.vx + change_x * cut, 0.0)
        drift_y = jnp.where(slow & side.alive, side.vy + change_y * cut, 0.0)
        vx, vy = jnp.where(slow, drift_x, vx), jnp.where(slow, drift_y, vy)
        side = side._replace(vx=drift_x, vy=drift_y)
    return side._replace(x=side.x + vx, y=side.y + vy)


def _push_table(team: Team, other: Team) -> np.ndarray:
    """f32[other, team, 1]: 1 / (sum of separation radii)^2, huge for units of different planes."""

    def inverse(unit, by):
        return 1.0 / (unit.separation + by.separation) ** 2 if unit.plane == by.plane else FAR

    return np.stack([team.column(lambda unit, by=by: inverse(unit, by)) for by in other.units])


def push(team: Team, x, y, others, give, unrolled):
    """Displacement [n, E] of `team` out of the separation radii of all units of `others` [(team, x, y), ...].

    An overlap to a distance d of R moves a unit by about `give` (R - d): (1 - s)(1/2 + 3/8 (1 - s)), s = d^2 / R^2, are
    the first terms of R/d - 1 = 1/sqrt(s) - 1, and need no root.
    """
    push_x, push_y = jnp.zeros(x.shape, jnp.float32), jnp.zeros(x.shape, jnp.float32)
    for other, other_x, other_y in others:
        table = _push_table(team, other)

        def body(n, carry, table=table, other_x=other_x, other_y=other_y):
            dx, dy = x - other_x[n], y - other_y[n]
            near = jnp.maximum(1.0 - (dx * dx + dy * dy) * row(table, n), 0.0)
            size = near * (0.5 + 0.375 * near)
            return carry[0] + dx * size, carry[1] + dy * size

        push_x, push_y = over(len(other), unrolled, body, (push_x, push_y))
    return push_x * give, push_y * give


def fence(team: Team, side: Battle) -> Battle:
    """Keeps ground units on the strip and everybody on the map."""
    edge = team.column(lambda unit: 0.0 if unit.air else unit.radius)
    low = team.column(lambda unit: 0.0 if unit.air else STRIP_LOW + unit.inner)
    high = team.column(lambda unit: MAP_SIZE if unit.air else STRIP_HIGH - unit.inner)
    return side._replace(x=jnp.clip(side.x, edge, MAP_SIZE - edge), y=jnp.clip(side.y, low, high))
