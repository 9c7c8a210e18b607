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
            inner = eqn.params["jaxpr" if "jaxpr" in eqn.params else "call_jaxpr"]
            out = _inline(getattr(inner, "jaxpr", inner), getattr(inner, "consts", ()), given)
        elif eqn.primitive.name == "scan":
            out = _unroll(eqn.params, given)
        else:
            out = eqn.primitive.bind(*given, **eqn.params)
            out = out if eqn.primitive.multiple_results else [out]
        values.update(zip(eqn.outvars, out, strict=True))
    return [x.val if isinstance(x, Literal) else values[x] for x in jaxpr.outvars]


def _unroll(params: dict[str, Any], given: Sequence[Any]) -> list[Any]:
    """What a scan gives: its last carry, and the rows of its outputs."""
    body, split = params["jaxpr"], params["num_consts"] + params["num_carry"]
    consts, carry, rows = given[: params["num_consts"]], given[params["num_consts"] : split], given[split:]
    stacks, order = [], range(params["length"])
    for t in reversed(order) if params["reverse"] else order:
        row = [jax.lax.index_in_dim(x, t, keepdims=False) for x in rows]
        out = _inline(body.jaxpr, body.consts, (*consts, *carry, *row))
        carry = out[: params["num_carry"]]
        stacks.append([jax.lax.expand_dims(x, [0]) for x in out[params["num_carry"] :]])
    stacks = stacks[::-1] if params["reverse"] else stacks
    return [
        *carry,
        *(parts[0] if len(parts) == 1 else jax.lax.concatenate(parts, 0) for parts in zip(*stacks, strict=True)),
    ]
