"""What `notebooks/colab.py` adds to the notebooks, and that they have it as soon as the project has an address."""

import json
import runpy

import pytest

from tests.helpers.source import ROOT

COLAB = runpy.run_path(str(ROOT / "notebooks" / "colab.py"))
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
ADDRESS = "https://github.com/someone/iacjax"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_badge_and_a_cell_that_installs(path):
    before = json.loads(path.read_text())
    found = COLAB["with_colab"](before, ADDRESS, path.name)
    title, install, *others = found["cells"]
    assert title["source"][:3] == [before["cells"][0]["source"][0], "\n", COLAB["badge"](ADDRESS, path.name) + "\n"]
    assert f"/github/someone/iacjax/blob/main/notebooks/{path.name})" in title["source"][2]
    assert install["source"][-1].strip() == f"%pip install -q git+{ADDRESS}"
    assert [cell["source"] for cell in others] == [c["source"] for c in before["cells"][1:] if c["id"] != "colab"]
    counts = [cell["execution_count"] for cell in found["cells"] if cell["cell_type"] == "code"]
    assert counts == list(range(1, len(counts) + 1))
    assert COLAB["with_colab"](found, ADDRESS, path.name) == found  # twice is once
    assert ADDRESS not in json.dumps(COLAB["with_colab"](found, "https://github.com/other/name", path.name))


def test_the_notebooks_have_it_if_the_project_has_an_address():
    address = COLAB["repository"](ROOT / "pyproject.toml")
    for path in NOTEBOOKS:
        notebook = json.loads(path.read_text())
        if address:
            assert COLAB["with_colab"](notebook, address, path.name) == notebook
        else:
            assert "colab" not in {cell["id"] for cell in notebook["cells"]}


def test_a_project_without_an_address_is_one_line(tmp_path, monkeypatch, capsys):
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "iacjax"\n')
    monkeypatch.setitem(COLAB["main"].__globals__, "HERE", tmp_path / "notebooks")
    assert COLAB["main"]() == 2 and capsys.readouterr().err.count("\n") == 1
    (tmp_path / "pyproject.toml").write_text(f'[project]\nurls = {{Repository = "{ADDRESS}/"}}\n')
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "notebooks" / NOTEBOOKS[0].name).write_text(NOTEBOOKS[0].read_text())
    assert COLAB["main"]() == 0 and capsys.readouterr().out == COLAB["badge"](ADDRESS, NOTEBOOKS[0].name) + "\n"
