"""One battle, step by step, with the methods that SMAC's and SMACv2's classes have in common."""

import os
import time
from typing import Any

import numpy as np

from envs.smac_compat.multi_agent_env import MultiAgentEnv
from envs.values import show


def action_ids(actions: Any, num_agents: int) -> list[int]:
    """A whole numbers from a joint action: a sequence of numbers, or of arrays or tensors with one number each.

    Raises:
      AssertionError: not that many, or something else.
    """
    try:
        given = list(actions)
    except TypeError:
        raise AssertionError(f"give a list of {num_agents} action ids, not {show(actions)}") from None
    if len(given) != num_agents:
        raise AssertionError(f"{len(given)} actions were given for {num_agents} agents")
    ids = []
    for agent, action in enumerate(given):
        try:
            plain = action.item() if hasattr(action, "item") else action  # of an array or a tensor
            ids.append(int(plain))
            whole = ids[-1] == plain
        except (TypeError, ValueError, RuntimeError, OverflowError):
            whole = False
        if not whole:
            raise AssertionError(f"Agent {agent} cannot perform action {show(action)}: an action is one whole number")
    return ids


class OneBattle(MultiAgentEnv):
    """Plays `self.engine` (an `envs.base.Environment` of one map) on the host's CPU.

    The subclass sets, before `open`: engine, map_name, given_seed, continuing_episode, replay_dir, replay_prefix,
    n_agents and n_actions.
    """

    engine: Any
    map_name: str
    given_seed: int | None
    continuing_episode: bool
    replay_dir: str | None
    replay_prefix: str | None
    n_actions: int

    def open(self) -> None:
        """Makes it ready for the first `reset`."""
        from envs.numpy_env import NumpyEnv

        self._game = NumpyEnv(self.engine, 1, self.given_seed, device="cpu")
        self._latest: Any = None  # `TimeStep`
        self._avail: list[list[int]] = []
        self._played: list[np.ndarray] = []  # the actions of this episode
        self._before: tuple[int, list[np.ndarray]] | None = None  # the episode before it: its number, its actions
        self.battles_won = self.battles_game = self.timeouts = self.force_restarts = 0
        self.reward = 0.0
        self.last_action = np.zeros((self.n_agents, self.n_actions))

    @property
    def game_state(self) -> Any:
        """The engine's state, with one environment. The next step reuses its memory: copy what is to be kept."""
        self._now()
        return self._game.state

    def _now(self) -> Any:
        """The latest `TimeStep`. Raises AssertionError before the first `reset`."""
        if self._latest is None:
            raise AssertionError("no battle has been started: call reset() first")
        return self._latest

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
        ids = action_ids(actions, self.n_agents)
        self._check(ids)
        joint = np.array([ids], np.int32)
        self._played.append(joint)
        self.last_action = np.eye(self.n_actions)[ids]
        self._see(self._game.step(joint))
        frame = self._now()
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
        self._latest = frame
        self._avail = frame.avail[0].astype(int).tolist()

    def _check(self, ids: list[int]) -> None:
        frame = self._now()
        if frame.terminated[0] or frame.truncated[0]:
            raise AssertionError("the episode is over: call reset()")
        for agent, action in enumerate(ids):
            if not 0 <= action < self.n_actions or not self._avail[agent][action]:
                raise AssertionError(f"Agent {agent} cannot perform action {action}")

    def get_obs(self) -> list[np.ndarray]:
        """A observations, f32[O] each; zeros for a dead agent."""
        return list(self._now().obs[0])

    def get_obs_agent(self, agent_id: int) -> np.ndarray:
        """f32[O]"""
        return self._now().obs[0, agent_id]

    def get_state(self) -> np.ndarray:
        """f32[X]"""
        return self._now().state[0]

    def get_avail_actions(self) -> list[list[int]]:
        """A lists of U numbers, 1 for a legal action."""
        self._now()
        return [list(row) for row in self._avail]

    def get_avail_agent_actions(self, agent_id: int) -> list[int]:
        """U numbers, 1 for a legal action."""
        self._now()
        return list(self._avail[agent_id])

    @property
    def death_tracker_ally(self) -> np.ndarray:
        """f64[A]: 1 for a dead agent."""
        return 1.0 - self._now().alive[0]

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

    def play_again(self) -> tuple[list[Any], list[Any], list[np.ndarray]]:
        """(states, time steps, actions) of the latest episode that has steps.

        Raises:
          AssertionError: there is none.
        """
        episode = (self._game.episode, self._played) if self._played else self._before
        if episode is None:
            raise AssertionError("nothing has been played: there is no replay to save")
        states, timesteps = zip(*self._game.replay(*episode), strict=True)
        return list(states), list(timesteps), episode[1]

    def save_replay(self) -> None:
        """Writes a GIF of the latest episode that has steps: `replay_dir`/`replay_prefix` or map_UTC time.gif."""
        from envs.rendering import Episode, frames, save_gif

        images = frames(self.engine, Episode(*self.play_again()))
        directory = self.replay_dir or "."
        os.makedirs(directory, exist_ok=True)
        stamp = time.strftime("%Y-%m-%d-%H-%M-%S", time.gmtime())
        save_gif(images, os.path.join(directory, f"{self.replay_prefix or self.map_name}_{stamp}.gif"))

    def render(self, mode: str = "human") -> np.ndarray:
        """An image of the battle, uint8[H, W, 3]. No window is opened, whatever `mode` says."""
        from envs.rendering import Episode, frames

        self._now()
        states, timesteps = zip(*self._game.replay(self._game.episode, self._played), strict=True)
        return np.asarray(frames(self.engine, Episode(list(states), list(timesteps), self._played))[-1])

    def full_restart(self) -> None:
        """Nothing: there is no game that could have crashed."""

    def close(self) -> None:
        """Nothing: there is no game to end."""
