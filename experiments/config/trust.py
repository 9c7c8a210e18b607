"""What a file may name: environments of ours freely, code of other modules only with the user's word. No jax here.

A run directory, a policy or a preset that somebody else has made names its environment, and MODULE:NAME would be
imported and called with options from the same file. The user's word is `--trust`, or the same name typed as `--env`.
"""

import pathlib

from envs.custom import is_custom_name, looks_custom, missing_module_hint
from envs.errors import ConfigError
from envs.registry import FAMILIES, check_name
from experiments.config.schema import Command, Settings, default_settings, parse_fields

Trust = bool | str | None  # True: whatever a file names; a name: that environment alone


def check_trusted(name: str, file: str | pathlib.Path, trust: Trust) -> None:
    """Passes an environment's name that `file` gives, before anything is imported for it.

    Raises:
      ConfigError: it is code of a module, and the user has not given his word for it, or there is no such module.
    """
    if name.partition(":")[0] in FAMILIES or not looks_custom(name):
        return check_name(name)
    if not is_custom_name(name):
        raise ConfigError(f"{file} names the environment '{name}', but {missing_module_hint(name)}")
    if trust is not True and trust != name:
        what = f"{file} names the environment '{name}', code that this package does not bring"
        raise ConfigError(f"{what}: if you trust it, add --trust (in Python: trust=True)")


def new_settings(command: Command) -> Settings:
    """What the command line of a new run asks for.

    Raises:
      ConfigError: options that cannot be read, or a preset's file that names code which the user does not trust.
    """
    from experiments.config.preset_io import is_file

    settings = parse_fields(command.fields, default_settings(command.algo, command.preset, command.env))
    if is_file(command.preset):
        check_trusted(settings.run.env, command.preset, command.trust or command.env)
    return settings
