"""SMACv2's action ids as orders. An order goes on until another one is given."""

import jax
import jax.numpy as jnp
import numpy as np

from envs.smacv2.interface import is_healer
from envs.smacv2.scenarios import DrawnScenario
from envs.smax.battle import ATTACK, MOVE, NO_ORDER, STOP, Battle, Orders
from envs.smax.scenarios import NUM_COMMON_ACTIONS

MOVE_AMOUNT = 2.0  # map units; the distance of SMAC's move orders
_NORTH, _SOUTH, _EAST, _WEST = 2, 3, 4, 5  # action ids


def no_orders(agents: int, num_envs: int) -> Orders:
    """The orders at the start of an episode: none."""
    zeros = jnp.zeros((agents, num_envs), jnp.float32)
    return Orders(jnp.full(zeros.shape, NO_ORDER, jnp.int32), zeros, zeros, zeros.astype(jnp.int32))


def turn(scenario: DrawnScenario, look: jax.Array, action: jax.Array) -> jax.Array:
    """The directions int32[A, E] of the conic field of view after `action` int32[A, E]."""
    turns = (action >= NUM_COMMON_ACTIONS) & (action < scenario.first_target)
    return jnp.where(turns, action - NUM_COMMON_ACTIONS, look)


def new_orders(
    scenario: DrawnScenario, kind: jax.Array, battle: Battle, orders: Orders, action: jax.Array, reach: jax.Array
) -> Orders:
    """The orders [A, E] after the joint action int32[A, E].

    Looks, and targets out of `reach` (bool[A, M, E], the true test), send nothing: the previous order goes on.
    """
    agents = scenario.num_allies
    slot = action - scenario.first_target
    named = slot[:, None] == np.arange(scenario.num_enemies)[None, :, None]
    attacks = (named & reach).any(axis=1)
    moves = (action >= _NORTH) & (action <= _WEST)
    sent = attacks | moves | (action == 1)
    first = jnp.where(is_healer(scenario, kind[:agents]), 0, agents)  # a medivac's targets are agents
    step_x = MOVE_AMOUNT * ((action == _EAST).astype(jnp.float32) - (action == _WEST))
    step_y = MOVE_AMOUNT * ((action == _NORTH).astype(jnp.float32) - (action == _SOUTH))
    fresh = Orders(
        kind=jnp.where(attacks, ATTACK, jnp.where(moves, MOVE, STOP)).astype(jnp.int32),
        goal_x=battle.x[:agents] + step_x,
        goal_y=battle.y[:agents] + step_y,
        target=jnp.where(attacks, first + slot, 0).astype(jnp.int32),
    )
    return jax.tree.map(lambda new, old: jnp.where(sent, new, old), fresh, orders)
