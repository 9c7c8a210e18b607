"""The documentation site builds without a warning, and has every page; where the extra `docs` is installed."""

import pathlib
import subprocess
import sys

import pytest

pytest.importorskip("mkdocs")
pytest.importorskip("mkdocstrings_handlers.python")

ROOT = pathlib.Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    directory = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(directory)]
    built = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    return directory


def test_every_page_is_there(site):
    pages = {path.relative_to(ROOT / "docs").with_suffix(".html") for path in ROOT.glob("docs/**/*.md")}
    assert len(pages) > 15
    assert {str(page) for page in pages if not (site / page).exists()} == set()


def test_the_reference_has_the_docstrings(site):
    page = (site / "reference" / "training.html").read_text()
    assert "Builds the compiled functions of a run." in page and 'id="iacjax.trainer.make_trainer"' in page


def test_pictures_of_results_and_the_walks_of_contributing_are_in_it(site):
    assert (site / "results" / "smac" / "maps.png").exists()
    assert "Add an algorithm" in (site / "contributing.html").read_text()
