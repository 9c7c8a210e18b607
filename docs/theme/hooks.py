"""What mkdocs needs that lies outside of `docs`: CONTRIBUTING.md as a page, and the pictures in `results`.

Links in the pages lead to files of the repository, so that they work there too; here those to `../results/` and to
CONTRIBUTING.md are turned to their copies in the site, and those to notebooks to their names.
"""

import pathlib
import re

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parents[2]
CONTRIBUTING = "contributing.md"


def on_files(files, config):
    """Adds the page and the pictures."""
    text = (ROOT / "CONTRIBUTING.md").read_text()
    files.append(File.generated(config, CONTRIBUTING, content=text))
    for picture in sorted(ROOT.glob("results/**/*.png")):
        path = picture.relative_to(ROOT).as_posix()
        files.append(File.generated(config, path, abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Turns links out of `docs` to what the site has of it."""
    if page.file.src_uri == CONTRIBUTING:
        markdown = markdown.replace("](docs/", "](")
        return re.sub(r"\]\(README\.md(#[\w-]+)?\)", "](index.md)", markdown)
    markdown = re.sub(r"\[([^\]]+)\]\(\.\./notebooks/[^)]*\)", r"\1", markdown)
    for link, place in (("../../results/", ""), ("../results/", "results/"), ("../CONTRIBUTING.md", CONTRIBUTING)):
        markdown = markdown.replace(f"]({link}", f"]({place}")
    return re.sub(r"\]\(\.\./README\.md(#[\w-]+)?\)", "](index.md)", markdown)
