"""Any registered environment as a PettingZoo `ParallelEnv`: `parallel_env("smax:2s3z")`.

An observation is {"observation": f32[O], "action_mask": int8[U]}, or f32[O] if actions are continuous. Every agent
receives the team's reward. An agent that dies is terminated, and leaves `agents`. An action that the mask forbids is
replaced by the first legal one, and the agent's info says so: `illegal_action`.
"""

from collections.abc import Collection, Mapping
from typing import Any

import numpy as np

from envs.errors import ConfigError
from envs.numpy_env import NumpyEnv
from envs.registry import make_env
from envs.values import expected, show

try:
    from gymnasium import spaces
    from pettingzoo import ParallelEnv
except ModuleNotFoundError as error:
    raise ConfigError(f"envs.pettingzoo needs the package {error.name}: pip install pettingzoo") from error


def parallel_env(name: str, /, render_mode: str | None = None, device: str | None = "cpu", **options: Any):
    """The environment called `name` for PettingZoo.

    Args:
      name: a registered name, e.g. "smax:2s3z" (`envs.registry.known_envs`), or `module:name` for a custom environment.
      render_mode: "rgb_array": `render()` returns the latest moment as an image. None: it returns None.
      device: on which it is played; None: jax's default.
      options: of the environment, e.g. `reward="sparse"`.

    Raises:
      ConfigError: the name, an option or the mode does not exist.
    """
    return TeamEnv(make_env(name, **options), render_mode, device)


class TeamEnv(ParallelEnv):
    """One episode at a time of `env`, an `envs.base.Environment`. See `parallel_env`."""

    metadata = {"render_modes": ["rgb_array"], "name": "iacjax", "is_parallelizable": True}

    def __init__(self, env: Any, render_mode: str | None = None, device: str | None = "cpu"):
        from envs.rendering import check_renderer

        if render_mode not in (None, *self.metadata["render_modes"]):
            raise ConfigError(f"render_mode={render_mode}: give rgb_array or None")
        if render_mode:
            check_renderer(env.spec.name)
        self.env, self.spec, self.render_mode = env, env.spec, render_mode
        self.metadata = self.metadata | {"name": env.spec.name}
        self.possible_agents = [f"agent_{i}" for i in range(self.spec.num_agents)]
        self.agents: list[str] = []
        self.observation_spaces = {agent: _observation_space(self.spec) for agent in self.possible_agents}
        self.action_spaces = {agent: _action_space(self.spec, i) for i, agent in enumerate(self.possible_agents)}
        self.state_space = _unbounded(self.spec.state_dim)
        self._game = NumpyEnv(env, 1, None, device)
        self._frame: Any = None  # the latest `TimeStep`
        self._played: list[np.ndarray] = []

    def observation_space(self, agent: str) -> spaces.Space:
        """The same object at every call."""
        return self.observation_spaces[agent]

    def action_space(self, agent: str) -> spaces.Space:
        """The same object at every call."""
        return self.action_spaces[agent]

    def reset(self, seed: int | None = None, options: dict | None = None) -> tuple[dict, dict]:
        """Starts an episode; with `seed`, the first one of this seed. `options` has no effect.

        Raises:
          ConfigError: `seed` is not a whole number.
        """
        if wanted := expected(seed, int | None):
            raise ConfigError(f"seed must be {wanted}, not {show(seed)}")
        if seed is not None:
            self._game.seed(seed)
        self.agents, self._played = list(self.possible_agents), []
        self._frame = self._game.reset()
        return self._observations(), self._infos()

    def step(self, actions: dict[str, Any]) -> tuple[dict, dict, dict, dict, dict]:
        """One step. `actions` has an action of each agent in `agents`.

        Raises:
          AssertionError: an action is missing, or not in the action space, or there is no episode to go on with.
        """
        joint, illegal = self._joint(actions)
        self._played.append(joint)
        frame = self._frame = self._game.step(joint)
        acted, over, cut = self.agents, bool(frame.terminated[0]), bool(frame.truncated[0])
        alive = dict(zip(self.possible_agents, frame.alive[0].tolist(), strict=True))
        rewards = dict.fromkeys(acted, float(frame.reward[0]))
        terminations = {agent: over or not alive[agent] for agent in acted}
        truncations = {agent: cut and not terminations[agent] for agent in acted}
        results = self._observations(), rewards, terminations, truncations, self._infos(illegal)
        self.agents = [agent for agent in acted if not (terminations[agent] or truncations[agent])]
        return results

    def _joint(self, actions: dict[str, Any]) -> tuple[np.ndarray, set[str]]:
        """(int32[1, A] or f32[1, A, D], the agents whose action was not legal).

        Agents that are gone, and those, take their first legal action; of continuous actions 0.
        """
        self._now()
        if not self.agents:
            raise AssertionError("the episode is over: call reset()")
        if not isinstance(actions, Mapping):
            raise AssertionError(f"give a dict with an action for each agent, not {show(actions)}")
        missing = [agent for agent in self.agents if agent not in actions]
        if missing:
            raise AssertionError(f"no action of {', '.join(missing)}")
        wrong = [agent for agent in self.agents if not self.action_spaces[agent].contains(actions[agent])]
        if wrong:
            raise AssertionError(f"{wrong[0]}: {actions[wrong[0]]} is not in {self.action_spaces[wrong[0]]}")
        spec, rows, illegal = self.spec, {agent: self.possible_agents.index(agent) for agent in self.agents}, set()
        if not spec.action.discrete:
            values = np.zeros((spec.num_agents, spec.action.dim), np.float32)
            for agent, row in rows.items():
                values[row, _dimensions(spec, row)] = actions[agent]
            return values[None], illegal
        ids = self._frame.avail[0].argmax(-1).astype(np.int32)
        for agent, row in rows.items():
            if self._frame.avail[0, row, actions[agent]]:
                ids[row] = actions[agent]
            else:
                illegal.add(agent)
        return ids[None], illegal

    def _observations(self) -> dict[str, Any]:
        rows = {agent: self.possible_agents.index(agent) for agent in self.agents}
        obs = {agent: self._frame.obs[0, row] for agent, row in rows.items()}
        if not self.spec.action.discrete:
            return obs
        mask = self._frame.avail[0].astype(np.int8)
        return {agent: {"observation": obs[agent], "action_mask": mask[row]} for agent, row in rows.items()}

    def _infos(self, illegal: Collection[str] = ()) -> dict[str, dict[str, Any]]:
        """For each agent the entries of the environment's `info` that are one number, and `illegal_action`."""
        numbers = {name: value[0].item() for name, value in self._frame.info.items() if value[0].ndim == 0}
        return {agent: numbers | {"illegal_action": agent in illegal} for agent in self.agents}

    def state(self) -> np.ndarray:
        """The global state, f32[X]."""
        return self._now().state[0]

    def _now(self) -> Any:
        """The latest `TimeStep`. Raises AssertionError before the first `reset`."""
        if self._frame is None:
            raise AssertionError("no episode has been started: call reset() first")
        return self._frame

    def render(self) -> np.ndarray | None:
        """uint8[H, W, 3], the latest moment of the episode."""
        if self.render_mode is None:
            return None
        self._now()
        from envs.rendering import Episode, frames

        states, timesteps = zip(*self._game.replay(self._game.episode, self._played), strict=True)
        return np.asarray(frames(self.env, Episode(list(states), list(timesteps), self._played))[-1])

    def close(self) -> None:
        """Nothing: there is no window."""


def _unbounded(size: int) -> spaces.Box:
    return spaces.Box(-np.inf, np.inf, (size,), np.float32)


def _observation_space(spec: Any) -> spaces.Space:
    if not spec.action.discrete:
        return _unbounded(spec.obs_dim)
    mask = spaces.Box(0, 1, (spec.action.num_actions,), np.int8)
    return spaces.Dict({"observation": _unbounded(spec.obs_dim), "action_mask": mask})


def _dimensions(spec: Any, index: int) -> np.ndarray:
    """int[d]: the dimensions of the action of agent `index` that are not padding."""
    mask = spec.action.mask
    return np.arange(spec.action.dim) if mask is None else np.flatnonzero(mask[index])


def _action_space(spec: Any, index: int) -> spaces.Space:
    action = spec.action
    if action.discrete:
        return spaces.Discrete(action.num_actions)
    return spaces.Box(action.low, action.high, (len(_dimensions(spec, index)),), np.float32)
