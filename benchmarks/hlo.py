"""The kernels that a compiled program launches, from the text of its HLO module."""

import re
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

# Operations that are not kernels: names of values, and control flow, which counts by the kernels in it.
NO_KERNEL = frozenset(
    "parameter constant tuple get-tuple-element bitcast after-all opt-barrier partition-id replica-id domain "
    "copy-done async-done while conditional call".split()
)
FLOW = frozenset("while body cond closed_call checkpoint branch_0_fun branch_1_fun".split())
PARTS = ("rollout", "replay", "learning")
_COMPUTATION = re.compile(r"^(ENTRY )?%?([\w.\-]+) \(.*\) -> .* \{$")
_TYPE = r"(?:\((?:[^()]|\([^()]*\))*\)|\S+)"  # of a value: an array's, or a tuple's in parentheses
_INSTRUCTION = re.compile(rf"^\s+(?:ROOT )?%?([\w.\-]+) = {_TYPE} ([\w\-]+)\(")
_BRANCHES = re.compile(r"(?:true_computation|false_computation)=%?([\w.\-]+)|branch_computations=\{([^}]*)\}")


class Instruction(NamedTuple):
    """One line of a computation."""

    name: str
    operation: str
    line: str

    def attribute(self, pattern: str) -> str:
        """What the group of the pattern matches in the line; "" without a match."""
        found = re.search(pattern, self.line)
        return found.group(1) if found else ""


class Kernel(NamedTuple):
    """A kernel, and how often an iteration launches it."""

    loops: tuple[str, ...]  # from the outside in, each "<what it does>[iterations]"
    part: str  # of a training iteration
    operation: str
    times: int


def computations(text: str) -> dict[str, list[Instruction]]:
    """The computations of a module by name; the entry's again under "ENTRY"."""
    found: dict[str, list[Instruction]] = {}
    current: list[Instruction] | None = None
    for line in text.splitlines():
        opening = _COMPUTATION.match(line)
        if opening:
            current = found.setdefault(opening.group(2), [])
            if opening.group(1):
                found["ENTRY"] = current
        elif line.startswith("}"):
            current = None
        elif current is not None and (match := _INSTRUCTION.match(line)):
            current.append(Instruction(match.group(1), match.group(2), line))
    return found


def _place(source: str) -> str:
    """The last two names of an operation's scopes: "jit(f)/while/body/jvp(Net)/GRU_0/mul" -> "jvp(Net)/GRU_0"."""
    words = [word for word in source.split("/")[:-1] if word not in FLOW]
    return "/".join(words[-2:])


def part_of(source: str) -> str:
    """Which part of a training iteration an operation's name belongs to, by the scopes of `iacjax.trainer`."""
    found = re.findall(rf"\b({'|'.join(PARTS)})\b", source)
    return found[-1] if found else "other"


class _At(NamedTuple):
    """A place in the program: its loops and part, and how often a training iteration reaches it."""

    loops: tuple[str, ...]
    part: str
    times: int
    turns: int  # of loops of unknown length


def _walk(found: dict[str, list[Instruction]], name: str, at: _At) -> Iterator[Kernel]:
    for instruction in found[name]:
        operation, source = instruction.operation, instruction.attribute(r'op_name="([^"]*)"')
        part = part_of(source) if source else at.part
        if operation == "while":
            known = instruction.attribute(r'known_trip_count":\{"n":"(\d+)"')
            count = int(known) if known else (at.turns if at.loops else 1)  # the outermost one goes over iterations
            loops = (*at.loops, f"{_place(source) or 'loop'}[{count}]")
            inside = _At(loops, part if part != "other" else at.part, at.times * count, at.turns)
            yield from _walk(found, instruction.attribute(r"body=%?([\w.\-]+)"), inside)
            if not known:
                yield from _walk(found, instruction.attribute(r"condition=%?([\w.\-]+)"), inside)
        elif operation == "conditional":
            names = [
                word.strip(" %") for pair in _BRANCHES.findall(instruction.line) for word in "".join(pair).split(",")
            ]
            branches = [list(_walk(found, branch, at)) for branch in names]
            yield from max(branches, key=total)
        elif operation == "call":
            yield from _walk(found, instruction.attribute(r"to_apply=%?([\w.\-]+)"), at)
        elif operation not in NO_KERNEL:
            yield Kernel(at.loops, part, operation, at.times)


def kernels(text: str, turns: int = 1) -> list[Kernel]:
    """Every kernel of a module's text, with how often one iteration of its outermost loop launches it.

    A branch counts as the one with the most kernels. A loop of unknown length counts `turns` times, the outermost of
    these, which goes over iterations, once.
    """
    return list(_walk(computations(text), "ENTRY", _At((), "other", 1, turns)))


def total(found: list[Kernel]) -> int:
    """Launches per iteration."""
    return sum(kernel.times for kernel in found)


def by_part(found: list[Kernel]) -> dict[str, int]:
    """Launches per iteration of each of PARTS; kernels without a name (copies) belong to the loop around them."""
    count: Counter[str] = Counter()
    for kernel in found:
        count[kernel.part] += kernel.times
    return dict(count.most_common())


def by_loop(found: list[Kernel]) -> list[tuple[str, int]]:
    """(loops from the outside in, launches per iteration in the innermost), most first."""
    count: Counter[str] = Counter()
    for kernel in found:
        count[" > ".join((kernel.part, *kernel.loops[1:]))] += kernel.times
    return count.most_common()
