"""From a policy to its program: `Policy.act` is traced by jax, so that one way covers every algorithm.

The step is traced with 2 and with 3 environments; a size that differs is a multiple of their number.
"""

import itertools
import keyword
import re
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np
from jax.extend.core import Literal

from envs.base import ConfigError, TimeStep
from iacjax.export.flatten import flat_jaxpr
from iacjax.export.program import Operand, PerEnv, PolicyProgram, Step, Value, like
from iacjax.export.simplify import simplify

TRACED = (2, 3)  # numbers of environments
READABLE = ("obs", "avail", "state", "alive", "first")  # what a player knows, where the policy reads it
RESERVED = re.compile(r"x\d+(_\d+)?|constant_\d+|carry|weights|num_envs|action|np|self")  # other names in the files
ALWAYS = ("obs", "avail", "first")  # inputs of every policy, so that those of one environment can be exchanged


def trace_policy(policy: Any, seed_index: int = 0) -> PolicyProgram:
    """The program of a `Policy`, by the parameters of one of its seeds.

    Raises:
      ConfigError: there is no such seed; the policy reads what a player does not know, the reward for instance; or it
        depends on the number of environments, other than by having a row for each.
    """
    if not 0 <= seed_index < len(policy.params):
        raise ConfigError(f"seed_index must be from 0 to {len(policy.params) - 1}, not {seed_index}")
    params = policy.params[seed_index]

    def step(timestep, first, carry, params):
        carry, action = policy._replace(params=(params,)).act(carry, timestep, first)
        return action, carry

    given = [(*_observed(policy, num_envs), _carry(policy, num_envs), params) for num_envs in TRACED]
    names = _names(given[0])
    merged = _Merged([flat_jaxpr(step, *each) for each in given], [name for group in names for name in group])
    weights = dict(zip(names[3], map(np.asarray, jax.tree.leaves(params)), strict=True))
    inputs = [merged.values[name] for name in (*names[0], *names[1])]
    carried = tuple(merged.values[name] for name in names[2])
    program = simplify(PolicyProgram(tuple(inputs), carried, {}, weights | merged.constants, *merged.body()))
    return _with_inputs(program, policy.spec.action.discrete)._replace(start=_start(policy, names[2], program))


def _observed(policy: Any, num_envs: int) -> tuple[TimeStep, jax.ShapeDtypeStruct]:
    """(timestep, first) of so many environments."""
    spec = policy.spec

    def array(dtype, *shape):
        return jax.ShapeDtypeStruct((num_envs, *shape), dtype)

    timestep = TimeStep(
        obs=array(np.float32, spec.num_agents, spec.obs_dim),
        state=array(np.float32, spec.state_dim),
        avail=array(bool, spec.num_agents, spec.action.num_actions),
        alive=array(bool, spec.num_agents),
        reward=array(np.float32),
        terminated=array(bool),
        truncated=array(bool),
        info={},
    )
    return timestep, array(bool)


def _carry(policy: Any, num_envs: int) -> Any:
    return jax.eval_shape(lambda: policy.carry(num_envs))


def _start(policy: Any, names: Sequence[str], program: PolicyProgram) -> dict[str, np.ndarray]:
    """{name: what is carried into the first step of one environment}."""
    if not program.carry:
        return {}
    values = dict(zip(names, jax.tree.leaves(jax.jit(lambda: policy.carry(1))()), strict=True))
    return {value.name: np.asarray(values[value.name])[0] for value in program.carry}


def _names(groups: Sequence[Any]) -> list[list[str]]:
    """An identifier for each leaf of each tree, made of the names on the way to it; all are different."""
    taken: set[str] = set()
    found = []
    for tree, default in zip(groups, ("timestep", "first", "carry", "weight"), strict=True):
        found.append([])
        for path, _ in jax.tree_util.tree_leaves_with_path(tree):
            words = [word for word in re.findall(r"\w+", jax.tree_util.keystr(path)) if word != "params"]
            text = "_".join(words) or default
            usable = text.isidentifier() and not keyword.iskeyword(text) and not RESERVED.fullmatch(text)
            text = text if usable else f"{default}_{text}"
            others = (f"{text}_{k}" for k in itertools.count(2))
            name = next(name for name in itertools.chain([text], others) if name not in taken)
            taken.add(name)
            found[-1].append(name)
    return found


def _with_inputs(program: PolicyProgram, discrete: bool) -> PolicyProgram:
    """The program with the inputs that are to be given: what it reads, and what every policy is given."""
    read = {each.name for step in program.steps for each in step.inputs if isinstance(each, Value)}
    read |= {each.name for each in (program.action, *program.next_carry) if isinstance(each, Value)}
    unknown = sorted(each.name for each in program.inputs if each.name in read - set(READABLE))
    if unknown:
        raise ConfigError(
            f"the policy acts by {unknown[0]}, which other programs do not give it: it cannot be exported"
        )
    given = read | {name for name in ALWAYS if discrete or name != "avail"}
    inputs = {each.name: each for each in program.inputs}
    return program._replace(inputs=tuple(inputs[name] for name in READABLE if name in given))


class _Merged:
    """Two traces of one function, with 2 and with 3 environments, as one."""

    def __init__(self, traces: Sequence[Any], names: Sequence[str]):
        self._traces = [trace.jaxpr for trace in traces]
        self._known: list[dict[Any, Value]] = [{}, {}]
        consts = [[np.asarray(value) for value in trace.consts] for trace in traces]
        self.constants = {f"constant_{i}": value for i, value in enumerate(consts[0])}
        if len(consts[0]) != len(consts[1]) or not all(map(_equal, *consts)):
            raise _depends("a constant")
        self._define([trace.constvars for trace in self._traces], list(self.constants))
        self.values = {each.name: each for each in self._define([trace.invars for trace in self._traces], names)}

    def body(self) -> tuple[tuple[Step, ...], Operand, tuple[Operand, ...]]:
        """(steps, the action, the next carry)."""
        equations = [trace.eqns for trace in self._traces]
        if [each.primitive for each in equations[0]] != [each.primitive for each in equations[1]]:
            raise _depends("what it computes")
        steps = []
        for i, pair in enumerate(zip(*equations, strict=True)):
            inputs = self._read([eqn.invars for eqn in pair])
            params = {name: _merge(pair[0].params[name], pair[1].params[name]) for name in pair[0].params}
            count = len(pair[0].outvars)
            names = [f"x{i}" if count == 1 else f"x{i}_{k}" for k in range(count)]
            steps.append(Step(pair[0].primitive, inputs, self._define([eqn.outvars for eqn in pair], names), params))
        action, *carry = self._read([trace.outvars for trace in self._traces])
        return tuple(steps), action, tuple(carry)

    def _define(self, pair: Sequence[Sequence[Any]], names: Sequence[str]) -> tuple[Value, ...]:
        values = []
        for a, b, name in zip(*pair, names, strict=True):
            dtype = a.aval.dtype if isinstance(a.aval.dtype, np.dtype) else np.dtype(object)  # of a random key
            self._known[0][a] = self._known[1][b] = Value(name, _merge(a.aval.shape, b.aval.shape), dtype)
            values.append(self._known[0][a])
        return tuple(values)

    def _read(self, pair: Sequence[Sequence[Any]]) -> tuple[Operand, ...]:
        found = []
        for a, b in zip(*pair, strict=True):
            one, two = (
                x.val if isinstance(x, Literal) else known[x] for x, known in zip((a, b), self._known, strict=True)
            )
            if isinstance(one, Value) != isinstance(two, Value) or not (one is two or _equal(one, two)):
                raise _depends("what it computes")
            found.append(one if isinstance(one, Value) else np.asarray(one, a.aval.dtype))
        return tuple(found)


def _equal(a: Any, b: Any) -> bool:
    a, b = np.asarray(a), np.asarray(b)
    return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")


def _merge(two: Any, three: Any) -> Any:
    """A shape, or a parameter of a primitive, of the traces with 2 and with 3 environments, as one."""
    if isinstance(two, tuple | list) and isinstance(three, tuple | list) and len(two) == len(three):
        return like(two, [_merge(a, b) for a, b in zip(two, three, strict=True)])
    if two is three or two == three:
        return two
    if (
        isinstance(two, int | np.integer)
        and isinstance(three, int | np.integer)
        and two * TRACED[1] == three * TRACED[0]
    ):
        return PerEnv(int(two) // TRACED[0])
    raise _depends("a size")


def _depends(what: str) -> ConfigError:
    return ConfigError(f"the policy cannot be exported: {what} depends on the number of environments")
