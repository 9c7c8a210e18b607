"""The rules of the source tree: who imports whom, where files are written, how long functions are.

What may break a rule stands in `tests/helpers/exceptions.py`, each with its reason.
"""

import ast
import re
import typing

from experiments.config.schema import RunConfig
from iacjax.algorithms.registry import ALGORITHMS
from iacjax.schema import bounds_of, types_of
from tests.helpers.exceptions import ALLOWED, PRIVATE_IN_TESTS
from tests.helpers.source import (
    PACKAGES,
    calls,
    circles,
    foreign_private_names,
    functions,
    import_graph,
    imported,
    is_private,
    modules,
    tops_of,
)

# The folders of experiments, from the lowest to the highest; those of one line do not import each other.
LAYERS = (
    ("common",),
    ("config",),
    ("loggers",),
    ("runs",),
    ("analysis", "distributed"),
    ("training",),
    ("figures", "sweeps", "smac", "benchmarks"),  # the last is a package of its own beside experiments
    ("commands",),
    ("notebook", "api"),
)
COMMANDS = {"run", "sweep", "evaluate", "record", "plot", "compare", "transfer", "reproduce", "benchmark", "smac_probe"}
COMMANDS |= {"package_policy", "export", "watch"}
COMMAND_LINES, FUNCTION_LINES, FILE_LINES = 120, 50, 300
SHARED_CLASS_NAMES = {"Learner", "Networks"}  # every algorithm has its own
HEAVY_FOR_CONFIGS = {"jax", "jaxlib", "flax", "optax", "chex", "distrax"}


def check(rule: str, found: set[str]) -> None:
    """What is found are the exceptions that have a reason, all of them and nothing else."""
    allowed = ALLOWED.get(rule, {}).keys()
    hint = "What was moved takes its line in tests/helpers/exceptions.py with it."
    assert found <= allowed, "\n".join([f"{rule}:", *sorted(found - allowed), hint])
    assert allowed <= found, "\n".join([f"{rule}, no exceptions any more:", *sorted(allowed - found), hint])


def layer(name: str) -> str | None:
    """The folder of experiments, "commands", "notebook" or "api"; "benchmarks"; None in envs and iacjax."""
    parts = name.split(".")
    if parts[0] == "benchmarks":
        return parts[0]
    if parts[0] != "experiments" or len(parts) == 1:
        return None
    if parts[1] == "notebook":
        return "notebook"
    return "commands" if parts[1] in COMMANDS else parts[1]


def test_there_is_something_to_check():
    assert tops_of(set(modules())) == set(PACKAGES) and len(modules()) > 200
    assert sum(len(reached) for reached in import_graph().values()) > 500
    assert COMMANDS == {name.split(".")[1] for name in modules() if layer(name) == "commands"}


def test_no_circle_of_imports():
    check("circle of imports", {" <-> ".join(group) for group in circles()})


def test_packages_import_one_way():
    """benchmarks -> experiments -> iacjax -> envs; the agents know an environment's interface alone."""
    interface = {"envs", "envs.base", "envs.errors", "envs.values"}
    found = set()
    for name, reached in import_graph().items():
        for other in reached:
            if name.startswith("envs") and not other.startswith("envs"):
                found.add(f"{name} -> {other}")
            if name.startswith("iacjax") and (other.startswith("experiments") or is_other_env(other, interface)):
                found.add(f"{name} -> {other}")
            if other.startswith("benchmarks") and not name.startswith("benchmarks"):
                found.add(f"{name} -> {other}")
    check("package", found)


def is_other_env(name: str, interface: set[str]) -> bool:
    return name.startswith("envs") and name not in interface


def test_nothing_of_ours_calls_the_python_api():
    """`iacjax.train` and its like are made of `experiments`; what is below must not ask for them."""
    import iacjax

    offered = {name for name in iacjax.__all__ if name not in ("Policy", "load_policy")}
    found = set()
    for name, module in modules().items():
        for node in ast.walk(module.tree):
            if isinstance(node, ast.ImportFrom) and node.module == "iacjax":
                found |= {f"{name}: {alias.name}" for alias in node.names if alias.name in offered}
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "iacjax" and node.attr in offered:
                found.add(f"{name}: {node.attr}")
    check("python API", found)


def test_layers_of_experiments():
    """A module imports its own folder and lower ones."""
    rank = {folder: k for k, folders in enumerate(LAYERS) for folder in folders}
    found = set()
    for name, reached in import_graph().items():
        for other in reached:
            a, b = layer(name), layer(other)
            if a is None or b is None:
                continue
            if rank[b] > rank[a] or (rank[a] == rank[b] and (a != b or a == "commands")):
                found.add(f"{name} -> {other}")
    check("layer", found)


def test_commands_are_imported_by_the_notebooks_helper_alone():
    found = set()
    for name, reached in import_graph().items():
        commands = {other for other in reached if layer(other) == "commands"}
        found |= {f"{name} -> {other}" for other in commands if layer(name) != "notebook"}
    check("import of a command", found)


def test_commands_are_short():
    found = {name for name, module in modules().items() if layer(name) == "commands" and module.lines > COMMAND_LINES}
    check("long command", found)


def test_private_names_stay_in_their_module():
    found = {f"{module.path}: {name}" for module in modules().values() for name in foreign_private_names(module)}
    check("private name", found)


def test_tests_use_public_names():
    names = {module.path: foreign_private_names(module) for module in modules("tests").values()}
    wrong = {path: found - PRIVATE_IN_TESTS.keys() for path, found in names.items() if found - PRIVATE_IN_TESTS.keys()}
    assert not wrong, wrong
    assert PRIVATE_IN_TESTS.keys() <= set().union(*names.values())


def test_jax_is_used_by_its_public_names():
    found = set()
    for module in modules(*PACKAGES, "tests").values():
        wide = imported(module.tree) | {ast.unparse(n) for n in ast.walk(module.tree) if isinstance(n, ast.Attribute)}
        if any(re.match(r"jax(lib)?(\.\w+)*\._[^_]", name) for name in wide):
            found.add(module.path)
    check("jax._src", found)


WRITERS = {
    *("write_text", "write_bytes", "save", "savez", "savez_compressed", "savetxt", "savefig", "dump", "tofile"),
    *("copy2", "copyfile", "copytree", "move", "rename", "symlink_to", "hardlink_to", "mkstemp", "NamedTemporaryFile"),
}


def writes(call: ast.Call, name: str, owner: str) -> bool:
    """It makes or changes a file."""
    if name == "open":
        given = [*call.args, *(word.value for word in call.keywords if word.arg == "mode")]
        modes = [each.value for each in given if isinstance(each, ast.Constant) and isinstance(each.value, str)]
        return any(set(mode) <= set("rwaxbt+") and set(mode) & set("wax+") for mode in modes)
    if name == "replace":  # pathlib's: text's takes two, dataclasses' takes names
        return owner == "os" or (len(call.args) == 1 and not call.keywords)
    if name in ("copy", "dump") and owner not in ("shutil", "json", "pickle"):
        return False
    return name in WRITERS and not owner.startswith("self")


def names_from_the_packages(tree: ast.AST) -> set[str]:
    """Names in this file of our own modules and of what they define: their own calls are looked at in their files."""
    nodes = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    ours = [node for node in nodes if (node.module or "").split(".")[0] in PACKAGES]
    return {alias.asname or alias.name for node in ours for alias in node.names}


def test_files_are_written_by_common_files_alone():
    found = set()
    for module in modules().values():
        ours = names_from_the_packages(module.tree)
        for call, called, owner in calls(module.tree):
            if (owner or called).split(".")[0] not in ours and writes(call, called, owner):
                found.add(f"{module.path}: {called}")
    found = {each for each in found if not each.startswith("experiments/common/files.py")}
    check("writes a file", found)


def test_the_chunk_loop_stands_in_training_loop_alone():
    """Nobody else calls a compiled chunk of iterations."""
    found = set()
    for name, module in modules().items():
        if name != "experiments.training.loop":
            found |= {module.path for _, called, _ in calls(module.tree) if called == "chunk"}
    check("calls chunk", found)


def test_configurations_import_no_jax():
    found = set()
    for module in modules().values():
        if module.file.name == "config.py" or module.path.startswith("experiments/config/"):
            heavy = tops_of(imported(module.tree)) & HEAVY_FOR_CONFIGS
            found |= {f"{module.path}: {name}" for name in heavy}
    check("heavy configuration", found)


def test_numbers_of_configurations_carry_their_bounds():
    kinds = {entry.config for entry in ALGORITHMS.values()} | {RunConfig}
    found, count = set(), 0
    for kind in kinds:
        numbers = {name for name, hint in types_of(kind).items() if {int, float} & {hint, *typing.get_args(hint)}}
        count += len(numbers)
        found |= {f"{kind.__name__}.{name}" for name in numbers - bounds_of(kind).keys()}
    assert count > 100
    check("number without bounds", found)


def test_losses_take_arrays_and_open_with_chex():
    """No configuration; the first statement of every public function checks its arguments with chex."""
    found, count = set(), 0
    for module in modules("iacjax/losses").values():
        found |= {f"{module.path}: {name}" for name in imported(module.tree) if "config" in name}
        for node in module.tree.body:
            if isinstance(node, ast.FunctionDef) and not is_private(node.name):
                count += 1
                body = node.body[1:] if ast.get_docstring(node) else node.body
                if node.args.args and not ast.unparse(body[0]).startswith("chex.assert_"):
                    found.add(f"{module.path}: {node.name}")
    assert count > 5
    check("loss", found)


def test_functions_and_files_are_short():
    found = set()
    for module in modules().values():
        if module.lines > FILE_LINES:
            found.add(module.path)
        for node in functions(module.tree):
            if node.end_lineno - node.lineno + 1 > FUNCTION_LINES:
                found.add(f"{module.path}: {node.name}")
    check("long", found)


def test_public_classes_have_names_of_their_own():
    places: dict[str, list[str]] = {}
    for module in modules().values():
        for node in module.tree.body:
            if isinstance(node, ast.ClassDef) and not is_private(node.name) and node.name not in SHARED_CLASS_NAMES:
                places.setdefault(node.name, []).append(module.path)
    check("class name", {f"{name}: {path}" for name, paths in places.items() if len(paths) > 1 for path in paths})
