"""Worlds of one's own: `module:name` names a class or function in any module that Python finds, unregistered.

    python -m experiments.run --algo ippo --env my_world:Relay --env-options agents=4

What it makes, given its options by name, is batch-native (`envs.base.Environment`), or a world of one lane
(`SingleEnvironment`), which is lifted. Everything that is kept of a run names it `my_world:Relay`, whatever its spec
says, so that the other commands find it again; films are drawn by the module's function `episode_frames`, if it has
one (see `envs.rendering`). In a notebook the module is `__main__`.

No jax here: a mistyped name need not wait for it.
"""

import functools
import importlib
import importlib.util
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from envs.errors import ConfigError, in_one_line

if TYPE_CHECKING:
    from envs.base import Environment


def looks_own(name: str) -> bool:
    """True if `name` is of the form `module:name`."""
    module, _, member = name.partition(":")
    return member.isidentifier() and all(part.isidentifier() for part in module.split("."))


def is_own(name: str) -> bool:
    """True if `name` is `module:name` and Python finds that module, or the package it lies in; nothing is imported."""
    if not looks_own(name):
        return False
    module = name.partition(":")[0]
    top = module.split(".")[0]  # to find what lies in a package, Python would import the package
    if module in sys.modules or top in sys.modules:
        return True
    try:
        return importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        return False


def no_module(name: str) -> str:
    """What to do where Python does not find the module of `name`."""
    top = name.partition(":")[0].split(".")[0]
    return f"Python finds no module {top}: give the command where {top}.py is, or name its directory in PYTHONPATH"


def module_of(name: str) -> Any:
    """The module of the world called `name`; raises ConfigError where it fails to load."""
    module = name.partition(":")[0]
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"'{name}': {module} cannot be imported ({in_one_line(error)})") from error


def own_env(name: str) -> Callable[..., "Environment"]:
    """A function of options alone that builds the world called `name`.

    Raises:
      ConfigError: the module cannot be imported or has nothing of that name that can be called; and the function,
        where it makes no world.
    """
    module, _, member = name.partition(":")
    make = getattr(module_of(name), member, None)
    if not callable(make):
        hint = ": run the cell that defines it" if module == "__main__" else ""
        raise ConfigError(f"no '{name}': {module} has no class or function {member}{hint}")

    @functools.wraps(make, updated=())
    def build(**options):
        try:
            return _Own(make(**options), name)
        except ConfigError:
            raise
        except (Exception, SystemExit) as error:  # what `name` calls need be no environment: it may be builtins:exit
            raise ConfigError(f"'{name}' cannot be made ({in_one_line(error)})") from error

    return build


def is_custom(env: Any) -> bool:
    """True if `env` is one of one's own, made by its name."""
    return isinstance(env, _Own)


class _Own:
    """A batch-native world by the name that finds it again. What else it is asked for, its maker's object answers."""

    def __init__(self, made: Any, name: str):
        from envs.base import EnvSpec, vectorize

        missing = [part for part in ("spec", "reset", "step") if not hasattr(made, part)]
        if missing or not isinstance(made.spec, EnvSpec):
            what = f"without {' and '.join(missing)}" if missing else "whose spec is no EnvSpec"
            raise ConfigError(f"'{name}' makes a {type(made).__name__} {what}: envs/base.py says what a world has")
        lanes = made if hasattr(made, "restart") else vectorize(made)
        self.reset, self.step, self.restart = lanes.reset, lanes.step, lanes.restart
        self.spec = made.spec._replace(name=name)
        self._made = made

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):  # asked for by copy and pickle before there is anything to ask
            raise AttributeError(attribute)
        return getattr(self._made, attribute)
