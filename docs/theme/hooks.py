"""What mkdocs needs from outside of `docs`: CONTRIBUTING.md and CHANGELOG.md as pages, and the pictures in `results`.

Links in the pages lead to files of the repository, so that they work there too; here those to `../results/` and to
these pages are turned to their copies in the site, and those to notebooks to their names.
"""

import pathlib
import re

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).parents[2]
PAGES = {"contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}  # in the site, in the repository


def on_files(files, config):
    """Adds the pages and the pictures."""
    for page, source in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text()))
    for picture in sorted(ROOT.glob("results/**/*.png")):
        path = picture.relative_to(ROOT).as_posix()
        files.append(File.generated(config, path, abs_src_path=str(picture)))
    return files


def on_page_markdown(markdown, page, config, files):
    """Turns links out of `docs` to what the site has of it."""
    if page.file.src_uri in PAGES:
        markdown = markdown.replace("](docs/", "](")
        return re.sub(r"\]\(README\.md(#[\w-]+)?\)", "](index.md)", markdown)
    markdown = re.sub(r"\[([^\]]+)\]\(\.\./notebooks/[^)]*\)", r"\1", markdown)
    pages = [(f"../{source}", name) for name, source in PAGES.items()]
    for link, place in (("../../results/", ""), ("../results/", "results/"), *pages):
        markdown = markdown.replace(f"]({link}", f"]({place}")
    return re.sub(r"\]\(\.\./README\.md(#[\w-]+)?\)", "](index.md)", markdown)
