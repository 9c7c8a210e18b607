"""Individual action values with continuous actions: IAC's attention critic, and the plain one."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from iacjax.networks.dense import Dense
from iacjax.networks.mlp import AgentLayers, AgentMlp, agents_first, agents_last


def _without(x: jax.Array, i: int) -> jax.Array:
    """All but x[i], by slices: the gradient of an index list is a slow scatter."""
    return jnp.concatenate([x[:i], x[i + 1 :]])


class PlainCritic(nn.Module):
    """Q_i(o_i, u_i) of each agent: the critic of SQ, SIQ and DDPG-MIX (table 7: 3 hidden layers)."""

    hidden: tuple[int, ...]

    @nn.compact
    def __call__(self, obs: jax.Array, action: jax.Array) -> tuple[jax.Array, jax.Array]:
        """obs f32[..., A, O], action f32[..., A, D] -> (Q f32[..., A], attention f32[..., 1, A, A], all 0)."""
        chex.assert_equal_shape_prefix([obs, action], obs.ndim - 1)
        num_agents = obs.shape[-2]
        q = AgentMlp(self.hidden, 1)(jnp.concatenate([obs, action], -1))[..., 0]
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
        value = Dense(self.dim, use_bias=False, name="value")(e)
        for k in range(self.mixing_layers):
            value = nn.relu(Dense(self.dim, name=f"h_{k}")(value))
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

        Pair by pair: a head's scalar product is an elementwise product and a sum over the head's part of the columns,
        written as one matrix product for all heads. As products of [A, dim / heads] matrices, B times heads of them, it
        takes three times as long on a CPU.
        """
        size = self.dim // self.heads
        parts = jnp.repeat(jnp.eye(self.heads), size, axis=0)  # [dim, heads]: which head a column belongs to
        query = Dense(self.dim, use_bias=False, name="query")(e)
        key = Dense(self.dim, use_bias=False, name="key")(e)
        num_agents, x, rows = e.shape[0], [], []
        for i in range(num_agents):
            scores = (query[i] * _without(key, i)).reshape(-1, self.dim) @ parts
            scores = scores.reshape(num_agents - 1, -1, self.heads) / (size**0.5 if self.scaled else 1.0)
            alpha = jax.nn.softmax(scores, axis=0)
            spread = (alpha.reshape(-1, self.heads) @ parts.T).reshape(num_agents - 1, -1, self.dim)
            x.append((spread * _without(value, i)).sum(0))
            rows.append(jnp.concatenate([alpha[:i], jnp.zeros_like(alpha[:1]), alpha[i:]]))
        return jnp.stack(x), jnp.stack(rows)
