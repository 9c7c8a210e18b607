"""The source tree as data: modules, which of them imports which, and names that begin with an underscore."""

import ast
import functools
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

ROOT = pathlib.Path(__file__).parents[2]
PACKAGES = ("envs", "iacjax", "experiments", "benchmarks")
PUBLIC = {"_replace", "_asdict", "_fields", "_field_defaults", "_make", "_exit"}  # of NamedTuple and os, documented


class Module(NamedTuple):
    """One file."""

    name: str  # dotted; a package's is that of its __init__.py
    file: pathlib.Path
    tree: ast.Module

    @property
    def path(self) -> str:
        """Relative to the root, as messages write it."""
        return str(self.file.relative_to(ROOT))

    @property
    def lines(self) -> int:
        return len(self.file.read_text().splitlines())


@functools.cache
def modules(*tops: str) -> dict[str, Module]:
    """Those below the folders `tops`, by name; by default those of the packages."""
    found = {}
    for top in tops or PACKAGES:
        for file in sorted((ROOT / top).rglob("*.py")):
            name = ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            found[name] = Module(name, file, ast.parse(file.read_text()))
    return found


def imported(tree: ast.AST) -> set[str]:
    """Dotted names of all that is imported anywhere below `tree`, in functions too: `a.b` and `a.b.c` of
    `from a.b import c`."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def tops_of(names: set[str]) -> set[str]:
    """Their packages."""
    return {name.split(".")[0] for name in names}


@functools.cache
def import_graph() -> dict[str, set[str]]:
    """{module: the modules of the packages that it imports}. `from a import b` is an import of module `a.b` where there
    is one, and of `a` otherwise; a name of a registry, `"a.b:make"`, is an import of `a.b`. Not so the names that the
    package `iacjax` offers its users: nothing of ours asks it for one (`test_nothing_of_ours_calls_the_python_api`)."""
    known, graph = modules(), {}
    for name, module in known.items():
        reached = set()
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Import):
                reached |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module:
                full = [f"{node.module}.{alias.name}" for alias in node.names]
                reached |= {each if each in known else node.module for each in full}
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and ":" in node.value:
                if name == "iacjax":
                    continue
                reached.add(node.value.partition(":")[0])
        graph[name] = (reached & known.keys()) - {name}
    return graph


def circles() -> list[list[str]]:
    """Groups of modules that reach each other."""
    graph = import_graph()
    reach = {}
    for name in graph:
        seen, waiting = set(), [name]
        while waiting:
            new = graph[waiting.pop()] - seen
            seen |= new
            waiting += new
        reach[name] = seen
    groups = {tuple(sorted(b for b in reach[a] if a in reach[b])) for a in graph if a in reach[a]}
    return sorted(map(list, groups))


def calls(tree: ast.AST) -> Iterator[tuple[ast.Call, str, str]]:
    """(call, name of what is called, what it is called on): `a.b.c(1)` -> (..., "c", "a.b")."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            if isinstance(node.func, ast.Attribute):
                yield node, node.func.attr, ast.unparse(node.func.value)
            elif isinstance(node.func, ast.Name):
                yield node, node.func.id, ""


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All of them, nested ones and methods too."""
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def is_private(name: str) -> bool:
    """Begins with one underscore."""
    return name.startswith("_") and not name.startswith("__") and name not in PUBLIC and name.strip("_") != ""


def foreign_private_names(module: Module) -> set[str]:
    """Private names that `module` uses and does not define: imported, read from an object, or put in their place by
    `setattr`; as the source says them."""
    own, used = set(), {}
    for node in ast.walk(module.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            own.add(node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            own.add(node.id)
        elif isinstance(node, ast.arg):
            own.add(node.arg)
        elif isinstance(node, ast.Attribute) and is_private(node.attr):
            if isinstance(node.ctx, ast.Store) and ast.unparse(node.value) in ("self", "cls"):
                own.add(node.attr)
            else:
                used[ast.unparse(node)] = node.attr
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if is_private(alias.name):
                    used[f"{node.module}.{alias.name}"] = f"{node.module}.{alias.name}"
            if any(is_private(part) for part in (node.module or "").split(".")):
                used[node.module] = node.module
    for node, name, _ in calls(module.tree):
        if name in ("setattr", "getattr", "delattr") and len(node.args) > 1 and isinstance(node.args[1], ast.Constant):
            if isinstance(node.args[1].value, str) and is_private(node.args[1].value):
                used[f"{ast.unparse(node.args[0])}.{node.args[1].value}"] = node.args[1].value
    return {text for text, name in used.items() if name not in own}
