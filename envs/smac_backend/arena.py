"""Plays episodes on several games at once: one batched `act` per step; lost episodes are replayed."""

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from envs.base import TimeStep
from envs.errors import ConfigError
from envs.smac_backend.backend import Backend
from envs.smac_backend.checks import check_game, check_shapes
from envs.smac_backend.host import GameClient, LocalClient, ProcessClient
from envs.smac_backend.moment import Lost, Moment
from envs.smax.options import Options
from envs.smax.scenarios import get_scenario

NO_OP, STOP = 0, 1  # SMAC's action ids
DEFAULTS = Options()
SEEDS = 2**31 - 1  # StarCraft II takes a non-negative int32

Act = Callable[
    [Any, TimeStep, np.ndarray], tuple[Any, Any]
]  # (carry, timestep [G, ...], first bool[G]) -> (carry, int[G, A])


class Limits(NamedTuple):
    """Time limits in seconds, and how many times in a row a game may fail to finish an episode."""

    reset: float = 600.0  # PySC2 itself waits up to 360 s for a launch
    step: float = 120.0
    close: float = 20.0
    restarts: int = 3


LIMITS = Limits()


class GameEpisode(NamedTuple):
    """One finished episode."""

    game: int
    won: bool
    episode_return: float
    length: int  # steps
    dead_allies: int
    dead_enemies: int | None  # None: the game does not report it
    seconds: float  # wall clock


class GameSlot:
    """One of the games: its current process, and the state of its episode."""

    def __init__(self, number: int):
        self.number = number
        self.client: GameClient | None = None
        self.launches = 0  # processes started so far
        self.failures = 0  # in a row, since the last finished episode
        self.opened = False  # a reset has succeeded once, so the installation works
        self.checked = False  # the current process was checked against our map data
        self.moment: Moment | None = None  # None: no episode is running
        self.length, self.total, self.began = 0, 0.0, 0.0

    def begin(self, moment: Moment) -> None:
        """Starts counting an episode."""
        self.moment, self.length, self.total, self.began = moment, 0, 0.0, time.monotonic()
        self.opened = True

    def take(self, moment: Moment) -> None:
        """Counts a step."""
        self.moment, self.length, self.total = moment, self.length + 1, self.total + moment.reward

    def finish(self) -> GameEpisode:
        """Returns the episode that has just terminated."""
        last, self.moment, self.failures = self.moment, None, 0
        seconds = time.monotonic() - self.began
        return GameEpisode(
            self.number, last.won, self.total, self.length, last.dead_allies, last.dead_enemies, round(seconds, 3)
        )


class Arena:
    """A context manager that runs several games of one map, each in its own process.

    Args:
      backend: the simulator.
      map_name: the map, the same for all games.
      games: how many; 0: one game in this process.
      seed: from which the games' seeds are made, a different one for each game and launch, because two games with one
        seed would play the same battles.
      options: passed to the backend's factory.
      interface: SMAC's options, with which the policy was trained; passed to the factory too.
      limits: time limits, and how often a game may fail.
      say: receives one line for each lost episode.
    """

    def __init__(
        self,
        backend: Backend,
        map_name: str,
        games: int = 1,
        seed: int = 0,
        options: dict[str, Any] | None = None,
        limits: Limits = LIMITS,
        say: Callable[[str], None] = print,
        interface: Options = DEFAULTS,
    ):
        self.backend, self.limits, self.say, self.seed = backend, limits, say, seed
        self.scenario = replace(get_scenario(map_name), options=interface)
        self.options = interface.changed | (options or {})
        self.slots = [GameSlot(number) for number in range(max(games, 1))]
        self.discarded = 0  # episodes that did not count
        self.replaced = 0  # illegal actions of the policy
        self.make_client = ProcessClient if games else LocalClient

    def __enter__(self) -> "Arena":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def play(self, act: Act, carry: Any, episodes: int, record: Callable[[GameEpisode], None]) -> None:
        """Plays `episodes` episodes to their end and passes each to `record` when it ends.

        Exactly as many episodes are started, so that short ones are not favoured. `act` receives all games in one
        batch of constant size; `first` marks the games whose episode has just started, so that it can reset its carry.

        Raises:
          ConfigError: the game is not installed, has a different map, or keeps failing.
        """
        begun = ended = 0
        while ended < episodes:
            idle = [slot for slot in self.slots if slot.moment is None][: episodes - begun]
            begun += len(idle)
            self._open(idle)
            live = [slot for slot in self.slots if slot.moment is not None]
            first = np.asarray([slot.length == 0 for slot in self.slots])
            timestep = self._timestep()
            carry, action = act(carry, timestep, first)
            action = self._legal(np.asarray(action), timestep)
            for slot in live:
                slot.client.send("step", [int(a) for a in action[slot.number]])
            for slot in live:
                self._take(slot)
                if slot.moment.terminated:
                    record(slot.finish())
                    ended += 1

    def save_replays(self) -> int:
        """Makes each game write one replay file of all its episodes since its launch. Returns how many did."""
        launched = [slot for slot in self.slots if slot.client is not None]
        for slot in launched:
            slot.client.send("save_replay")
        saved = 0
        for slot in launched:
            try:
                slot.client.receive(self.limits.step)
                saved += 1
            except (Lost, ConfigError) as error:
                self.say(f"game {slot.number}: no replay ({error})")
        return saved

    def close(self) -> None:
        """Ends all games and their processes. `play` can be called again; it launches new ones."""
        clients = [slot.client for slot in self.slots if slot.client is not None]
        for slot in self.slots:
            slot.client, slot.moment, slot.checked = None, None, False
        try:
            for client in clients:
                client.request_close()
        finally:
            for client in clients:
                client.close(self.limits.close)

    def _launch(self, slot: GameSlot) -> None:
        entropy = np.random.SeedSequence((self.seed, slot.number, slot.launches))
        options = {
            "seed": int(entropy.generate_state(1)[0]) % SEEDS,
            "replay_prefix": f"{self.scenario.name}_game{slot.number}",
            **self.options,
        }
        slot.launches += 1
        slot.checked = False
        slot.client = self.make_client(self.backend, self.scenario.name, options)

    def _open(self, slots: list[GameSlot]) -> None:
        """Starts an episode in each of `slots`, in parallel."""
        for slot in slots:
            if slot.client is None:
                self._launch(slot)
            slot.client.send("reset")
        for slot in slots:
            self._opened(slot)

    def _opened(self, slot: GameSlot) -> None:
        """Receives the answer to `reset` and checks it; if it is lost or wrong, relaunches the game and tries again."""
        while True:
            try:
                moment, facts = slot.client.receive(self.limits.reset)
                if not slot.checked:
                    check_game(self.backend.name, self.scenario, moment, facts)
                    slot.checked = True
                check_shapes(self.scenario, moment)
                return slot.begin(moment)
            except (Lost, ConfigError) as error:
                if isinstance(error, ConfigError) and not any(other.opened for other in self.slots):
                    raise
                self._relaunch(slot, str(error))

    def _take(self, slot: GameSlot) -> None:
        """Receives the answer to `step`; if the episode is lost, starts another one."""
        try:
            moment = slot.client.receive(self.limits.step)
            check_shapes(self.scenario, moment)
            if slot.length + 1 >= self.scenario.limit and not moment.terminated:
                raise Lost(f"the game plays on after its limit of {self.scenario.limit} steps")
            slot.take(moment)
        except (Lost, ConfigError) as error:
            self._relaunch(slot, str(error))
            self._opened(slot)

    def _relaunch(self, slot: GameSlot, why: str) -> None:
        """Counts a lost episode, ends its game, launches another one and sends it `reset`.

        A game is not reused: if SMAC is reset before its first episode has ended, it starts a second StarCraft II and
        scales its rewards wrongly.
        """
        self.discarded += 1
        slot.failures += 1
        slot.moment = None
        client, slot.client = slot.client, None
        client.close(self.limits.close)
        if slot.failures > self.limits.restarts:
            failed = f"{self.backend.name}, game {slot.number}, failed {slot.failures} times in a row"
            raise ConfigError(f"{failed}, last: {why}")
        self.say(f"game {slot.number}: episode discarded, to be replayed ({why})")
        self._launch(slot)
        slot.client.send("reset")

    def _timestep(self) -> TimeStep:
        """The time steps of all games, [G, ...]; zeros and dead agents for a game without an episode."""
        s, games = self.scenario, len(self.slots)
        obs = np.zeros((games, s.num_allies, s.obs_dim), np.float32)
        state = np.zeros((games, s.state_dim), np.float32)
        avail = np.zeros((games, s.num_allies, s.num_actions), bool)
        avail[:, :, NO_OP] = True
        alive = np.zeros((games, s.num_allies), bool)
        for slot in self.slots:
            if slot.moment is not None:
                k, m = slot.number, slot.moment
                obs[k], state[k], avail[k], alive[k] = m.obs, m.state, m.avail, m.alive
        nothing = np.zeros(games, bool)
        return TimeStep(obs, state, avail, alive, np.zeros(games, np.float32), nothing, nothing, {"won": nothing})

    def _legal(self, action: np.ndarray, timestep: TimeStep) -> np.ndarray:
        """Replaces illegal entries of `action` int[G, A] as `Smax` does: no-op for dead agents, stop otherwise."""
        legal = np.take_along_axis(timestep.avail, action[..., None], axis=-1)[..., 0]
        live = [slot.number for slot in self.slots if slot.moment is not None]
        self.replaced += int((~legal[live]).sum())
        return np.where(legal, action, np.where(timestep.alive, STOP, NO_OP))
