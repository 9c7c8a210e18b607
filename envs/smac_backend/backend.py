"""What a simulator must offer to be played on: a factory of games with `StarCraft2Env`'s interface, and small helpers.

A backend is a module with a constant `BACKEND`, or a factory alone:

    BACKEND = Backend("smaclite", make_game, alive=my_alive)          # --backend smaclite, by BACKENDS below
    def make_game(map_name, **options): ...                           # --backend my_module:make_game

All functions are module-level, because games live in processes of their own (spawn) and functions travel by name.
"""

import importlib
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from envs.errors import ConfigError

BACKENDS = {"smac": "envs.smac_backend.starcraft", "smaclite": "envs.smac_backend.smaclite"}
# What a game may know of its map beside its sizes. Absent attributes are not checked.
FACTS = ("n_enemies", "max_reward", "max_distance_x", "max_distance_y", "map_x", "map_y", "pathing_grid")


class Game(Protocol):
    """`StarCraft2Env`'s interface, the part that is used: SMAC's agent order, action ids, observations and masks.

    Constructing one starts nothing; the first `reset` launches the game. `reset` is called once an episode, after the
    previous one has ended, and never twice. A lost connection is `step` returning `(0, True, {})`, or any exception.
    An attribute `force_restarts`, where there is one, counts the game's own relaunches: their episodes do not count.
    """

    n_agents: int

    def reset(self) -> Any:
        """Opens an episode."""

    def step(self, actions: list[int]) -> tuple[float, bool, dict]:
        """(team reward, terminated, info). `terminated` at the time limit too; `info` has `battle_won`, never empty."""

    def get_obs(self) -> Sequence:
        """n_agents vectors of `obs_shape` floats; zeros for a dead agent."""

    def get_state(self) -> Any:
        """One vector of `state_shape` floats."""

    def get_avail_actions(self) -> Sequence:
        """n_agents rows of n_actions zeros and ones; only action 0 for a dead agent."""

    def get_env_info(self) -> dict:
        """Ints by name: n_agents, obs_shape, state_shape, n_actions, episode_limit. What is absent is not checked."""

    def save_replay(self) -> None:
        """Writes a file of all episodes since the launch."""

    def close(self) -> None:
        """Ends the game and its processes; may be called twice, and before the launch."""


def unit_health(game: Any) -> list[bool]:
    """Who lives, by the health of the agents' units: `get_unit_by_id(agent).health > 0`.

    Raises:
      ValueError: a health is not finite.
    """
    healths = [game.get_unit_by_id(agent).health for agent in range(game.n_agents)]
    for agent, health in enumerate(healths):
        if not math.isfinite(health):
            raise ValueError(f"the health of agent {agent} is {health}")
    return [health > 0 for health in healths]


def known_facts(game: Any) -> dict[str, Any]:
    """Sizes, limits, largest reward and walkability as the launched `game` tells them."""
    return {**game.get_env_info(), **{name: getattr(game, name) for name in FACTS if hasattr(game, name)}}


def unexplained(error: Exception) -> str:
    """No advice: the error is the game's own."""
    return ""


class Backend(NamedTuple):
    """A simulator by its functions.

    `make_game(map_name, **options)` gets `seed` (int, another for each game and launch), `replay_prefix` (str, without
    separators, another for each game) and what the user asked for, such as `game_version`; it ignores what it does not
    know. `facts` decides which checks apply: of what it names, all must agree with our data of that map.
    `explain` turns an exception of the first launch into one line of advice, or into the empty text.
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
    except Exception as error:  # whatever a module of the user's raises while it is loaded
        line = (str(error).splitlines() or [type(error).__name__])[0]
        raise ConfigError(f"--backend {name} cannot be loaded ({line})") from None
    if isinstance(found, Backend):
        return found
    if not callable(found):
        raise ConfigError(f"--backend {name}: {attribute} is no factory of games")
    return Backend(attribute, found)
