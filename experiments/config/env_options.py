"""`--env-options KEY=VALUE ...`: options of an environment as words of the command line. No jax here."""

import ast
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from envs.errors import ConfigError

if TYPE_CHECKING:
    from envs.base import Environment

_BARE = re.compile(r"[A-Za-z_./~][\w./~-]*")  # a word or a path

# StarCraft runs that name no rules were trained with these, if they were saved before the default's name was written.
_OLD_RULES, _DEFAULT_RULES = "rules=smac_v0", "rules=smac"
_RULE_OPTIONS = ("rules", "randomise", "randomise_rules")


def to_saved_options(env: str, words: Sequence[str]) -> tuple[str, ...]:
    """The options `words` of the environment `env` as files hold them: StarCraft's default rules by their name, so that
    a later default changes no saved run, and those of older runs by no word, as in the files of that time."""
    if env.startswith("smax:") and not _names_rules(words):
        return (*words, _DEFAULT_RULES)
    return tuple(word for word in words if word != _OLD_RULES)


def from_saved_options(env: str, words: Sequence[str]) -> tuple[str, ...]:
    """The inverse of `to_saved_options`."""
    if env.startswith("smax:") and not _names_rules(words):
        return (*words, _OLD_RULES)
    return tuple(word for word in words if word != _DEFAULT_RULES)


def _names_rules(words: Sequence[str]) -> bool:
    return any(word.partition("=")[0] in _RULE_OPTIONS for word in words)


def read_env_options(words: Sequence[str]) -> dict[str, Any]:
    """The options in `words`: ("num_prey=2", "reward=flat") -> {"num_prey": 2, "reward": "flat"}.

    A value is a Python literal, such as 0.5, None or [[8,-12],[-12,0]]; a bare word or path is a string.

    Raises:
      ConfigError: a word without `=`, an option given twice, a value that cannot be read.
    """
    options: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals or not key.isidentifier():
            raise ConfigError(f"--env-options {word}: write KEY=VALUE, e.g. num_prey=2")
        if key in options:
            raise ConfigError(f"--env-options {word}: {key} is given twice")
        options[key] = _literal(word, value)
    return options


def write_env_options(options: Mapping[str, Any]) -> list[str]:
    """The inverse of `read_env_options`: {"num_prey": 2, "reward": "flat"} -> ["num_prey=2", "reward=flat"]."""
    words = []
    for key, value in options.items():
        bare = isinstance(value, str) and _BARE.fullmatch(value) and value not in ("None", "True", "False")
        words.append(f"{key}={value if bare else repr(value)}")
    return words


def _literal(word: str, text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        if _BARE.fullmatch(text):
            return text
        raise ConfigError(
            f"--env-options {word}: the value cannot be read: give a number, a word, or lists such as [[8,-12],[-12,0]]"
        ) from None


def make_run_env(name: str, words: Sequence[str] = ()) -> "Environment":
    """The environment called `name` with the options in `words`.

    Raises:
      ConfigError: an unknown name or option, a value that cannot be read or used, or a custom environment whose spec,
        shapes or dtypes do not hold.
    """
    from envs.custom import is_custom_env
    from envs.registry import check_name, make_env

    check_name(name)
    env = make_env(name, **read_env_options(words))
    if is_custom_env(env):
        from envs.check import check_structure

        check_structure(env)
    return env
