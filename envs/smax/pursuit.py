"""How SMACv2's enemies are ordered: now and then the map script sends each idle one after the nearest agent.

An enemy under such an order follows that agent wherever it goes, and ignores the others, until the agent is dead. Then
it is idle, and looks for targets as usual, until the script's next order. Source: the SMACv2 specification, section 7.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from envs.smax.battle import NOBODY, Battle, Roster
from envs.smax.targeting import FAR, over, row


class Pursuit(NamedTuple):
    """The orders of the M enemies."""

    prey: jax.Array  # int32[M, E] the agent it is ordered to attack, NOBODY if it is idle
    tick: jax.Array  # int32[E] the loop of each step (0..7) in which the script gives orders


def pursue(roster: Roster, loop: jax.Array, battle: Battle, y: jax.Array, pursuit: Pursuit, unrolled: bool) -> Pursuit:
    """The orders in this loop. `y`: from `ghost_y`.

    The nearest agent may be one that the enemy's weapon cannot hit. The game refuses that order, and the enemy stays
    idle [I]; so do medivacs, which have no attack.
    """
    first = roster.num_allies
    x, own_y = battle.x[first:], y[first:]
    hits = roster.enemies.table(roster.allies, lambda unit, ally: unit.can_hit(ally), bool)

    def consider(a, carry):
        best, pick, kept = carry
        dx, dy = battle.x[a] - x, y[a] - own_y
        near = dx * dx + dy * dy
        nearer = near < best
        pick = jnp.where(nearer, jnp.where(row(hits, a), a, NOBODY), pick)
        return jnp.minimum(near, best), pick, kept | (pursuit.prey == a) & battle.alive[a]

    start = (
        jnp.full(x.shape, (0.5 * FAR) ** 2, jnp.float32),  # beyond it are the dead
        jnp.full(x.shape, NOBODY, jnp.int32),
        jnp.zeros(x.shape, bool),
    )
    _, nearest, kept = over(first, unrolled, consider, start)
    ordered = jnp.where(pursuit.tick == loop, nearest, NOBODY)
    return pursuit._replace(prey=jnp.where(kept, pursuit.prey, ordered))
