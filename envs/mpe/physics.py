"""Physics of the multi-agent particle environments (MPE): discs that are pushed, damped and repel each other.

The constants are those of `core.py` in OpenAI's multiagent-particle-envs and in its maintained version, Farama's
`mpe2`. The two differ in the order within a step. OpenAI's code (2017) first updates the velocity and then moves a disc
by the new velocity. Since May 2023 (PettingZoo issue 962) `mpe2`, like JaxMARL, moves a disc by its old velocity. The
difference matters: in `mpe2` a contact takes effect one step later, discs bounce off each other harder, and a prey is
much harder to hold.

Arrays have the environments on their minor axis: K discs, of which the first M move, in E environments.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

DT = 0.1  # seconds per step
DAMPING = 0.25  # share of the velocity lost in a step
CONTACT_FORCE = 1e2  # force per unit of overlap
CONTACT_MARGIN = 1e-3  # length over which the contact force sets in
PHYSICS = ("mpe2", "openai")  # order within a step, see above; all masses are 1


class Discs(NamedTuple):
    """Constant properties of K discs; the M moving ones come first."""

    radius: tuple[float, ...]  # [K]
    max_speed: tuple[float, ...]  # [M]


class Motion(NamedTuple):
    """Positions (units) and velocities (units per second) of the discs."""

    x: jax.Array  # f[K, E]
    y: jax.Array  # f[K, E]
    vx: jax.Array  # f[M, E]
    vy: jax.Array  # f[M, E]


def contact_forces(discs: Discs, x: jax.Array, y: jax.Array) -> tuple[jax.Array, jax.Array]:
    """x and y components of the contact forces on the moving discs, f[M, E] each.

    Two discs repel each other by CONTACT_FORCE times their overlap, smoothed: margin * log(1 + exp(overlap / margin)).
    Discs at exactly the same place exert no force, because it would have no direction (`mpe2` gives NaN there).
    """
    movers = len(discs.max_speed)
    radius = np.asarray(discs.radius)
    rows_x, rows_y = [[jnp.zeros_like(x[0])] * movers for _ in range(2)]
    for i in range(movers):  # the pairs of i with all later discs at once, each pair once
        if i + 1 == len(radius):
            break
        dx, dy = x[i] - x[i + 1 :], y[i] - y[i + 1 :]
        square = dx * dx + dy * dy
        distance = jnp.sqrt(square)
        reach = jnp.asarray(radius[i] + radius[i + 1 :, None], x.dtype)
        overlap = CONTACT_MARGIN * jax.nn.softplus((reach - distance) / CONTACT_MARGIN)
        push = jnp.where(square > 0, CONTACT_FORCE * overlap / jnp.where(square > 0, distance, 1), 0)
        fx, fy = push * dx, push * dy
        rows_x[i], rows_y[i] = rows_x[i] + fx.sum(0), rows_y[i] + fy.sum(0)
        for j in range(i + 1, movers):
            rows_x[j], rows_y[j] = rows_x[j] - fx[j - i - 1], rows_y[j] - fy[j - i - 1]
    return jnp.stack(rows_x), jnp.stack(rows_y)


def advance(discs: Discs, motion: Motion, fx: jax.Array, fy: jax.Array, physics: str = "mpe2") -> Motion:
    """One step under the forces `fx`, `fy` (f[M, E]) and the contact forces; `physics` is one of PHYSICS."""
    push_x, push_y = contact_forces(discs, motion.x, motion.y)
    vx = motion.vx * (1 - DAMPING) + (fx + push_x) * DT
    vy = motion.vy * (1 - DAMPING) + (fy + push_y) * DT
    limit = jnp.asarray(discs.max_speed, vx.dtype)[:, None]
    slow = jnp.minimum(1, limit / jnp.maximum(jnp.sqrt(vx * vx + vy * vy), 1e-6))
    vx, vy = vx * slow, vy * slow
    along_x, along_y = (motion.vx, motion.vy) if physics == "mpe2" else (vx, vy)
    movers = len(discs.max_speed)
    x, y = (
        jnp.concatenate([place[:movers] + speed * DT, place[movers:]])
        for place, speed in ((motion.x, along_x), (motion.y, along_y))
    )
    return Motion(x, y, vx, vy)
