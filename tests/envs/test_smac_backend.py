"""The backend with a fake StarCraft2Env: what is counted, replayed and sent, and that games are closed."""

import multiprocessing
import os
import signal
import time
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from envs.errors import ConfigError
from envs.smac_backend.arena import Arena, Limits
from envs.smac_backend.backend import Backend, load_backend
from envs.smac_backend.checks import expected_facts
from envs.smac_backend.host import LocalClient, ProcessClient
from envs.smax.options import Options
from envs.smax.scenarios import get_scenario
from tests.helpers.fake_game import FakeGame, make_game, read_log

FAKE = Backend("fake", make_game)


def stop(carry, timestep, first):
    """Everybody stands still; the dead too, which only the arena can forbid."""
    return carry, np.ones(timestep.alive.shape, np.int64)


def words(*kinds):
    return Counter(line[1] for line in read_log() if line[1] in kinds)


def test_every_episode_is_counted_as_the_game_tells_it(plan):
    """0.5 a step: 4 steps and a win pay 4; 5 pay 2.5; a time-out after 60 pays 30. Agent 2 is dead at each end."""
    plan("win:4 lose:5 draw")
    episodes = []
    with Arena(FAKE, "3m", games=0) as arena:
        arena.play(stop, (), 3, episodes.append)
        assert arena.discarded == 0
    results = [(e.won, e.episode_return, e.length, e.dead_allies, e.dead_enemies) for e in episodes]
    assert results == [(True, 4.0, 4, 1, 3), (False, 2.5, 5, 1, 0), (False, 30.0, 60, 1, 0)]
    assert words("make", "close") == {"make": 1, "close": 1}
    # Agent 2 is dead from the third step on, 2 + 3 + 58 times, and its illegal stop was never sent.
    assert arena.replaced == 63
    sent = [line[2:] for line in read_log() if line[1] == "step"]
    assert Counter(row[2] for row in sent) == {"1": 6, "0": 63}


@pytest.mark.parametrize(
    "fate, why",
    [
        ("protocol:2", "StarCraft II broke the connection"),
        ("raise:3", "ValueError: a broken message (fake_game.py:"),
        ("reset_raises", "RuntimeError: no units"),
        ("relaunch", "StarCraft II was restarted in the middle"),
        ("endless", "the game plays on after its limit of 60 steps"),
        ("spoil.obs.nan:3", "the game's observation is nan at (0, 3)"),
        ("spoil.obs.huge:3", "the game's observation is inf at (0, 3)"),
        ("spoil.state.inf:2", "the game's state is inf at 2"),
        ("spoil.avail.nan:2", "the game's action mask is nan at (0, 2), neither 0 nor 1"),
        ("spoil.reward.nan:2", "the game's reward is nan"),
        ("spoil.health.nan:2", "ValueError: the health of agent 1 is nan"),
        ("spoil.dead_enemies.nan:2", "the game's dead_enemies is nan"),
        ("spoil.terminated.nan:2", "the game's end of the episode is nan, neither 0 nor 1"),
        ("spoil.state.shape:2", "state has the shape (47,) there and (48,) here"),
        ("exit:2", "SystemExit: the game is over"),
        ("mute:2", "Mute: no text"),
    ],
)
def test_a_lost_episode_is_replayed_on_a_new_game(plan, fate, why):
    plan(f"win:3 {fate} lose:3 win:3")
    episodes, said = [], []
    with Arena(FAKE, "3m", games=0, say=said.append) as arena:
        arena.play(stop, (), 3, episodes.append)
        assert arena.discarded == 1
    assert [(e.won, e.length, e.episode_return) for e in episodes] == [(True, 3, 3.5), (False, 3, 1.5), (True, 3, 3.5)]
    assert words("make", "close", "reset") == {"make": 2, "close": 2, "reset": 4}
    assert len(said) == 1 and "game 0: episode discarded, to be replayed" in said[0] and why in said[0]
    seeds = [line[3] for line in read_log() if line[1] == "make"]
    assert len(set(seeds)) == 2  # the same seed would repeat the battles that were counted


def test_a_game_that_keeps_failing_ends_with_one_line(plan):
    plan("win:2 protocol:1")
    episodes = []
    with pytest.raises(ConfigError, match="game 0, failed 3 times in a row, last: StarCraft II broke"):
        with Arena(FAKE, "3m", games=0, limits=Limits(restarts=2), say=lambda line: None) as arena:
            arena.play(stop, (), 5, episodes.append)
    assert len(episodes) == 1 and words("make", "close") == {"make": 3, "close": 3}


def test_advice_about_the_installation_is_for_the_first_launch_only(plan):
    """Game 1 does not start at once: fatal where no game has started yet, a failure like others where one has."""
    plan("win:2")
    refused, said, episodes = [], [], []

    def make(map_name, replay_prefix, **options):
        if replay_prefix.endswith("game1") and not refused:
            refused.append(replay_prefix)
            raise ConfigError("the port was taken")
        return make_game(map_name, replay_prefix=replay_prefix, **options)

    arena = Arena(Backend("fake", make), "3m", games=2, say=said.append)
    arena.make_client = LocalClient
    with arena:
        arena.play(stop, (), 4, episodes.append)
    assert Counter(e.game for e in episodes) == {0: 2, 1: 2} and "the port was taken" in said[0]
    refused.clear()
    arena = Arena(Backend("fake", make), "3m", games=2, say=said.append)
    arena.slots.reverse()  # game 1 first
    arena.make_client = LocalClient
    with pytest.raises(ConfigError, match="^the port was taken$"):
        with arena:
            arena.play(stop, (), 4, episodes.append)
    assert words("make", "close") == {"make": 3, "close": 3}


def test_a_replay_that_fails_is_said_and_no_more(plan):
    plan("win:2")
    said = []
    with Arena(FAKE, "3m", games=0, options={"save_replay": lambda: {}["disk"]}, say=said.append) as arena:
        arena.play(stop, (), 1, lambda e: None)
        assert arena.save_replays() == 0
    assert len(said) == 1 and said[0].startswith("game 0: no replay (KeyError: 'disk'")


def test_failures_are_counted_between_finished_episodes(plan):
    plan("protocol:1 win:2 protocol:1 win:2 protocol:1 win:2")
    with Arena(FAKE, "3m", games=0, limits=Limits(restarts=1), say=lambda line: None) as arena:
        arena.play(stop, (), 3, lambda e: None)
        assert arena.discarded == 3


def test_the_carry_restarts_with_each_episode(plan):
    """A policy whose action tells how many steps it remembers: 2, 3, 4, 2, 3 (protocol), 2, 3, 4."""
    plan("win:3 protocol:2 win:3")

    def remember(carry, timestep, first):
        carry = np.where(first, 0, carry) + 1
        np.testing.assert_array_equal(timestep.obs[:, 0, 0], carry - 1)  # the game's own clock
        return carry, np.where(timestep.alive, (1 + carry)[:, None], 0)

    with Arena(FAKE, "3m", games=0, say=lambda line: None) as arena:
        arena.play(remember, np.zeros(1, np.int64), 2, lambda e: None)
    sent = [int(line[2]) for line in read_log() if line[1] == "step"]
    assert sent == [2, 3, 4, 2, 3, 2, 3, 4]


def test_an_interruption_closes_the_game(plan):
    plan("win:3")
    steps = []

    def interrupted(carry, timestep, first):
        steps.append(first)
        if len(steps) == 5:
            raise KeyboardInterrupt
        return stop(carry, timestep, first)

    episodes = []
    with pytest.raises(KeyboardInterrupt):
        with Arena(FAKE, "3m", games=0) as arena:
            arena.play(interrupted, (), 9, episodes.append)
    assert len(episodes) == 1 and words("make", "close") == {"make": 1, "close": 1}


@pytest.mark.parametrize(
    "options, message",
    [
        ({"max_reward": 500.0}, "max_reward is 500.0 there and 365 here"),
        ({"max_distance_x": 30}, "max_distance_x is 30 there and 32 here"),
        ({"n_enemies": 4}, "n_enemies is 4 there and 3 here"),
        ({"pathing_grid": np.ones((32, 32), bool)}, "320 cells differ in walkability, the first, (0, 0), is walkable"),
        ({"get_env_info": lambda: {"episode_limit": 50, "obs_shape": 31}}, "obs_shape is 31 there and 30 here; episod"),
        ({"get_state": lambda: np.zeros(47)}, "state has the shape (47,) there and (48,) here"),
    ],
)
def test_another_map_is_refused_before_the_first_step(plan, options, message):
    plan("win:3")
    with pytest.raises(ConfigError) as error:
        with Arena(FAKE, "3m", games=0, options=options) as arena:
            arena.play(stop, (), 1, lambda e: None)
    assert message in str(error.value) and "fake's map 3m differs from ours" in str(error.value)
    assert words("make", "close", "step") == {"make": 1, "close": 1}


def test_the_game_gets_the_options_of_the_policy(plan):
    """What differs from SMAC's defaults; and sizes follow: 2 * 9 more entries, last actions of two allies."""
    plan("win:2")
    given = []

    def make(map_name, seed, replay_prefix, **options):
        given.append(options)
        return make_game(map_name, seed=seed, replay_prefix=replay_prefix)

    interface = Options(obs_last_action=True, reward_sparse=True)
    with pytest.raises(ConfigError, match=r"obs has the shape \(3, 30\) there and \(3, 48\) here"):
        with Arena(Backend("fake", make), "3m", games=0, options={"game_version": "x"}, interface=interface) as arena:
            arena.play(stop, (), 1, lambda e: None)
    assert given == [{"obs_last_action": True, "reward_sparse": True, "game_version": "x"}]


def test_what_smac_declares_is_what_is_expected_of_it():
    """2s3z: 80 + 1 declared, 80 + 2 given."""
    for options, obs, state in (
        ({}, 80, 120),
        ({"obs_timestep_number": True}, 81, 120),
        ({"obs_timestep_number": True, "obs_instead_of_state": True}, 81, 405),
        ({"state_timestep_number": True, "reward_win": 0.0}, 80, 121),
    ):
        facts = expected_facts(replace(get_scenario("2s3z"), options=Options(**options)))
        assert (facts["obs_shape"], facts["state_shape"]) == (obs, state)
    assert facts["max_reward"] == 820.0


def is_gone(pid):
    for _ in range(50):
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.1)
    return False


def test_games_in_processes_survive_hangs_and_deaths_and_leave_nothing_behind(plan):
    """Each of two games wins, hangs (with a StarCraft that ignores SIGTERM), wins, dies, and wins from then on."""
    plan("win:3 sc2+hang:2 win:3 die:1 win:3")
    episodes, said = [], []
    limits = Limits(reset=60.0, step=1.0, close=1.0)
    with Arena(FAKE, "3m", games=2, limits=limits, say=said.append) as arena:
        arena.play(stop, (), 6, episodes.append)
        assert arena.save_replays() == 2
        assert arena.discarded == 4
    assert [(e.won, e.length, e.episode_return) for e in episodes] == [(True, 3, 3.5)] * 6
    assert Counter(e.game for e in episodes) == {0: 3, 1: 3}
    assert Counter(line.split("(", 1)[1] for line in said) == {
        "no answer for 1 s)": 2,
        "the process died (exit code 7))": 2,
    }
    log = read_log()
    assert words("make", "replay") == {"make": 6, "replay": 2}
    pids = {int(line[4]) for line in log if line[1] == "make"}
    assert len(pids) == 6 and os.getpid() not in pids
    children = {int(line[2]) for line in log if line[1] == "child"}
    assert len(children) == 2 and all(is_gone(pid) for pid in pids | children)
    assert len({line[3] for line in log if line[1] == "make"}) == 6  # six seeds


def start_client():
    """(a client whose game has begun, its process)."""
    before = set(multiprocessing.active_children())
    client = ProcessClient(FAKE, "3m", {"replay_prefix": "g"})
    (process,) = set(multiprocessing.active_children()) - before
    client.send("reset")
    client.receive(60.0)
    return client, process


def test_a_process_closes_its_game_when_its_owner_is_gone(plan):
    """As after SIGKILL of the command: the pipe breaks."""
    plan("win:3")
    client, process = start_client()
    del client
    process.join(20.0)
    assert process.exitcode == 0 and words("close") == {"close": 1}


def test_sigterm_closes_the_game_too(plan):
    plan("win:3")
    _client, process = start_client()
    os.kill(process.pid, signal.SIGTERM)
    process.join(20.0)
    assert process.exitcode == 0 and words("close") == {"close": 1}


def test_backends_by_name():
    assert load_backend("smac").name == "smac"
    assert load_backend("tests.helpers.fake_game:make_game") == Backend("make_game", make_game)
    assert load_backend("tests.helpers.fake_game:FakeGame") == Backend("FakeGame", FakeGame)
    for name, message in [
        ("smaq", "unknown backend 'smaq': choose one of smax, smac, smaclite"),
        ("nowhere:make_game", "--backend nowhere:make_game cannot be loaded (No module named 'nowhere')"),
        ("tests.helpers.fake_game:nothing", "cannot be loaded"),
        ("tests.helpers.fake_game:AGENTS", "AGENTS is not a factory of games"),
    ]:
        with pytest.raises(ConfigError) as error:
            load_backend(name)
        assert message in str(error.value)
