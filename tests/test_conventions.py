"""What imports cost, what is documented, and what may not stand in the pure code."""

import ast
import json
import subprocess
import sys

import pytest

from envs.registry import known_envs
from iacjax.algorithms.registry import ALGORITHMS
from tests.helpers.source import ROOT, calls, imported, modules, tops_of

EXCEPTIONS = {"iacjax/low_rank_gaussian.py": {"distrax"}}  # a class of its kind; only what needs it imports the module
HEAVY = {"jaxmarl", "jumanji", "gymnax", "matplotlib", "distrax"}


def imports_at_load(tree: ast.Module) -> set[str]:
    """Those made when the module is loaded: not in a function, nor for type checkers only."""
    names, waiting = set(), list(tree.body)
    while waiting:
        node = waiting.pop()
        typing_only = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda) or typing_only:
            continue
        if isinstance(node, ast.Import | ast.ImportFrom):
            names |= imported(node)
        waiting += ast.iter_child_nodes(node)
    return names


def test_heavy_packages_are_imported_where_they_are_used():
    found = {module.path: tops_of(imports_at_load(module.tree)) & HEAVY for module in modules().values()}
    assert {name: heavy for name, heavy in found.items() if heavy} == EXCEPTIONS


def loaded_after(code: str) -> set[str]:
    """Top-level modules that a fresh interpreter holds after `code`."""
    report = "import sys, json; print('\\n' + json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", f"{code}\n{report}"], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_importing_the_agents_pulls_in_nothing_heavy():
    code = "import iacjax.policy, iacjax.trainer, iacjax.algorithms.intrinsic.learner, envs.registry, envs.smax.env"
    loaded = loaded_after(code)
    assert loaded & (HEAVY | {"PIL", "orbax", "tyro", "experiments"}) == set()
    assert "jax" in loaded


@pytest.mark.parametrize(
    "command",
    [
        "run",
        "sweep",
        "evaluate",
        "record",
        "export",
        "package_policy",
        "plot",
        "watch",
        "compare",
        "benchmark",
        "reproduce",
    ],
)
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


def test_compiled_code_calls_nothing_outside_it():
    """No print, no callback out of a compiled program, no debugger; log lines belong to experiments."""
    banned = {"print", "breakpoint", "io_callback", "pure_callback", "debug_callback", "callback"}
    wrong = []
    for module in modules("envs", "iacjax").values():
        for node, called, owner in calls(module.tree):
            if called in banned or owner.split(".")[-1] == "debug":
                wrong.append(f"{module.path}:{node.lineno} calls {ast.unparse(node.func)}")
    assert wrong == []


def test_public_names_are_documented():
    wrong = []
    for module in modules().values():
        if not ast.get_docstring(module.tree) and module.tree.body:
            wrong.append(f"{module.path} has no docstring")
        for node in module.tree.body:
            public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
            if public and not ast.get_docstring(node) and len(ast.unparse(node).splitlines()) > 6:
                wrong.append(f"{module.path}: {node.name} has no docstring")
    assert wrong == []


def test_no_variable_is_called_done():
    """It would not say which: first, terminated, truncated, alive and mask are five things."""
    wrong = []
    for module in modules("envs", "iacjax").values():
        for node in ast.walk(module.tree):
            name = getattr(node, "id", None) or getattr(node, "arg", None) or getattr(node, "attr", None)
            if name in {"done", "dones"}:
                wrong.append(f"{module.path}:{node.lineno} names {name}")
    assert wrong == []


def test_every_registered_name_is_documented():
    text = "".join((ROOT / page).read_text() for page in ("README.md", "docs/environments.md"))
    assert [name for name in ALGORITHMS if name not in text] == []
    families = {name.partition(":")[:2] for name in known_envs()}
    assert [family for family, colon in families if f"`{family}{colon or '`'}" not in text] == []
    assert [name for name, entry in ALGORITHMS.items() if not entry.summary or not entry.config.__doc__] == []
