"""Options that several benchmarks share, and their output file."""

import argparse
import pathlib
from typing import Any

from envs.errors import ConfigError
from experiments.common.arguments import number, out_file, whole
from experiments.common.files import read_json, write_json
from experiments.config.validation import MAX_SEEDS
from iacjax.schema import POSITIVE


def split_name(word: str) -> tuple[str, str]:
    """ "qmix:tuned" -> its algorithm and preset; "qmix" -> the preset `default`."""
    algo, _, preset = word.partition(":")
    return algo, preset or "default"


def check_training(env: str, *words: str) -> None:
    """Raises ConfigError for an unknown environment, algorithm or preset; `words` are algorithms NAME[:PRESET]."""
    from envs.registry import check_name
    from experiments.config.preset_io import default_settings

    check_name(env)
    for word in words:
        default_settings(*split_name(word), env)


def add_training(parser: argparse.ArgumentParser, several: bool = False) -> None:
    """The algorithm (or, where there may be `several`, algorithms) and the environment."""
    many: dict[str, Any] = {"nargs": "+", "default": ["aiir_mix"]} if several else {"default": "aiir_mix"}
    parser.add_argument("--algo", metavar="NAME[:PRESET]", help="default aiir_mix", **many)
    parser.add_argument("--env", default="smax:2s3z", metavar="NAME", help="default smax:2s3z")


def add_seeds(parser: argparse.ArgumentParser, default: Any, old: str = "lanes") -> None:
    """--seeds, one number or (where `default` is a list) several, and its name in older versions."""
    text = " ".join(map(str, default)) if isinstance(default, list) else default
    many: dict[str, Any] = {"nargs": "+"} if isinstance(default, list) else {}
    many |= {"type": whole(1, MAX_SEEDS), "metavar": "S"}
    parser.add_argument("--seeds", default=default, help=f"seeds in one program (default {text})", **many)
    if old:
        parser.add_argument(f"--{old}", dest="seeds", default=argparse.SUPPRESS, help=argparse.SUPPRESS, **many)


def add_seconds(parser: argparse.ArgumentParser, default: float) -> None:
    """--seconds of a timed call."""
    text = f"duration of each of our timed calls, about (default {default:g})"
    parser.add_argument("--seconds", type=number(POSITIVE), default=default, help=text)


def add_json(parser: argparse.ArgumentParser, note: bool = False) -> None:
    """--json and, where the file keeps one, --note."""
    if note:
        parser.add_argument("--note", default="", help="kept in the file, e.g. what else ran on the machine")
    parser.add_argument("--json", type=out_file(parents=True), metavar="FILE", help="write the rows there")


def kept_rows(path: pathlib.Path, names: set[str]) -> list[dict[str, Any]]:
    """The rows in `path`, which have `names`; none where there is no such file.

    Raises:
      ConfigError: it cannot be read, or was written by another command.
    """
    rows = read_json(path).get("rows", [])
    if not isinstance(rows, list) or not all(isinstance(row, dict) and row.keys() >= names for row in rows):
        raise ConfigError(f"{path} was written by another command: give another file")
    return rows


def keep(path: pathlib.Path | None, data: Any) -> None:
    """Writes what is measured so far, where --json names a file."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, data)
