"""Functions as flat lists of primitives: calls are inlined and loops unrolled.

A loop over time has one row where a policy acts, so nothing grows.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

CALLS = {"jit", "pjit", "closed_call", "core_call", "custom_jvp_call", "custom_vjp_call", "checkpoint"}


def flat_jaxpr(function: Callable[..., Any], *args: Any) -> ClosedJaxpr:
    """The jaxpr of `function` without calls and scans; `args` are pytrees of arrays or of `jax.ShapeDtypeStruct`."""
    closed = jax.make_jaxpr(function)(*args)
    return jax.make_jaxpr(lambda *leaves: _inline(closed.jaxpr, closed.consts, leaves))(*jax.tree.leaves(args))


def _inline(jaxpr: Jaxpr, consts: Sequence[Any], args: Sequence[Any]) -> list[Any]:
    values = dict(zip((*jaxpr.constvars, *jaxpr.invars), (*consts, *args), strict=True))
    for eqn in jaxpr.eqns:
        given = [x.val if isinstance(x, Literal) else values[x] for x in eqn.invars]
        if eqn.primitive.name in CALLS:
            out = _inline(*_opened(eqn.params["jaxpr" if "jaxpr" in eqn.params else "call_jaxpr"]), given)
        elif eqn.primitive.name == "scan":
            out = _unroll(eqn, given)
        else:
            out = eqn.primitive.bind(*given, **eqn.params)
            out = out if eqn.primitive.multiple_results else [out]
        values.update(zip(eqn.outvars, out, strict=True))
    return [x.val if isinstance(x, Literal) else values[x] for x in jaxpr.outvars]


def _opened(jaxpr: Any) -> tuple[Jaxpr, Sequence[Any]]:
    """(the jaxpr, its constants) of one that is closed or not."""
    return getattr(jaxpr, "jaxpr", jaxpr), getattr(jaxpr, "consts", ())


def _unroll(eqn: Any, given: Sequence[Any]) -> list[Any]:
    """What a scan gives: its last carry, and the rows of its outputs.

    Versions of jax describe differently what is carried; what is scanned has an axis more than its row.
    """
    params, (body, consts) = eqn.params, _opened(eqn.params["jaxpr"])
    scanned = [x.aval.ndim > row.aval.ndim for x, row in zip(eqn.invars, body.invars, strict=True)]
    carried = sum(x.aval.ndim == row.aval.ndim for x, row in zip(eqn.outvars, body.outvars, strict=True))
    last = len(given) - sum(scanned)  # constants, carry, scanned arrays: in this order
    fixed, carry, rows = given[: last - carried], given[last - carried : last], given[last:]
    stacks, order = [], range(params["length"])
    for t in reversed(order) if params["reverse"] else order:
        row = [jax.lax.index_in_dim(x, t, keepdims=False) for x in rows]
        out = _inline(body, consts, (*fixed, *carry, *row))
        carry = out[:carried]
        stacks.append([jax.lax.expand_dims(x, [0]) for x in out[carried:]])
    stacks = stacks[::-1] if params["reverse"] else stacks
    parts = [*zip(*stacks, strict=True)]
    return [*carry, *(part[0] if len(part) == 1 else jax.lax.concatenate(part, 0) for part in parts)]
