"""A sweep that is stopped by hand: Ctrl-C in a terminal, twice, kill -9 while it trains and while it writes tables."""

import csv
import os
import pty
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from experiments.loggers.csv import read_table
from tests.helpers.processes import child_environment

# Two programs of two trials; 500 iterations of 4 or 8 steps, in chunks of 25.
WORDS = ["--algo", "fake", "--env", "toy:coordination", "--seeds", "2", "--total-steps", "2000", "--eval-every", "500"]
WORDS += ["--log-every", "50", "--eval-episodes", "2", "--chunk-iterations", "25", "--checkpoint-every", "0"]
WORDS += ["--set", "num_envs=2,4", "rollout_length=4"]

# KILL=<file name>: dies by kill -9 when that file is about to take the place of its unfinished copy.
PROCESS = """
import os, pathlib, signal, sys
from tests.helpers import fake_algorithm
from experiments.common.cli import leave
from experiments.sweep import main
fake_algorithm.register()
if os.environ.get("KILL"):
    replace = pathlib.Path.replace
    def die(self, target):
        if pathlib.Path(target).name == os.environ["KILL"]:
            os.kill(os.getpid(), signal.SIGKILL)
        return replace(self, target)
    pathlib.Path.replace = die
leave(main(sys.argv[1:]))
"""


def start(out, **more):
    """The sweep in a terminal of its own: (process, the terminal's other end)."""
    command = [sys.executable, "-c", PROCESS, *WORDS, "--out", str(out)]
    ours, theirs = pty.openpty()

    def own_terminal():
        os.setsid()
        import fcntl
        import termios

        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process = subprocess.Popen(
        command, env=child_environment(**more), stdin=theirs, stdout=theirs, stderr=theirs, preexec_fn=own_terminal
    )
    os.close(theirs)
    return process, ours


def read(terminal, until=""):
    """What is shown, to the text `until` or to the end."""
    shown = ""
    while not (until and until in shown):
        try:
            piece = os.read(terminal, 4096).decode(errors="replace")
        except OSError:  # the process has ended
            break
        if not piece:
            break
        shown += piece
    return shown


def finish(out, **more):
    process, terminal = start(out, **more)
    shown = read(terminal)
    return process.wait(timeout=600), shown


def tables(out):
    with (out / "lanes.csv").open(newline="") as file:
        trials = [(row["num_envs"], row["seed"], row["status"], row["return_mean"]) for row in csv.DictReader(file)]
    rows = {path.relative_to(out): read_table(path) for path in sorted(out.glob("toy*/*/*/*.csv"))}
    return trials, rows


@pytest.mark.slow
def test_nothing_is_lost_or_written_twice(tmp_path):
    """Ctrl-C in the first program, kill -9 after it, in the second and in the tables: in the end as if left alone."""
    out = tmp_path / "out"
    process, terminal = start(out)
    shown = read(terminal, "% of all")
    assert "queue    2 program(s), 8,000 env steps to go" in shown and "program 1 of 2" in shown
    os.write(terminal, b"\x03")
    shown = read(terminal)
    assert process.wait(timeout=600) == 130, shown
    assert "stopping once this chunk is saved" in shown and "stopped, saved" in shown and "Traceback" not in shown
    code, shown = finish(out, KILL="finished.json")
    assert code == -signal.SIGKILL and "resumed" in shown
    process, terminal = start(out)
    read(terminal, "program 2 of 2")
    process.kill()
    assert process.wait(timeout=600) == -signal.SIGKILL
    code, shown = finish(out, KILL="metrics.csv")
    assert code == -signal.SIGKILL and "resumed" in shown
    assert (out / "lanes.csv").exists() and not (out / "metrics.csv").exists()
    code, shown = finish(out)
    assert code == 0 and "resumed" not in shown and "winner" in shown, shown
    code, shown = finish(tmp_path / "whole")
    assert code == 0, shown
    (trials, rows), (whole_trials, whole_rows) = tables(out), tables(tmp_path / "whole")
    assert trials == whole_trials and rows.keys() == whole_rows.keys() and len(rows) == 4
    for name, ours in rows.items():
        # 10 rows of metrics of 500 iterations, 5 of 250; 4 evaluations; two seeds
        count = 8 if name.name == "eval.csv" else 20 if "num_envs=2" in str(name) else 10
        assert len(ours) == len(whole_rows[name]) == count
        for a, b in zip(ours, whole_rows[name], strict=True):
            np.testing.assert_allclose(list(a.values()), list(b.values()), rtol=2e-5, atol=1e-6)


@pytest.mark.slow
def test_a_second_ctrl_c_stops_at_once(tmp_path):
    process, terminal = start(tmp_path / "out")
    read(terminal, "queue")
    os.write(terminal, b"\x03")
    read(terminal, "Ctrl-C again stops at once")
    os.write(terminal, b"\x03")
    began = time.monotonic()
    shown = read(terminal)
    assert process.wait(timeout=600) == 130
    assert "stopped at once" in shown and "Traceback" not in shown and time.monotonic() - began < 60
