"""Networks of the continuous algorithms: an MLP an agent, IAC's exploration module, and the individual critics."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from iacjax.networks.dense import Dense

_kernel_init = nn.initializers.variance_scaling(1.0, "fan_in", "truncated_normal", batch_axis=(0,))
OFF = -1e9  # an attention score that weighs nothing


class AgentMlp(nn.Module):
    """One MLP an agent (the theta_i, g_i and f_i of IAC), ReLU between its layers; or one for all, told the agent's id.

    `hidden` may be empty: then it is one linear layer.
    """

    hidden: tuple[int, ...]
    out: int
    shared: bool = False
    out_scale: float = 1.0  # of the last layer's initial weights

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """f32[..., A, F] -> f32[..., A, out]."""
        lead, num_agents = x.shape[:-2], x.shape[-2]
        if self.shared:
            ids = jnp.broadcast_to(jnp.eye(num_agents), (*lead, num_agents, num_agents))
            x = jnp.concatenate([x, ids], -1).reshape(1, -1, x.shape[-1] + num_agents)
        else:
            x = x.reshape(-1, num_agents, x.shape[-1]).swapaxes(0, 1)  # once, so that each layer is a batched product
        for k, size in enumerate((*self.hidden, self.out)):
            last = k == len(self.hidden)
            init = _scaled(self.out_scale) if last else _kernel_init
            kernel = self.param(f"kernel_{k}", init, (x.shape[0], x.shape[-1], size))
            bias = self.param(f"bias_{k}", nn.initializers.zeros, (x.shape[0], 1, size))
            x = jnp.einsum("abf,afo->abo", x, kernel) + bias
            x = x if last else nn.relu(x)
        x = x if self.shared else x.swapaxes(0, 1)
        return x.reshape(*lead, num_agents, self.out)


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
        e = nn.relu(AgentMlp((), self.dim)(jnp.concatenate([obs, action], -1)))
        value = Dense(self.dim, use_bias=False, name="value")(e)
        for k in range(self.mixing_layers):
            value = nn.relu(Dense(self.dim, name=f"h_{k}")(value))
        if num_agents == 2:
            others = value[..., ::-1, :]
            weights = jnp.broadcast_to(1.0 - jnp.eye(2), (*lead, self.heads, 2, 2))
        else:
            others, weights = self._attend(e, value)
        hidden = (self.dim,) * self.output_layers
        return AgentMlp(hidden, 1)(jnp.concatenate([e, others], -1))[..., 0], weights

    def _attend(self, e: jax.Array, value: jax.Array) -> tuple[jax.Array, jax.Array]:
        heads = (*e.shape[:-1], self.heads, self.dim // self.heads)
        query = Dense(self.dim, use_bias=False, name="query")(e).reshape(heads)
        key = Dense(self.dim, use_bias=False, name="key")(e).reshape(heads)
        scores = jnp.einsum("...ihd,...jhd->...hij", query, key)
        if self.scaled:
            scores = scores / (self.dim // self.heads) ** 0.5
        other = ~jnp.eye(e.shape[-2], dtype=bool)
        weights = jax.nn.softmax(jnp.where(other, scores, OFF), -1) * other
        return jnp.einsum("...hij,...jhd->...ihd", weights, value.reshape(heads)).reshape(e.shape), weights
