"""`OnPolicyStarCraft2Env`: one battle as the MAPPO code `marlbenchmark/on-policy`, HARL and their relatives step it.

They have each a copy of SMAC's class whose `reset` and `step` return what all agents see, one state for each agent and
the masks. Here these are made of SMAC's own observations and state.
"""

from typing import Any, NamedTuple

import numpy as np

from envs.smac_compat.starcraft import StarCraft2Env


class Discrete(NamedTuple):
    """A space of actions 0 .. n-1. These codes ask a space for the name of its class, and for `n`."""

    n: int


class OnPolicyStarCraft2Env(StarCraft2Env):
    """`StarCraft2Env` with the return values of `onpolicy.envs.starcraft2` (de66d7a).

    `action_space`, `observation_space` and `share_observation_space` are lists with one entry for each agent:
    `Discrete(U)`, [O] and [X]. The state is SMAC's, the same for all agents ("EP" in HARL).

    Args:
      args, kwargs: `StarCraft2Env`'s.

    Raises:
      ConfigError: as `StarCraft2Env`.
    """

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.action_space = [Discrete(self.n_actions)] * self.n_agents
        self.observation_space = [[self.get_obs_size()]] * self.n_agents
        self.share_observation_space = [[self.get_state_size()]] * self.n_agents

    def seed(self, seed: int | None = None) -> int | None:
        """Makes the next `reset` the first one of `seed`, if one is given. Returns the seed."""
        if seed is not None:
            self.given_seed = seed
            self.open()
        return self.given_seed

    def reset(self) -> tuple[list[np.ndarray], list[np.ndarray], list[list[int]]]:
        """Starts a battle. Returns (A observations f32[O], A times the state f32[X], A lists of U numbers: legal 1)."""
        obs, state = super().reset()
        return obs, [state] * self.n_agents, self.get_avail_actions()

    def step(self, actions: Any) -> tuple[list, list, list[list[float]], list[bool], list[dict[str, Any]], list]:
        """One step of the joint action, A action ids; each may be an array with one number.

        Returns:
          (observations, states, rewards, dones, infos, masks): A of each. An agent is done if it is dead or the battle
          is over. infos has won, battles_won, battles_game, battles_draw, restarts, and bad_transition: the time limit
          ended the battle.

        Raises:
          AssertionError: as `StarCraft2Env`.
        """
        timeouts = self.timeouts
        reward, over, info = super().step(actions)
        finished = [over or dead > 0 for dead in self.death_tracker_ally]
        told = {
            "won": info["battle_won"],
            "battles_won": self.battles_won,
            "battles_game": self.battles_game,
            "battles_draw": self.timeouts,
            "restarts": self.force_restarts,
            "bad_transition": self.timeouts > timeouts,
        }
        infos = [dict(told) for _ in range(self.n_agents)]
        states = [self.get_state()] * self.n_agents
        return self.get_obs(), states, [[reward]] * self.n_agents, finished, infos, self.get_avail_actions()
