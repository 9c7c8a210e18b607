"""`VectorStarCraft2Env`: E battles of SMAC in one call, arrays in and out."""

from typing import Any, NamedTuple

import numpy as np

from envs.errors import ConfigError
from envs.smac_compat.battle_info import BattleInfo
from envs.values import expected, show


class VectorView(NamedTuple):
    """What E joint actions are chosen from."""

    obs: np.ndarray  # f32[E, A, O]
    state: np.ndarray  # f32[E, X]
    avail: np.ndarray  # bool[E, A, U]


class VectorStarCraft2Env(BattleInfo):
    """E battles of one map, each as `StarCraft2Env` plays it, stepped by one call.

        env = VectorStarCraft2Env(64, map_name="3m", seed=0)
        view = env.reset()
        view, reward, terminated, info = env.step(actions)  # int[E, A], legal in view.avail

    A battle that ends is started anew in the same call: `view` then has the first observations of the next one, and
    info["final_obs"] and info["final_state"] the last of the old one.

    Args:
      num_envs: E.
      args, kwargs: `StarCraft2Env`'s arguments.
      auto_reset: False: a battle that is over stays over, until `reset`.
      device: "cpu", "gpu" or None for jax's default.

    Raises:
      ConfigError: as `StarCraft2Env`, or fewer than one environment.
    """

    def __init__(self, num_envs: int, *args: Any, auto_reset: bool = True, device: str | None = None, **kwargs: Any):
        from envs.numpy_env import NumpyEnv

        if expected(num_envs, int) or num_envs < 1:
            raise ConfigError(f"num_envs={show(num_envs)}: give a whole number, at least 1")
        if expected(auto_reset, bool):
            raise ConfigError(f"auto_reset must be True or False, not {show(auto_reset)}")
        super().__init__(*args, **kwargs)
        self.num_envs, self.auto_reset = int(num_envs), auto_reset
        self._game = NumpyEnv(self.engine, self.num_envs, self.given_seed, device)
        self._latest: Any = None  # `TimeStep`
        self._rows = np.arange(self.num_envs)[:, None], np.arange(self.n_agents)[None]

    def reset(self) -> VectorView:
        """Starts E battles."""
        return self._see(self._game.reset())

    def step(self, actions: Any) -> tuple[VectorView, np.ndarray, np.ndarray, dict[str, np.ndarray]]:
        """One step of the joint actions int[E, A].

        Returns:
          (view, reward f32[E], terminated bool[E], info): terminated by the battle's end or by the time limit. info
          has battle_won and episode_limit bool[E], dead_allies and dead_enemies int32[E]. In a step in which a battle
          ends and is started anew, also final_obs f32[E, A, O] and final_state f32[E, X].

        Raises:
          AssertionError: an agent may not take its action, or `reset` has not been called.
        """
        actions = self._checked(actions)
        frame = self._game.step(actions.astype(np.int32))
        over = frame.terminated | frame.truncated
        dead = {name: frame.info[name] for name in ("dead_allies", "dead_enemies")}
        info = {"battle_won": frame.info["won"], "episode_limit": frame.truncated, **dead}
        view = self._see(frame)
        if self.auto_reset and over.any():
            info |= {"final_obs": frame.obs, "final_state": frame.state}
            view = self._see(self._game.restart(over))
        return view, frame.reward, over, info

    def _see(self, frame: Any) -> VectorView:
        self._latest = frame
        return VectorView(frame.obs, frame.state, frame.avail)

    def _now(self) -> Any:
        """The latest `TimeStep`. Raises AssertionError before the first `reset`."""
        if self._latest is None:
            raise AssertionError("no battle has been started: call reset() first")
        return self._latest

    def _checked(self, actions: Any) -> np.ndarray:
        """`actions` as an array, if all of them are legal."""
        avail = self._now().avail
        try:
            actions = np.asarray(actions)
        except ValueError:  # lists of different lengths
            actions = np.asarray(actions, object)
        if actions.shape != (self.num_envs, self.n_agents):
            raise AssertionError(f"actions have the shape {actions.shape}, not ({self.num_envs}, {self.n_agents})")
        if actions.dtype.kind not in "biuf":
            raise AssertionError(f"actions must be whole numbers, not {show(actions.flat[0])}")
        known = (actions >= 0) & (actions < self.n_actions) & (actions % 1 == 0)
        legal = known & avail[(*self._rows, np.where(known, actions, 0).astype(int))]
        if not legal.all():
            env, agent = np.argwhere(~legal)[0]
            raise AssertionError(f"Agent {agent} cannot perform action {actions[env, agent]} (battle {env})")
        return actions

    def get_obs(self) -> np.ndarray:
        """f32[E, A, O]"""
        return self._now().obs

    def get_state(self) -> np.ndarray:
        """f32[E, X]"""
        return self._now().state

    def get_avail_actions(self) -> np.ndarray:
        """bool[E, A, U]"""
        return self._now().avail

    def seed(self) -> int | None:
        """The constructor's seed."""
        return self.given_seed

    def close(self) -> None:
        """Nothing: there is no game to end."""
