"""A measurement's process ends with the command."""

import os
import pathlib
import signal
import subprocess
import sys
import time

ROOT = pathlib.Path(__file__).parents[2]
COMMAND = """
import os, pathlib, sys, time
from benchmarks.worker import fresh_process

def measure(file):
    pathlib.Path(file).write_text(str(os.getpid()))
    time.sleep(600)

if __name__ == "__main__":
    with fresh_process() as pool:
        pool.submit(measure, sys.argv[1]).result()
"""


def test_a_measurement_ends_with_the_command_that_was_killed(tmp_path):
    (tmp_path / "command.py").write_text(COMMAND)
    file = tmp_path / "pid"
    words = [sys.executable, str(tmp_path / "command.py"), str(file)]
    command = subprocess.Popen(words, env={**os.environ, "PYTHONPATH": str(ROOT)})
    until = time.monotonic() + 120
    while not (file.exists() and file.read_text()) and time.monotonic() < until:
        assert command.poll() is None
        time.sleep(0.05)
    pid = int(file.read_text())
    command.send_signal(signal.SIGKILL)
    command.wait(20)
    until = time.monotonic() + 20
    while is_running(pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert not is_running(pid)


def is_running(pid):
    """A process that has ended may still be listed, where its new parent has not asked how."""
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False
