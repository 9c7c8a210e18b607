"""Every environment by its name: `family:member`, e.g. `smax:2s3z`."""

import difflib
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, NamedTuple

from envs.errors import ConfigError

if TYPE_CHECKING:  # importing it brings jax, which a mistyped name need not wait for
    from envs.base import Environment


class Family(NamedTuple):
    """`make(member, **options)` builds one; `members()` lists those there are. Both import what they need."""

    make: Callable[..., "Environment"]
    members: Callable[[], Iterable[str]]


def _make_smax(member: str, **options) -> "Environment":
    from envs.smax.env import Smax

    return Smax(member, **options)


def _smax_members() -> Iterable[str]:
    from envs.smax.scenarios import SCENARIOS

    return SCENARIOS


def _make_toy(member: str, **options) -> "Environment":
    from envs.toy import TOYS

    return TOYS[member](**options)


def _toy_members() -> Iterable[str]:
    from envs.toy import TOYS

    return TOYS


FAMILIES: dict[str, Family] = {
    "smax": Family(_make_smax, _smax_members),
    "toy": Family(_make_toy, _toy_members),
}


def known_envs() -> list[str]:
    """All names that `make_env` takes."""
    return [f"{family}:{member}" for family, entry in FAMILIES.items() for member in entry.members()]


def check_name(name: str) -> None:
    """Raises ConfigError, naming what exists and what comes closest, unless `name` is a known environment."""
    known = known_envs()
    if name in known:
        return
    close = difflib.get_close_matches(name, known, n=1) or [env for env in known if env.split(":")[1] == name]
    hint = f"; did you mean '{close[0]}'?" if close else ""
    raise ConfigError(f"unknown environment '{name}'{hint} (known: {', '.join(known)})")


def make_env(name: str, **options) -> "Environment":
    """Builds the environment called `name`; `options` are those of its family (e.g. `randomise_rules=True`).

    Raises ConfigError for a name or an option that does not exist.
    """
    check_name(name)
    family, member = name.split(":", 1)
    try:
        return FAMILIES[family].make(member, **options)
    except TypeError as error:
        if not options:
            raise
        raise ConfigError(f"'{name}' does not take these options: {', '.join(options)} ({error})") from error
