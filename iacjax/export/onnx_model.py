"""A trained policy as an ONNX model, by jax2onnx.

jax2onnx is given the program's primitives, not `Policy.act` itself. There it would replace functions of jax.numpy and
flax by its own: 0.13 to 0.17 turn `jax.nn.one_hot(-1)`, no action yet, into the last action, and cannot convert layers
under `vmap` (HAPPO).
"""

import contextlib
import json
import logging
from collections.abc import Iterator
from typing import Any

import jax

from envs.base import ConfigError
from iacjax.export.program import Operand, PolicyProgram, Value, run
from iacjax.export.trace import trace_policy

BATCH = "E"  # the open size's name
OPSET = 18  # ONNX Runtime 1.14 and newer


def model_of(policy: Any, seed_index: int = 0) -> bytes:
    """The greedy policy of one seed as an ONNX model, serialized.

    Its inputs are obs, avail (of discrete actions), first, and the parts of the carry; its outputs are action, and the
    parts of the next carry with `next_` before their names. The number of environments E is open.

    Raises:
      ConfigError: jax2onnx is not installed, or cannot convert a primitive; see also `trace_policy`.
    """
    try:
        with _quiet():
            import jax2onnx
            import onnx
    except ImportError as error:
        raise ConfigError(f"ONNX needs the package {error.name}: pip install 'iacjax[export]'") from error
    program = trace_policy(policy, seed_index)
    outputs = {"action": program.action}
    outputs |= {f"next_{old.name}": new for old, new in zip(program.carry, program.next_carry, strict=True)}
    copies = _copies(program, outputs)
    try:
        with _quiet():
            model = _convert(jax2onnx, program, [name not in copies for name in outputs])
    except Exception as error:  # it raises many kinds
        raise ConfigError(f"jax2onnx cannot convert the policy ({next(iter(str(error).splitlines()), '')})") from error
    _name_outputs(onnx, model, list(outputs), copies)
    _describe(model, policy, seed_index)
    return model.SerializeToString()


def _convert(jax2onnx: Any, program: PolicyProgram, wanted: list[bool]) -> Any:
    """The program as a model, with those outputs that are `wanted`, of the action and the next carry."""
    given = (*program.inputs, *program.carry)
    names = [value.name for value in given]

    def function(*arrays):
        out = run(program, dict(zip(names, arrays, strict=True)))
        return tuple(value for value, is_wanted in zip(out, wanted, strict=True) if is_wanted)

    shapes = [jax.ShapeDtypeStruct((BATCH, *value.shape[1:]), value.dtype) for value in given]
    return jax2onnx.to_onnx(function, inputs=shapes, input_names=names, model_name="policy", opset=OPSET)


def _copies(program: PolicyProgram, outputs: dict[str, Operand]) -> dict[str, str]:
    """{output: an input or an earlier output of the same value}: jax2onnx cannot give one value two names."""
    seen, copies = {value.name: value.name for value in (*program.inputs, *program.carry)}, {}
    for name, value in outputs.items():
        if isinstance(value, Value):
            if value.name in seen:
                copies[name] = seen[value.name]
            seen.setdefault(value.name, name)
    return copies


def _name_outputs(onnx: Any, model: Any, names: list[str], copies: dict[str, str]) -> None:
    """Gives the outputs their names and their order, copies included. Shapes of other values are dropped, as some of
    those that jax2onnx writes are wrong."""
    graph = model.graph
    known = {each.name: each for each in graph.input}
    known |= {name: each for name, each in zip((n for n in names if n not in copies), graph.output, strict=True)}
    sources = {name: known[name].name for name in names if name not in copies}
    ordered = []
    for name in names:
        source = sources[name] if name in sources else sources.get(copies[name], copies[name])
        graph.node.append(onnx.helper.make_node("Identity", [source], [name], name=name))
        ordered.append(onnx.ValueInfoProto())
        ordered[-1].CopyFrom(known[name if name in sources else copies[name]])
        ordered[-1].name = name
    del graph.output[:], graph.value_info[:]
    graph.output.extend(ordered)


def _describe(model: Any, policy: Any, seed_index: int) -> None:
    spec = policy.spec
    facts = {"algo": policy.algo, "env": spec.name, "seed": policy.seeds[seed_index], "num_agents": spec.num_agents}
    for key, value in facts.items():
        entry = model.metadata_props.add()
        entry.key, entry.value = key, value if isinstance(value, str) else json.dumps(int(value))


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Without what is logged for every shape that is not known, and for parts of jax2onnx that are not needed."""
    loggers = [logging.getLogger(name) for name in ("onnx_ir", "jax2onnx")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
