"""The primitives of a program as lines of NumPy, which NumPy 1.17 and Python 3.8 understand."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from envs.base import ConfigError
from iacjax.export.program import Operand, PerEnv, PolicyProgram, Step, Value

NUM_ENVS = "num_envs"  # what the number of environments is called in the code
OPERATORS = {
    **{"add": "{} + {}", "sub": "{} - {}", "mul": "{} * {}", "neg": "-{}", "square": "{0} * {0}"},
    **{"eq": "{} == {}", "ne": "{} != {}", "lt": "{} < {}", "le": "{} <= {}", "gt": "{} > {}", "ge": "{} >= {}"},
    **{"and": "{} & {}", "or": "{} | {}", "xor": "{} ^ {}", "not": "~{}"},
    **{"max": "np.maximum({}, {})", "min": "np.minimum({}, {})", "abs": "np.abs({})", "sign": "np.sign({})"},
    **{"exp": "np.exp({})", "expm1": "np.expm1({})", "log": "np.log({})", "log1p": "np.log1p({})"},
    **{"tanh": "np.tanh({})", "sin": "np.sin({})", "cos": "np.cos({})", "sqrt": "np.sqrt({})"},
    **{"floor": "np.floor({})", "ceil": "np.ceil({})", "pow": "np.power({}, {})", "is_finite": "np.isfinite({})"},
    "rsqrt": "np.float32(1) / np.sqrt({})",
    "logistic": "np.float32(0.5) * np.tanh(np.float32(0.5) * {}) + np.float32(0.5)",  # exp would overflow
    "clamp": "np.minimum(np.maximum({1}, {0}), {2})",
    **{"copy": "{}", "stop_gradient": "{}"},
}
REDUCTIONS = {"reduce_sum": "sum", "reduce_max": "max", "reduce_min": "min", "reduce_prod": "prod"}
REDUCTIONS |= {"reduce_and": "all", "reduce_or": "any"}


class Call(NamedTuple):
    """A step as its rule reads it: the code of its inputs, their shapes and dtypes, its parameters and its result."""

    inputs: Sequence[str]
    shapes: Sequence[tuple[Any, ...]]
    dtypes: Sequence[np.dtype]
    params: dict[str, Any]
    out: Value


def lines_of(program: PolicyProgram) -> list[str]:
    """An assignment for each step. A value is a variable of its name; a constant is `weights["name"]`.

    Raises:
      ConfigError: a primitive, or a form of it, that has no rule here; it names the primitive.
    """
    return [_line(step, program) for step in program.steps]


def code_of(operand: Operand, program: PolicyProgram) -> str:
    """The code that reads an operand."""
    if isinstance(operand, Value):
        return f'weights["{operand.name}"]' if operand.name in program.constants else operand.name
    if operand.dtype == bool:
        return f"np.bool_({bool(operand)})"
    text = repr(operand.item())
    return f"np.{operand.dtype}({text if operand.dtype.kind in 'iu' or np.isfinite(operand) else repr(text)})"


def size_text(size: Any) -> str:
    """The code of a size."""
    if isinstance(size, PerEnv):
        return NUM_ENVS if size.times == 1 else f"{size.times} * {NUM_ENVS}"
    return str(int(size))


def shape_text(shape: Sequence[Any]) -> str:
    """The code of a shape."""
    return f"({', '.join(map(size_text, shape))}{',' if len(shape) == 1 else ''})"


def _line(step: Step, program: PolicyProgram) -> str:
    name = step.primitive.name
    inputs = [code_of(each, program) for each in step.inputs]
    call = Call(
        inputs, [each.shape for each in step.inputs], [each.dtype for each in step.inputs], step.params, step.outputs[0]
    )
    if name == "split":
        return _split(call, step.outputs)
    if name in OPERATORS:
        code = OPERATORS[name].format(*inputs)
    elif name in REDUCTIONS:
        code = _reduction(call, REDUCTIONS[name])
    elif name in RULES:
        code = RULES[name](call)
    else:
        code = ""
    if not code:
        raise ConfigError(f"the policy computes {name}, which has no rule for NumPy here: export it to ONNX instead")
    return f"{step.outputs[0].name} = {code}"


def _reduction(call: Call, function: str) -> str:
    axes = tuple(int(axis) for axis in call.params["axes"])
    dtype = f", dtype=np.{call.out.dtype}" if function in ("sum", "prod") else ""  # NumPy's would be int64
    return f"np.{function}({call.inputs[0]}, axis={axes[0] if len(axes) == 1 else axes}{dtype})"


def _broadcast_in_dim(call: Call) -> str:
    kept = {int(axis): size for axis, size in zip(call.params["broadcast_dimensions"], call.shapes[0], strict=True)}
    shape, code = shape_text(call.out.shape), call.inputs[0]
    if not call.shapes[0]:
        return f"np.full({shape}, {code})"
    inner = tuple(kept.get(axis, 1) for axis in range(len(call.out.shape)))
    while inner[0] == 1 and len(inner) > len(kept):  # NumPy adds leading axes by itself
        inner = inner[1:]
    code = code if inner == call.shapes[0] else f"{code}.reshape({shape_text(inner)})"
    return f"np.broadcast_to({code}, {shape})"


def _slice(call: Call) -> str:
    p, parts = call.params, []
    for axis, size in enumerate(call.shapes[0]):
        start, end = p["start_indices"][axis], p["limit_indices"][axis]
        stride = p["strides"][axis] if p["strides"] else 1
        whole = start == 0 and end == size and stride == 1
        parts.append(":" if whole else f"{size_text(start)}:{size_text(end)}{'' if stride == 1 else f':{stride}'}")
    return f"{call.inputs[0]}[{', '.join(parts)}]"


def _split(call: Call, outputs: Sequence[Value]) -> str:
    """`a, b, c = ...`: parts of a range of the axis each."""
    parts, start, lead = [], 0, ":, " * call.params["axis"]
    for size in call.params["sizes"]:
        parts.append(f"{call.inputs[0]}[{lead}{start}:{start + size}]")
        start += size
    return f"{', '.join(value.name for value in outputs)} = {', '.join(parts)}"


def _dot_general(call: Call) -> str:
    (left, right), (batch_left, batch_right) = call.params["dimension_numbers"]
    ranks = [len(shape) for shape in call.shapes]
    batch = tuple(range(len(batch_left)))
    product = tuple(batch_left) == tuple(batch_right) == batch and ranks == [len(batch) + 2] * 2
    if product and tuple(left) == (ranks[0] - 1,) and tuple(right) == (ranks[1] - 2,):
        return f"np.matmul({', '.join(call.inputs)})"
    letters = iter("abcdefghijklmnopqrstuvwxyz")
    axes = [[""] * rank for rank in ranks]
    for a, b in (*zip(batch_left, batch_right, strict=True), *zip(left, right, strict=True)):
        axes[0][a] = axes[1][b] = next(letters)
    axes = [[axis or next(letters) for axis in each] for each in axes]
    free = [[axis for k, axis in enumerate(each) if k not in used] for each, used in
            zip(axes, ({*left, *batch_left}, {*right, *batch_right}), strict=True)]  # fmt: skip
    text = "".join([axes[0][axis] for axis in batch_left] + free[0] + free[1])
    return f'np.einsum("{"".join(axes[0])},{"".join(axes[1])}->{text}", {", ".join(call.inputs)})'


def _iota(call: Call) -> str:
    axis, shape = call.params["dimension"], call.params["shape"]
    row = shape_text([size if k == axis else 1 for k, size in enumerate(shape)])
    count = f"np.arange({size_text(shape[axis])}, dtype=np.{call.out.dtype})"
    return f"np.broadcast_to({count}.reshape({row}), {shape_text(shape)})"


def _arg(function: str) -> Callable[[Call], str]:
    def rule(call: Call) -> str:
        (axis,) = call.params["axes"]
        return f"np.{function}({call.inputs[0]}, axis={axis}).astype(np.{call.out.dtype})"

    return rule


def _gather(call: Call) -> str:
    """Rows of a table: table[i]. Indices outside it are those of its ends, as in jax's mode "clip"."""
    numbers, (table, indices) = call.params["dimension_numbers"], call.shapes
    rows = numbers.collapsed_slice_dims == numbers.start_index_map == (0,) and not numbers.operand_batching_dims
    whole = tuple(call.params["slice_sizes"]) == (1, *table[1:]) and indices[-1] == 1
    last = tuple(range(len(indices) - 1, len(call.out.shape)))
    if not (rows and whole and tuple(numbers.offset_dims) == last) or "FILL" in str(call.params["mode"]):
        return ""
    return f'np.take({call.inputs[0]}, {call.inputs[1]}[..., 0], axis=0, mode="clip")'


def _integer_pow(call: Call) -> str:
    return f"np.power({call.inputs[0]}, np.{call.out.dtype}({call.params['y']}))"


def _select_n(call: Call) -> str:
    if len(call.inputs) != 3 or call.dtypes[0].kind != "b":
        return ""
    which, if_false, if_true = call.inputs
    return f"np.where({which}, {if_true}, {if_false})"


def _cumsum(call: Call) -> str:
    p = call.params
    return "" if p["reverse"] else f"np.cumsum({call.inputs[0]}, axis={p['axis']}, dtype=np.{call.out.dtype})"


RULES: dict[str, Callable[[Call], str]] = {
    "argmax": _arg("argmax"),
    "argmin": _arg("argmin"),
    "broadcast_in_dim": _broadcast_in_dim,
    "concatenate": lambda call: f"np.concatenate([{', '.join(call.inputs)}], axis={call.params['dimension']})",
    "convert_element_type": lambda call: f"{call.inputs[0]}.astype(np.{_name(call.out.dtype)})",
    "cumsum": _cumsum,
    "div": lambda call: f"{call.inputs[0]} / {call.inputs[1]}" if call.out.dtype.kind == "f" else "",
    "dot_general": _dot_general,
    "gather": _gather,
    "integer_pow": _integer_pow,
    "iota": _iota,
    "reshape": lambda call: f"{call.inputs[0]}.reshape({shape_text(call.out.shape)})",
    "select_n": _select_n,
    "slice": _slice,
    "squeeze": lambda call: f"{call.inputs[0]}.reshape({shape_text(call.out.shape)})",
    "transpose": lambda call: f"{call.inputs[0]}.transpose({shape_text(call.params['permutation'])})",
}


def _name(dtype: np.dtype) -> str:
    return "bool_" if dtype.kind == "b" else str(dtype)
