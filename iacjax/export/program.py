"""Programs: a policy's greedy step as a list of primitives, from which the files for other stacks are written.

The number E of environments is open: a size is an integer, or `PerEnv(n)`, n times E.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.extend.core import Primitive


class PerEnv(NamedTuple):
    """A size that is `times` the number of environments."""

    times: int


class Value(NamedTuple):
    """What an operation gives or reads."""

    name: str
    shape: tuple[int | PerEnv, ...]
    dtype: np.dtype


Operand = Value | np.ndarray  # an array is a scalar


class Step(NamedTuple):
    """One operation: `outputs` = primitive(`inputs`, **params)."""

    primitive: Primitive
    inputs: tuple[Operand, ...]
    outputs: tuple[Value, ...]
    params: dict[str, Any]  # of the primitive; sizes may be `PerEnv`


class PolicyProgram(NamedTuple):
    """The greedy step: `inputs` and the carry in, the action and the next carry out."""

    inputs: tuple[Value, ...]  # obs, avail (of discrete actions), state and alive where they are read, first
    carry: tuple[Value, ...]  # what the action depends on, of the policy's carry
    start: dict[str, np.ndarray]  # {name: the carry of one environment before the first step}
    constants: dict[str, np.ndarray]  # weights, and what depends on weights alone
    steps: tuple[Step, ...]
    action: Operand
    next_carry: tuple[Operand, ...]


def each_size(change: Callable[[Any], Any], value: Any) -> Any:
    """`value`, a shape or a primitive's parameter, with every `PerEnv` in it changed by `change`."""
    if isinstance(value, PerEnv):
        return change(value)
    if isinstance(value, tuple | list):
        return like(value, [each_size(change, each) for each in value])
    return value


def like(kind: tuple | list, items: list[Any]) -> Any:
    """A tuple, named tuple or list of the same kind, of `items`."""
    return type(kind)(*items) if hasattr(kind, "_fields") else type(kind)(items)


def has_rows(value: Any) -> bool:
    """Whether a shape or a parameter depends on the number of environments."""
    found: list[PerEnv] = []
    each_size(found.append, value)
    return bool(found)


def run(program: PolicyProgram, inputs: dict[str, jax.Array]) -> tuple[jax.Array, ...]:
    """The program in jax, as its primitives: (action, *next carry). `inputs` are those of the program and the carry."""
    values = {**program.constants, **inputs}
    num_envs = inputs["obs"].shape[0]

    def read(operand):
        return values[operand.name] if isinstance(operand, Value) else operand

    for step in program.steps:
        params = {name: each_size(lambda rows: rows.times * num_envs, each) for name, each in step.params.items()}
        out = step.primitive.bind(*map(read, step.inputs), **params)
        out = out if step.primitive.multiple_results else [out]
        values.update(zip((value.name for value in step.outputs), out, strict=True))
    return tuple(map(read, (program.action, *program.next_carry)))
