"""What the documentation names exists: files, modules, and the definitions in the tables of equations."""

import ast
import pathlib
import re

ROOT = pathlib.Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("**/*.md"))]
TOPS = ("benchmarks", "docs", "envs", "experiments", "iacjax", "notebooks", "results", "tests")
MADE = ("results/",)  # files that commands of the docs write; some are not committed


def text(page):
    return page.read_text()


def test_paths_exist():
    missing, made = [], walk_files()
    for page in PAGES:
        for path in re.findall(r"`((?:[\w.-]+/)+[\w.-]*)`", text(page)):
            if path in made or any(file.startswith(path) for file in made):
                continue
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
    missing, made = [], walk_files()
    for page in PAGES:
        for name in re.findall(r"\b((?:benchmarks|envs|experiments|iacjax|tests)(?:\.\w+)+)", text(page)):
            parts = name.split(".")
            files = ["/".join(parts[:k]) + ".py" for k in range(2, len(parts) + 1)]
            found = any(file in made or (ROOT / file).exists() for file in files)
            found |= len(parts) == 2 and parts[1] in definitions(ROOT / parts[0] / "__init__.py")
            if not found and not (ROOT / "/".join(parts)).is_dir():
                missing.append(f"{page.name}: {name}")
    assert missing == []


def test_definitions_are_where_the_tables_say():
    """Rows like "`A`, `B` (`path`)" name classes or functions of that file."""
    missing, count = [], 0
    for names, path in re.findall(r"((?:`\w+`(?:, )?)+) \(`([\w/]+\.py)`\)", text(ROOT / "docs" / "equations.md")):
        tree = ast.parse((ROOT / path).read_text())
        defined = {getattr(node, "name", None) for node in tree.body}
        missing += [f"{path}: {name}" for name in re.findall(r"`(\w+)`", names) if name not in defined]
        count += 1
    assert count > 10 and missing == []


def walk_files():
    """The files that CONTRIBUTING's walks write: {path: source}."""
    pattern = r"^`([\w/]+\.py)`:\n\n```python\n(.*?)```"
    return dict(re.findall(pattern, text(ROOT / "CONTRIBUTING.md"), flags=re.DOTALL | re.MULTILINE))


def definitions(path):
    tree = ast.parse(path.read_text())
    names = {getattr(node, "name", None) for node in ast.walk(tree)}
    names |= {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    names |= {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return names | {node.value for node in ast.walk(tree) if isinstance(node, ast.Constant)}  # __all__ with __getattr__


def test_code_imports_what_exists():
    """Code in the pages and in CONTRIBUTING's walks parses, and what it imports from our packages is defined there."""
    made, missing = walk_files(), []
    assert len(made) >= 8
    pages = [page for page in PAGES if page.name != "CONTRIBUTING.md"]
    blocks = [
        (p.name, block) for p in pages for block in re.findall(r"^```python\n(.*?)```", text(p), re.DOTALL | re.M)
    ]
    for path, source in [*made.items(), *blocks]:
        for node in ast.walk(ast.parse(source)):
            if not isinstance(node, ast.ImportFrom) or node.module.split(".")[0] not in TOPS:
                continue
            file = ROOT / node.module.replace(".", "/")
            if f"{node.module.replace('.', '/')}.py" in made:
                continue
            names = {alias.name for alias in node.names}
            if file.is_dir():
                names = {name for name in names if not (file / f"{name}.py").exists()}
                file = file / "__init__"
            missing += [f"{path}: {node.module}.{name}" for name in names - definitions(file.with_suffix(".py"))]
    assert missing == []
