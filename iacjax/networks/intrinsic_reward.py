"""Individual intrinsic rewards r_in of every agent: AIIR's attention (eq. 9 to 12), and LIIR's net without it."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from iacjax.networks.dense import Dense


def bounded(x: jax.Array, bound: float) -> jax.Array:
    """bound tanh(x / bound), LIIR's code; keeps |r_in| below `bound`."""
    return bound * jnp.tanh(x / bound)


class AttentionReward(nn.Module):
    """AIIR (AIIR-MIX figure 2c). "ReLU-FC-ReLU-FC" is read as FC-ReLU-FC-ReLU: a first ReLU would erase every
    negative relative position of the observation."""

    embed_dim: int
    num_actions: int
    similarity: str = "cosine"  # cosine | dot | mlp
    bound: float = 10.0

    @nn.compact
    def __call__(self, obs: jax.Array, action: jax.Array, alive: jax.Array) -> tuple[jax.Array, jax.Array]:
        """obs f32[..., A, O], action int32[..., A] (-1: none), alive bool[..., A].

        Returns (r_in f32[..., A], attention f32[..., A, A], row i the weights of agent i). The dead are no keys, and
        their own rows and rewards are 0; so is everything where nobody is alive.
        """
        x = jnp.concatenate([obs, jax.nn.one_hot(action, self.num_actions)], -1)
        for _ in range(2):
            x = nn.relu(Dense(self.embed_dim)(x))
        scores = self._similarity(x)  # eq. 9
        scores = jnp.where(alive[..., None, :], scores, -1e9)
        attention = jax.nn.softmax(scores, -1)  # eq. 10, over all j including i
        attention = attention * alive[..., None, :] * alive[..., :, None]
        # As a product: the gradient of the same sum written elementwise is 8 to 60 times slower on a CPU.
        z = jnp.einsum("...ij,...jd->...id", attention, x)  # eq. 11
        r_in = Dense(1)(jnp.concatenate([x, z], -1))[..., 0]  # eq. 12, with v_i beside z_i as the text says
        return bounded(r_in, self.bound) * alive, attention

    def _similarity(self, v: jax.Array) -> jax.Array:
        if self.similarity == "mlp":
            hidden = Dense(self.embed_dim, name="query")(v)[..., :, None, :]
            hidden = hidden + Dense(self.embed_dim, use_bias=False, name="key")(v)[..., None, :, :]
            return Dense(1, name="score")(nn.relu(hidden))[..., 0]
        if self.similarity == "cosine":
            # Dividing by the norm gives NaN gradients at a zero vector, which a dead agent's observation can make.
            v = v * jax.lax.rsqrt((v**2).sum(-1, keepdims=True) + 1e-8)
        return jnp.einsum("...id,...jd->...ij", v, v)


class MlpReward(nn.Module):
    """LIIR's reward net: each agent's own observation and action, parameters shared, no attention."""

    embed_dim: int
    num_actions: int
    bound: float = 10.0

    @nn.compact
    def __call__(self, obs: jax.Array, action: jax.Array, alive: jax.Array) -> tuple[jax.Array, jax.Array]:
        """As `AttentionReward`; the attention it reports is each living agent's on itself."""
        num_agents = obs.shape[-2]
        ids = jnp.broadcast_to(jnp.eye(num_agents), (*obs.shape[:-1], num_agents))
        x = jnp.concatenate([obs, jax.nn.one_hot(action, self.num_actions), ids], -1)
        for _ in range(2):
            x = nn.relu(Dense(self.embed_dim)(x))
        r_in = bounded(Dense(1)(x)[..., 0], self.bound) * alive
        return r_in, jnp.eye(num_agents) * alive[..., None]
