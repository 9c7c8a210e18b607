"""experiments.evaluate --backend: the table, the files, the row of each episode, interruption, and what is refused."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from experiments.common.stats import wilson
from experiments.evaluate import main
from experiments.loggers.csv import read_table
from experiments.smac import games
from tests.helpers.untrained import save_untrained

DOUBLE = ["--backend", "tests.helpers.fake_game:make_game"]


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    """An untrained policy of 3m, seeds 3 and 8."""
    rng = np.random.default_rng(0)
    return save_untrained(tmp_path_factory.mktemp("run"), (3, 8), lambda shape: rng.normal(size=shape))


@pytest.fixture(autouse=True)
def plan(tmp_path, monkeypatch):
    """(fates) -> sets the double's script; the first battle is won, the second lost, the others are won."""
    monkeypatch.setenv("FAKE_GAME_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("FAKE_GAME_PLAN", "win:4 lose:5 win:4")
    return lambda fates: monkeypatch.setenv("FAKE_GAME_PLAN", fates)


def log_words():
    with open(os.environ["FAKE_GAME_LOG"]) as file:
        return [line.split()[1] for line in file]


def episodes_of(run_dir):
    with open(run_dir / "evaluation_make_game_3m_episodes.csv") as file:
        return list(csv.DictReader(file))


def test_each_seed_plays_on_the_same_games(run_dir, plan, capsys):
    """Seed 3: a win in 4 steps (0.5 each and 2 more) and a defeat in 5; a broken game; seed 8: two wins."""
    plan("win:4 lose:5 protocol:2 win:4")
    assert main([str(run_dir), *DOUBLE, "--episodes", "2", "--games", "0", "--save-replay"]) == 0
    out = capsys.readouterr().out
    assert "seed 3, episode 2/2: not won, 5 steps" in out
    assert "2 greedy episodes per seed on make_game:3m" in out and "0.500" in out
    assert "episodes discarded and replayed: 1; illegal actions replaced: 0" in out
    assert "replays written: 1, in the game's own folder, Replays/3m_game*.SC2Replay" in out
    rows = read_table(run_dir / "evaluation_make_game_3m.csv", needs=("seed", "episodes"))
    told = [(r["seed"], r["episodes"], r["return_mean"], r["length_mean"], r["win_rate"]) for r in rows]
    assert told == [(3, 2, 3.25, 4.5, 0.5), (8, 2, 4.0, 4.0, 1.0)]
    low, high = wilson(1, 2)
    assert rows[0]["win_rate_low"] == pytest.approx(low) and rows[0]["win_rate_high"] == pytest.approx(high)
    assert json.loads((run_dir / "evaluation_make_game_3m.json").read_text())["env"] == "make_game:3m"
    columns = ("seed", "episode", "won", "return", "length", "dead_allies")
    told = [tuple(e[column] for column in columns) for e in episodes_of(run_dir)]
    assert told == [
        ("3", "1", "1", "4", "4", "1"),
        ("3", "2", "0", "2.5", "5", "1"),
        ("8", "1", "1", "4", "4", "1"),
        ("8", "2", "1", "4", "4", "1"),
    ]
    words = log_words()
    assert (words.count("make"), words.count("close"), words.count("replay")) == (2, 2, 1)
    assert not (run_dir / "evaluation.csv").exists()  # that one is of the home games


def test_one_seed_may_be_chosen(run_dir, capsys):
    assert main([str(run_dir), *DOUBLE, "--episodes", "1", "--games", "0", "--seed-index", "1"]) == 0
    rows = read_table(run_dir / "evaluation_make_game_3m.csv", needs=("seed", "episodes"))
    assert [row["seed"] for row in rows] == [8]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interruption_keeps_what_was_finished(run_dir, monkeypatch, capsys, number):
    handlers = [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)]
    add = games.Journal.add

    def add_and_interrupt(self, *row):
        add(self, *row)
        assert len(episodes_of(run_dir)) == self.count  # on disk already
        if self.count == 3:
            signal.raise_signal(number)

    monkeypatch.setattr(games.Journal, "add", add_and_interrupt)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # tests in the background have it ignored
    try:
        assert main([str(run_dir), *DOUBLE, "--episodes", "2", "--games", "0"]) == 128 + number
    finally:
        signal.signal(signal.SIGINT, before)
    assert [signal.getsignal(each) for each in (signal.SIGTERM, signal.SIGHUP)] == handlers
    assert "interrupted: 3 of 4 episodes are in" in capsys.readouterr().out
    rows = read_table(run_dir / "evaluation_make_game_3m.csv", needs=("seed", "episodes"))
    assert [row["episodes"] for row in rows] == [2, 1]
    assert len(episodes_of(run_dir)) == 3
    assert log_words().count("close") == 1


def test_a_game_that_keeps_failing_keeps_what_was_finished(run_dir, plan, capsys):
    plan("win:2 protocol:1")
    assert main([str(run_dir), *DOUBLE, "--episodes", "4", "--games", "0"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "failed 4 times in a row" in err and "the 1 finished episodes are in" in err
    assert len(episodes_of(run_dir)) == 1


def test_a_real_ctrl_c_ends_the_command_and_its_processes(run_dir, plan, tmp_path):
    """SIGINT to the whole foreground group, as a terminal sends it, while a game is in its second, endless step."""
    plan("win:2 hang:2")
    command = [sys.executable, "-m", "experiments.evaluate", str(run_dir), *DOUBLE, "--episodes", "3", "--games", "1"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, process_group=0)
    deadline = time.monotonic() + 600
    while time.monotonic() < deadline and process.poll() is None:
        if (tmp_path / "log").exists() and log_words().count("step") == 4:
            break
        time.sleep(0.2)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=600)
    assert process.returncode == 130, err
    assert "Traceback" not in err and "interrupted: 1 of 6 episodes are in" in out
    assert log_words().count("close") == 1  # the game's process was told, and closed its game
    with open(tmp_path / "log") as file:
        pid = next(int(line.split()[4]) for line in file if line.split()[1] == "make")
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


@pytest.mark.parametrize(
    "argv, message",
    [
        (["--backend", "smaq"], "unknown backend 'smaq'"),
        (["--backend", "smac", "--map", "4m"], "unknown StarCraft map '4m'"),
        (["--backend", "smac", "--map", "2s3z"], "the policy of smax:3m does not fit the map 2s3z"),
        (["--backend", "smac", "--env", "smax:3m"], "--env cannot be given together"),
        (["--backend", "smac", "--env-options", "a=1"], "has no effect with a --backend"),
        (["--backend", "smac", "--games", "-1"], "--games must be at least 0, not -1"),
        (["--save-replay"], "--save-replay needs --backend smac"),
        (["--game-version", "4.10.0"], "--game-version needs --backend smac"),
        (["--seed-index", "2"], "no seed index 2: the run has 2 seed(s)"),
    ],
)
def test_wrong_input_is_one_line_and_code_2(argv, message, run_dir, capsys):
    assert main([str(run_dir), *argv]) == 2
    err = capsys.readouterr().err
    assert message in err and err.startswith("error: ") and err.count("\n") == 1
