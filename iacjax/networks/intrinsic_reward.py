"""Individual intrinsic rewards r_in of every agent: AIIR's attention (eq. 9 to 12), and LIIR's net without it."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from iacjax.networks.critic import actions_of_others
from iacjax.networks.dense import Dense


def bounded(x: jax.Array, bound: float) -> jax.Array:
    """bound tanh(x / bound), LIIR's code; keeps |r_in| below `bound`."""
    return bound * jnp.tanh(x / bound)


class AttentionReward(nn.Module):
    """AIIR (AIIR-MIX figure 2c). The extractor "ReLU-FC-ReLU-FC" is read as FC-ReLU-FC: a first ReLU would erase every
    negative relative position of the observation. It ends in a linear layer (`end`), so that cosines reach from -1 to
    1; after a ReLU (`end="relu"`) they are at least 0 and the attention of many agents is nearly uniform."""

    embed_dim: int
    num_actions: int
    similarity: str = "cosine"  # cosine | dot | mlp
    bound: float = 10.0
    end: str = "linear"  # linear | relu
    temperature: float = 1.0  # of the softmax

    @nn.compact
    def __call__(self, obs: jax.Array, action: jax.Array, alive: jax.Array) -> tuple[jax.Array, jax.Array]:
        """obs f32[..., A, O], action int32[..., A] (-1: none), alive bool[..., A].

        Returns (r_in f32[..., A], attention f32[..., A, A], row i the weights of agent i). The dead are no keys, and
        their own rows and rewards are 0; all is 0 where no agent is alive.
        """
        chex.assert_equal_shape([action, alive])
        chex.assert_equal_shape_prefix([obs, action], action.ndim)
        x = jnp.concatenate([obs, jax.nn.one_hot(action, self.num_actions)], -1)
        x = nn.relu(Dense(self.embed_dim)(x))
        x = Dense(self.embed_dim)(x)
        x = nn.relu(x) if self.end == "relu" else x
        scores = self._similarity(x) / self.temperature  # eq. 9
        scores = jnp.where(alive[..., None, :], scores, -1e9)
        attention = jax.nn.softmax(scores, -1)  # eq. 10, over all j including i
        attention = attention * alive[..., None, :] * alive[..., :, None]
        # As a product: the gradient of the same sum written elementwise is 8 to 60 times slower on a CPU.
        z = jnp.einsum("...ij,...jd->...id", attention, x)  # eq. 11
        r_in = Dense(1)(jnp.concatenate([x, z], -1))[..., 0]  # eq. 12, with v_i concatenated to z_i as in the text
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
    """LIIR's reward net (Du et al. 2019; the inputs, sizes and outputs of github.com/yalidu/liir), no attention.

    For each agent the inputs are the state, its own observation, the others' actions, all agents' previous actions and
    its id. There is an output for each action; r_in is that of the agent's own action. Parameters are shared.

    The published code differs: its net shares both hidden layers with the critics, and the TD loss alone trains them;
    the dead are rewarded too.
    """

    hidden_dim: int
    num_actions: int
    bound: float = 10.0

    @nn.compact
    def __call__(
        self, obs: jax.Array, action: jax.Array, alive: jax.Array, state: jax.Array, last_action: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """As `AttentionReward`, and state f32[..., X], last_action int32[..., A] (-1: none).

        The attention is each living agent's on itself.
        """
        chex.assert_equal_shape([action, alive, last_action])
        chex.assert_equal_shape_prefix([obs, action], action.ndim)
        num_agents = obs.shape[-2]
        last = jax.nn.one_hot(last_action, self.num_actions).reshape(*state.shape[:-1], -1)
        # The first layer in parts: the inputs that all agents share are multiplied once.
        x = Dense(self.hidden_dim, name="team")(jnp.concatenate([state, last], -1))[..., None, :]
        x = x + Dense(self.hidden_dim, use_bias=False, name="own")(obs)
        others = actions_of_others(action, self.num_actions)
        x = x + Dense(self.hidden_dim, use_bias=False, name="others")(others)
        x = x + self.param("id", nn.initializers.normal(0.1), (num_agents, self.hidden_dim))
        x = nn.relu(Dense(self.hidden_dim)(nn.relu(x)))
        by_action = Dense(self.num_actions)(x)
        r_in = (by_action * jax.nn.one_hot(action, self.num_actions)).sum(-1)
        return bounded(r_in, self.bound) * alive, jnp.eye(num_agents) * alive[..., None]
