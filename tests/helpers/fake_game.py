"""A fake game with StarCraft2Env's interface: three marines whose battles follow a script.

The environment variable FAKE_GAME_PLAN says what happens in a game's battles, one word per battle; the last word holds
for all later ones. Every game follows the plan from its first word, and continues it after a relaunch. FAKE_GAME_LOG
is a file that gets a line for each event. Agent 2 dies in the second step of each battle. A step is worth 0.5, the last
step of a won battle 2 more.
"""

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from types import SimpleNamespace

import numpy as np

AGENTS, ACTIONS, LIMIT = 3, 9, 60
FIELDS = ("obs", "state", "avail", "health", "reward", "terminated", "battle_won", "dead_enemies")
SPOILT = {"nan": np.nan, "inf": np.inf, "minus_inf": -np.inf, "huge": 1e300, "text": "x", "lock": threading.Lock()}


class Mute(Exception):
    """An exception that cannot say what it is, nor be pickled."""

    def __init__(self):
        super().__init__(threading.Lock())

    def __str__(self):
        raise RuntimeError("no text")


class FakeGame:
    """Fates: win:N and lose:N (after N steps), draw (time-out); and, at step N, what can go wrong:

    protocol:N (SC2 breaks off), raise:N, hang:N, freeze:N (a hang that holds Python's lock, with all signals blocked),
    die:N (the process is gone), exit:N (sys.exit), mute:N (an exception that has no text and cannot be pickled);
    reset_raises, relaunch (SMAC restarts SC2 inside a reset), facts (what it knows of its map cannot be pickled),
    endless; spoil.FIELD.HOW:N, one value of SPOILT in a field of FIELDS. A prefix `sc2+` has the launch start a child
    process that ignores SIGTERM.
    """

    n_agents, n_enemies, episode_limit = AGENTS, 3, LIMIT
    map_x = map_y = max_distance_x = max_distance_y = 32
    max_reward = 365.0

    def __init__(self, map_name, seed=0, replay_prefix="", **options):
        self.name, self.force_restarts, self.child, self.fate = replay_prefix, 0, None, None
        self.pathing_grid = np.zeros((32, 32), bool)
        self.pathing_grid[2:30, 7:25] = True
        for key, value in options.items():
            setattr(self, key, value)
        self._log("make", map_name, seed, os.getpid())

    def _log(self, *words):
        with open(os.environ["FAKE_GAME_LOG"], "a") as file:
            print(self.name, *words, file=file)

    def reset(self):
        assert self.fate is None, "reset twice"
        plan = os.environ["FAKE_GAME_PLAN"].split()
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
        self.secret = {"lock": threading.Lock()} if fate == "facts" else {}
        self.force_restarts += fate == "relaunch"
        self.fate, _, when = fate.partition(":")
        self.when, self.time = int(when or 0), 0

    def step(self, actions):
        for agent, action in enumerate(actions):
            assert type(action) is int
            assert self._legal(agent)[action], f"Agent {agent} cannot perform action {action}"
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
        info = {"battle_won": won, "dead_allies": dead, "dead_enemies": 3 * won}
        info = {key: self._spoilt(key, value) for key, value in info.items()}
        return self._spoilt("reward", 0.5 + 2.0 * won), self._spoilt("terminated", over), info

    def _spoilt(self, field, value):
        """`value`, or what it is where the fate is to spoil this field now: in the agent or place that step N names."""
        word, _, rest = (self.fate or "").partition(".")
        if word != "spoil" or self.time != self.when or rest.split(".")[0] != field:
            return value
        how = rest.split(".")[1]
        if how == "shape":
            return np.asarray(value, object).ravel()[:-1].tolist()
        if np.ndim(value) == 0:
            return SPOILT[how]
        spoilt = np.asarray(value, object)
        spoilt.flat[self.when % spoilt.size] = SPOILT[how]
        return spoilt

    def _end_badly(self):
        if self.fate == "raise":
            raise ValueError("a broken message")
        if self.fate == "hang":
            time.sleep(600)
        if self.fate == "freeze":
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            ctypes.PyDLL(None).sleep(600)
        if self.fate == "exit":
            sys.exit("the game is over")
        if self.fate == "mute":
            raise Mute
        if self.fate == "die":
            os._exit(7)

    def get_unit_by_id(self, agent):
        health = 0.0 if agent == 2 and self.time >= 2 else 45.0
        return SimpleNamespace(health=self._spoilt("health", health) if agent == 1 else health)

    def get_obs(self):
        return self._spoilt("obs", [np.full(30, self.time, np.float32) for _ in range(AGENTS)])

    def get_state(self):
        return self._spoilt("state", np.zeros(48, np.float32))

    def get_avail_actions(self):
        """All agents may stop and move, no enemy is in range; dead agents do nothing."""
        return self._spoilt("avail", [self._legal(agent) for agent in range(AGENTS)])

    def _legal(self, agent):
        dead = agent == 2 and self.time >= 2
        return [1] + [0] * 8 if dead else [0, 1, 1, 1, 1, 1, 0, 0, 0]

    def get_env_info(self):
        sizes = {"n_agents": AGENTS, "obs_shape": 30, "state_shape": 48, "n_actions": ACTIONS, "episode_limit": LIMIT}
        return sizes | self.secret

    def save_replay(self):
        self._log("replay")

    def close(self):
        self._log("close")


def make_game(map_name, **options):
    """The factory: MODULE:make_game on the command line."""
    return FakeGame(map_name, **options)


def read_log():
    """The events so far: [game, word, ...] each."""
    try:
        with open(os.environ["FAKE_GAME_LOG"]) as file:
            return [line.split() for line in file]
    except FileNotFoundError:
        return []
