"""IAC's collaborative exploration module."""

import flax.linen as nn
import jax
import jax.numpy as jnp

from iacjax.networks.mlp import Mlp


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
