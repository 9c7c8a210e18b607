"""What SMACv2's agents know about enemies: its observations have memory.

An enemy must have been found by one agent before any agent observes it. The first agent that sees it is its finder;
each other agent is told, once, with probability `prob_obs_enemy`. If the finder or the enemy dies, the enemy has to be
found again. Agents look one after another, in an order that is drawn at each observation. Source: the SMACv2
specification, section 4.2.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

NOBODY = -1


class Memory(NamedTuple):
    """The memory of A agents about M enemies."""

    finder: jax.Array  # int32[M, E] the agent that found the enemy, NOBODY if it has to be found
    seen: jax.Array  # bool[M, A, E] agents that may observe the enemy


def forget_all(num_enemies: int, num_agents: int, num_envs: int) -> Memory:
    """The memory at the start of an episode."""
    finder = jnp.full((num_enemies, num_envs), NOBODY, jnp.int32)
    return Memory(finder, jnp.zeros((num_enemies, num_agents, num_envs), bool))


def forget(memory: Memory, agents: jax.Array, enemies: jax.Array) -> Memory:
    """The memory after a step: enemies that are dead, or whose finder is, have to be found again.

    `agents` bool[A, E] and `enemies` bool[M, E] say who is alive. What a dead finder has seen is cleared as in SMACv2,
    although nothing depends on it.
    """
    number = np.arange(agents.shape[0])[None, :, None]
    lost = ((memory.finder[:, None] == number) & ~agents[None]).any(axis=1)  # [M, E]
    fell = ((memory.finder[:, None] == number) & ~agents[None]).any(
        axis=0
    )  # [A, E] dead agents that had found somebody
    seen = memory.seen & ~(lost | ~enemies)[:, None] & ~fell[None]
    return Memory(jnp.where(lost | ~enemies, NOBODY, memory.finder), seen)


def look(memory: Memory, visible: jax.Array, rank: jax.Array, told: jax.Array | bool) -> tuple[Memory, jax.Array]:
    """One round of observations.

    Args:
      memory: before the round.
      visible: bool[A, M, E], which enemies each agent sees; dead enemies count with their last place, dead agents see
        nobody.
      rank: f32[A, E], agents look in ascending order.
      told: bool[M, A, E], or one bool for all: whether an agent is told about an enemy that another one finds now.

    Returns:
      (memory, known bool[M, A, E]): the next memory, and what each agent knew when it looked.
    """
    when = jnp.where(visible, rank[:, None], jnp.inf)  # [A, M, E]
    first = when.min(axis=0)
    found = (memory.finder == NOBODY) & (first < jnp.inf)
    finder = jnp.where(found, when.argmin(axis=0).astype(jnp.int32), memory.finder)
    finds = finder[:, None] == np.arange(rank.shape[0])[None, :, None]
    seen = memory.seen | found[:, None] & (finds | told)
    early = found[:, None] & (rank[None] < first[:, None])
    return Memory(finder, seen), jnp.where(early, memory.seen, seen)


def shown(known: jax.Array, bug: bool) -> jax.Array:
    """bool[M, A, E]: the enemies of whom each agent gets a row, if it sees them and they live.

    With SMACv2's bug an enemy that an agent does not know blanks the rows of all enemies before it.
    """
    if not bug:
        return known
    rows = list(known)
    for index in reversed(range(len(rows) - 1)):
        rows[index] = rows[index] & rows[index + 1]
    return jnp.stack(rows)
