"""`smac.env.starcraft2.maps`: the table of the maps."""

from typing import Any

from smac.env.starcraft2.maps.smac_maps import get_smac_map_registry


def get_map_params(map_name: str) -> dict[str, Any]:
    """The row of a map. Raises KeyError, as SMAC does, if there is none."""
    return get_smac_map_registry()[map_name]


def map_present(map_name: str) -> bool:
    """True if there is such a map."""
    return map_name in get_smac_map_registry()
