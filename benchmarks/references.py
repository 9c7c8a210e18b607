"""Reference implementations: the folder `benchmarks/reference` of this repository, which is not installed with it."""

import argparse
import importlib
import pathlib
from types import ModuleType
from typing import Any

from envs.errors import ConfigError
from experiments.common.arguments import folder, whole

JAXMARL = "github.com/FLAIROx/JaxMARL"
OURS_ALONE = f"ours alone: --reference-dir with a clone of {JAXMARL} measures its IPPO and QMIX too"
UPDATES = {"type": whole(), "default": 3, "metavar": "N", "help": "updates of the reference that are timed (default 3)"}


def load_reference(name: str) -> ModuleType:
    """The module `name` of `benchmarks/reference`.

    Raises:
      ConfigError: the folder is not there.
    """
    try:
        return importlib.import_module(f"benchmarks.reference.{name}")
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("benchmarks.reference"):
            raise
        text = "reference implementations run from a clone of this repository only: they are not installed with it"
        raise ConfigError(f"{text} (no folder benchmarks/reference here)") from None


def add_parser(commands: Any) -> None:
    """Adds the command `learn` of that folder to the parser of `experiments.benchmark`."""
    try:
        load_reference("learn").add_parser(commands)
    except ConfigError as error:
        text = str(error)

        def refuse(args: argparse.Namespace) -> int:
            raise ConfigError(text)

        # Without option characters every word is a positional argument, so that it is this error that is printed.
        stand_in = commands.add_parser("learn", help="in a clone of this repository alone", prefix_chars="\0")
        stand_in.add_argument("words", nargs="*")
        stand_in.set_defaults(run=refuse)


def check_reference(directory: pathlib.Path | None, env: str) -> None:
    """Raises ConfigError where the scripts in `directory` (None: none) cannot train on our environment `env`."""
    if directory is None:
        return
    load_reference("scripts").check_clone(directory)
    if not env.startswith("smax:"):
        raise ConfigError(f"JaxMARL's scripts train on SMAX: give one of its maps with --reference-dir, not {env}")


def add_reference(parser: argparse.ArgumentParser, **names: Any) -> None:
    """The options of a clone of JaxMARL; `names`: further options and their settings."""
    add_renamed(parser, "reference-dir", "peer-dir", type=folder, metavar="CLONE", help=f"clone of {JAXMARL}")
    for name, settings in names.items():
        add_renamed(parser, f"reference-{name}", f"peer-{name}", **settings)


def add_renamed(parser: argparse.ArgumentParser, name: str, old: str, **settings: Any) -> None:
    """Adds the option --`name`, and its name in older versions, which --help does not show."""
    dest = name.replace("-", "_")
    parser.add_argument(f"--{name}", dest=dest, **settings)
    hidden = {**settings, "help": argparse.SUPPRESS, "default": argparse.SUPPRESS}
    parser.add_argument(f"--{old}", dest=dest, **hidden)
