"""Multi-layer perceptrons: one for each agent, all in one product, or one for all."""

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


class AgentMlp(nn.Module):
    """One MLP for each agent (the theta_i, g_i and f_i of IAC), or one for all with the agent's id as input; ReLU.

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
        return agents_last(layers(agents_first(x)), lead)


def agents_first(x: jax.Array) -> jax.Array:
    """[..., A, F] -> [A, B, F], so that each layer is one product batched over agents."""
    return x.reshape(-1, *x.shape[-2:]).swapaxes(0, 1)


def agents_last(x: jax.Array, lead: tuple[int, ...]) -> jax.Array:
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
