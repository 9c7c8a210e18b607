"""Every notebook is executed from its first cell to its last at a tiny budget, and what is committed of it is checked.

A notebook joins by a line in `BUDGETS`: values for names of its cell tagged `parameters`, and how many pictures it
shows. Notebooks need the extra `notebooks` (part of `test` and `dev`).
"""

import ast
import os
import pathlib
import re
import types
from typing import Any, NamedTuple

import pytest

nbformat = pytest.importorskip("nbformat", reason="notebooks are executed by nbclient and ipykernel: install them")

ROOT = pathlib.Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
MACHINE_PATH = re.compile(r"(?<![\w.~])/(home|root|work|tmp|usr|opt|Users|mnt|var)/|[A-Z]:\\\\Users")
MAX_PICTURE, MAX_NOTEBOOK = 400_000, 2_500_000  # characters of base64, and of the whole file
MAX_LINES = 6  # of a function or class in a notebook: logic belongs to the package ...
OWN_LOGIC = {"05_your_env"}  # ... unless it is what the notebook shows how to write


class Budget(NamedTuple):
    """What replaces a notebook's parameters in the test, and how many pictures it must then show."""

    parameters: dict[str, Any]
    pictures: int
    slow: bool = False  # takes 30 s of the processor or more, and what it calls has tests of its own


TINY_BATTLE = {"num_envs": 2, "rollout_length": 16, "minibatches": 1, "epochs": 1, "eval_episodes": 2}
TINY_IAC = {"num_envs": 2, "rollout_length": 2, "updates_per_step": 0.25, "batch_size": 4, "buffer_size": 64}
TINY_IAC |= {"warmup": 4, "eval_episodes": 2, "hidden_dim": 4, "heads": 2, "policy_layers": 1}
BUDGETS = {
    "01_quickstart": Budget(
        {"ALGO": "ippo", "TOTAL_STEPS": 64, "SEEDS": 1, "EPISODES": 2, "OPTIONS": TINY_BATTLE}, pictures=3
    ),
    "02_iac": Budget(
        {
            "SIMPLE_STEPS": 16,
            "SIMPLE_SEEDS": 1,
            "SIMPLE_OPTIONS": TINY_IAC,
            "PENDULUM_STEPS": 8,
            "PENDULUM_OPTIONS": TINY_IAC,
        },
        pictures=4,
        slow=True,
    ),
    "03_aiir_mix": Budget(
        {"ENV": "smax:3m", "TOTAL_STEPS": 64, "SEEDS": 1, "OPTIONS": TINY_BATTLE}, pictures=5, slow=True
    ),
    "04_sweep": Budget(
        {
            "ENV": ["toy:coordination"],
            "GRID": ["lr=5e-4,2e-3", "entropy=0.01,0.1"],
            "SEEDS": 2,
            "TOTAL_STEPS": 2048,
            "OPTIONS": {"eval_every": 1024, "eval_episodes": 2},
        },
        pictures=3,
        slow=True,
    ),
    "05_your_env": Budget({"COUNT": 3, "TOTAL_STEPS": 64, "OPTIONS": TINY_BATTLE}, pictures=3),
}


def read(path: pathlib.Path) -> Any:
    return nbformat.read(path, as_version=4)


def code_of(notebook: Any) -> list[Any]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def parameters_of(notebook: Any) -> Any:
    """The one cell tagged `parameters`."""
    (cell,) = [cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ())]
    return cell


def pictures_of(notebook: Any) -> list[str]:
    """The pictures (base64) in the outputs."""
    outputs = [output.get("data", {}) for cell in code_of(notebook) for output in cell.outputs]
    return [data[kind] for data in outputs for kind in ("image/png", "image/gif") if kind in data]


def progress_of(cell: Any) -> list[str]:
    """The lines of a cell's output that say how far a training is."""
    texts = [output.get("text") or output.get("data", {}).get("text/plain", "") for output in cell.outputs]
    return [line for text in texts for line in text.splitlines() if "ETA" in line]


def python_of(cell: Any) -> ast.Module:
    """A cell's code, without the lines that are IPython's own."""
    return ast.parse(re.sub(r"^( *)[%!].*$", r"\1pass", cell.source, flags=re.MULTILINE))


@pytest.fixture(params=NOTEBOOKS, ids=lambda path: path.stem)
def path(request):
    return request.param


def test_every_notebook_has_a_budget():
    assert len(NOTEBOOKS) >= 2 and {path.stem for path in NOTEBOOKS} <= set(BUDGETS)


def test_it_begins_with_a_title_and_has_one_cell_of_plain_parameters(path):
    notebook = read(path)
    assert notebook.cells[0].cell_type == "markdown" and notebook.cells[0].source.startswith("# ")
    assert "minute" in notebook.cells[0].source  # how long it takes
    statements = python_of(parameters_of(notebook)).body
    assert all(isinstance(statement, ast.Assign) for statement in statements)
    names = {target.id for statement in statements for target in statement.targets}
    for statement in statements:
        ast.literal_eval(statement.value)  # numbers, words, lists
    assert set(BUDGETS[path.stem].parameters) <= names


def test_it_was_executed_in_order_without_an_error(path):
    cells = code_of(read(path))
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))
    outputs = [output for cell in cells for output in cell.outputs]
    assert [output.output_type for output in outputs if output.output_type == "error"] == []
    assert [output.text for output in outputs if output.get("name") == "stderr"] == []
    assert len(pictures_of(read(path))) >= BUDGETS[path.stem].pictures


def test_it_is_small_and_tells_nothing_of_the_machine(path):
    text, notebook = path.read_text(), read(path)
    pictures = pictures_of(notebook)
    for picture in pictures:
        text = text.replace(picture, "")  # base64 may spell anything
    assert MACHINE_PATH.search(text) is None
    assert max(map(len, pictures), default=0) <= MAX_PICTURE and path.stat().st_size <= MAX_NOTEBOOK
    assert [cell.id for cell in notebook.cells if "execution" in cell.metadata] == []  # times of the clock


def test_it_holds_no_logic(path):
    if path.stem in OWN_LOGIC:
        pytest.skip(f"{path.stem} shows how to write a world: its code stands in it")
    long = [
        node.name
        for cell in code_of(read(path))
        for node in ast.walk(python_of(cell))
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and len(ast.unparse(node).splitlines()) > MAX_LINES
    ]
    assert long == []


def test_what_it_imports_of_ours_exists(path):
    """Without running it: its imports, and what it takes of the modules that it has imported."""
    found = {}
    for cell in code_of(read(path)):
        for node in ast.walk(python_of(cell)):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module] if isinstance(node, ast.ImportFrom) else []
            if {name.split(".")[0] for name in modules} & {"iacjax", "envs", "experiments"}:
                exec(ast.unparse(node), found)
            elif isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
                module = found.get(node.value.id)
                assert not isinstance(module, types.ModuleType) or hasattr(module, node.attr), ast.unparse(node)
    assert len(found) > 1


def execute(notebook: Any, parameters: dict[str, Any], directory: pathlib.Path) -> Any:
    """Runs all cells in `directory` with other parameters, in a kernel of this Python; raises what a cell raises."""
    from nbclient import NotebookClient

    cell = parameters_of(notebook)
    cell.source += "".join(f"\n{name} = {value!r}" for name, value in parameters.items())
    paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    client = NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(directory)}}
    )
    return client.execute(env={**os.environ, "PYTHONPATH": paths, "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"})


def marks_of(path: pathlib.Path) -> list[Any]:
    return [pytest.mark.slow] if path.stem in BUDGETS and BUDGETS[path.stem].slow else []


@pytest.mark.parametrize("path", [pytest.param(path, id=path.stem, marks=marks_of(path)) for path in NOTEBOOKS])
def test_it_runs_from_top_to_bottom(path, tmp_path):
    budget = BUDGETS[path.stem]
    ran = execute(read(path), budget.parameters, tmp_path)
    assert len(pictures_of(ran)) >= budget.pictures
    lines = [progress_of(cell) for cell in code_of(ran)]
    assert max(map(len, lines)) == 1 and all("100 %" in line for shown in lines for line in shown)  # one that moves
