"""What the documentation names exists: files, modules, and the definitions in README's tables of equations."""

import ast
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
TOPS = ("docs", "envs", "experiments", "iacjax", "notebooks", "results", "tests")
MADE = ("results/",)  # files that commands of the docs write; some are not committed


def text(page):
    return page.read_text()


def test_paths_exist():
    missing = []
    for page in PAGES:
        for path in re.findall(r"`((?:[\w.-]+/)+[\w.-]*)`", text(page)):
            if path.split("/")[0] in TOPS and not path.startswith(MADE) and not (ROOT / path).exists():
                missing.append(f"{page.name}: {path}")
    assert missing == []


def test_links_lead_to_files():
    missing = []
    for page in PAGES:
        for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", text(page)):
            if "://" not in link and not (page.parent / link).exists():
                missing.append(f"{page.name}: {link}")
    assert missing == []


def test_modules_exist():
    missing = []
    for page in PAGES:
        for name in re.findall(r"\b((?:envs|experiments|iacjax|tests)(?:\.\w+)+)", text(page)):
            parts = name.split(".")
            found = any((ROOT / "/".join(parts[:k])).with_suffix(".py").exists() for k in range(2, len(parts) + 1))
            if not found and not (ROOT / "/".join(parts)).is_dir():
                missing.append(f"{page.name}: {name}")
    assert missing == []


def test_definitions_are_where_readme_says():
    """Rows like "`A`, `B` (`path`)" name classes or functions of that file."""
    missing, count = [], 0
    for names, path in re.findall(r"((?:`\w+`(?:, )?)+) \(`([\w/]+\.py)`\)", text(ROOT / "README.md")):
        tree = ast.parse((ROOT / path).read_text())
        defined = {getattr(node, "name", None) for node in tree.body}
        missing += [f"{path}: {name}" for name in re.findall(r"`(\w+)`", names) if name not in defined]
        count += 1
    assert count > 10 and missing == []
