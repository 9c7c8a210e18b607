"""Individual action values with continuous actions: IAC's attention critic, and the plain one."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from iacjax.networks.dense import Dense, DenseWeights, times
from iacjax.networks.mlp import AgentLayers, AgentMlp, agents_first, agents_last


def _next(x: jax.Array, k: int) -> jax.Array:
    """x[i + k], counted in a circle, at i. By slices: the gradient of an index list is a slow scatter."""
    return jnp.concatenate([x[k:], x[:k]])


class PlainCritic(nn.Module):
    """Q_i(o_i, u_i) of each agent: the critic of SQ, SIQ and DDPG-MIX (table 7: 3 hidden layers), and of FACMAC."""

    hidden: tuple[int, ...]
    shared: bool = False  # one network for all agents, with the agent's id as input

    @nn.compact
    def __call__(self, obs: jax.Array, action: jax.Array) -> tuple[jax.Array, jax.Array]:
        """obs f32[..., A, O], action f32[..., A, D] -> (Q f32[..., A], attention f32[..., 1, A, A], all 0)."""
        chex.assert_equal_shape_prefix([obs, action], obs.ndim - 1)
        num_agents = obs.shape[-2]
        q = AgentMlp(self.hidden, 1, self.shared)(jnp.concatenate([obs, action], -1))[..., 0]
        return q, jnp.zeros((*obs.shape[:-2], 1, num_agents, num_agents))


class AttentionCritic(nn.Module):
    """Q_i(o, u) of every agent, which attends to the others: IAC, eq. 19 to 21; Attn-QMIX and SIAQ have it too.

    e_i = g_i(o_i, u_i); x_i = sum over j != i of alpha_j h(V e_j), alpha_j ~ exp(e_j' W_k' W_q e_i);
    Q_i = f_i(e_i, x_i).
    g_i and f_i are an agent's own, V, W_k, W_q and h are shared. Table 7's module is read as g: 1 layer, h: 2 layers
    ("mixing"), f: 2 hidden layers ("output"). With two agents there is one other, whose weight is 1.
    """

    dim: int = 64
    heads: int = 4
    scaled: bool = True  # scores over the root of a head's size, as MAAC's code has it; eq. 21 prints none
    mixing_layers: int = 2  # of h
    output_layers: int = 2  # hidden ones of f

    @nn.compact
    def __call__(self, obs: jax.Array, action: jax.Array) -> tuple[jax.Array, jax.Array]:
        """obs f32[..., A, O], action f32[..., A, D] -> (Q f32[..., A], attention f32[..., heads, A, A], rows sum to 1).

        A single agent attends to nothing: x is 0.
        """
        chex.assert_equal_shape_prefix([obs, action], obs.ndim - 1)
        lead, num_agents = obs.shape[:-2], obs.shape[-2]
        x = agents_first(jnp.concatenate([obs, action], -1))
        e = nn.relu(AgentLayers((self.dim,), name="g")(x))
        value, first = e, DenseWeights(self.dim, self.dim, use_bias=False, name="value")()[0]
        for k in range(self.mixing_layers):
            kernel, bias = DenseWeights(self.dim, self.dim, name=f"h_{k}")()
            kernel = first @ kernel if k == 0 else kernel  # V and h's first layer are one linear map
            value = nn.relu(times(value, kernel) + bias)
        if num_agents == 1:
            others, weights = jnp.zeros_like(value), jnp.zeros((*lead, self.heads, 1, 1))
        elif num_agents == 2:
            others = value[::-1]
            weights = jnp.broadcast_to(1.0 - jnp.eye(2), (*lead, self.heads, 2, 2))
        else:
            others, weights = self._attend(e, value)
            weights = jnp.moveaxis(weights, (0, 1, 3), (-2, -1, -3)).reshape(*lead, self.heads, num_agents, num_agents)
        sizes = (*(self.dim,) * self.output_layers, 1)
        q = AgentLayers(sizes, name="f")(jnp.concatenate([e, others], -1))
        return agents_last(q, lead)[..., 0], weights

    def _attend(self, e: jax.Array, value: jax.Array) -> tuple[jax.Array, jax.Array]:
        """e, value f32[A, B, dim] -> (x f32[A, B, dim], weights f32[A, A, B, heads], row by row).

        Agent i looks at agent i + 1, then at agent i + 2, ..., all agents at once. A head's scalar product is an
        elementwise product and a sum over the head's part of the columns, written as one matrix product for all heads.
        As products of [A, dim / heads] matrices, B times heads of them, it takes three times as long on a CPU.
        """
        size, count = self.dim // self.heads, e.shape[0]
        parts = jnp.repeat(jnp.eye(self.heads), size, axis=0)  # [dim, heads]: which head a column belongs to
        query = Dense(self.dim, use_bias=False, name="query")(e)
        key = Dense(self.dim, use_bias=False, name="key")(e)
        scores = jnp.stack([(query * _next(key, k)).reshape(-1, self.dim) @ parts for k in range(1, count)])
        alpha = jax.nn.softmax(scores / (size**0.5 if self.scaled else 1.0), axis=0)
        seen = [(alpha[k - 1] @ parts.T).reshape(e.shape) * _next(value, k) for k in range(1, count)]
        where = jnp.stack([_next(jnp.eye(count), k) for k in range(1, count)])  # [A - 1, A, A]: who is looked at
        weights = alpha.reshape(count - 1, count, 1, -1, self.heads) * where[..., None, None]
        return sum(seen), weights.sum(0)
