"""Custom environments: `module:name` names a class or a function in any Python module. No registration is needed.

    python -m experiments.run --algo ippo --env my_env:Relay --env-options agents=4

The class or function is called with the options as keyword arguments. It must return an `envs.base.Environment`, or a
`SingleEnvironment`, which is vectorized here. The environment's name, in every file and message, is `my_env:Relay`,
whatever its spec says, so that other commands can build it again. If the module has a function `episode_frames`, videos
are made with it (see `envs.rendering`). In a notebook the module is `__main__`.

No jax here, so that a mistyped name is reported at once.
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


def looks_custom(name: str) -> bool:
    """True if `name` has the form `module:name`. Whether the module exists is not checked."""
    module, _, member = name.partition(":")
    return member.isidentifier() and all(part.isidentifier() for part in module.split("."))


def is_custom_name(name: str) -> bool:
    """True if `name` has the form `module:name` and Python finds the module, or the top-level package it is in.

    Nothing is imported.
    """
    if not looks_custom(name):
        return False
    module = name.partition(":")[0]
    top = module.split(".")[0]  # to find a module inside a package, Python would import the package
    if module in sys.modules or top in sys.modules:
        return True
    try:
        return importlib.util.find_spec(top) is not None
    except (ImportError, ValueError):
        return False


def missing_module_hint(name: str) -> str:
    """One line of advice for when Python does not find the module of `name`."""
    top = name.partition(":")[0].split(".")[0]
    return f"Python finds no module {top}: run the command in the directory of {top}.py, or add it to PYTHONPATH"


def module_of(name: str) -> Any:
    """The imported module of the environment called `name`.

    Raises:
      ConfigError: the import fails.
    """
    module = name.partition(":")[0]
    try:
        return importlib.import_module(module)
    except (Exception, SystemExit) as error:
        raise ConfigError(f"'{name}': {module} cannot be imported ({in_one_line(error)})") from error


def custom_env(name: str) -> Callable[..., "Environment"]:
    """A function that builds the environment called `name` from its options, given by keyword.

    Raises:
      ConfigError: the module cannot be imported, or has no class or function of that name. The returned function
        raises it when the call fails or does not return an environment.
    """
    module, _, member = name.partition(":")
    make = getattr(module_of(name), member, None)
    if not callable(make):
        hint = ": run the cell that defines it" if module == "__main__" else ""
        raise ConfigError(f"no '{name}': {module} has no class or function {member}{hint}")

    @functools.wraps(make, updated=())
    def build(**options):
        try:
            return _CustomEnv(make(**options), name)
        except ConfigError:
            raise
        except (Exception, SystemExit) as error:  # `name` may be anything that can be called, builtins:exit too
            raise ConfigError(f"'{name}' cannot be built ({in_one_line(error)})") from error

    return build


def is_custom_env(env: Any) -> bool:
    """True if `env` was built by `custom_env`."""
    return isinstance(env, _CustomEnv)


class _CustomEnv:
    """A user's environment, vectorized if necessary and named `name`. Other attributes are the user's object's."""

    def __init__(self, made: Any, name: str):
        from envs.base import EnvSpec, vectorize

        missing = [part for part in ("spec", "reset", "step") if not hasattr(made, part)]
        if missing or not isinstance(made.spec, EnvSpec):
            what = f"without {' and '.join(missing)}" if missing else "whose spec is no EnvSpec"
            raise ConfigError(
                f"'{name}' returns an object of type {type(made).__name__} {what}: "
                "envs/base.py says what an environment must have"
            )
        batched = made if hasattr(made, "restart") else vectorize(made)
        self.reset, self.step, self.restart = batched.reset, batched.step, batched.restart
        self.spec = made.spec._replace(name=name)
        self._made = made

    def __getattr__(self, attribute: str) -> Any:
        if attribute.startswith("_"):  # copy and pickle ask for these before `_made` is set
            raise AttributeError(attribute)
        return getattr(self._made, attribute)
