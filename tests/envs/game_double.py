"""A game with StarCraft2Env's interface and no StarCraft: three marines whose battles follow a script.

GAME_DOUBLE_PLAN holds the fates of a game's battles, one word each, the last one for all that follow; every game
follows it from the start, and goes on where it was after a relaunch. GAME_DOUBLE_LOG is a file, a line for each event.
Agent 2 dies in the second step of each battle. Steps pay 0.5, the last one of a won battle 2 more.
"""

import os
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np

AGENTS, ACTIONS, LIMIT = 3, 9, 60


class GameDouble:
    """Fates: win:N and lose:N (after N steps), draw (time-out); and, at step N, what can go wrong:

    protocol:N (SC2 breaks off), raise:N, hang:N, die:N (the process is gone); reset_raises, relaunch (SMAC restarts
    SC2 inside a reset), endless. A prefix `sc2+` has the launch start a child process that ignores SIGTERM.
    """

    n_agents, n_enemies, episode_limit = AGENTS, 3, LIMIT
    map_x = map_y = max_distance_x = max_distance_y = 32
    max_reward = 365.0

    def __init__(self, map_name, seed=0, replay_prefix="", **options):
        self.name, self.force_restarts, self.child, self.fate = replay_prefix, 0, None, None
        self.pathing_grid = np.zeros((32, 32), bool)
        self.pathing_grid[:, 8:24] = True
        for key, value in options.items():
            setattr(self, key, value)
        self._log("make", map_name, seed, os.getpid())

    def _log(self, *words):
        with open(os.environ["GAME_DOUBLE_LOG"], "a") as file:
            print(self.name, *words, file=file)

    def reset(self):
        assert self.fate is None, "reset twice"
        plan = os.environ["GAME_DOUBLE_PLAN"].split()
        played = sum(1 for name, word, *_ in read_log() if (name, word) == (self.name, "reset"))
        fate = plan[min(played, len(plan) - 1)]
        self._log("reset")
        if fate.startswith("sc2+"):
            fate = fate[4:]
            ignore = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); time.sleep(600)"
            self.child = subprocess.Popen([sys.executable, "-S", "-c", ignore])
            self._log("child", self.child.pid)
        if fate == "reset_raises":
            raise RuntimeError("no units")
        self.force_restarts += fate == "relaunch"
        self.fate, _, when = fate.partition(":")
        self.when, self.time = int(when or 0), 0

    def step(self, actions):
        for agent, action in enumerate(actions):
            assert type(action) is int
            assert self.get_avail_actions()[agent][action], f"Agent {agent} cannot perform action {action}"
        self._log("step", *actions)
        self.time += 1
        if self.time == self.when:
            self._end_badly()
            if self.fate == "protocol":
                return 0, True, {}
        won = self.fate == "win" and self.time == self.when
        lost = self.fate == "lose" and self.time == self.when
        over = won or lost or (self.time >= LIMIT and self.fate != "endless")
        self.fate = None if over else self.fate
        dead = sum(not self.get_unit_by_id(agent).health for agent in range(AGENTS))
        return 0.5 + 2.0 * won, over, {"battle_won": won, "dead_allies": dead, "dead_enemies": 3 * won}

    def _end_badly(self):
        if self.fate == "raise":
            raise ValueError("a broken message")
        if self.fate == "hang":
            time.sleep(600)
        if self.fate == "die":
            os._exit(7)

    def get_unit_by_id(self, agent):
        return SimpleNamespace(health=0.0 if agent == 2 and self.time >= 2 else 45.0)

    def get_obs(self):
        return [np.full(30, self.time, np.float32) for _ in range(AGENTS)]

    def get_state(self):
        return np.zeros(48, np.float32)

    def get_avail_actions(self):
        """All may stop and walk, nobody is in reach; the dead do nothing."""
        alive = [0, 1, 1, 1, 1, 1, 0, 0, 0]
        return [alive if self.get_unit_by_id(agent).health else [1] + [0] * 8 for agent in range(AGENTS)]

    def get_env_info(self):
        return {"n_agents": AGENTS, "obs_shape": 30, "state_shape": 48, "n_actions": ACTIONS, "episode_limit": LIMIT}

    def save_replay(self):
        self._log("replay")

    def close(self):
        self._log("close")


def make_game(map_name, **options):
    """The factory: MODULE:make_game on the command line."""
    return GameDouble(map_name, **options)


def read_log():
    """The events so far: [game, word, ...] each."""
    try:
        with open(os.environ["GAME_DOUBLE_LOG"]) as file:
            return [line.split() for line in file]
    except FileNotFoundError:
        return []
