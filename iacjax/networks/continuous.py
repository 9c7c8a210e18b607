"""Networks of the continuous algorithms: an MLP an agent, IAC's exploration module, and the individual critics."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from iacjax.networks.dense import Dense

_kernel_init = nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal", batch_axis=(0,))


class AgentLayers(nn.Module):
    """ReLU layers and a linear one, with parameters of their own for each slice of the leading axis."""

    sizes: tuple[int, ...]
    out_scale: float = 1.0  # of the last layer's initial weights

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """f32[A, B, F] -> f32[A, B, sizes[-1]]."""
        for k, size in enumerate(self.sizes):
            last = k == len(self.sizes) - 1
            init = _scaled(self.out_scale) if last else _kernel_init
            kernel = self.param(f"kernel_{k}", init, (x.shape[0], x.shape[-1], size))
            bias = self.param(f"bias_{k}", nn.initializers.zeros, (x.shape[0], 1, size))
            x = jnp.einsum("abf,afo->abo", x, kernel) + bias
            x = x if last else nn.relu(x)
        return x


def _without(x: jax.Array, i: int) -> jax.Array:
    """All but x[i], by slices: the gradient of an index list is a slow scatter."""
    return jnp.concatenate([x[:i], x[i + 1 :]])


class AgentMlp(nn.Module):
    """One MLP an agent (the theta_i, g_i and f_i of IAC), ReLU between its layers; or one for all, told the agent's id.

    `hidden` may be empty: then it is one linear layer.
    """

    hidden: tuple[int, ...]
    out: int
    shared: bool = False
    out_scale: float = 1.0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """f32[..., A, F] -> f32[..., A, out]."""
        lead, num_agents = x.shape[:-2], x.shape[-2]
        layers = AgentLayers((*self.hidden, self.out), self.out_scale, name="layers")
        if self.shared:
            ids = jnp.broadcast_to(jnp.eye(num_agents), (*lead, num_agents, num_agents))
            x = jnp.concatenate([x, ids], -1)
            return layers(x.reshape(1, -1, x.shape[-1])).reshape(*lead, num_agents, self.out)
        return _agents_last(layers(_agents_first(x)), lead)


def _agents_first(x: jax.Array) -> jax.Array:
    """[..., A, F] -> [A, B, F]: so each layer is one product batched over agents."""
    return x.reshape(-1, *x.shape[-2:]).swapaxes(0, 1)


def _agents_last(x: jax.Array, lead: tuple[int, ...]) -> jax.Array:
    """[A, B, F] -> [..., A, F]."""
    return x.swapaxes(0, 1).reshape(*lead, x.shape[0], x.shape[-1])


def _scaled(scale: float) -> nn.initializers.Initializer:
    return lambda key, shape, dtype=jnp.float32: scale * _kernel_init(key, shape, dtype)


class Mlp(nn.Module):
    """ReLU layers, and a linear one."""

    hidden: tuple[int, ...]
    out: int
    out_scale: float = 1.0

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """f32[..., F] -> f32[..., out]."""
        for size in self.hidden:
            x = nn.relu(Dense(size)(x))
        init = nn.initializers.variance_scaling(self.out_scale**2, "fan_in", "truncated_normal")
        return Dense(self.out, kernel_init=init)(x)


class ExplorationNet(nn.Module):
    """The collaborative exploration module L = f_psi(s) of IAC (eq. 13), its factors limited to +-`limit`."""

    hidden: tuple[int, ...]
    num_dims: int  # A D
    rank: int  # m
    limit: float = 1.0
    bound: str = "tanh"  # tanh | clip
    out_scale: float = 1.0

    @nn.compact
    def __call__(self, state: jax.Array) -> jax.Array:
        """state f32[..., X] -> L f32[..., A D, m]."""
        x = Mlp(self.hidden, self.num_dims * self.rank, self.out_scale)(state)
        x = jnp.tanh(x) if self.bound == "tanh" else jnp.clip(x, -1.0, 1.0)
        return (self.limit * x).reshape(*state.shape[:-1], self.num_dims, self.rank)


class PlainCritic(nn.Module):
    """Q_i(o_i, u_i) of every agent by itself: the critic of SQ, SIQ and DDPG-MIX (table 7: 3 hidden layers)."""

    hidden: tuple[int, ...]

    @nn.compact
    def __call__(self, obs: jax.Array, action: jax.Array) -> tuple[jax.Array, jax.Array]:
        """obs f32[..., A, O], action f32[..., A, D] -> (Q f32[..., A], attention f32[..., 1, A, A], all 0)."""
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

        A team of one has nobody to attend to: x is 0.
        """
        lead, num_agents = obs.shape[:-2], obs.shape[-2]
        x = _agents_first(jnp.concatenate([obs, action], -1))
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
        return _agents_last(q, lead)[..., 0], weights

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
