"""The real game: `StarCraft2Env` of oxwhirl/smac on PySC2, and one line of advice for each way it can fail to start.

No jax here. The failures are those of smac at d6aab33 and pysc2 4.0.0.
"""

import importlib.util
import os
import pathlib
from typing import Any

from envs.errors import ConfigError
from envs.smac_backend.backend import Backend

SOURCE = "git+https://github.com/oxwhirl/smac.git"
PROTOBUF = "PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"
MAPS_URL = "https://github.com/oxwhirl/smac/releases/download/v0.1-beta1/SMAC_Maps.zip"


def load_environment() -> Any:
    """The class `StarCraft2Env`.

    SMAC's message definitions are older than today's protobuf, which can read them only in its Python implementation.
    It is selected here, before anything imports protobuf.

    Raises:
      ConfigError: SMAC is not installed, the unrelated package `smac` of PyPI is, or protobuf rejects the messages.
    """
    _check_package()
    os.environ.setdefault(PROTOBUF, "python")
    try:
        from smac.env import StarCraft2Env
    except TypeError as error:
        if "Descriptors cannot" not in str(error):
            raise
        raise ConfigError(f"protobuf rejects SMAC's messages: export {PROTOBUF}=python, then try again") from None
    except ImportError as error:
        raise ConfigError(f"SMAC cannot be imported ({error}): pip install '{SOURCE}' installs what it needs") from None
    return StarCraft2Env


def _check_package() -> None:
    """Tells oxwhirl/smac from the hyper-parameter optimiser with the same name, without importing either."""
    spec = importlib.util.find_spec("smac")
    if spec is None:
        raise ConfigError(f"SMAC is not installed: pip install '{SOURCE}' (plain smac is another package)")
    folders = [pathlib.Path(folder) for folder in spec.submodule_search_locations or ()]
    if not any((folder / "env" / "starcraft2").is_dir() for folder in folders):
        raise ConfigError(
            "the installed package smac is the hyper-parameter optimiser of PyPI, not StarCraft's: "
            f"pip uninstall smac, then pip install '{SOURCE}'"
        )


def make_game(map_name: str, reward_damage: bool = True, open_loop: bool = False, **options: Any) -> Any:
    """A `StarCraft2Env` of the map; StarCraft II starts at the first reset.

    Args:
      map_name: the map.
      reward_damage: False: losses of health and shield are not rewarded, which SMAC has no option for.
      open_loop: refused: SMAC has no such observations.
      options: arguments of `StarCraft2Env`; SMAC's defaults otherwise.

    Raises:
      ConfigError: SMAC cannot be imported, or has no such map.
    """
    if open_loop:
        raise ConfigError("SMAC has no open_loop: a policy that was trained with it plays here only")
    environment = load_environment()
    if not reward_damage:
        environment = without_damage(environment)
    try:
        return environment(map_name=map_name, **options)
    except KeyError:
        raise ConfigError(f"SMAC has no map '{map_name}': python -m smac.bin.map_list lists its maps") from None


def without_damage(environment: Any) -> Any:
    """A subclass of `StarCraft2Env` whose steps pay for deaths only, as the copies of SMAC in MASER and ICES do."""

    class Deaths(environment):
        def reward_battle(self) -> float:
            kills, losses = -sum(self.death_tracker_enemy), -sum(self.death_tracker_ally)
            super().reward_battle()  # which records who has died
            kills, losses = kills + sum(self.death_tracker_enemy), losses + sum(self.death_tracker_ally)
            lost = 0.0 if self.reward_only_positive else self.reward_negative_scale * losses
            return self.reward_death_value * (kills - lost)

    return Deaths


def game_folder() -> pathlib.Path:
    """Where PySC2 looks for StarCraft II on Linux."""
    return pathlib.Path(os.environ.get("SC2PATH", "~/StarCraftII")).expanduser()


def explain(error: Exception) -> str:
    """One line of advice for an exception of a launch; "" if it is not a problem of the installation.

    PySC2's exceptions are recognised by the names of their classes, so that PySC2 need not be imported.
    """
    kind, text = type(error).__name__, " ".join(str(error).split())
    folder = game_folder()
    chosen = f"SC2PATH is {folder}" if os.environ.get("SC2PATH") else f"SC2PATH is not set, so {folder} was tried"
    if isinstance(error, FileNotFoundError | NotADirectoryError) and str(error.filename or "").startswith(str(folder)):
        return f"no StarCraft II ({chosen}; there is no {error.filename}): set SC2PATH to the folder with Versions"
    if kind == "SC2LaunchError" and "No SC2 Versions" in text:
        return f"no version of StarCraft II in {folder / 'Versions'} ({chosen}): install Blizzard's Linux package there"
    if kind == "SC2LaunchError" and "No SC2 binary" in text:
        return f"StarCraft II has no binary ({text}; {chosen}): unpack Blizzard's Linux package again"
    if kind in ("SC2LaunchError", "ConnectError") or (isinstance(error, RuntimeError) and "Trying to run" in text):
        return f"StarCraft II did not start ({text}; {chosen}): run its SC2_x64 by hand to see what it lacks"
    if isinstance(error, ValueError) and text.startswith("Unknown game version"):
        return f"{text} Install that version under {folder / 'Versions'}, or name one that is there ({chosen})"
    if isinstance(error, ValueError) and text.startswith("Map ") and "not found" in text:
        return f"{text} Unpack {MAPS_URL} into {folder / 'Maps'} ({chosen})"
    if kind in ("NoMapError", "DuplicateMapError"):
        return f"PySC2 does not know this map ({text}): it must be one of SMAC's"
    return ""


BACKEND = Backend("smac", make_game, explain=explain)
