"""`StarCraft2Env`: one battle, with the methods, arguments and return values of SMAC's class."""

import os
import time
from typing import Any

import numpy as np

from envs.smac_compat.arguments import SIGNATURE
from envs.smac_compat.battle_info import BattleInfo
from envs.smac_compat.units import UnitView, read_units

NO_OP = 0


class StarCraft2Env(BattleInfo):
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
        from envs.numpy_env import NumpyEnv

        super().__init__(*args, **kwargs)
        self._game = NumpyEnv(self.engine, 1, self.given_seed, device="cpu")
        self._frame: Any = None  # the latest `TimeStep`
        self._avail: list[list[int]] = []
        self._played: list[np.ndarray] = []  # the actions of this episode
        self._before: tuple[int, list[np.ndarray]] | None = None  # the episode before it: its number, its actions
        self.battles_won = self.battles_game = self.timeouts = self.force_restarts = 0
        self.reward = 0.0
        self.last_action = np.zeros((self.n_agents, self.n_actions))

    def reset(self) -> tuple[list[np.ndarray], np.ndarray]:
        """Starts a battle. Returns (A observations f32[O], the global state f32[X])."""
        if self._played:
            self._before = (self._game.episode, self._played)
        self._played = []
        self.last_action = np.zeros((self.n_agents, self.n_actions))
        self._see(self._game.reset())
        return self.get_obs(), self.get_state()

    def step(self, actions: Any) -> tuple[float, bool, dict[str, Any]]:
        """One step of the joint action, A action ids.

        Returns:
          (reward, terminated, info): info has battle_won, dead_allies and dead_enemies, and after a time-out with
          `continuing_episode` also episode_limit.

        Raises:
          AssertionError: an agent may not take its action, or the episode is over.
        """
        ids = [int(action) for action in actions]
        self._check(ids)
        joint = np.array([ids], np.int32)
        self._played.append(joint)
        self.last_action = np.eye(self.n_actions)[ids]
        self._see(self._game.step(joint))
        frame = self._frame
        won, over, timeout = bool(frame.info["won"][0]), bool(frame.terminated[0]), bool(frame.truncated[0])
        self.battles_won += won
        self.battles_game += over or timeout
        self.timeouts += timeout
        dead = {name: int(frame.info[name][0]) for name in ("dead_allies", "dead_enemies")}
        info: dict[str, Any] = {"battle_won": won, **dead}
        if timeout and self.continuing_episode:
            info["episode_limit"] = True
        self.reward = float(frame.reward[0])
        return self.reward, over or timeout, info

    def _see(self, frame: Any) -> None:
        self._frame = frame
        self._avail = frame.avail[0].astype(int).tolist()

    def _check(self, ids: list[int]) -> None:
        if self._frame is None:
            raise AssertionError("call reset() before step()")
        if self._frame.terminated[0] or self._frame.truncated[0]:
            raise AssertionError("the episode is over: call reset()")
        if len(ids) != self.n_agents:
            raise AssertionError(f"{len(ids)} actions were given for {self.n_agents} agents")
        for agent, action in enumerate(ids):
            if not 0 <= action < self.n_actions or not self._avail[agent][action]:
                raise AssertionError(f"Agent {agent} cannot perform action {action}")

    def get_obs(self) -> list[np.ndarray]:
        """A observations, f32[O] each; zeros for a dead agent."""
        return list(self._frame.obs[0])

    def get_obs_agent(self, agent_id: int) -> np.ndarray:
        """f32[O]"""
        return self._frame.obs[0, agent_id]

    def get_state(self) -> np.ndarray:
        """f32[X]"""
        return self._frame.state[0]

    def get_state_dict(self) -> dict[str, np.ndarray]:
        """The parts of the state: allies, enemies, and as far as they are in it last_action and timestep."""
        return self.split_state(self.get_state())

    def get_avail_actions(self) -> list[list[int]]:
        """A lists of U numbers, 1 for a legal action."""
        return [list(row) for row in self._avail]

    def get_avail_agent_actions(self, agent_id: int) -> list[int]:
        """U numbers, 1 for a legal action."""
        return list(self._avail[agent_id])

    @property
    def agents(self) -> dict[int, UnitView]:
        """The agents' units by agent id, dead ones too."""
        return dict(enumerate(self._units()[: self.n_agents]))

    @property
    def enemies(self) -> dict[int, UnitView]:
        """The enemies' units by enemy id, dead ones too."""
        return dict(enumerate(self._units()[self.n_agents :]))

    def _units(self) -> tuple[UnitView, ...]:
        return read_units(self.engine.scenario.units, self.n_agents, self._game.state.battle)

    def get_unit_by_id(self, a_id: int) -> UnitView:
        """The unit of agent `a_id`."""
        return self.agents[a_id]

    @property
    def death_tracker_ally(self) -> np.ndarray:
        """f64[A]: 1 for a dead agent."""
        return 1.0 - self._frame.alive[0]

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

    def get_stats(self) -> dict[str, float]:
        """Battles since the construction. `battles_draw` counts time-outs, as in SMAC."""
        return {
            "battles_won": self.battles_won,
            "battles_game": self.battles_game,
            "battles_draw": self.timeouts,
            "win_rate": self.battles_won / max(self.battles_game, 1),
            "timeouts": self.timeouts,
            "restarts": self.force_restarts,
        }

    def seed(self) -> int | None:
        """The constructor's seed."""
        return self.given_seed

    def render(self, mode: str = "human") -> np.ndarray:
        """An image of the battle, uint8[H, W, 3]. No window is opened, whatever `mode` says."""
        from envs.smax.rendering import draw_frame, scene_of

        action = self._played[-1][0] if self._played else None
        scene = scene_of(self.engine.scenario, self._game.state.battle, 0, len(self._played), action, None)
        return np.asarray(draw_frame(scene))

    def save_replay(self) -> None:
        """Writes a GIF of the latest episode that has steps: `replay_dir`/`replay_prefix` or map_UTC time.gif."""
        from envs.rendering import Episode, frames, save_gif

        episode = (self._game.episode, self._played) if self._played else self._before
        if episode is None:
            raise AssertionError("nothing has been played: there is no replay to save")
        states, timesteps = zip(*self._game.replay(*episode), strict=True)
        images = frames(self.engine, Episode(list(states), list(timesteps), episode[1]))
        directory = self.replay_dir or "."
        os.makedirs(directory, exist_ok=True)
        stamp = time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime())
        save_gif(images, os.path.join(directory, f"{self.replay_prefix or self.map_name}_{stamp}.gif"))

    def full_restart(self) -> None:
        """Nothing: there is no game that could have crashed."""

    def close(self) -> None:
        """Nothing: there is no game to end."""
