"""Adds to the notebooks what Google Colab needs: a badge that opens each of them there, a cell that installs iacjax.

    python notebooks/colab.py

It takes the address from pyproject.toml (Repository in [project.urls]). Run it again after the address has changed. The
cell does nothing outside of Colab.
"""

import json
import pathlib
import sys
import tomllib
from typing import Any

HERE = pathlib.Path(__file__).parent
IDENTITY = "colab"  # of the cell that installs
BADGE = "[![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)]"
INSTALL = """import sys

if "google.colab" in sys.modules:  # elsewhere the project is installed already
    %pip install -q git+{address}"""


def repository(project: pathlib.Path) -> str:
    """The project's address on GitHub, from its pyproject.toml; "" if it has none yet."""
    return tomllib.loads(project.read_text())["project"].get("urls", {}).get("Repository", "").rstrip("/")


def badge(address: str, name: str) -> str:
    """The Markdown of the badge for the notebook `name`."""
    place = address.removeprefix("https://github.com/")
    return f"{BADGE}(https://colab.research.google.com/github/{place}/blob/main/notebooks/{name})"


def with_colab(notebook: dict[str, Any], address: str, name: str) -> dict[str, Any]:
    """The notebook with the badge below its title, and the cell that installs as its second one, each once."""
    title, *others = [cell for cell in notebook["cells"] if cell["id"] != IDENTITY]
    lines = "".join(title["source"]).split("\n")
    text = [lines[0], "", badge(address, name), "", *[line for line in lines[1:] if not line.startswith(BADGE)]]
    while text[4:] and not text[4]:
        del text[4]
    install = {"cell_type": "code", "id": IDENTITY, "metadata": {}, "outputs": [], "execution_count": 1}
    install["source"] = INSTALL.format(address=address).splitlines(keepends=True)
    title = {**title, "source": "\n".join(text).splitlines(keepends=True)}
    return {**notebook, "cells": _numbered([title, install, *others])}


def _numbered(cells: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The cells with execution counts from 1 on, as if they had been executed in order."""
    found, number = [], 0
    for cell in cells:
        if cell["cell_type"] == "code":
            number += 1
            outputs = [{**o, "execution_count": number} if "execution_count" in o else o for o in cell["outputs"]]
            cell = {**cell, "execution_count": number, "outputs": outputs}
        found.append(cell)
    return found


def main() -> int:
    """Rewrites the notebooks. The exit code: 2 if the project has no address."""
    address = repository(HERE.parent / "pyproject.toml")
    if not address.startswith("https://github.com/"):
        line = 'Repository = "https://github.com/OWNER/NAME"'
        print(f"error: pyproject.toml has no address on GitHub: add {line} to [project.urls]", file=sys.stderr)
        return 2
    for path in sorted(HERE.glob("*.ipynb")):
        notebook = with_colab(json.loads(path.read_text()), address, path.name)
        path.write_text(json.dumps(notebook, indent=1, ensure_ascii=False) + "\n")
        print(badge(address, path.name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
