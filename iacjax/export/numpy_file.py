"""One file of Python that plays a trained policy with NumPy alone: its program as code, its weights as text."""

import base64
import io
import re
import textwrap
import types
from typing import Any

import numpy as np

from iacjax.export.numpy_code import NUM_ENVS, code_of, lines_of, shape_text
from iacjax.export.program import Operand, PerEnv, PolicyProgram
from iacjax.export.trace import trace_policy

TEMPLATE = '''"""The greedy policy that {title}, with NumPy alone.

Written by iacjax. It needs Python 3.8 and NumPy 1.17, or newer ones, and no other file:

    policy = Policy()
    carry, first = policy.carry(1), [True]  # of one environment; True where an episode begins
    carry, action = policy.act(carry, {arguments})

In E environments side by side:

{table}
"""

import base64
import io

import numpy as np

INPUTS = {inputs}


class Policy:
    """`act` gives the actions of all agents for one step, and what it has to be given in the next."""

    algo, env, seed = {algo!r}, {env!r}, {seed}

    def __init__(self):
        with np.load(io.BytesIO(base64.b64decode(WEIGHTS))) as arrays:
            self.weights = dict(arrays)

    def carry(self, num_envs=1):
        """The carry before the first step: a dict of arrays with a row for each environment."""
        return {start}

    def act(self, carry, {arguments}):
        """(the next carry, action {action})."""
        num_envs = len(obs)
{checks}
        weights = self.weights
        with np.errstate(all="ignore"):
{body}
        return {next_carry}, {result}


def _checked(name, value, num_envs):
    """The input `name` as an array; ValueError where it has another shape."""
    dtype, shape = INPUTS[name]
    value = np.asarray(value, dtype)
    if value.shape != (num_envs,) + shape:
        raise ValueError("%s must have the shape %s, not %s" % (name, (num_envs,) + shape, value.shape))
    return value


# An npz file in base64.
WEIGHTS = """
{weights}
"""
'''


def source_of(policy: Any, seed_index: int = 0) -> str:
    """The source of a module with a class `Policy`, which plays one seed of an `iacjax.Policy` greedily.

    Raises:
      ConfigError: the policy cannot be exported; see `trace_policy` and `lines_of`.
    """
    program = trace_policy(policy, seed_index)
    start, more = _start(program)
    names = [value.name for value in program.inputs]
    lines = [f"{line}  # {shape}" for line, shape in zip(lines_of(program), _shapes(program), strict=True)]
    checks = [f'{name} = _checked("{name}", {name}, num_envs)' for name in names]
    checks += [f'{value.name} = np.asarray(carry["{value.name}"], "{value.dtype}")' for value in program.carry]
    after = (f'"{v.name}": {code_of(new, program)}' for v, new in zip(program.carry, program.next_carry, strict=True))
    return TEMPLATE.format(
        algo=str(policy.algo),
        env=str(policy.spec.name),
        seed=int(policy.seeds[seed_index]),
        title=_plain(f"{policy.algo} learned in {policy.spec.name} (seed {policy.seeds[seed_index]})"),
        arguments=", ".join(names),
        table=textwrap.indent("\n".join(_table(program)), "    "),
        inputs={value.name: (str(value.dtype), value.shape[1:]) for value in program.inputs},
        start=start,
        action=type_text(program.action),
        checks=textwrap.indent("\n".join(checks), " " * 8),
        body=textwrap.indent("\n".join(lines or ["pass"]), " " * 12),
        next_carry=f"{{{', '.join(after)}}}",
        result=code_of(program.action, program),
        weights=_text(program.constants | more),
    )


def load(source: str, name: str = "policy_np") -> Any:
    """The `Policy` of such a source."""
    module = types.ModuleType(name)
    exec(compile(source, f"{name}.py", "exec"), module.__dict__)
    return module.Policy()


def type_text(value: Operand) -> str:
    """For people: float32[E, 3, 30]."""
    sizes = [
        ("E" if each == PerEnv(1) else f"{each.times} E") if isinstance(each, PerEnv) else str(each)
        for each in value.shape
    ]
    return f"{value.dtype}[{', '.join(sizes)}]"


def _plain(text: str) -> str:
    """Names from a file, which may be someone else's, as text that cannot become code."""
    return re.sub(r"[^\w :.,+()-]", "?", text, flags=re.ASCII)


def _shapes(program: PolicyProgram) -> list[str]:
    return [type_text(step.outputs[0]) for step in program.steps]


def _table(program: PolicyProgram) -> list[str]:
    """The inputs, the carry and the action, a line each."""
    rows = [(value.name, type_text(value)) for value in program.inputs]
    rows += [(f'carry["{value.name}"]', type_text(value)) for value in program.carry]
    rows += [("action", type_text(program.action))]
    width = max(len(name) for name, _ in rows)
    return [f"{name:{width}}  {text}" for name, text in rows]


def _start(program: PolicyProgram) -> tuple[str, dict[str, np.ndarray]]:
    """The code of the first carry, and the arrays that it needs besides the weights."""
    parts, more = [], {}
    for name, value in program.start.items():
        if (value == value.flat[0]).all():
            shape = shape_text((PerEnv(1), *value.shape))
            parts.append(f'"{name}": np.full({shape}, {code_of(value.flat[0], program)})')
        else:
            more[f"start_{name}"] = value
            parts.append(f'"{name}": np.repeat(self.weights["start_{name}"][None], {NUM_ENVS}, axis=0)')
    return f"{{{', '.join(parts)}}}", more


def _text(arrays: dict[str, np.ndarray]) -> str:
    content = io.BytesIO()
    np.savez(content, **arrays)
    return "\n".join(textwrap.wrap(base64.b64encode(content.getvalue()).decode(), 116))
