"""What SMAC's class says of a map before anything is played: sizes, names of features, constants."""

import functools
import logging
from typing import Any

import numpy as np

from envs.smac_compat.arguments import bind, engine_options
from envs.smac_compat.multi_agent_env import MultiAgentEnv

MOVES, PATHING_POINTS, HEIGHT_POINTS = 4, 8, 9
PUBLIC = (  # arguments that are attributes of SMAC's class under their own names
    "map_name", "difficulty", "game_version", "continuing_episode", "obs_all_health", "obs_own_health",
    "obs_last_action", "obs_pathing_grid", "obs_terrain_height", "obs_instead_of_state", "obs_timestep_number",
    "state_last_action", "state_timestep_number", "reward_sparse", "reward_only_positive", "reward_death_value",
    "reward_win", "reward_defeat", "reward_negative_scale", "reward_scale", "reward_scale_rate", "replay_dir",
    "replay_prefix", "heuristic_ai", "heuristic_rest", "debug",
)  # fmt: skip


def shared_engine(name: str, options: dict[str, Any]) -> Any:
    """The environment called `name`, one for each set of options, so that its compiled programs are shared.

    Raises:
      ConfigError: no such environment, or options that it does not take.
    """
    pairs = tuple(options.items())
    try:
        hash(pairs)
    except TypeError:  # no option is a list or a dict: built anew, to have the error of the environment
        return _build(name, pairs)
    return _shared(name, pairs)


def _build(name: str, options: tuple[tuple[str, Any], ...]) -> Any:
    from envs.registry import make_env

    if not logging.getLogger("jax").level:  # PyMARL has everybody log all details, of which jax has pages
        logging.getLogger("jax").setLevel(logging.WARNING)
    return make_env(name, **dict(options))


_shared = functools.lru_cache(maxsize=32)(_build)


class BattleInfo(MultiAgentEnv):
    """The constants of a map under SMAC's names, and its `get_..._size` methods.

    Args:
      args, kwargs: SMAC's arguments (`envs.smac_compat.arguments.DEFAULTS`), and options of `smax:<map>` by name.

    Raises:
      ConfigError: no such map, or an argument that cannot be honoured.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        arguments, options, given = bind(args, kwargs)
        chosen = engine_options(arguments, options, given)
        self.engine = shared_engine(f"smax:{arguments['map_name']}", chosen)
        self.given_seed = arguments["seed"]
        for name in PUBLIC:
            setattr(self, name, arguments[name])
        self.obs_own_health = self.obs_own_health or self.obs_all_health
        self.window_size = (arguments["window_size_x"], arguments["window_size_y"])
        self._name_features()

    def _name_features(self) -> None:
        from envs.smax.outcome import max_reward

        scenario, spec = self.engine.scenario, self.engine.spec
        self.n_agents, self.n_enemies = scenario.num_allies, scenario.num_enemies
        self.n_actions, self.episode_limit = spec.action.num_actions, spec.horizon
        self.n_actions_no_attack, self.n_actions_move = self.n_actions - self.n_enemies, MOVES
        self.n_obs_pathing, self.n_obs_height = PATHING_POINTS, HEIGHT_POINTS
        self.map_type, self.unit_type_bits = scenario.map_type, scenario.type_bits
        self.shield_bits_ally, self.shield_bits_enemy = int(scenario.ally_shields), int(scenario.enemy_shields)
        self.max_reward = max_reward(scenario)
        types = [f"type_{bit}" for bit in range(self.unit_type_bits)]
        shields = [["shield"] * bits for bits in (self.shield_bits_ally, self.shield_bits_enemy)]
        self.ally_state_attr_names = ["health", "energy/cooldown", "rel_x", "rel_y", *shields[0], *types]
        self.enemy_state_attr_names = ["health", "rel_x", "rel_y", *shields[1], *types]

    def get_total_actions(self) -> int:
        """U, the number of action ids."""
        return self.n_actions

    def get_obs_size(self) -> int:
        """O, the length of an agent's observation. With `obs_timestep_number` SMAC's own answer is one too small."""
        return self.engine.spec.obs_dim

    def get_state_size(self) -> int:
        """X, the length of the global state."""
        return self.engine.spec.state_dim

    def get_obs_move_feats_size(self) -> int:
        """Numbers about moves in an observation; they come first."""
        return MOVES + PATHING_POINTS * self.obs_pathing_grid + HEIGHT_POINTS * self.obs_terrain_height

    def get_obs_enemy_feats_size(self) -> tuple[int, int]:
        """(enemies, numbers about each in an observation)."""
        health = self.obs_all_health * (1 + self.shield_bits_enemy)
        return self.n_enemies, 4 + health + self.unit_type_bits

    def get_obs_ally_feats_size(self) -> tuple[int, int]:
        """(other agents, numbers about each in an observation)."""
        health = self.obs_all_health * (1 + self.shield_bits_ally)
        return self.n_agents - 1, 4 + health + self.unit_type_bits + self.obs_last_action * self.n_actions

    def get_obs_own_feats_size(self) -> int:
        """Numbers about the agent itself in its observation; they come last."""
        health = self.obs_own_health * (1 + self.shield_bits_ally)
        return health + self.unit_type_bits + self.obs_timestep_number

    def get_ally_num_attributes(self) -> int:
        """Numbers about each agent in the state."""
        return len(self.ally_state_attr_names)

    def get_enemy_num_attributes(self) -> int:
        """Numbers about each enemy in the state."""
        return len(self.enemy_state_attr_names)

    def get_env_info(self) -> dict[str, Any]:
        """The sizes, and the names of the state's features."""
        names = {"agent_features": self.ally_state_attr_names, "enemy_features": self.enemy_state_attr_names}
        return super().get_env_info() | names

    def unit_shoot_range(self, agent_id: int) -> float:
        """The distance within which attacks are legal; map units."""
        from envs.smax.interface import SHOOT

        return SHOOT

    def unit_sight_range(self, agent_id: int) -> float:
        """The distance within which units are seen; map units."""
        from envs.smax.interface import SIGHT

        return SIGHT

    def split_state(self, state: np.ndarray) -> dict[str, np.ndarray]:
        """The parts of a global state f32[..., X] by SMAC's names, e.g. allies [..., A, numbers about each]."""
        sizes = {
            "allies": (self.n_agents, self.get_ally_num_attributes()),
            "enemies": (self.n_enemies, self.get_enemy_num_attributes()),
        }
        if self.state_last_action:
            sizes["last_action"] = (self.n_agents, self.n_actions)
        if self.state_timestep_number:
            sizes["timestep"] = (1,)
        parts, start = {}, 0
        for name, size in sizes.items():
            end = start + int(np.prod(size))
            parts[name] = state[..., start:end].reshape(*state.shape[:-1], *size)
            start = end
        return parts
