"""Digests of the files of a checkpoint, and of files that stand alone: what has changed on disk is not read as numbers.

A directory's digests are in its `SHA256SUMS`, which `sha256sum -c` reads too. A file's are in FILE.sha256: the one that
it has, and the one that it had before, so that a process that is killed between two writes leaves a pair that fits.
"""

import contextlib
import hashlib
import pathlib

from envs.errors import ConfigError
from iacjax.digests import digest

SUMS = "SHA256SUMS"


def write_sums(directory: pathlib.Path) -> None:
    """Writes the digests of all files below `directory` into it."""
    (directory / SUMS).write_text("".join(f"{value}  {name}\n" for name, value in _sums_of(directory).items()))


def check_sums(directory: pathlib.Path) -> None:
    """Raises ConfigError where a file was changed, lost or added. What has no digests, of an older version, passes."""
    if not (directory / SUMS).exists():
        return
    try:
        lines = (directory / SUMS).read_text().splitlines()
        due = {name: value for value, name in (line.split("  ", 1) for line in lines)}
    except (OSError, ValueError):
        raise ConfigError(f"damaged: {SUMS} cannot be read") from None
    found = _sums_of(directory)
    changed = sorted(name for name in due.keys() | found.keys() if due.get(name) != found.get(name))
    if changed:
        raise ConfigError(f"damaged: {changed[0]} is not as it was saved")


def _sums_of(directory: pathlib.Path) -> dict[str, str]:
    files = sorted(path for path in directory.rglob("*") if path.is_file() and path != directory / SUMS)
    sums = {}
    for path in files:
        with path.open("rb") as file:
            sums[path.relative_to(directory).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return sums


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes `text` whole or not at all, and its digest beside it."""
    sums, part = _beside(path), path.with_name(path.name + ".part")
    before = ""
    with contextlib.suppress(OSError):
        before = digest(path.read_bytes())
    part.write_text(f"{digest(text.encode())}\n{before}\n")
    part.replace(sums)
    part.write_text(text)
    part.replace(path)


def check_text(path: pathlib.Path) -> None:
    """Raises ConfigError where `path` is not as `write_text` wrote it; what has no digest passes."""
    sums = _beside(path)
    with contextlib.suppress(FileNotFoundError):
        if digest(path.read_bytes()) not in sums.read_bytes().decode(errors="replace").split():
            text = f"{path} does not match its digest, so it was damaged or edited: restore it"
            raise ConfigError(f"{text}, or delete {sums} if you meant the change")


def _beside(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(path.name + ".sha256")
