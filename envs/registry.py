"""Every environment by its name: `family:member` (`smax:2s3z`, `multi_pendulum:3`), or a family alone (`matrix_game`);
and any other, by the module that it is in (`envs.custom`).

No jax here, and none in what lists the names: a mistyped one need not wait for it.
"""

import difflib
import inspect
import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from envs.adapters import names
from envs.custom import is_own, looks_own, no_module, own_env
from envs.errors import ConfigError
from envs.values import expected, show

if TYPE_CHECKING:
    from envs.base import Environment


class Family(NamedTuple):
    """`load(member)` imports the family and gives a function or class of options alone that builds that environment.

    A family has `members`, or a member is a count, the number of `counts`, or (neither) the family is the environment
    and its member the empty text. `refused` says of a member that somebody may well ask for why there is none.
    """

    load: Callable[[str], Callable[..., "Environment"]]
    members: Callable[[], Iterable[str]] | None = None
    counts: str = ""
    refused: Callable[[], dict[str, str]] = dict


def _smax(member: str) -> Callable[..., "Environment"]:
    from envs.smax.env import Smax

    return partial(Smax, member)


def _smax_members() -> Iterable[str]:
    from envs.smax.scenarios import SCENARIOS

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


def _jumanji(member: str) -> Callable[..., "Environment"]:
    from envs.adapters.jumanji import jumanji_env

    return jumanji_env(member)


def _gymnax(member: str) -> Callable[..., "Environment"]:
    from envs.adapters.gymnax import gymnax_env

    return gymnax_env(member)


FAMILIES: dict[str, Family] = {
    "smax": Family(_smax, _smax_members),
    "matrix_game": Family(_matrix_game),
    "simple_world": Family(_simple_world),
    "multi_pendulum": Family(_multi_pendulum, counts="pendulums"),
    "multi_pendulum_shaped": Family(_multi_pendulum_shaped, counts="pendulums"),
    "predator_prey": Family(_predator_prey),
    "po_predator_prey": Family(_po_predator_prey),
    "toy": Family(_toy, _toy_members),
    "jaxmarl": Family(_jaxmarl, lambda: names.JAXMARL, refused=lambda: names.JAXMARL_REFUSED),
    "jumanji": Family(_jumanji, lambda: names.JUMANJI),
    "gymnax": Family(_gymnax, lambda: names.GYMNAX),
}


def known_envs() -> list[str]:
    """All names that `make_env` takes; N stands for a number."""
    known = []
    for family, entry in FAMILIES.items():
        if entry.members:
            known += [f"{family}:{member}" for member in entry.members()]
        else:
            known.append(f"{family}:N" if entry.counts else family)
    return known


def check_name(name: str) -> None:
    """Raises ConfigError, naming what exists and what comes closest, unless `name` is a known environment, or one in
    a module that Python finds."""
    family, _, member = name.partition(":")
    entry = FAMILIES.get(family)
    if entry is None and is_own(name):
        return
    if entry is not None and entry.counts:
        if re.fullmatch("[1-9][0-9]{0,5}", member) is None:
            raise ConfigError(f"'{name}' must end in its number of {entry.counts}, at least 1: e.g. '{family}:3'")
        return
    known = known_envs()
    if name in known:
        return
    if entry is not None and member in entry.refused():
        raise ConfigError(f"no '{name}': {entry.refused()[member]}")
    close = difflib.get_close_matches(name, known, n=1) or [env for env in known if env.partition(":")[2] == name]
    if entry is None and not close and looks_own(name):
        raise ConfigError(f"unknown environment '{name}': {no_module(name)}; --list names those of other families")
    hint = f"; did you mean '{close[0]}'?" if close else ""
    kin = [env for env in known if env.startswith(f"{family}:")]
    others = f"families: {', '.join(FAMILIES)}; --list names all; yours is MODULE:NAME"
    exist = f"known: {', '.join(kin)}" if kin else others
    raise ConfigError(f"unknown environment '{name}'{hint} ({exist})")


def _parameters(name: str, build: Callable) -> Mapping[str, inspect.Parameter]:
    """What the environment's maker takes, with annotations as they are, not as text, where they can be had."""
    try:
        return inspect.signature(build, eval_str=True).parameters
    except (NameError, AttributeError, SyntaxError, TypeError):  # of a name that is imported for type checkers alone
        return inspect.signature(build).parameters
    except ValueError:
        raise ConfigError(f"'{name}' cannot be made: it does not say which options it takes") from None


def make_env(name: str, /, **options) -> "Environment":
    """Builds the environment called `name`; `options` are those of its family (e.g. `randomise_rules=True`).

    Raises ConfigError for a name or an option that does not exist, and for a value that cannot be.
    """
    check_name(name)
    family, _, member = name.partition(":")
    build = FAMILIES[family].load(member) if family in FAMILIES else own_env(name)
    parameters = _parameters(name, build)
    takes = list(parameters)
    unknown = [option for option in options if option not in takes]
    if unknown:
        known = f"it takes {', '.join(takes)}" if takes else "it takes none"
        raise ConfigError(f"'{name}' does not take these options: {', '.join(unknown)} ({known})")
    for option, value in options.items():
        wanted = expected(value, parameters[option].annotation)
        if wanted:
            raise ConfigError(f"'{name}': {option} must be {wanted}, not {show(value)}")
    try:
        return build(**options)
    except Exception as error:  # whatever another package raises for an option
        if not options or isinstance(error, ConfigError):
            raise
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"'{name}' cannot be made with {', '.join(options)} as given ({line})") from error
