"""Observations of an open-loop policy: the time and the agent's number, nothing of the battle.

What such a policy learns is a sequence of orders by heart. SMACv2 (Ellis et al. 2023) was made because it suffices on
many maps of SMAC. Legal actions are still known.
"""

import jax
import jax.numpy as jnp


def open_loop_obs(agents: int, limit: int, steps: jax.Array) -> jax.Array:
    """f32[E, A, 1 + A]: steps / limit, and the agent's number one-hot. `steps` is int32[E], since the reset."""
    time = steps.astype(jnp.float32)[:, None, None] / limit
    shape = (len(steps), agents)
    return jnp.concatenate(
        [jnp.broadcast_to(time, (*shape, 1)), jnp.broadcast_to(jnp.eye(agents), (*shape, agents))], axis=-1
    )
