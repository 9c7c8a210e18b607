"""Checks that a launched game has the map the policy was trained on: what it reports, against our data of that map."""

from typing import Any

import numpy as np

from envs.errors import ConfigError, in_one_line
from envs.smac_backend.moment import Lost, Moment
from envs.smax.interface import MAP_SIZE
from envs.smax.outcome import max_reward
from envs.smax.scenarios import Scenario

SEAM = 2  # cells on either side of a wall whose walkability only a game can tell; masks are the game's own anyway


def expected_facts(scenario: Scenario) -> dict[str, float]:
    """Our data of a map, under the names used by `get_env_info` and by `StarCraft2Env`'s attributes."""
    size, options = int(MAP_SIZE), scenario.options
    declared = scenario.obs_dim - options.obs_timestep_number  # SMAC does not count the constant 0
    state = scenario.num_allies * declared if options.obs_instead_of_state else scenario.state_dim
    return {
        "n_agents": scenario.num_allies,
        "n_enemies": scenario.num_enemies,
        "n_actions": scenario.num_actions,
        "obs_shape": declared,
        "state_shape": state,
        "episode_limit": scenario.limit,
        "max_reward": max_reward(scenario),
        **{name: size for name in ("map_x", "map_y", "max_distance_x", "max_distance_y")},
    }


def check_game(name: str, scenario: Scenario, moment: Moment, facts: dict[str, Any]) -> None:
    """Compares the `facts` that a game reports, and the shapes of its observations, with our data of the map.

    Args:
      name: the backend's name, for the message.
      scenario: our data of the map.
      moment: what the game returned at its first reset.
      facts: what the game reports about its map; only what it names is compared.

    Raises:
      ConfigError: something differs; the line has both values of each difference.
      Lost: the facts cannot be read.
    """
    try:
        wrong = _wrong_facts(scenario, facts)
    except Exception as error:
        raise Lost(f"the game's facts about its map cannot be read: {in_one_line(error)}") from None
    wrong += _wrong_shapes(scenario, moment)
    if wrong:
        raise ConfigError(f"{name}'s map {scenario.name} differs from ours: {'; '.join(wrong)}")


def _wrong_facts(scenario: Scenario, facts: dict[str, Any]) -> list[str]:
    expected = expected_facts(scenario)
    wrong = [
        f"{key} is {' '.join(str(facts[key]).split())[:80]} there and {value:g} here"
        for key, value in expected.items()
        if key in facts and facts[key] != value
    ]
    if facts.get("pathing_grid") is not None:
        wrong += _grid_difference(scenario.ground.terrain.walkable, np.asarray(facts["pathing_grid"], bool))
    return wrong


def check_shapes(scenario: Scenario, moment: Moment) -> None:
    """Raises Lost if an array of `moment` has a shape other than the map's."""
    wrong = _wrong_shapes(scenario, moment)
    if wrong:
        raise Lost("; ".join(wrong))


def _wrong_shapes(scenario: Scenario, moment: Moment) -> list[str]:
    shapes = {
        "obs": (scenario.num_allies, scenario.obs_dim),
        "state": (scenario.state_dim,),
        "avail": (scenario.num_allies, scenario.num_actions),
        "alive": (scenario.num_allies,),
    }
    return [
        f"{key} has the shape {getattr(moment, key).shape} there and {shape} here"
        for key, shape in shapes.items()
        if getattr(moment, key).shape != shape
    ]


def _uncertain(walkable: np.ndarray) -> np.ndarray:
    """bool[x, y]: the cells within SEAM cells of a wall of our grid, on either side of it."""
    width = 2 * SEAM + 1
    around = np.lib.stride_tricks.sliding_window_view(np.pad(walkable, SEAM), (width, width))
    return around.any(axis=(2, 3)) & ~around.all(axis=(2, 3))


def _grid_difference(ours: np.ndarray, grid: np.ndarray) -> list[str]:
    if grid.shape != ours.shape:
        return [f"pathing_grid has the shape {grid.shape} there and {ours.shape} here"]
    differ = np.argwhere((grid != ours) & ~_uncertain(ours))
    if not len(differ):
        return []
    x, y = (int(n) for n in differ[0])
    words = {True: "walkable", False: "blocked"}
    there, here = words[bool(grid[x, y])], words[bool(ours[x, y])]
    return [f"{len(differ)} cells differ in walkability, the first, ({x}, {y}), is {there} there and {here} here"]
