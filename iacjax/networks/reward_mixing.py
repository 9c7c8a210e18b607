"""How r_total,i comes from the team reward r_ex and the individual r_in,i: eq. 13 (linear), eq. 14 (mixing)."""

from functools import partial

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

_ACTIVATIONS = {"none": lambda x: x, "elu": nn.elu, "relu": nn.relu}


def _one_input(key, shape, dtype=jnp.float32):
    """U(-1, 1): kernel and bias of PyTorch's nn.Linear(1, n), whose bound is 1 / sqrt(inputs)."""
    return jax.random.uniform(key, shape, dtype, -1.0, 1.0)


def _around(mean: float, scale: float):
    def init(key, shape, dtype=jnp.float32):
        return mean + scale * jax.random.normal(key, shape, dtype)

    return init


class RewardMixing(nn.Module):
    """r_total,i = act(r_in,i W1 + b1) W2 + b2 (eq. 14); W1, W2, b1, b2 are linear in r_ex (figure 2a).

    `start="random"` is how a hypernetwork of PyTorch's linear layers starts: kernels and biases from U(-1, 1), the
    bound of a layer with one input. The biases pass r_in on where r_ex = 0, as it is on most steps.
    `start="identity"` begins at r_total = r_ex + weight r_in, nearly, at r_ex = 0 too: a random hypernetwork may begin
    with an r_total that falls as r_ex rises, which takes the actor a hundred thousand steps to unlearn.
    """

    hidden_dim: int
    activation: str = "none"
    start: str = "identity"  # identity | random
    weight: float = 0.01

    @nn.compact
    def __call__(self, r_ex: jax.Array, r_in: jax.Array) -> jax.Array:
        """r_ex f32[...], r_in f32[..., A] -> r_total f32[..., A]."""
        chex.assert_equal_shape_prefix([r_ex, r_in], r_ex.ndim)
        chex.assert_rank(r_in, r_ex.ndim + 1)
        dim = self.hidden_dim
        if self.start == "identity":
            small, root = 0.01 / dim**0.5, 1.0 / dim**0.5
            noise = _around(0.0, small)
            w1 = nn.Dense(dim, kernel_init=noise, bias_init=_around(root, small), name="w1")
            b1 = nn.Dense(dim, kernel_init=noise, name="b1")
            w2 = nn.Dense(dim, kernel_init=_around(0.0, small * self.weight),
                          bias_init=_around(self.weight * root, small * self.weight), name="w2")  # fmt: skip
            b2 = nn.Dense(1, kernel_init=nn.initializers.ones, name="b2")
        else:
            sizes = {"w1": dim, "b1": dim, "w2": dim, "b2": 1}
            linear = partial(nn.Dense, kernel_init=_one_input, bias_init=_one_input)
            w1, b1, w2, b2 = (linear(n, name=name) for name, n in sizes.items())
        x = r_ex[..., None]
        hidden = r_in[..., None] * w1(x)[..., None, :] + b1(x)[..., None, :]
        hidden = _ACTIVATIONS[self.activation](hidden)
        return (hidden * w2(x)[..., None, :]).sum(-1) + b2(x)


class LinearCombination(nn.Module):
    """r_total,i = a r_ex + b r_in,i (eq. 13): `learned` weights starting at (1, weight), or these fixed."""

    weight: float = 0.01
    learned: bool = True

    @nn.compact
    def __call__(self, r_ex: jax.Array, r_in: jax.Array) -> jax.Array:
        """r_ex f32[...], r_in f32[..., A] -> r_total f32[..., A]."""
        chex.assert_equal_shape_prefix([r_ex, r_in], r_ex.ndim)
        chex.assert_rank(r_in, r_ex.ndim + 1)
        if not self.learned:
            return r_ex[..., None] + self.weight * r_in
        a = self.param("extrinsic", nn.initializers.ones, ())
        b = self.param("intrinsic", nn.initializers.constant(self.weight), ())
        return a * r_ex[..., None] + b * r_in
