"""Runs in processes of their own that something is done to, and what must hold of them afterwards."""

import contextlib
import os
import pathlib
import subprocess
import sys
import time

import numpy as np

from experiments import run
from tests.helpers.processes import child_environment
from tests.helpers.run_fixtures import FAST

CASES = int(os.environ.get("FAULT_CASES", "2"))  # of each kind; more of them for a longer look
# 300 iterations of 8 env steps in chunks of 5, each saved; rows and evaluations cross the chunks' edges.
FAKE = [*FAST, "--seeds", "2", "--total-steps", "2400", "--chunk-iterations", "5", "--log-every", "3"]
FAKE += ["--eval-every", "560", "--eval-episodes", "4", "--checkpoint-every", "0"]


LIMIT = "import os, resource, sys; kind, limit = map(int, sys.argv[1:3]); resource.setrlimit(kind, (limit, limit));"
LIMIT += "os.execv(sys.executable, [sys.executable, *sys.argv[3:]])"


def start(command, limit=()):
    """A process of this source tree, whose errors are kept; `limit`: (kind, number) of a resource."""
    environment = child_environment(TF_CPP_MIN_LOG_LEVEL="2")
    command = ["-c", LIMIT, *(str(int(word)) for word in limit), *command] if limit else command
    pipes = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, *command], env=environment, **pipes)


def start_fake(parent, *words, limit=()):
    """The run command with FAKE and `words`, its runs below `parent`."""
    command = ["-m", "tests.helpers.fake_algorithm", *FAKE, *words, "--run-dir", str(parent)]
    return start(command, limit)


def run_dirs(parent):
    """The runs below `parent` that have begun."""
    return sorted(path.parent for path in pathlib.Path(parent).glob("*/*/*/config.json"))


def checkpoints(parent):
    """Iterations of all checkpoints below `parent`."""
    found = []
    for group in pathlib.Path(parent).glob("*/*/*/checkpoints/*"):
        with contextlib.suppress(FileNotFoundError):  # it has just gone
            found += [int(name) for name in os.listdir(group) if name.isdigit()]
    return sorted(found)


def wait_for(process, happened, seconds=300):
    """Until `happened()`, or the process has ended; whether it happened."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if happened():
            return True
        if process.poll() is not None:
            return False
        time.sleep(0.005)
    raise AssertionError(f"nothing has happened in {seconds} s")


def check_answer(process, seconds=300):
    """It ends in time, with 0, or with 2 and one line; the code."""
    try:
        _, said = process.communicate(timeout=seconds)
    finally:
        process.kill()
    lines = said.splitlines()
    if process.returncode == 2:
        assert len(lines) == 1 and lines[0].startswith("error: "), said
    assert process.returncode in (0, 2), said
    assert "Traceback" not in said, said
    return process.returncode, said


def what_is_written(directory):
    """{file: content} of what a run is for: its rows, its policies and its last state."""
    found = {name: (directory / name).read_bytes() for name in ("metrics.csv", "eval.csv")}
    files = [*directory.glob("policy/*.npz"), *directory.glob("checkpoints/*/[0-9]*/state.npz")]
    newest = max(int(file.parent.name) for file in files if file.name == "state.npz")
    for file in files:
        if file.name != "state.npz" or file.parent.name == str(newest):
            with np.load(file) as arrays:
                name = str(file.relative_to(directory))
                found |= {f"{name}/{key}": (arrays[key].dtype, arrays[key].tobytes()) for key in arrays.files}
    return found


def assert_ends_as(directory, whole):
    """Resumed where nothing disturbs it, it ends bitwise as one that was left alone."""
    assert run.main(["--resume", str(directory)]) == 0
    ours, due = what_is_written(directory), what_is_written(whole)
    assert ours.keys() == due.keys() and len(due) > 8
    assert [name for name in due if ours[name] != due[name]] == []
