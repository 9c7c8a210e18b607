"""`smac.env.starcraft2.maps.smac_maps`: the table of the maps."""

import importlib
from typing import Any

import smac.env


def get_smac_map_registry() -> dict[str, dict[str, Any]]:
    """A row for each map: n_agents, n_enemies, limit, unit_type_bits, map_type."""
    assert smac.env.StarCraft2Env  # makes our package importable
    scenarios = importlib.import_module("envs.smax.scenarios").SCENARIOS
    return {
        name: {
            "n_agents": scenario.num_allies,
            "n_enemies": scenario.num_enemies,
            "limit": scenario.limit,
            "unit_type_bits": scenario.type_bits,
            "map_type": scenario.map_type,
        }
        for name, scenario in scenarios.items()
    }
