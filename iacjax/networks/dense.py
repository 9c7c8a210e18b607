"""A dense layer that is fast on CPUs with any number of leading axes, and LayerNorm as PyTorch has it."""

import flax.linen as nn
import jax

from iacjax.device_mesh import flatten_rows


class Dense(nn.Module):
    """`nn.Dense` on flattened leading axes.

    The weight gradient of `nn.Dense` on f32[T, B, A, F] contracts three axes at once, which XLA's CPU backend runs at
    half the speed of the one contraction over T B A (measured: 9.3 against 4.5 ms for 10 240 rows of 128).
    """

    features: int
    use_bias: bool = True
    kernel_init: nn.initializers.Initializer = nn.initializers.lecun_normal()
    bias_init: nn.initializers.Initializer = nn.initializers.zeros

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        """f32[..., F] -> f32[..., features]."""
        layer = nn.Dense(self.features, self.use_bias, kernel_init=self.kernel_init, bias_init=self.bias_init)
        rows, unflatten = flatten_rows(x)
        return unflatten(layer(rows))


class _Weights(nn.Module):
    inputs: int
    features: int
    use_bias: bool

    @nn.compact
    def __call__(self):
        kernel = self.param("kernel", nn.initializers.lecun_normal(), (self.inputs, self.features))
        return kernel, self.param("bias", nn.initializers.zeros, (self.features,)) if self.use_bias else None


class DenseWeights(nn.Module):
    """The parameters of a `Dense` of the same name, (kernel f32[inputs, features], bias f32[features] or None)."""

    inputs: int
    features: int
    use_bias: bool = True

    @nn.compact
    def __call__(self) -> tuple[jax.Array, jax.Array | None]:
        return _Weights(self.inputs, self.features, self.use_bias, name="Dense_0")()


def times(x: jax.Array, kernel: jax.Array) -> jax.Array:
    """x @ kernel, f32[..., F] -> f32[..., features], on flattened leading axes as in `Dense`."""
    rows, unflatten = flatten_rows(x)
    return unflatten(rows @ kernel)


def layer_norm(name: str) -> nn.LayerNorm:
    """LayerNorm over the last axis, with a scale and a bias for each entry and PyTorch's epsilon."""
    return nn.LayerNorm(epsilon=1e-5, name=name)
