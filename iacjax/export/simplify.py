"""Programs made shorter: what depends on weights alone is computed, and what the action does not need is left out."""

from collections.abc import Iterable

import jax
import numpy as np

from iacjax.export.program import Operand, PolicyProgram, Step, Value, has_rows

RESHAPES = {"reshape", "squeeze", "broadcast_in_dim"}  # the last where it adds axes of 1 alone
SAME = {"convert_element_type", "slice", "copy", "stop_gradient"}  # where the result has the input's shape and dtype


def simplify(program: PolicyProgram) -> PolicyProgram:
    """The same program, with as few steps, constants and carried values as its actions need."""
    return _without_unused(_with_few_reshapes(_with_known(_without_unused(program))))


def _names(operands: Iterable[Operand]) -> set[str]:
    return {each.name for each in operands if isinstance(each, Value)}


def _without_unused(program: PolicyProgram) -> PolicyProgram:
    """What the action depends on, directly or through the carry of earlier steps."""
    carried: list[int] = []
    while True:
        needed, steps = _names([program.action, *(program.next_carry[i] for i in carried)]), []
        for step in reversed(program.steps):
            if _names(step.outputs) & needed:
                needed |= _names(step.inputs)
                steps.append(step)
        now = [i for i, value in enumerate(program.carry) if value.name in needed]
        if now == carried:
            break
        carried = now
    return program._replace(
        carry=tuple(program.carry[i] for i in carried),
        next_carry=tuple(program.next_carry[i] for i in carried),
        constants={name: value for name, value in program.constants.items() if name in needed},
        steps=tuple(reversed(steps)),
    )


def _with_known(program: PolicyProgram) -> PolicyProgram:
    """What depends on constants alone is a constant, and a scalar stands where it is read."""
    known, steps, left = set(program.constants), [], []
    for step in program.steps:
        open_sizes = has_rows([*step.params.values(), *(value.shape for value in step.outputs)])
        ready = _names(step.inputs) <= known and not open_sizes
        (steps if ready else left).append(step)
        known |= _names(step.outputs) if ready else set()
    constants = program.constants | _computed(steps, program.constants)

    def read(operand: Operand) -> Operand:
        value = constants.get(operand.name) if isinstance(operand, Value) else None
        return operand if value is None or value.ndim else value

    return _changed(program._replace(constants=constants, steps=tuple(left)), read)


def _computed(steps: Iterable[Step], constants: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """What the steps give, by name; in one compiled program."""

    @jax.jit
    def compute(values):
        for step in steps:
            given = [values[each.name] if isinstance(each, Value) else each for each in step.inputs]
            out = step.primitive.bind(*given, **step.params)
            out = out if step.primitive.multiple_results else [out]
            values |= dict(zip((value.name for value in step.outputs), out, strict=True))
        return {value.name: values[value.name] for step in steps for value in step.outputs}

    return {name: np.asarray(value) for name, value in compute(constants).items()}


def _changed(program: PolicyProgram, read) -> PolicyProgram:
    """The program with every operand changed by `read`."""
    steps = tuple(step._replace(inputs=tuple(map(read, step.inputs))) for step in program.steps)
    return program._replace(steps=steps, action=read(program.action), next_carry=tuple(map(read, program.next_carry)))


def _with_few_reshapes(program: PolicyProgram) -> PolicyProgram:
    """A reshape of a reshape is one, or none where the first shape comes back; other steps without effect go too."""
    first: dict[str, Operand] = {}  # of a reshaped value, the value that it was made of
    same: dict[str, Value] = {}
    steps = []

    def read(operand: Operand) -> Operand:
        return same.get(operand.name, operand) if isinstance(operand, Value) else operand

    for step in program.steps:
        step = step._replace(inputs=tuple(map(read, step.inputs)))
        source, out = step.inputs[0], step.outputs[0]
        if _is_reshape(step):
            source = first.get(source.name, source)
            params = {"new_sizes": out.shape, "dimensions": None, "sharding": None}
            step = Step(jax.lax.reshape_p, (source,), step.outputs, params)
            first[out.name] = source
        elif step.primitive.name not in SAME:
            steps.append(step)
            continue
        if isinstance(source, Value) and source[1:] == out[1:]:
            same[out.name] = source
        else:
            steps.append(step)
    return _changed(program._replace(steps=tuple(steps)), read)


def _is_reshape(step: Step) -> bool:
    if step.primitive.name not in RESHAPES or not isinstance(step.inputs[0], Value):
        return False
    if step.primitive.name != "broadcast_in_dim":
        return step.params.get("dimensions") is None or step.primitive.name == "squeeze"
    kept = [size for size in step.outputs[0].shape if size != 1]
    return kept == [size for size in step.inputs[0].shape if size != 1]
