"""The base class of SMAC's environments, for code that checks or inherits from it."""

from typing import Any


class MultiAgentEnv:
    """What PyMARL and its relatives call. The methods are documented in `StarCraft2Env`."""

    n_agents: int
    episode_limit: int

    def reset(self) -> Any:
        raise NotImplementedError

    def step(self, actions: Any) -> Any:
        raise NotImplementedError

    def get_obs(self) -> Any:
        raise NotImplementedError

    def get_obs_agent(self, agent_id: int) -> Any:
        raise NotImplementedError

    def get_obs_size(self) -> int:
        raise NotImplementedError

    def get_state(self) -> Any:
        raise NotImplementedError

    def get_state_size(self) -> int:
        raise NotImplementedError

    def get_avail_actions(self) -> Any:
        raise NotImplementedError

    def get_avail_agent_actions(self, agent_id: int) -> Any:
        raise NotImplementedError

    def get_total_actions(self) -> int:
        raise NotImplementedError

    def render(self) -> Any:
        raise NotImplementedError

    def close(self) -> None:
        raise NotImplementedError

    def seed(self) -> Any:
        raise NotImplementedError

    def save_replay(self) -> None:
        raise NotImplementedError

    def get_env_info(self) -> dict[str, Any]:
        """Sizes, before anything is played."""
        return {
            "state_shape": self.get_state_size(),
            "obs_shape": self.get_obs_size(),
            "n_actions": self.get_total_actions(),
            "n_agents": self.n_agents,
            "episode_limit": self.episode_limit,
        }
