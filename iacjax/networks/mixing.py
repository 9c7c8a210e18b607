"""Mixing networks: one team value of the agents' values, with weights made from the state, or their sum."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from iacjax.networks.dense import Dense


@jax.custom_jvp
def weighted_sum(q: jax.Array, w: jax.Array) -> jax.Array:
    """sum_i q_i w_i, f32[..., A], f32[..., A, N] -> f32[..., N]: a small product for each row, as a sum of A terms.

    Batches of tiny matrix products are slow on a CPU, and XLA joins a product over the axis of agents with the layer
    that makes `w`, which takes two to three times as long as both (256 rows, 3 agents, 64 units: 300 against 125 us).
    """
    return sum(q[..., i, None] * w[..., i, :] for i in range(q.shape[-1]))


@weighted_sum.defjvp
def _weighted_sum_jvp(primals, tangents):
    (q, w), (dq, dw) = primals, tangents  # not slice by slice, of which the gradient would be padded A times
    return weighted_sum(q, w), (dq[..., None] * w).sum(-2) + (q[..., None] * dw).sum(-2)


class Hypernet(nn.Module):
    """Layers of ReLU and a linear one that makes `out` weights, for a layer of `fan_in` inputs, from the state.

    The last layer's initial weights are smaller by the root of `fan_in`, so that the outputs of the layer they are used
    in do not grow with its number of inputs. With QMIX's absolute values, which all add up, lecun-normal weights would
    start a mixer of 64 units with a slope of about 16 in each Q_i of two agents.
    """

    hidden: int
    layers: int
    out: int
    fan_in: int = 1
    scale: float = 1.0  # of the last layer's initial weights

    @nn.compact
    def __call__(self, state: jax.Array) -> jax.Array:
        """f32[..., X] -> f32[..., out]."""
        x = state
        for _ in range(self.layers - 1):
            x = nn.relu(Dense(self.hidden)(x))
        variance = self.scale**2 / self.fan_in  # 1: lecun-normal
        init = nn.initializers.variance_scaling(variance, "fan_in", "truncated_normal")
        return Dense(self.out, kernel_init=init)(x)


class QMixer(nn.Module):
    """Q_tot = |W_2(s)| ELU(|W_1(s)| q + b_1(s)) + b_2(s) (QMIX, Rashid et al. 2018, fig. 2; IAC, eq. 22).

    Absolute weights make it monotone: dQ_tot / dQ_i >= 0, so that each agent's best action is part of the team's best.
    W_1, W_2 and b_2 are networks of `hyper_layers` layers, b_1 is linear, as in the authors' code. Not `monotone`, the
    weights keep their signs (FACMAC-nonmonotonic, Peng et al. 2021).

    Biases start at 0, PyTorch's at random: here both weights and b_1 are 0 at a state of zeros, and so are all their
    gradients. In an environment whose state is always zero only b_2 is learned; give it a constant state of 1.
    """

    mixer_dim: int = 64
    hyper_dim: int = 64
    hyper_layers: int = 2
    init_scale: float = 1.0  # of the initial weights that the state makes; small where states are large numbers
    monotone: bool = True

    @nn.compact
    def __call__(self, q: jax.Array, state: jax.Array) -> jax.Array:
        """q f32[..., A], state f32[..., X] -> f32[...]; their leading axes are broadcast against each other."""
        chex.assert_type([q, state], float)
        agents, units = q.shape[-1], self.mixer_dim
        w_1 = Hypernet(self.hyper_dim, self.hyper_layers, agents * units, agents, self.init_scale, name="w_1")(state)
        linear = nn.initializers.variance_scaling(self.init_scale**2, "fan_in", "truncated_normal")
        b_1 = Dense(units, kernel_init=linear, name="b_1")(state)
        w_2 = Hypernet(self.hyper_dim, self.hyper_layers, units, units, self.init_scale, name="w_2")(state)
        b_2 = Hypernet(self.hyper_dim, 2, 1, scale=self.init_scale, name="b_2")(state)
        if self.monotone:
            w_1, w_2 = jnp.abs(w_1), jnp.abs(w_2)
        hidden = nn.elu(weighted_sum(q, w_1.reshape(*state.shape[:-1], agents, units)) + b_1)
        return (hidden * w_2).sum(-1) + b_2[..., 0]


class SumMixer(nn.Module):
    """Q_tot = sum over agents of Q_i (VDN, Sunehag et al. 2018). It has no parameters."""

    @nn.compact
    def __call__(self, q: jax.Array, state: jax.Array) -> jax.Array:
        """q f32[..., A], state f32[..., X] (not read) -> f32[...]."""
        return q.sum(-1)
