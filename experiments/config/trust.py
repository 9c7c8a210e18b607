"""Trust in files: the environments of this package may be named freely, other modules only with the user's consent.

A run directory, a policy or a preset from someone else names its environment, and MODULE:NAME would be imported and
called with options from the same file. The user consents by `--trust`, or by the same name given as `--env`. No jax.
"""

import pathlib

from envs.custom import is_custom_name, looks_custom, missing_module_hint
from envs.errors import ConfigError
from envs.registry import FAMILIES, check_name

Trust = bool | str | None  # True: whatever a file names; a name: that environment alone


def check_trusted(name: str, file: str | pathlib.Path, trust: Trust) -> None:
    """Checks an environment's name that `file` gives, before anything is imported for it.

    Raises:
      ConfigError: it is code of another module and not trusted, or there is no such module.
    """
    if name.partition(":")[0] in FAMILIES or not looks_custom(name):
        return check_name(name)
    if not is_custom_name(name):
        raise ConfigError(f"{file} names the environment '{name}', but {missing_module_hint(name)}")
    if trust is not True and trust != name:
        what = f"{file} names the environment '{name}', code that is not part of this package"
        raise ConfigError(f"{what}: if you trust it, add --trust (in Python: trust=True)")
