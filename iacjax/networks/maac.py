"""MAAC's networks (Iqbal and Sha 2019, and github.com/shariqiqbal2810/MAAC), for continuous actions: LeakyReLU."""

from typing import NamedTuple

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from iacjax.networks.dense import Dense
from iacjax.networks.mlp import AgentMlp

OFF = -1e9  # a score whose weight is 0


class LeakyMlp(nn.Module):
    """One MLP for each agent, LeakyReLU between its layers: f32[..., A, F] -> f32[..., A, out]."""

    hidden: tuple[int, ...]
    out: int

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        for k, size in enumerate(self.hidden):
            x = nn.leaky_relu(AgentMlp((), size, name=f"layer_{k}")(x))
        return AgentMlp((), self.out, name="out")(x)


class MaacValues(NamedTuple):
    """What MaacCritic gives."""

    q: jax.Array  # f32[..., A]
    weights: jax.Array  # f32[..., heads, A, A]: row i are the weights of agent i, 0 for itself, sum 1
    scores: jax.Array  # f32[..., heads, A, A] before scaling, 0 for itself


class MaacCritic(nn.Module):
    """Q_i = f_i(g_i(o_i, u_i), x_i), x_i = sum over j != i of alpha_ij leaky(V e_j), e_j = g_j(o_j, u_j).

    As in the official code the selectors read an encoding of o_i alone, so that x_i does not depend on u_i, and keys,
    selectors and values are shared by the agents. Its head gives Q_i of every discrete action from that encoding of
    o_i; with continuous actions the head needs u_i, so it reads e_i, as in MAAC's paper.
    """

    dim: int
    heads: int

    @nn.compact
    def __call__(self, obs: jax.Array, action: jax.Array, own: jax.Array | None = None) -> MaacValues:
        """obs f32[..., A, O], action f32[..., A, D]; `own` replaces the action that f_i sees of agent i itself."""
        chex.assert_equal_shape_prefix([obs, action], obs.ndim - 1)
        lead, num_agents = obs.shape[:-2], obs.shape[-2]
        encoder = AgentMlp((), self.dim, name="encoder")

        def encode(action):
            return nn.leaky_relu(encoder(jnp.concatenate([obs, action], -1)))

        e = encode(action)
        s = nn.leaky_relu(AgentMlp((), self.dim, name="state_encoder")(obs))
        heads = (*lead, num_agents, self.heads, self.dim // self.heads)
        key = Dense(self.dim, use_bias=False, name="key")(e).reshape(heads)
        selector = Dense(self.dim, use_bias=False, name="selector")(s).reshape(heads)
        value = nn.leaky_relu(Dense(self.dim, name="value")(e)).reshape(heads)
        other = ~jnp.eye(num_agents, dtype=bool)
        scores = jnp.einsum("...ihd,...jhd->...hij", selector, key) * other
        scaled = jnp.where(other, scores / (self.dim // self.heads) ** 0.5, OFF)
        weights = jax.nn.softmax(scaled, -1) * other
        others = jnp.einsum("...hij,...jhd->...ihd", weights, value).reshape(e.shape)
        e = e if own is None else encode(own)
        q = LeakyMlp((self.dim,), 1, name="head")(jnp.concatenate([e, others], -1))[..., 0]
        return MaacValues(q, weights, scores)


SHARED = ("encoder", "key", "selector", "value")  # what the official code calls shared: all agents' losses reach it


def scale_shared(grads: dict, factor: float) -> dict:
    """`grads` of a MaacCritic with those of its shared parts times `factor`."""
    each = {
        name: jax.tree.map(lambda g: factor * g, tree) if name in SHARED else tree
        for name, tree in grads["params"].items()
    }
    return {**grads, "params": each}
