"""A GRU over time whose state is reset where an episode begins, and two ways to differentiate it."""

import contextlib
import contextvars
from collections.abc import Iterator
from typing import Any

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp

from iacjax.device_mesh import flatten_rows
from iacjax.networks.dense import Dense
from iacjax.networks.initializers import orthogonal

FORMS = ("saved", "batched")
UNROLL = 4  # rows per iteration of a "batched" loop, which share the iteration's overhead, its counter for instance
_FORM = contextvars.ContextVar("gru_form", default="")


def gru_form() -> str:
    """How a GRU traced now is differentiated: "saved" on a CPU, "batched" elsewhere, or what `use_gru_form` says."""
    return _FORM.get() or ("saved" if jax.default_backend() == "cpu" else "batched")


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


def _cell(h: jax.Array, gates: tuple, kernel: jax.Array, bias: jax.Array) -> tuple[jax.Array, ...]:
    """Reset gate, update gate, recurrent part of the candidate, candidate: f32[..., H] each, of a memory."""
    reset, update, inner = jnp.split(h @ kernel, 3, axis=-1)
    reset, update, inner = nn.sigmoid(gates[0] + reset), nn.sigmoid(gates[1] + update), inner + bias
    return reset, update, inner, jnp.tanh(gates[2] + reset * inner)


def _slopes(h: jax.Array, parts: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
    """d h' / d (pre-activations) of a row: of reset, update, the candidate's recurrent part, and the candidate."""
    reset, update, inner, candidate = parts
    of_candidate = (1 - update) * (1 - candidate**2)
    of_reset = of_candidate * inner * reset * (1 - reset)
    return of_reset, (h - candidate) * update * (1 - update), of_candidate * reset, of_candidate


def _scan(
    h0: jax.Array,
    gates: tuple,
    keep: jax.Array,
    kernel: jax.Array,
    bias: jax.Array,
    unroll: int = 1,
    with_slopes: bool = False,
) -> Any:
    """The memories f32[T, L, H] after each row; see `gru`. A state is masked by its successor's `keep` as it leaves.

    With slopes: (memories, update gates, four slopes as `_slopes` orders them).
    """

    def step(h, inputs):
        gates, keep_next = inputs
        parts = _cell(h, gates, kernel, bias)
        _, update, _, candidate = parts
        new = candidate + update * (h - candidate)
        return new * keep_next, (new, update, *_slopes(h, parts)) if with_slopes else new

    keep_next = jnp.concatenate([keep[1:], jnp.ones_like(keep[:1])])
    return jax.lax.scan(step, h0 * keep[0], (gates, keep_next), unroll=unroll)[1]


def _directly(h: jax.Array, slopes: tuple, dgates: tuple, dkernel: jax.Array, dbias: jax.Array) -> jax.Array:
    """What tangents of inputs and parameters add to those of the memories, row by row: one product for all rows."""
    rows, unflatten = flatten_rows(h)
    reset, update, inner = jnp.split(unflatten(rows @ dkernel), 3, axis=-1)
    of_reset, of_update, of_inner, of_candidate = slopes
    direct = of_reset * (dgates[0] + reset) + of_update * (dgates[1] + update)
    return direct + of_candidate * dgates[2] + of_inner * (inner + dbias)


_saved = jax.custom_jvp(lambda *inputs: _scan(*inputs))


@_saved.defjvp
def _saved_jvp(primals, tangents):
    """As `_batched_jvp`, but the forward scan stores the slopes, which costs less than to compute the gates again."""
    h0, _, keep, kernel, _ = primals
    dh0, dgates, _, dkernel, dbias = tangents  # `keep` is made of booleans, which have no tangent
    hidden, update, *slopes = _scan(*primals, with_slopes=True)
    h = jnp.concatenate([h0[None], hidden[:-1]]) * keep

    def step(dh, inputs):
        direct, keep, update, *slopes = inputs
        dh = dh * keep
        recurrent = jnp.split(dh @ kernel, 3, axis=-1)
        dh = direct + update * dh + sum(slope * x for slope, x in zip(slopes, recurrent, strict=True))
        return dh, dh

    direct = _directly(h, slopes, dgates, dkernel, dbias)
    return hidden, jax.lax.scan(step, dh0, (direct, keep, update, *slopes[:3]))[1]


_batched = jax.custom_jvp(lambda *inputs: _scan(*inputs, unroll=UNROLL))


@_batched.defjvp
def _batched_jvp(primals, tangents):
    """With the memories known, all gates of all rows are one product, and the tangent's scan is linear:

    dh[t] = e[t] + (u[t] + sum over the gates g of a_g[t] W_g) dh[t-1] keep[t],

    where a_g = dh[t] / d(pre-activation of g). The contribution e of the kernel and the inputs is one product too,
    so that the backward scan does not compute the kernel's gradient.
    """
    h0, gates, keep, kernel, bias = primals
    dh0, dgates, _, dkernel, dbias = tangents
    hidden = _batched(*primals)
    h = jnp.concatenate([h0[None], hidden[:-1]]) * keep
    parts = _cell(h, gates, kernel, bias)
    slopes = _slopes(h, parts)

    def step(dh, inputs):
        direct, kept, through = inputs
        recurrent = (through * (dh @ kernel)).reshape(len(dh), 3, -1).sum(-2)
        dh = direct + kept * dh + recurrent
        return dh, dh

    through = jnp.concatenate(slopes[:3], axis=-1) * keep
    direct = _directly(h, slopes, dgates, dkernel, dbias)
    return hidden, jax.lax.scan(step, dh0, (direct, parts[1] * keep, through), unroll=UNROLL)[1]


def gru(
    h0: jax.Array, gates: tuple, first: jax.Array, kernel: jax.Array, bias: jax.Array, form: str | None = None
) -> jax.Array:
    """GRU (Cho et al. 2014, in PyTorch's gate convention) over time, from projected inputs.

    In both forms the backward scan gives only the cotangents of the memories; the kernel's gradient is one product over
    all rows after it. They differ in what the scan needs besides. "saved": the forward scan stores it; on a CPU a
    gradient takes 0.72 (80 sequences, 32 steps, 64 units) to 0.96 (512 sequences) of the time of computing each step
    again in the backward pass. "batched": all gates of all rows are one more product. A gradient is 188 kernels on a
    GPU (80 sequences, 32 steps), and a kernel's launch is what such small steps cost there.

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
    return (_batched if (form or gru_form()) == "batched" else _saved)(h0, gates, keep, kernel, bias)


class ResetGRU(nn.Module):
    """A GRU scanned over the leading time axis; the input's projections are one product over all time steps."""

    hidden_dim: int
    recurrent_init: nn.initializers.Initializer = orthogonal()  # of f32[H, 3 H], the gates side by side

    @nn.compact
    def __call__(self, carry: jax.Array, x: jax.Array, first: jax.Array) -> tuple[jax.Array, jax.Array]:
        """carry f32[..., H], x f32[T, ..., F], first bool[T, ...] -> (carry, f32[T, ..., H]).

        Where `first[t]`, the carry is zeroed BEFORE step t.
        """
        dim, length, lead = self.hidden_dim, x.shape[0], carry.shape[:-1]
        gates = tuple(Dense(dim, name=name)(x).reshape(length, -1, dim) for name in ("reset", "update", "candidate"))
        kernel = self.param("recurrent", self.recurrent_init, (dim, 3 * dim))
        bias = self.param("candidate_bias", nn.initializers.zeros, (dim,))
        hidden = gru(carry.reshape(-1, dim), gates, first.reshape(length, -1), kernel, bias)
        hidden = hidden.reshape(length, *lead, dim)
        return hidden[-1], hidden
