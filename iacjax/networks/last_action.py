"""An agent's last action as an input of its networks."""

import jax
import jax.numpy as jnp


def action_features(last_action: jax.Array, num_actions: int) -> jax.Array:
    """int32[...] -> one-hot f32[..., num_actions], zeros for -1 (none); continuous f32[..., D] is left as it is."""
    if jnp.issubdtype(last_action.dtype, jnp.floating):
        return last_action
    return jax.nn.one_hot(last_action, num_actions)


def where_none(last_action: jax.Array, first: jax.Array) -> jax.Array:
    """The last actions, none (-1, or 0 in every dimension) where `first` bool[..., B] opens an episode.

    Args:
      last_action: int32[..., B, A], or f32[..., B, A, D] in [-1, 1].
    """
    none = 0.0 if jnp.issubdtype(last_action.dtype, jnp.floating) else -1
    opens = first.reshape(first.shape + (1,) * (last_action.ndim - first.ndim))
    return jnp.where(opens, none, last_action)
