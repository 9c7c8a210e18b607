"""Files of results: written whole or not at all, read though users may have edited them, checked by their digests.

A process that is killed leaves the old file or the new one. Digests tell a damaged file: a directory's are in its
`SHA256SUMS`, which `sha256sum -c` reads too; a single file's are in FILE.sha256, the present one and the one before, so
that a process that is killed between the two writes leaves a pair that fits. No jax here.
"""

import contextlib
import csv
import fcntl
import hashlib
import json
import os
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from envs.errors import ConfigError
from iacjax.digests import KEY, digest, is_as_signed

SUMS = "SHA256SUMS"


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A temporary file in the directory of `path`; it replaces `path` at the end, unless an error is raised."""
    if path.exists() and not path.is_file():  # such as /dev/stdout, which has no place to take
        yield path
        return
    part = path.with_name(path.name + ".part")
    yield part
    part.replace(path)


@contextlib.contextmanager
def exclusive(path: pathlib.Path) -> Iterator[None]:
    """Inside, other processes that ask for it too wait: for a file that is read, changed and written.

    The lock is on the directory, which is made, so that no lock file is left among the results. A file system without
    such locks lets all pass.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        with contextlib.suppress(OSError):
            fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def write_bytes(path: pathlib.Path, data: bytes) -> None:
    """Writes `data` whole or not at all."""
    with replacing(path) as part:
        part.write_bytes(data)


def write_text(path: pathlib.Path, text: str) -> None:
    """Writes `text`, in UTF-8, whole or not at all."""
    write_bytes(path, text.encode())


def write_json(path: pathlib.Path, data: Any) -> None:
    """Writes `data` whole or not at all."""
    write_text(path, json.dumps(data, indent=1) + "\n")


def write_csv(path: pathlib.Path, rows: Sequence[Mapping[str, Any]], columns: Sequence[str] = ()) -> None:
    """Writes a table whole or not at all, and the folder that it is in.

    Args:
      rows: {column: value}; numbers that are not whole get eight digits, a missing value or nan an empty cell.
      columns: in their order; none: all that the rows have.
    """
    columns = columns or list(dict.fromkeys(name for row in rows for name in row))
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as part, part.open("w", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
        writer.writeheader()
        writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)


def _cell(value: Any) -> Any:
    if not isinstance(value, float):
        return value
    return "" if value != value else format(value, ".8g")


def read_csv(path: pathlib.Path) -> list[dict[str, str]]:
    """The rows of a table as text; no file has no rows."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def save_figure(figure: Any, path: pathlib.Path, **options: Any) -> None:
    """Writes a matplotlib figure whole or not at all, and the folder that it is in; `options` are of its `savefig`.

    Raises:
      ConfigError: it cannot be written there, or not in the format that the name ends in.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as part:
            figure.savefig(part, **{"format": path.suffix[1:] or "png", **options})
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"cannot write {path} ({error}): give a writable file such as {path.stem or 'figure'}.png"
        ) from None


def write_npz(path: pathlib.Path, arrays: dict[str, Any]) -> None:
    """Writes NumPy arrays by their names, whole or not at all."""
    import numpy as np

    with replacing(path) as part, part.open("wb") as file:
        np.savez(file, **arrays)


def read_json(path: pathlib.Path, kind: type = dict) -> Any:
    """The object (or, as `kind`, the list) in `path`, without its digest if it was signed; empty where there is no such
    file.

    Raises:
      ConfigError: it cannot be read, or was changed since it was signed.
    """
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        return kind()
    except (OSError, ValueError, RecursionError) as error:
        text = str(error).splitlines()[0]
        raise ConfigError(f"{path} cannot be read ({text}): restore it from a copy") from None
    if not isinstance(data, kind) or not is_as_signed(data):
        raise ConfigError(f"{path} was changed since it was written: restore it from a copy")
    return {name: value for name, value in data.items() if name != KEY} if kind is dict else data


def read_object(path: pathlib.Path, what: str = "") -> dict[str, Any]:
    """The object in the file `path`; `what` names the file in errors, by default its path.

    Raises:
      FileNotFoundError: there is no such file.
      ConfigError: it cannot be read, or is no JSON, or no object.
    """
    what = what or str(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(what) from None
    except RecursionError:
        raise ConfigError(f"{what} cannot be read: it is nested too deeply") from None
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, no JSON, an integer of thousands of digits
        raise ConfigError(f"{what} cannot be read: {(str(error).splitlines() or [''])[0]}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{what} cannot be read: it must hold an object, {{...}}")
    return data


def write_sums(directory: pathlib.Path) -> None:
    """Writes the digests of all files below `directory` into it."""
    write_text(directory / SUMS, "".join(f"{value}  {name}\n" for name, value in _sums_of(directory).items()))


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


def write_with_digest(path: pathlib.Path, text: str) -> None:
    """Writes `text` whole or not at all, and its digest to a second file."""
    before = ""
    with contextlib.suppress(OSError):
        before = digest(path.read_bytes())
    write_text(_digest_file(path), f"{digest(text.encode())}\n{before}\n")
    write_text(path, text)


def check_digest(path: pathlib.Path) -> None:
    """Raises ConfigError where `path` is not as `write_with_digest` wrote it; what has no digest passes."""
    sums = _digest_file(path)
    with contextlib.suppress(FileNotFoundError):
        if digest(path.read_bytes()) not in sums.read_bytes().decode(errors="replace").split():
            text = f"{path} does not match its digest, so it was damaged or edited: restore it"
            raise ConfigError(f"{text}, or delete {sums} if you meant the change")


def _digest_file(path: pathlib.Path) -> pathlib.Path:
    return path.with_name(path.name + ".sha256")
