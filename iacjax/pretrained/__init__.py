"""Policies that are already trained: `load_policy("pretrained:smax_2s3z_aiir_mix")`.

Each has a folder beside this file: `policy.json` and `seed_<seed>.npz` as `iacjax.policy` saves them, the `config.json`
of the run that trained it, and `card.json`, which says what it is, what made it and how well it plays.
`experiments.package_policy` makes one of a run.
"""

import difflib
import pathlib

from envs.errors import ConfigError

DIRECTORY = pathlib.Path(__file__).parent
CARD, PREFIX = "card.json", "pretrained:"


def names() -> list[str]:
    """The names of all policies, in order."""
    return sorted(file.parent.name for file in DIRECTORY.glob(f"*/{CARD}"))


def directory_of(name: str) -> pathlib.Path:
    """The folder of the policy called `name`.

    Raises:
      ConfigError: there is none; the line names those that there are.
    """
    known = names()
    if name not in known:
        near = difflib.get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]}? " if near else ""
        raise ConfigError(f"no pretrained policy {name!r}: {hint}there are {', '.join(known) or 'none'}")
    return DIRECTORY / name


def resolve(run_dir: str | pathlib.Path) -> pathlib.Path:
    """The directory that `run_dir` names: itself, or the folder of the policy NAME where it is "pretrained:NAME".

    Raises:
      ConfigError: there is no such policy.
    """
    text = str(run_dir)
    return directory_of(text.removeprefix(PREFIX)) if text.startswith(PREFIX) else pathlib.Path(run_dir)
