"""Rules from a file: what `experiments.smac_probe` measured on the real game, for `--env-options rules=FILE.json`.

    {"rules": {"enemy_medivac": 1.0, ...}, "numbers": {"stalker": {"damage": 13.0, ...}, ...}, ...}

A third key, `"pathing_grid": {"strip": [...]}`, has the walkable cells that a game reported, by the name of our
terrain: 32 rows of 32 characters, `.` walkable and `#` blocked, the row y = 0 first. They take the place of ours on the
maps with that terrain.

All keys may be absent or empty. Rules that are not named have their default value, and units keep their other numbers.
Other keys are ignored.
"""

import json
import math
import pathlib
from typing import Any

import numpy as np

from envs.errors import ConfigError
from envs.smax.battle import Numbers, Rules, default_rules
from envs.smax.rules import PRESETS, UNKNOWN, preset, smac_numbers, stack_numbers
from envs.smax.terrain import SIZE, Terrain
from envs.smax.units import UNITS

SUFFIX = ".json"


def find_rules(name: str, kinds: tuple[str, ...]) -> Rules:
    """The rules called `name` for a battle of the unit types `kinds` (sorted): a preset, or a file that ends in .json.

    Raises:
      ConfigError: there is no such preset or file, or the file does not contain rules.
    """
    if name.endswith(SUFFIX):
        return load_rules(name, kinds)
    if name not in PRESETS:
        raise ConfigError(f"unknown rules '{name}': choose {', '.join(PRESETS)}, or give a file that ends in {SUFFIX}")
    return preset(name, kinds)


def load_rules(path: str | pathlib.Path, kinds: tuple[str, ...]) -> Rules:
    """The rules in a file, f32 scalars; `numbers` f32[T, 1] if the file has numbers of any of `kinds`, else None.

    Raises:
      ConfigError: the file cannot be read, or names a rule, unit type or number that does not exist.
    """
    data = _read(path)
    given = _values(path, "rules", data.get("rules", {}), UNKNOWN)
    rules = default_rules()._replace(**{name: np.float32(value) for name, value in given.items()})
    units = data.get("numbers", {})
    if not isinstance(units, dict) or not units.keys() <= UNITS.keys():
        raise ConfigError(f"rules file {path}: numbers must be given by unit type: {', '.join(sorted(UNITS))}")
    rows = {name: _values(path, f"numbers of {name}", row, Numbers._fields) for name, row in units.items()}
    if not any(rows.get(kind) for kind in kinds):
        return rules
    return rules._replace(numbers=stack_numbers({kind: smac_numbers(kind) | rows.get(kind, {}) for kind in kinds}))


def grid_rows(walkable: np.ndarray) -> list[str]:
    """The rows of a grid bool[32, 32], as `find_terrain` reads them."""
    return ["".join(".#"[1 - int(cell)] for cell in row) for row in np.asarray(walkable, bool).T]


def find_terrain(name: str, terrain: Terrain) -> Terrain:
    """`terrain` with the walkable cells that the rules file `name` has for it; unchanged for a preset.

    Raises:
      ConfigError: the file cannot be read, or its grid is none.
    """
    grids = _read(name).get("pathing_grid", {}) if name.endswith(SUFFIX) else {}
    if not isinstance(grids, dict):
        raise ConfigError(f"rules file {name}: pathing_grid must have grids by the names of terrains")
    rows = grids.get(terrain.name)
    if rows is None:
        return terrain
    if not isinstance(rows, list) or {len(row) if isinstance(row, str) else 0 for row in rows} != {SIZE}:
        raise ConfigError(f"rules file {name}: pathing_grid of {terrain.name} must be {SIZE} rows of {SIZE} characters")
    return terrain.with_walkable(np.array([[cell == "." for cell in row] for row in rows]).T)


def _read(path: str | pathlib.Path) -> dict[str, Any]:
    try:
        data = json.loads(pathlib.Path(path).expanduser().read_text())
    except (OSError, UnicodeDecodeError, ValueError) as error:
        raise ConfigError(f"rules file {path} cannot be read ({error}): give one that smac_probe --out wrote") from None
    if not isinstance(data, dict):
        raise ConfigError(f"rules file {path} must hold an object with the keys rules and numbers")
    return data


def _values(path: Any, where: str, values: Any, known: tuple[str, ...]) -> dict[str, float]:
    """Returns `values` if it is a dict of finite numbers with keys from `known`; else raises ConfigError."""
    if not isinstance(values, dict) or not values.keys() <= set(known):
        wrong = f"{', '.join(sorted(values.keys() - set(known)))} in {where}" if isinstance(values, dict) else where
        raise ConfigError(f"rules file {path}: unknown {wrong}: it takes {', '.join(known)}")
    for name, value in values.items():
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise ConfigError(f"rules file {path}: {name} in {where} must be a number, not {value!r}")
    return values
