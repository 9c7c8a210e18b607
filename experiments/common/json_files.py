"""Reading the JSON files that users may have edited, and disks may have torn. No jax here."""

import json
import pathlib
from typing import Any

from envs.errors import ConfigError


def read_object(path: pathlib.Path, what: str = "") -> dict[str, Any]:
    """The object in the file `path`; `what` names the file in errors, by default its path.

    Raises:
      FileNotFoundError: there is no such file.
      ConfigError: it cannot be read, or is no JSON, or no object.
    """
    what = what or str(path)
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        raise FileNotFoundError(what) from None
    except RecursionError:
        raise ConfigError(f"{what} cannot be read: it is nested too deeply") from None
    except (OSError, ValueError) as error:  # ValueError: no UTF-8, no JSON, an integer of thousands of digits
        raise ConfigError(f"{what} cannot be read: {(str(error).splitlines() or [''])[0]}") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{what} cannot be read: it must hold an object, {{...}}")
    return data
