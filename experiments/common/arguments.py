"""What commands with argparse share: errors in one line, numbers with bounds, and output files that are checked before
anything is computed. No jax here.
"""

import argparse
import os
import pathlib
import re
import tempfile
from collections.abc import Callable, Sequence
from typing import NoReturn

from envs.errors import ConfigError
from envs.values import is_text, show
from iacjax.schema import MAX_STEPS, Bounds

MAX_SEED = 2**32 - 1  # a random key takes 32 bits
PICTURES = (".png", ".pdf", ".svg", ".svgz", ".eps", ".ps", ".jpg", ".jpeg", ".tif", ".tiff", ".webp")


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` whose errors are ConfigErrors: one line, without the usage before it. Subcommands' too."""

    def error(self, message: str) -> NoReturn:
        # Our messages begin with the argument's name; those of argparse stay as they are.
        message = re.sub(r"^argument ([^:]+): (?=must )", r"\1 ", message)
        raise ConfigError(f"{message}: see --help")


def whole(least: int = 1, most: int = MAX_STEPS) -> Callable[[str], int]:
    """A type for whole numbers from `least` to `most`."""
    return lambda text: int(_number(int, "a whole number", text, Bounds(least, most)))


def number(bounds: Bounds) -> Callable[[str], float]:
    """A type for finite numbers within `bounds`."""
    return lambda text: _number(float, "a number", text, bounds)


def _number(kind: Callable[[str], float], what: str, text: str, bounds: Bounds) -> float:
    try:
        value = kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be {what}, not {show(text)}") from None
    complaint = "a finite number" if value != value or abs(value) == float("inf") else bounds.complaint(value)
    if complaint:
        raise argparse.ArgumentTypeError(f"must be {complaint}, not {show(value)}")
    return value


def seed_index(text: str) -> int | None:
    """A type for one of a run's seeds, counted from 0; None for the word "best"."""
    return None if text == "best" else whole(0)(text)


def word(text: str) -> str:
    """A type for text that is not empty."""
    if not text or not is_text(text):
        raise argparse.ArgumentTypeError(f"must be a word, not {show(text)}")
    return text


def folder(text: str) -> pathlib.Path:
    """A type for directories to read from; whether one exists is checked by its reader."""
    return pathlib.Path(word(text))


def out_file(*suffixes: str, parents: bool = False) -> Callable[[str], pathlib.Path]:
    """A type for files to write: writable, and with one of `suffixes` if there are any.

    `parents`: the command makes missing directories.
    """

    def read(text: str) -> pathlib.Path:
        wrong = why_not_file(text, suffixes, parents)
        if wrong:
            raise argparse.ArgumentTypeError(f"must be a file that can be written, not {show(text)} ({wrong})")
        return pathlib.Path(text)

    return read


def out_folder(text: str) -> pathlib.Path:
    """A type for directories to write into, which need not exist yet."""
    wrong = "an empty name" if not text else _why_not_in(pathlib.Path(text))
    if wrong:
        raise argparse.ArgumentTypeError(f"must be a directory that can be written to, not {show(text)} ({wrong})")
    return pathlib.Path(text)


def check_file(path: pathlib.Path, parents: bool = False) -> None:
    """Raises ConfigError if `path` cannot be written; called before anything is computed.

    `parents`: the command makes missing directories.
    """
    wrong = why_not_file(str(path), parents=parents)
    if wrong:
        raise ConfigError(f"cannot write {path} ({wrong}): choose another place, or fix that one")


def why_not_file(text: str, suffixes: Sequence[str] = (), parents: bool = False) -> str:
    """Why a file of this name cannot be written, "" if it can. No file is left behind."""
    if not text or not is_text(text):
        return "an empty name" if not text else "no name for a file"
    path = pathlib.Path(text)
    try:
        if path.is_dir():
            return "it is a directory"
        if suffixes and path.suffix.lower() not in suffixes:
            return f"give a name that ends in {', '.join(suffixes[:3])}"
        if path.exists():
            return "" if os.access(path, os.W_OK) else "no permission"
    except OSError as error:
        return error.strerror or str(error)
    return _why_not_in(path.parent, parents)


def _why_not_in(folder: pathlib.Path, parents: bool = True) -> str:
    """Why nothing can be written into `folder`, "" if it can; with `parents` it need not exist yet."""
    try:
        while parents and not folder.exists() and folder != folder.parent:
            if folder.is_symlink():
                return f"{folder} leads nowhere"
            folder = folder.parent
        if not folder.is_dir():
            return f"{folder} is a file" if folder.exists() else f"there is no directory {folder}"
        with tempfile.TemporaryFile(dir=folder):
            return ""
    except OSError as error:
        return error.strerror or str(error)
