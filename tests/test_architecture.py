"""The arrows between packages, what imports cost, and what may not stand in the pure code."""

import ast
import json
import pathlib
import subprocess
import sys

import pytest

from envs.registry import known_envs
from iacjax.algorithms.registry import ALGORITHMS

ROOT = pathlib.Path(__file__).parents[1]
EXCEPTIONS = {"iacjax/low_rank_gaussian.py": {"distrax"}}  # a class of its kind; only what needs it imports the module
HEAVY = {"jaxmarl", "jumanji", "gymnax", "matplotlib", "distrax"}
FORBIDDEN = {"envs": {"iacjax", "experiments"}, "iacjax": {"experiments"}}
SOURCES = sorted(file for package in ("envs", "iacjax", "experiments") for file in (ROOT / package).rglob("*.py"))


def name_of(file: pathlib.Path) -> str:
    return str(file.relative_to(ROOT))


def imports(tree: ast.AST) -> set[str]:
    """Dotted names of all modules imported anywhere below `tree`."""
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return names


def tops(names: set[str]) -> set[str]:
    return {name.split(".")[0] for name in names}


def imports_at_load(tree: ast.Module) -> set[str]:
    """Those made when the module is loaded: not in a function, nor for type checkers only."""
    names, waiting = set(), list(tree.body)
    while waiting:
        node = waiting.pop()
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or typing_only:
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= imports(node)
        waiting += ast.iter_child_nodes(node)
    return names


@pytest.fixture(scope="module")
def trees():
    return {file: ast.parse(file.read_text()) for file in SOURCES}


def test_there_is_something_to_check(trees):
    assert {file.relative_to(ROOT).parts[0] for file in trees} == {"envs", "iacjax", "experiments"}


def test_arrows_point_one_way(trees):
    wrong = []
    for file, tree in trees.items():
        package = file.relative_to(ROOT).parts[0]
        wrong += [f"{name_of(file)} imports {name}" for name in tops(imports(tree)) & FORBIDDEN.get(package, set())]
    assert wrong == []


def test_the_agents_know_the_contract_of_the_worlds_and_no_world(trees):
    allowed = {"envs.base", "envs.errors", "envs.values"}  # values.py knows no world either
    wrong = []
    for file, tree in trees.items():
        if file.relative_to(ROOT).parts[0] == "iacjax":
            worlds = {".".join(name.split(".")[:2]) for name in imports(tree) if name.split(".")[0] == "envs"}
            wrong += [f"{name_of(file)} imports {name}" for name in worlds - allowed - {"envs"}]
    assert wrong == []


def test_heavy_packages_are_imported_where_they_are_used(trees):
    found = {name_of(file): tops(imports_at_load(tree)) & HEAVY for file, tree in trees.items()}
    assert {name: heavy for name, heavy in found.items() if heavy} == EXCEPTIONS


def loaded_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after `code`."""
    report = "import sys, json; print('\\n' + json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_agents_pulls_in_nothing_heavy():
    code = "import iacjax.policy, iacjax.train, iacjax.algorithms.intrinsic.learner, envs.registry, envs.smax.env"
    loaded = loaded_after(code)
    assert loaded & (HEAVY | {"PIL", "orbax", "tyro", "experiments"}) == set()
    assert "jax" in loaded


@pytest.mark.parametrize("command", ["run", "sweep", "evaluate", "record", "plot", "compare", "benchmark", "reproduce"])
def test_help_imports_no_jax(command):
    code = f"""
import runpy, sys
sys.argv = ["experiments.{command}", "--help"]
try:
    runpy.run_module("experiments.{command}", run_name="__main__")
except SystemExit as stop:
    assert not stop.code, stop.code
"""
    assert loaded_after(code) & (HEAVY | {"jax", "jaxlib", "flax", "optax"}) == set()


def test_nothing_in_the_agents_talks_to_the_world(trees):
    """No print, no callback out of a compiled program, no debugger; log lines belong to experiments."""
    banned = {"print", "breakpoint", "io_callback", "pure_callback", "debug_callback", "callback"}
    wrong = []
    for file, tree in trees.items():
        if file.relative_to(ROOT).parts[0] == "experiments":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
                owner = ast.unparse(node.func).split(".")
                if called in banned or owner[-2:-1] == ["debug"]:
                    wrong.append(f"{name_of(file)}:{node.lineno} calls {ast.unparse(node.func)}")
    assert wrong == []


def test_public_names_are_documented(trees):
    wrong = []
    for file, tree in trees.items():
        if not ast.get_docstring(tree) and file.read_text().strip():
            wrong.append(f"{name_of(file)} has no docstring")
        for node in tree.body:
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            if public and not ast.get_docstring(node) and len(ast.unparse(node).splitlines()) > 6:
                wrong.append(f"{name_of(file)}: {node.name} has no docstring")
    assert wrong == []


def test_no_variable_is_called_done(trees):
    """It would not say which: first, terminated, truncated, alive and mask are five things."""
    wrong = []
    for file, tree in trees.items():
        if file.relative_to(ROOT).parts[0] == "experiments":
            continue
        for node in ast.walk(tree):
            name = getattr(node, "id", None) or getattr(node, "arg", None) or getattr(node, "attr", None)
            if name in {"done", "dones"}:
                wrong.append(f"{name_of(file)}:{node.lineno} names {name}")
    assert wrong == []


def test_every_registered_name_is_documented():
    text = (ROOT / "README.md").read_text()
    assert [name for name in ALGORITHMS if name not in text] == []
    families = {name.partition(":")[:2] for name in known_envs()}
    assert [family for family, colon in families if f"`{family}{colon or '`'}" not in text] == []
    assert [name for name, entry in ALGORITHMS.items() if not entry.summary or not entry.config.__doc__] == []
