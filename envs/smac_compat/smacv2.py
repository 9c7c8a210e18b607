"""`StarCraftCapabilityEnvWrapper`: one battle with drawn teams, with the arguments and methods of SMACv2's class."""

import itertools
from collections.abc import Mapping
from typing import Any

import numpy as np

from envs.errors import ConfigError
from envs.smac_compat.arguments import check_kinds
from envs.smac_compat.battle_info import shared_engine
from envs.smac_compat.one_battle import OneBattle
from envs.values import show

MAPS = {f"10gen_{race}": race for race in ("protoss", "terran", "zerg")}
# The published scenarios (SMACv2's yaml files), the only ones that the engine plays.
FIXED: dict[str, Any] = {
    "step_mul": 8, "move_amount": 2, "obs_all_health": True, "obs_last_action": False, "obs_pathing_grid": False,
    "obs_terrain_height": False, "obs_instead_of_state": False, "obs_timestep_number": False, "obs_own_pos": True,
    "obs_starcraft": True, "num_fov_actions": 12, "state_last_action": True, "state_timestep_number": False,
    "use_unit_ranges": True, "min_attack_range": 2, "fully_observable": False, "heuristic_ai": False,
}  # fmt: skip
MUST_BE_GIVEN = ("obs_own_pos", "use_unit_ranges")  # SMACv2's defaults are not those of its scenarios
WITHOUT_EFFECT = (
    "difficulty", "game_version", "obs_own_health", "kill_unit_step_mul", "window_size_x", "window_size_y",
    "heuristic_rest", "debug",
)  # fmt: skip
START = {"dist_type": "surrounded_and_reflect", "p": 0.5, "map_x": 32, "map_y": 32}


class StarCraftCapabilityEnvWrapper(OneBattle):
    """A battle of SMACv2, played by our engine on the host's CPU: teams and places are drawn at each reset.

    Args:
      map_name: 10gen_protoss, 10gen_terran or 10gen_zerg.
      capability_config: sizes, team_gen and start_positions, as in SMACv2's yaml files.
      conic_fov, prob_obs_enemy, action_mask, reward_...: SMACv2's.
      seed, continuing_episode, replay_dir, replay_prefix: as in `StarCraft2Env`.
      arguments: SMACv2's others, with the values of its yaml files; and options of `smacv2:<scenario>` by name.

    Raises:
      ConfigError: something that the engine does not play.
    """

    def __init__(
        self,
        map_name: str,
        capability_config: dict[str, Any],
        seed: int | None = None,
        continuing_episode: bool = False,
        replay_dir: str | None = "",
        replay_prefix: str | None = "",
        **arguments: Any,
    ):
        kept = {"seed": seed, "continuing_episode": continuing_episode}
        check_kinds(kept | {"replay_dir": replay_dir, "replay_prefix": replay_prefix})
        name = scenario_name(map_name, capability_config)
        options = _passed(arguments)
        self.engine = shared_engine(f"smacv2:{name}", options)
        self.map_name, self.given_seed, self.continuing_episode = map_name, seed, continuing_episode
        self.replay_dir, self.replay_prefix = replay_dir, replay_prefix
        spec, self.race = self.engine.spec, self.engine.scenario.race
        self.n_agents, self.n_enemies = spec.num_agents, self.engine.scenario.num_enemies
        self.n_actions, self.episode_limit = spec.action.num_actions, spec.horizon
        self._scaled = self.engine.bug and self.engine.scenario.options.reward_scale
        self._first_scale: float | None = None
        self._factor = 1.0
        self.open()

    def reset(self) -> tuple[list[np.ndarray], np.ndarray]:
        """Draws teams and places. Returns (A observations f32[O], the global state f32[X])."""
        result = super().reset()
        if self._scaled:  # SMACv2 scales all rewards by the enemies of the first episode
            scale = float(self.game_state.scale[0])
            self._first_scale = self._first_scale or scale
            self._factor = scale / self._first_scale
        return result

    def step(self, actions: Any) -> tuple[float, bool, dict[str, Any]]:
        """As `StarCraft2Env.step`."""
        reward, terminated, info = super().step(actions)
        self.reward = reward * self._factor
        return self.reward, terminated, info

    @property
    def env(self) -> "StarCraftCapabilityEnvWrapper":
        """The battle itself, for code that reads its counters: SMACv2's class wraps it, this one is it."""
        return self

    def get_obs_size(self) -> int:
        """O, the length of an agent's observation."""
        return self.engine.spec.obs_dim

    def get_state_size(self) -> int:
        """X, the length of the global state."""
        return self.engine.spec.state_dim

    def get_total_actions(self) -> int:
        """U, the number of action ids."""
        return self.n_actions

    def get_cap_size(self) -> int:
        """The length of one agent's capabilities."""
        return len(self.race.types)

    def get_capabilities(self) -> np.ndarray:
        """f32[A * 3]: the one-hot types of the agents, one agent after the other."""
        kinds = np.asarray(self.game_state.kind)[: self.n_agents, 0]
        return np.eye(self.get_cap_size(), dtype=np.float32)[np.asarray(self.race.bits)[kinds]].ravel()

    def get_env_info(self) -> dict[str, Any]:
        """The sizes."""
        return super().get_env_info() | {"cap_shape": self.get_cap_size()}


def scenario_name(map_name: str, config: dict[str, Any]) -> str:
    """The engine's name of SMACv2's map and `capability_config`, e.g. protoss_5_vs_5.

    Raises:
      ConfigError: teams or places are drawn in another way than in SMACv2's yaml files.
    """
    from envs.smacv2.scenarios import RACES

    if map_name not in MAPS:
        raise ConfigError(f"map_name={show(map_name)}: SMACv2's maps are {', '.join(MAPS)}")
    race = RACES[MAPS[map_name]]
    config = _mapping("capability_config", config)
    team, place = (_mapping(name, config.get(name, {})) for name in ("team_gen", "start_positions"))
    shares = dict(itertools.zip_longest(team.get("unit_types", ()), team.get("weights", ())))
    exceptions = list(team.get("exception_unit_types", ()))
    drawn = team.get("dist_type") == "weighted_teams" and team.get("observe", True)
    if not drawn or shares != dict(zip(race.types, race.shares, strict=True)):
        wanted = ", ".join(f"{kind} {share}" for kind, share in zip(race.types, race.shares, strict=True))
        raise ConfigError(f"team_gen must be weighted_teams with observe=True and the weights {wanted}")
    if exceptions != ([race.exception] if race.exception else []):
        raise ConfigError(f"exception_unit_types={exceptions}: {map_name} has {race.exception or 'none'}")
    if any(place.get(key) != value for key, value in START.items()):
        raise ConfigError(f"start_positions must be {', '.join(f'{key}={value}' for key, value in START.items())}")
    others = config.keys() - {"n_units", "n_enemies", "team_gen", "start_positions"}
    if others:
        raise ConfigError(f"capability_config: {', '.join(sorted(others))} cannot be honoured here")
    return f"{race.name}_{config.get('n_units')}_vs_{config.get('n_enemies')}"


def _mapping(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, Mapping):
        raise ConfigError(f"{name} must be a dict, as in SMACv2's yaml files, not {show(value)}")
    return dict(value)


def _passed(arguments: dict[str, Any]) -> dict[str, Any]:
    """The options of the engine among SMACv2's arguments. Raises ConfigError if another one is not as published."""
    missing = [name for name in MUST_BE_GIVEN if name not in arguments]
    if missing:
        raise ConfigError(f"{missing[0]} is not given: SMACv2's scenarios have {missing[0]}={FIXED[missing[0]]}")
    wrong = [name for name, value in FIXED.items() if arguments.get(name, value) != value]
    if wrong:
        raise ConfigError(f"{wrong[0]}={show(arguments[wrong[0]])}: it is {FIXED[wrong[0]]} here")
    return {name: value for name, value in arguments.items() if name not in FIXED and name not in WITHOUT_EFFECT}
