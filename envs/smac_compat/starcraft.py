"""`StarCraft2Env`: one battle, with the methods, arguments and return values of SMAC's class."""

from typing import Any

import numpy as np

from envs.smac_compat.arguments import SIGNATURE
from envs.smac_compat.battle_info import BattleInfo
from envs.smac_compat.one_battle import OneBattle
from envs.smac_compat.units import UnitView, read_units


class StarCraft2Env(OneBattle, BattleInfo):
    """A battle of SMAC, played by our engine on the host's CPU. All arguments and methods are SMAC's.

    What differs from the real one, apart from the physics (`docs/starcraft.md`): `difficulty`, `game_version`, the
    window's size and `debug` have no effect; `step_mul` is 8 and `heuristic_ai` is refused; `seed` makes every episode
    the same again; a replay is a GIF of the latest episode; `reset` may be called at any time; a step after the end
    raises an error.

    Args:
      args, kwargs: SMAC's arguments (`envs.smac_compat.arguments.DEFAULTS`), and options of `smax:<map>` by name,
        e.g. `rules`.

    Raises:
      ConfigError: no such map, or an argument that cannot be honoured.
    """

    __signature__ = SIGNATURE

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.open()

    def get_state_dict(self) -> dict[str, np.ndarray]:
        """The parts of the state: allies, enemies, and as far as they are in it last_action and timestep."""
        return self.split_state(self.get_state())

    @property
    def agents(self) -> dict[int, UnitView]:
        """The agents' units by agent id, dead ones too."""
        return dict(enumerate(self._units()[: self.n_agents]))

    @property
    def enemies(self) -> dict[int, UnitView]:
        """The enemies' units by enemy id, dead ones too."""
        return dict(enumerate(self._units()[self.n_agents :]))

    def _units(self) -> tuple[UnitView, ...]:
        return read_units(self.engine.scenario.units, self.n_agents, self.game_state.battle)

    def get_unit_by_id(self, a_id: int) -> UnitView:
        """The unit of agent `a_id`."""
        return self.agents[a_id]

    @property
    def death_tracker_enemy(self) -> np.ndarray:
        """f64[M]: 1 for a dead enemy."""
        return np.array([float(unit.health <= 0) for unit in self.enemies.values()])

    def get_visibility_matrix(self) -> np.ndarray:
        """bool[A, A + M]: which living units each living agent sees; not itself."""
        units = self._units()
        x, y = (np.array([getattr(unit.pos, axis) for unit in units]) for axis in ("x", "y"))
        alive = np.array([unit.health > 0 for unit in units])
        agents = self.n_agents
        near = np.hypot(x[None] - x[:agents, None], y[None] - y[:agents, None]) < self.unit_sight_range(0)
        seen = near & alive[None] & alive[:agents, None]
        seen[np.arange(agents), np.arange(agents)] = False
        return seen
