"""A GRU over time whose state is reset where an episode begins, and two ways to differentiate it."""

import contextlib
import contextvars
from collections.abc import Iterator
from functools import partial

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from iacjax.device_mesh import env_devices
from iacjax.networks.dense import Dense
from iacjax.networks.initializers import orthogonal

FORMS = ("remat", "batched")
UNROLL = 4  # rows per iteration of a "batched" loop, which share the iteration's overhead, its counter for instance
_FORM = contextvars.ContextVar("gru_form", default="")


def gru_form() -> str:
    """How a GRU traced now is differentiated: "remat" on a CPU, "batched" elsewhere, or what `use_gru_form` says."""
    return _FORM.get() or ("remat" if jax.default_backend() == "cpu" and env_devices() == 1 else "batched")


@contextlib.contextmanager
def use_gru_form(form: str) -> Iterator[None]:
    """Within it, GRUs that this thread traces take `form`, one of FORMS; functions jitted before keep theirs.

    It does not affect what other threads compile.

    Raises:
      ValueError: there is no such form.
    """
    if form not in FORMS:
        raise ValueError(f"no such form of a GRU: {form!r}; there are {', '.join(FORMS)}")
    token = _FORM.set(form)
    try:
        yield
    finally:
        _FORM.reset(token)


def _scan(
    h0: jax.Array, gates: tuple, keep: jax.Array, kernel: jax.Array, bias: jax.Array, unroll: int = 1
) -> jax.Array:
    """The memories f32[T, L, H] after each row; see `gru`. A state is masked by its successor's `keep` as it leaves."""
    w_reset, w_update, w_candidate = jnp.split(kernel, 3, axis=-1)

    @jax.checkpoint
    def step(h, inputs):
        (reset_x, update_x, candidate_x), keep_next = inputs
        reset = nn.sigmoid(reset_x + h @ w_reset)
        update = nn.sigmoid(update_x + h @ w_update)
        candidate = jnp.tanh(candidate_x + reset * (h @ w_candidate + bias))
        h = candidate + update * (h - candidate)
        return h * keep_next, h

    keep_next = jnp.concatenate([keep[1:], jnp.ones_like(keep[:1])])
    return jax.lax.scan(step, h0 * keep[0], (gates, keep_next), unroll=unroll)[1]


_batched = jax.custom_jvp(partial(_scan, unroll=UNROLL))


@_batched.defjvp
def _batched_jvp(primals, tangents):
    """With the memories known, all gates of all rows are one product, and the tangent's scan is linear:

    dh[t] = e[t] + (u[t] + sum over the gates g of a_g[t] W_g) dh[t-1] keep[t],

    where a_g = dh[t] / d(pre-activation of g). The contribution e of the kernel and the inputs is one product too,
    so that the backward scan does not compute the kernel's gradient.
    """
    h0, gates, keep, kernel, bias = primals
    dh0, dgates, _, dkernel, dbias = tangents  # `keep` is made of booleans, which have no tangent
    hidden = _batched(*primals)
    h = jnp.concatenate([h0[None], hidden[:-1]]) * keep
    w_reset, w_update, w_candidate = jnp.split(kernel, 3, axis=-1)
    reset = nn.sigmoid(gates[0] + h @ w_reset)
    update = nn.sigmoid(gates[1] + h @ w_update)
    inner = h @ w_candidate + bias
    candidate = jnp.tanh(gates[2] + reset * inner)

    a_candidate = (1 - update) * (1 - candidate**2)
    a_inner = a_candidate * reset
    a_reset = a_candidate * inner * reset * (1 - reset)
    a_update = (h - candidate) * update * (1 - update)

    dw_reset, dw_update, dw_candidate = jnp.split(dkernel, 3, axis=-1)
    direct = a_reset * (dgates[0] + h @ dw_reset) + a_update * (dgates[1] + h @ dw_update)
    direct += a_candidate * dgates[2] + a_inner * (h @ dw_candidate + dbias)

    def step(dh, inputs):
        direct, kept, through = inputs
        recurrent = (through * (dh @ kernel)).reshape(len(dh), 3, -1).sum(-2)
        dh = direct + kept * dh + recurrent
        return dh, dh

    through = jnp.concatenate([a_reset, a_update, a_inner], axis=-1) * keep
    return hidden, jax.lax.scan(step, dh0, (direct, update * keep, through), unroll=UNROLL)[1]


def gru(
    h0: jax.Array, gates: tuple, first: jax.Array, kernel: jax.Array, bias: jax.Array, form: str | None = None
) -> jax.Array:
    """GRU (Cho et al. 2014, in PyTorch's gate convention) over time, from projected inputs.

    "remat": the step is computed again in the backward pass: 2.2 times as fast on a CPU (320 sequences, 32 steps, 64
    units: 30 against 67 ms a gradient) as keeping its parts, which are more memory traffic than the step is work.
    "batched": all that needs no order in time is taken out of the backward scan. A gradient is 188 kernels on a GPU in
    place of 910 (80 sequences, 32 steps), and a kernel's launch is what such small steps cost there; on a CPU it takes
    1.3 to 1.6 times as long.

    Args:
      h0: f32[L, H].
      gates: the input's part of reset, update and candidate gate, each f32[T, L, H].
      first: bool[T, L]; where set, the memory is zeroed BEFORE the row.
      kernel: f32[H, 3 H], of the gates in the same order; bias: f32[H], of the candidate's recurrent part.
      form: one of FORMS; None: `gru_form()`.

    Returns:
      f32[T, L, H], the memories after each row.
    """
    chex.assert_equal_shape([*gates])
    chex.assert_shape(h0, gates[0].shape[1:])
    chex.assert_shape(first, gates[0].shape[:2])
    keep = 1.0 - first.astype(h0.dtype)[..., None]
    return (_batched if (form or gru_form()) == "batched" else _scan)(h0, gates, keep, kernel, bias)


class ResetGRU(nn.Module):
    """A GRU scanned over the leading time axis; the input's projections are one product over all time steps."""

    hidden_dim: int

    @nn.compact
    def __call__(self, carry: jax.Array, x: jax.Array, first: jax.Array) -> tuple[jax.Array, jax.Array]:
        """carry f32[..., H], x f32[T, ..., F], first bool[T, ...] -> (carry, f32[T, ..., H]).

        Where `first[t]`, the carry is zeroed BEFORE step t.
        """
        dim, length, lead = self.hidden_dim, x.shape[0], carry.shape[:-1]
        gates = tuple(Dense(dim, name=name)(x).reshape(length, -1, dim) for name in ("reset", "update", "candidate"))
        kernel = self.param("recurrent", orthogonal(), (dim, 3 * dim))
        bias = self.param("candidate_bias", nn.initializers.zeros, (dim,))
        hidden = gru(carry.reshape(-1, dim), gates, first.reshape(length, -1), kernel, bias)
        hidden = hidden.reshape(length, *lead, dim)
        return hidden[-1], hidden
