"""Builds environments by name: `family:member` (`smax:2s3z`, `multi_pendulum:3`) or just `family` (`matrix_game`).

Any other name `module:name` is a custom environment (`envs.custom`). No jax here, and none in the modules that list the
names, so that a mistyped name is reported at once.
"""

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from envs.adapters import names
from envs.custom import custom_env, is_custom_name, looks_custom, missing_module_hint
from envs.errors import ConfigError
from envs.values import expected, show

if TYPE_CHECKING:
    from envs.base import Environment


class Family(NamedTuple):
    """A family of environments. It has named members, or members that are numbers, or is itself one environment."""

    # (member) -> a class or function that builds the environment from its options; imports the family.
    load: Callable[[str], Callable[..., "Environment"]]
    members: Callable[[], Iterable[str]] | None = None  # the names of the members
    counts: str = ""  # where a member is a number: what it counts, e.g. "pendulums"
    refused: Callable[[], dict[str, str]] = dict  # members that users may ask for -> why they are not supported


def _smax(member: str) -> Callable[..., "Environment"]:
    from envs.smax.env import Smax

    return partial(Smax, member)


def _smax_members() -> Iterable[str]:
    from envs.smax.scenarios import SCENARIOS

    return SCENARIOS


def _smacv2(member: str) -> Callable[..., "Environment"]:
    from envs.smacv2.env import Smacv2

    return partial(Smacv2, member)


def _smacv2_members() -> Iterable[str]:
    from envs.smacv2.scenarios import SCENARIOS

    return SCENARIOS


_BOTH = ("constant", "observation", "discounting", "action", "time_limit", "coordination", "variable")
_TOYS = (*_BOTH, "memory", "death", *(f"{name}_continuous" for name in _BOTH))


def _toy(member: str) -> Callable[..., "Environment"]:
    from envs.toy.continuous_probes import CONTINUOUS_TOYS
    from envs.toy.probes import TOYS

    return (TOYS | CONTINUOUS_TOYS)[member]


def _toy_members() -> Iterable[str]:
    return _TOYS


def _matrix_game(member: str) -> Callable[..., "Environment"]:
    from envs.toy.matrix_games import matrix_game

    return matrix_game


def _simple_world(member: str) -> Callable[..., "Environment"]:
    from envs.toy.matrix_games import simple_world

    return simple_world


def _continuous_matrix_game(member: str) -> Callable[..., "Environment"]:
    from envs.toy.matrix_games import continuous_matrix_game

    return continuous_matrix_game


def _multi_pendulum(member: str) -> Callable[..., "Environment"]:
    from envs.pendulum.multi_pendulum import multi_pendulum

    return partial(multi_pendulum, int(member))


def _multi_pendulum_shaped(member: str) -> Callable[..., "Environment"]:
    from envs.pendulum.multi_pendulum import multi_pendulum_shaped

    return partial(multi_pendulum_shaped, int(member))


def _predator_prey(member: str) -> Callable[..., "Environment"]:
    from envs.mpe.predator_prey import predator_prey

    return predator_prey


def _po_predator_prey(member: str) -> Callable[..., "Environment"]:
    from envs.mpe.predator_prey import po_predator_prey

    return po_predator_prey


def _jaxmarl(member: str) -> Callable[..., "Environment"]:
    from envs.adapters.jaxmarl import jaxmarl_env

    return jaxmarl_env(member)


def _mabrax(member: str) -> Callable[..., "Environment"]:
    from envs.adapters.mabrax import mabrax_env

    return mabrax_env(member)


def _jumanji(member: str) -> Callable[..., "Environment"]:
    from envs.adapters.jumanji import jumanji_env

    return jumanji_env(member)


def _gymnax(member: str) -> Callable[..., "Environment"]:
    from envs.adapters.gymnax import gymnax_env

    return gymnax_env(member)


FAMILIES: dict[str, Family] = {
    "smax": Family(_smax, _smax_members),
    "smacv2": Family(_smacv2, _smacv2_members),
    "matrix_game": Family(_matrix_game),
    "simple_world": Family(_simple_world),
    "continuous_matrix_game": Family(_continuous_matrix_game),
    "multi_pendulum": Family(_multi_pendulum, counts="pendulums"),
    "multi_pendulum_shaped": Family(_multi_pendulum_shaped, counts="pendulums"),
    "predator_prey": Family(_predator_prey),
    "po_predator_prey": Family(_po_predator_prey),
    "toy": Family(_toy, _toy_members),
    "jaxmarl": Family(_jaxmarl, lambda: names.JAXMARL, refused=lambda: names.JAXMARL_REFUSED),
    "mabrax": Family(_mabrax, lambda: names.MABRAX),
    "jumanji": Family(_jumanji, lambda: names.JUMANJI),
    "gymnax": Family(_gymnax, lambda: names.GYMNAX),
}


def known_envs() -> list[str]:
    """All names that `make_env` accepts; N stands for a number."""
    known = []
    for family, entry in FAMILIES.items():
        if entry.members:
            known += [f"{family}:{member}" for member in entry.members()]
        else:
            known.append(f"{family}:N" if entry.counts else family)
    return known


def check_name(name: str) -> None:
    """Checks that `name` is a known environment, or one in a module that Python finds. Builds and imports nothing.

    Raises:
      ConfigError: it is neither; the message names the closest match and what exists.
    """
    if not isinstance(name, str):
        raise ConfigError(f"an environment is given by its name, e.g. 'smax:2s3z', not {show(name)}")
    family, _, member = name.partition(":")
    entry = FAMILIES.get(family)
    if entry is None and is_custom_name(name):
        return
    if entry is not None and entry.counts:
        if re.fullmatch("[1-9][0-9]{0,5}", member) is None:
            raise ConfigError(f"'{name}' must end in the number of {entry.counts}, at least 1: e.g. '{family}:3'")
        return
    known = known_envs()
    if name in known:
        return
    if entry is not None and member in entry.refused():
        raise ConfigError(f"no '{name}': {entry.refused()[member]}")
    close = difflib.get_close_matches(name, known, n=1) or [env for env in known if env.partition(":")[2] == name]
    if entry is None and not close and looks_custom(name):
        raise ConfigError(f"unknown environment '{name}': {missing_module_hint(name)}; --list names the built-in ones")
    hint = f"; did you mean '{close[0]}'?" if close else ""
    members = [env for env in known if env.startswith(f"{family}:")]
    families = f"families: {', '.join(FAMILIES)}; --list names all; a custom environment is MODULE:NAME"
    exist = f"known: {', '.join(members)}" if members else families
    raise ConfigError(f"unknown environment '{name}'{hint} ({exist})")


def _parameters(name: str, build: Callable) -> Mapping[str, inspect.Parameter]:
    """The parameters of `build`, with annotations evaluated where that is possible."""
    try:
        return inspect.signature(build, eval_str=True).parameters
    except (
        NameError,
        AttributeError,
        SyntaxError,
        TypeError,
    ):  # an annotation uses a name that is imported for type checkers only
        return inspect.signature(build).parameters
    except ValueError:
        raise ConfigError(f"'{name}' cannot be built: its signature does not say which options it takes") from None


def make_env(name: str, /, **options) -> "Environment":
    """Builds the environment called `name`.

    Args:
      name: a registered name (`known_envs`), or `module:name` for a custom environment.
      options: keyword arguments of the environment, e.g. `randomise_rules=True`.

    Raises:
      ConfigError: the name or an option does not exist, or an option has a value that is not allowed.
    """
    check_name(name)
    family, _, member = name.partition(":")
    build = FAMILIES[family].load(member) if family in FAMILIES else custom_env(name)
    parameters = _parameters(name, build)
    accepted = list(parameters)
    unknown = [option for option in options if option not in accepted]
    if unknown:
        known = f"it takes {', '.join(accepted)}" if accepted else "it takes none"
        raise ConfigError(f"'{name}' does not take these options: {', '.join(unknown)} ({known})")
    for option, value in options.items():
        wanted = expected(value, parameters[option].annotation)
        if wanted:
            raise ConfigError(f"'{name}': {option} must be {wanted}, not {show(value)}")
    try:
        return build(**options)
    except Exception as error:  # other packages raise errors of any type for a bad option
        if not options or isinstance(error, ConfigError):
            raise
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"'{name}' cannot be built with the given {', '.join(options)} ({line})") from error
