"""Games in processes of their own end with the command, however it ends, and what fails between the two is one line."""

import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest

from envs.errors import ConfigError
from envs.smac_backend.arena import Arena, Limits
from envs.smac_backend.backend import Backend
from envs.smac_backend.guard import GRACE
from tests.envs.test_smac_backend import FAKE, stop, words
from tests.helpers.fake_game import read_log

COMMAND = """
from envs.smac_backend.backend import Backend
from envs.smac_backend.host import ProcessClient
from tests.helpers.fake_game import make_game

if __name__ == "__main__":
    client = ProcessClient(Backend("fake", make_game), "3m", {"replay_prefix": "g"})
    client.send("reset")
    client.receive(60.0)
    client.send("step", [1, 1, 1])
    client.receive(60.0)
    client.send("step", [1, 1, 1])
    client.receive(600.0)
"""


def test_whatever_ends_the_command_ends_games_that_hang(plan, tmp_path, monkeypatch):
    """The game's process and its StarCraft, which ignores SIGTERM, are gone soon after a command that had no chance to
    close them; also where the game holds Python's lock, so that no thread or handler of its process can run."""
    (tmp_path / "command.py").write_text(COMMAND)
    root = pathlib.Path(__file__).parents[2]
    ends = [("hang", "SIGTERM"), ("hang", "SIGHUP"), ("hang", "SIGKILL"), ("freeze", "SIGKILL")]
    commands, pids = [], []
    for k, (fate, _) in enumerate(ends):
        monkeypatch.setenv("FAKE_GAME_LOG", str(tmp_path / f"log{k}"))
        monkeypatch.setenv("FAKE_GAME_PLAN", f"sc2+{fate}:2")
        environment = {**os.environ, "PYTHONPATH": str(root)}
        commands.append(subprocess.Popen([sys.executable, str(tmp_path / "command.py")], env=environment))
    for k, (command, (_, name)) in enumerate(zip(commands, ends, strict=True)):
        monkeypatch.setenv("FAKE_GAME_LOG", str(tmp_path / f"log{k}"))
        until = time.monotonic() + 120
        while words("step") != {"step": 2} and time.monotonic() < until:
            assert command.poll() is None
            time.sleep(0.05)
        pids += [int(line[4] if line[1] == "make" else line[2]) for line in read_log() if line[1] in ("make", "child")]
        command.send_signal(getattr(signal, name))
        assert command.wait(20) == -getattr(signal, name)
    assert len(pids) == 8
    until = time.monotonic() + GRACE + 20
    while any(map(is_running, pids)) and time.monotonic() < until:
        time.sleep(0.1)
    assert [pid for pid in pids if is_running(pid)] == []


def is_running(pid):
    """A process that has ended may still be listed, where its new parent has not asked how."""
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_what_cannot_be_pickled_is_one_line(plan, capfd):
    """On its way to the game's process, on its way back, and where the process cannot load it; nothing is printed."""
    plan("win:2 facts win:2")
    said, episodes = [], []
    with Arena(FAKE, "3m", games=1, limits=Limits(restarts=1), say=said.append) as arena:
        arena.play(stop, (), 2, episodes.append)
    assert len(episodes) == 2 and len(said) == 1
    assert "what the game returned cannot be sent: TypeError: cannot pickle '_thread.lock' object" in said[0]
    with pytest.raises(ConfigError, match="closure cannot be sent to a process .*: use a class or a function"):
        with Arena(Backend("closure", lambda map_name, **options: None), "3m", games=1) as arena:
            arena.play(stop, (), 1, episodes.append)
    with pytest.raises(ConfigError, match="the process cannot load the game: ValueError: not to be loaded"):
        with Arena(Backend("odd", Unloadable()), "3m", games=1, limits=Limits(restarts=0)) as arena:
            arena.play(stop, (), 1, episodes.append)
    assert capfd.readouterr() == ("", "")


class Unloadable:
    """A factory that can be pickled, and not be loaded again."""

    def __call__(self, map_name, **options):
        raise AssertionError

    def __reduce__(self):
        return refuse, ()


def refuse():
    raise ValueError("not to be loaded")
