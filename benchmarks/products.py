"""The matrix products of a program, counted in its jaxpr: how many of each shape, and their multiply-adds."""

import math
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

from benchmarks.hlo import part_of


class Shape(NamedTuple):
    """`batch` products of [m, k] with [k, n]."""

    batch: int
    m: int
    k: int
    n: int

    @property
    def multiply_adds(self) -> int:
        """b m k n: a multiplication and an addition for each entry of a factor that an output is made of."""
        return math.prod(self)


def _dot_shape(equation: Any) -> Shape:
    (contracted, _), (batch, _) = equation.params["dimension_numbers"]
    left, right = (variable.aval.shape for variable in equation.invars)
    b, k = (math.prod(left[axis] for axis in axes) for axes in (batch, contracted))
    return Shape(b, math.prod(left) // max(b * k, 1), k, math.prod(right) // max(b * k, 1))


def _convolution_shape(equation: Any) -> Shape:
    kernel, out = equation.invars[1].aval.shape, equation.outvars[0].aval.shape
    channels = kernel[equation.params["dimension_numbers"].rhs_spec[0]]
    groups = equation.params["feature_group_count"]
    k = math.prod(kernel) // channels
    return Shape(groups, math.prod(out) // channels, k, channels // groups)


SHAPES = {"dot_general": _dot_shape, "conv_general_dilated": _convolution_shape}


def _inner(equation: Any, turns: int) -> Iterator[tuple[Any, int]]:
    """The jaxprs in an equation, and how often each is evaluated."""
    import jax.extend.core as jex

    name, params = equation.primitive.name, equation.params
    if name == "while":
        yield from ((params[key], turns) for key in ("cond_jaxpr", "body_jaxpr"))
        return
    times = params["length"] if name == "scan" else 1
    for value in params.values():
        for part in value if isinstance(value, tuple | list) else (value,):
            if isinstance(part, jex.ClosedJaxpr):
                yield part.jaxpr, times
            elif isinstance(part, jex.Jaxpr):
                yield part, times


def _multiply_adds(found: Counter) -> int:
    return sum(shape.multiply_adds * count for (_, shape), count in found.items())


def _count(jaxpr: Any, turns: int, part: str) -> Counter:
    jaxpr = getattr(jaxpr, "jaxpr", jaxpr)
    found: Counter = Counter()
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        own = part_of(f"{equation.source_info.name_stack}/")
        here = part if own == "other" else own
        if name in SHAPES:
            found[here, SHAPES[name](equation)] += 1
            continue
        inside = []
        for inner, times in _inner(equation, turns):
            inside.append(Counter({key: times * count for key, count in _count(inner, turns, here).items()}))
        if name == "cond":  # one branch is taken
            inside = [max(inside, key=_multiply_adds)]
        found.update(sum(inside, Counter()))
    return found


def products(function: Any, *args: Any, turns: int = 1) -> Counter:
    """{(part, Shape): how often a call of `function` computes such a product}.

    Counted as traced, without what no result depends on, and with what a checkpoint computes again. Parts are those of
    a training iteration (`benchmarks.hlo.PARTS`), "other" outside of them. A scan counts as often as it is long, a loop
    of unknown length `turns` times, and of branches the one with the most multiply-adds. Products that the code
    writes as sums, such as a mixer's over a few agents, are none.

    Args:
      args: arrays, or their shapes.
    """
    import jax
    from jax.interpreters import partial_eval

    closed = jax.make_jaxpr(function)(*args)
    jaxpr, _ = partial_eval.dce_jaxpr(closed.jaxpr, [True] * len(closed.jaxpr.outvars))
    return _count(jaxpr, turns, "other")
