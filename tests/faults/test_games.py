"""Faults of games, drawn by a seed: what shows nonsense, breaks off, hangs or dies is replayed and said, in one line,
and nothing of it is left behind."""

import csv
import math
import os
import pathlib
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from envs.errors import ConfigError
from envs.smac_backend.arena import Arena, Limits
from envs.smac_backend.backend import Backend
from envs.smac_backend.guard import GRACE
from tests.helpers.fake_game import FIELDS, SPOILT, make_game, read_log
from tests.helpers.untrained import save_untrained

pytestmark = pytest.mark.slow
ROOT = pathlib.Path(__file__).parents[2]
DOUBLE = Backend("double", make_game)
LENGTH = 6  # steps of the longest battle that ends
ANYWHERE = ("protocol", "raise", "exit", "mute")  # at a step
AT_RESET = ("reset_raises", "relaunch", "facts")
IN_A_PROCESS = ("die", "hang", "freeze")
RESTARTS = 3


def draw_fault(draw, in_a_process):
    """One fate that cannot count."""
    step = draw.randint(1, LENGTH)
    kind = draw.choice(("spoil", "spoil", "spoil", "step", "reset", "process" if in_a_process else "spoil"))
    if kind == "spoil":
        field = draw.choice(FIELDS)
        hows = [how for how in (*SPOILT, "shape") if (field, how) != ("health", "huge")]  # that unit lives, no more
        return f"spoil.{field}.{draw.choice(hows)}:{step}"
    if kind == "reset":
        fates = [fate for fate in AT_RESET if in_a_process or fate != "facts"]  # only a pipe needs it pickled
        return draw.choice(fates)
    fate = draw.choice(ANYWHERE if kind == "step" else IN_A_PROCESS)
    return f"{draw.choice(('', 'sc2+')) if kind == 'process' else ''}{fate}:{step}"


def draw_plan(draw, in_a_process, faults):
    """Fates of a game's battles, never more than RESTARTS faults in a row; wins from then on."""
    plan, row = [], 0
    while faults:
        if row < RESTARTS and draw.random() < 0.7:
            plan.append(draw_fault(draw, in_a_process))
            faults, row = faults - 1, row + 1
        else:
            plan.append(f"{draw.choice(('win', 'lose'))}:{draw.randint(1, LENGTH)}")
            row = 0
    return [*plan, "win:3"]


def is_good(fate):
    return fate.startswith(("win", "lose"))


def expected_return(fate):
    word, _, steps = fate.partition(":")
    return 0.5 * int(steps) + 2.0 * (word == "win")


def stand(carry, timestep, first):
    assert all(np.isfinite(x).all() for x in (timestep.obs, timestep.state, timestep.reward))
    return carry, np.ones(timestep.alive.shape, np.int64)


def is_running(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def left_of(log, seconds):
    """Processes of the games and of their StarCrafts that still run after so many seconds."""
    pids = {int(line[4] if line[1] == "make" else line[2]) for line in log if line[1] in ("make", "child")}
    pids -= {os.getpid()}
    until = time.monotonic() + seconds
    while any(map(is_running, pids)) and time.monotonic() < until:
        time.sleep(0.1)
    return [pid for pid in pids if is_running(pid)]


def play(monkeypatch, log, plan, games, episodes):
    """(episodes, lines said, discarded) of an arena whose games follow `plan`."""
    monkeypatch.setenv("FAKE_GAME_LOG", str(log))
    monkeypatch.setenv("FAKE_GAME_PLAN", " ".join(plan))
    ended, said = [], []
    limits = Limits(reset=120.0, step=3.0, close=1.0, restarts=RESTARTS)
    with Arena(DOUBLE, "3m", games, limits=limits, say=said.append) as arena:
        arena.play(stand, (), episodes, ended.append)
    return ended, said, arena.discarded


def check(log, plan, ended, said, discarded):
    """What was counted is just what the script pays, and each fault was discarded and said."""
    played = {name: 0 for name, *_ in log}
    for name, word, *_ in log:
        played[name] += word == "reset"
    fates = [plan[min(k, len(plan) - 1)] for count in played.values() for k in range(count)]
    paid = sorted(expected_return(fate) for fate in fates if is_good(fate))
    assert sorted(e.episode_return for e in ended) == paid
    assert all(math.isfinite(e.episode_return) and e.length <= LENGTH for e in ended)
    assert discarded == len(said) == sum(not is_good(fate) for fate in fates)
    assert all("\n" not in line and "episode discarded, to be replayed (" in line for line in said)


@pytest.mark.parametrize("seed", range(30))
def test_faults_in_this_process(seed, tmp_path, monkeypatch, capfd):
    draw = random.Random(seed)
    plan = draw_plan(draw, False, faults=8)
    goods = sum(map(is_good, plan))
    ended, said, discarded = play(monkeypatch, tmp_path / "log", plan, 0, goods + 1)
    check(read_log(), plan, ended, said, discarded)
    assert discarded == 8 and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("seed", range(4))
def test_faults_in_processes_of_their_own(seed, tmp_path, monkeypatch, capfd):
    """Hangs, deaths, and hangs that hold Python's lock among them; nothing is printed and no process is left."""
    draw = random.Random(1000 + seed)
    plan = draw_plan(draw, True, faults=5)
    ended, said, discarded = play(monkeypatch, tmp_path / "log", plan, 2, 2 * sum(map(is_good, plan)))
    check(read_log(), plan, ended, said, discarded)
    assert discarded >= 5 and capfd.readouterr() == ("", "")
    assert left_of(read_log(), 10) == []


@pytest.mark.parametrize("seed", range(6))
def test_a_game_of_nothing_but_faults_ends_in_one_line(seed, tmp_path, monkeypatch, capfd):
    draw = random.Random(2000 + seed)
    plan = [draw_fault(draw, False) for _ in range(RESTARTS + 1)]
    with pytest.raises(ConfigError, match="failed 4 times in a row, last: ") as error:
        play(monkeypatch, tmp_path / "log", plan, 0, 3)
    assert "\n" not in str(error.value) and capfd.readouterr() == ("", "")


@pytest.mark.parametrize("seed", range(4))
def test_the_command_is_ended_at_a_random_moment(seed, tmp_path, monkeypatch):
    """SIGTERM and SIGHUP keep what was finished and say so; SIGKILL leaves whole rows; no process is left after any."""
    draw = random.Random(3000 + seed)
    number = (signal.SIGKILL, signal.SIGTERM, signal.SIGHUP)[seed % 3]
    rng = np.random.default_rng(0)
    (tmp_path / "run").mkdir()
    run_dir = save_untrained(tmp_path / "run", (3,), lambda shape: rng.normal(size=shape))
    fate = draw.choice(("hang", "freeze"))
    monkeypatch.setenv("FAKE_GAME_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("FAKE_GAME_PLAN", " ".join(["win:3"] * draw.randint(1, 20) + [f"sc2+{fate}:2"]))
    command = [sys.executable, "-m", "experiments.evaluate", str(run_dir), "--episodes", "500", "--games", "2"]
    command += ["--backend", "tests.helpers.fake_game:make_game"]
    process = subprocess.Popen(
        command, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    until = time.monotonic() + 300
    while not [line for line in read_log() if line[1] == "step"] and time.monotonic() < until:
        assert process.poll() is None
        time.sleep(0.1)
    time.sleep(draw.uniform(0.0, 3.0))
    process.send_signal(number)
    out, err = process.communicate(timeout=120)
    assert "Traceback" not in err and "Traceback" not in out
    assert process.returncode == (-number if number == signal.SIGKILL else 128 + number), err
    with (run_dir / "evaluation_make_game_3m_episodes.csv").open() as file:
        rows = list(csv.reader(file))
    assert all(len(row) == len(rows[0]) for row in rows)
    assert number == signal.SIGKILL or f"interrupted: {len(rows) - 1} of 500 episodes are in" in out
    assert left_of(read_log(), GRACE + 20) == []
