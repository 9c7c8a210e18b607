"""The critic of PPO: a value for each agent, recurrent or feed-forward."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from iacjax.networks.dense import Dense, layer_norm
from iacjax.networks.initializers import orthogonal
from iacjax.networks.last_action import action_features
from iacjax.networks.recurrent import ResetGRU

_init = orthogonal(2.0**0.5)


class RecurrentCritic(nn.Module):
    """FC-ReLU-GRU-FC, or FC-ReLU-FC-ReLU-FC, on the agent's id and what `inputs` names; shared by all agents.

    `layer_norm` puts a LayerNorm before the first layer and after each that follows (MAPPO's code).
    """

    hidden_dim: int
    num_actions: int
    inputs: str = "state"  # obs, state or state_and_obs
    memory: bool = True
    layer_norm: bool = False

    @nn.compact
    def __call__(
        self, carry: jax.Array, state: jax.Array, obs: jax.Array, last_action: jax.Array, first: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """carry f32[B, A, H], state f32[T, B, X], obs f32[T, B, A, O], last_action int32[T, B, A] (-1: none) or
        f32[T, B, A, D], first bool[T, B].

        Returns (carry, values f32[T, B, A]). The carry is left as it is where there is no memory.
        """
        chex.assert_rank([state, obs, last_action, first], [3, 4, {3, 4}, 2])
        chex.assert_equal_shape_prefix([state, obs, last_action, first], 2)
        dim = self.hidden_dim

        def norm(name, x):
            return layer_norm(f"norm_{name}")(x) if self.layer_norm else x

        x = self.param("id", nn.initializers.normal(0.1), (obs.shape[-2], dim))
        if "state" in self.inputs:  # one product for all agents
            x = x + Dense(dim, kernel_init=_init, name="state")(norm("state", state))[..., None, :]
        if "obs" in self.inputs:
            own = jnp.concatenate([obs, action_features(last_action, self.num_actions)], -1)
            x = x + Dense(dim, kernel_init=_init, name="own")(norm("own", own))
        x = norm("encoder", nn.relu(x))
        if self.memory:
            carry, x = ResetGRU(dim, name="gru")(carry, x, jnp.broadcast_to(first[..., None], obs.shape[:-1]))
            x = norm("memory", x)
        else:
            x = norm("second", nn.relu(Dense(dim, kernel_init=_init, name="second")(x)))
        return carry, Dense(1, kernel_init=orthogonal(1.0), name="value")(x)[..., 0]
