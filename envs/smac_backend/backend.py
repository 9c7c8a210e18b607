"""What a simulator must offer: a factory of games with `StarCraft2Env`'s interface, and a few optional functions.

A backend is a module with a constant `BACKEND`, or just a factory:

    BACKEND = Backend("smaclite", make_game, alive=my_alive)          # --backend smaclite, registered in BACKENDS below
    def make_game(map_name, **options): ...                           # --backend my_module:make_game

All functions must be defined at module level: games run in spawned processes, and functions are pickled by name.
"""

import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from envs.errors import ConfigError

BACKENDS = {"smac": "envs.smac_backend.starcraft", "smaclite": "envs.smac_backend.smaclite"}
# Attributes by which a game may describe its map, beside its sizes. Absent ones are not checked.
FACTS = ("n_enemies", "max_reward", "max_distance_x", "max_distance_y", "map_x", "map_y", "pathing_grid")


class Game(Protocol):
    """The part of `StarCraft2Env`'s interface that is used: SMAC's agent order, action ids, observations and masks.

    The constructor starts nothing; the first `reset` launches the game. `reset` is called once per episode, after the
    previous one has ended. A lost connection is `step` returning `(0, True, {})`, or any exception. If there is an
    attribute `force_restarts`, it counts the game's own relaunches; episodes with a relaunch are discarded.
    """

    n_agents: int

    def reset(self) -> Any:
        """Starts an episode."""

    def step(self, actions: list[int]) -> tuple[float, bool, dict]:
        """(team reward, terminated, info). `terminated` also at the time limit; `info` always has `battle_won`."""

    def get_obs(self) -> Sequence:
        """n_agents vectors of `obs_shape` floats; zeros for a dead agent."""

    def get_state(self) -> Any:
        """One vector of `state_shape` floats."""

    def get_avail_actions(self) -> Sequence:
        """n_agents rows of n_actions zeros and ones; a dead agent has only action 0."""

    def get_env_info(self) -> dict:
        """Ints by name: n_agents, obs_shape, state_shape, n_actions, episode_limit. Absent ones are not checked."""

    def save_replay(self) -> None:
        """Writes a file of all episodes since the launch."""

    def close(self) -> None:
        """Ends the game and its processes; may be called twice, and before the launch."""


def unit_health(game: Any) -> list[bool]:
    """Whether each agent is alive: `get_unit_by_id(agent).health > 0`.

    Raises:
      ValueError: a health is not finite.
    """
    healths = [game.get_unit_by_id(agent).health for agent in range(game.n_agents)]
    for agent, health in enumerate(healths):
        if not math.isfinite(health):
            raise ValueError(f"the health of agent {agent} is {health}")
    return [health > 0 for health in healths]


def known_facts(game: Any) -> dict[str, Any]:
    """Sizes, limits, largest reward and walkability, as the launched `game` reports them."""
    return {**game.get_env_info(), **{name: getattr(game, name) for name in FACTS if hasattr(game, name)}}


def unexplained(error: Exception) -> str:
    """No advice for any error."""
    return ""


class Backend(NamedTuple):
    """A simulator, described by its functions.

    Attributes:
      name: used in messages and file names.
      make_game: (map_name, **options) -> Game. The options are `seed` (int, different for each game and launch),
        `replay_prefix` (str without separators, different for each game) and what the user asked for, for example
        `game_version`. It must ignore options that it does not know.
      alive: (game) -> whether each agent is alive.
      facts: (game) -> what the game reports about its map. Everything it names must agree with our data of that map.
      explain: (exception of a launch) -> one line of advice, or "" if there is none.
    """

    name: str
    make_game: Callable[..., Game]
    alive: Callable[[Any], Sequence[bool]] = unit_health
    facts: Callable[[Any], dict[str, Any]] = known_facts
    explain: Callable[[Exception], str] = unexplained


def load_backend(name: str) -> Backend:
    """The backend called `name`: one of BACKENDS, or MODULE:ATTRIBUTE, a `Backend` or a factory of games.

    Raises:
      ConfigError: there is no such backend, or its module cannot be imported.
    """
    module, colon, attribute = name.partition(":")
    if not colon:
        if name not in BACKENDS:
            known = ", ".join(["smax", *BACKENDS])
            raise ConfigError(f"unknown backend '{name}': choose one of {known}, or give MODULE:FACTORY")
        module, attribute = BACKENDS[name], "BACKEND"
    try:
        found = getattr(importlib.import_module(module), attribute)
    except Exception as error:  # a user's module may raise anything
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"--backend {name} cannot be loaded ({line})") from None
    if isinstance(found, Backend):
        return found
    if not callable(found):
        raise ConfigError(f"--backend {name}: {attribute} is not a factory of games")
    return Backend(attribute, found)
