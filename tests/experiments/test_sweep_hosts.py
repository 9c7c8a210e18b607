"""Several processes as one program: two local ones, over jax.distributed, train what one process trains."""

import csv
import signal
import socket
import subprocess
import sys

import numpy as np
import pytest

from experiments.distributed import collectives
from experiments.loggers.csv import read_table
from experiments.sweep import main, parse
from tests.helpers.processes import child_environment

# 12 iterations of 4 env steps, in chunks of 3, 2, 1 and so on, an evaluation each half; three lanes: padded to four.
WORDS = ["--algo", "fake", "--env", "toy:coordination", "--seeds", "1", "--set", "num_envs=2", "rollout_length=4"]
WORDS += ["lr=0.1,0.2,0.4", "--total-steps", "48", "--eval-every", "24", "--log-every", "2", "--eval-episodes", "4"]
WORDS += ["--chunk-iterations", "5", "--no-compile-cache"]
POINT = "toy_coordination/fake/num_envs=2_rollout_length=4_lr={}"

# SIGTERM comes to process 1 with the first evaluation (iteration 6), where that is asked for.
PROCESS = """
import os, signal, sys
from tests.helpers import fake_algorithm
from experiments import sweep
from experiments.training import loop
fake_algorithm.register()
if os.environ.get("STOP") == sys.argv[-1]:
    evaluate = loop.Group._evaluate
    def evaluate_and_stop(self):
        evaluate(self)
        signal.raise_signal(signal.SIGTERM)
    loop.Group._evaluate = evaluate_and_stop
sys.exit(sweep.main(sys.argv[1:]))
"""


def start_two(directories, words=WORDS, **more):
    """Runs the command as processes 0 and 1, each with a directory of its own; (codes, what they said)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = child_environment(XLA_FLAGS="--xla_force_host_platform_device_count=1", **more)
    both = [
        subprocess.Popen(
            [sys.executable, "-c", PROCESS, *words, "--out", "out", "--coordinator", f"127.0.0.1:{port}"]
            + ["--num-processes", "2", "--process-id", str(k)],
            env=environment,
            cwd=directory,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for k, directory in enumerate(directories)
    ]
    said = [process.communicate(timeout=1200)[0] for process in both]
    return [process.returncode for process in both], said


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The sweep in one process."""
    out = tmp_path_factory.mktemp("alone")
    assert main([*WORDS, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def stopped(tmp_path_factory):
    """The sweep of two processes that one of them was asked to stop: the first one's directory, what they said."""
    directories = [tmp_path_factory.mktemp(f"process_{k}") for k in range(2)]
    codes, said = start_two(directories, STOP="1")
    assert codes == [128 + signal.SIGTERM] * 2, said
    assert not list(directories[1].iterdir())
    return directories[0] / "out", said


def assert_same(out, alone):
    for lr in ("0.1", "0.2", "0.4"):
        for name, count in (("metrics", 6), ("eval", 2)):
            ours, theirs = (read_table(d / POINT.format(lr) / f"{name}.csv") for d in (out, alone))
            assert len(ours) == len(theirs) == count
            for a, b in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(list(a.values()), list(b.values()), rtol=2e-5, atol=1e-6)
        a, b = (np.load(d / POINT.format(lr) / "policy" / "seed_0.npz") for d in (out, alone))
        np.testing.assert_allclose(a[a.files[0]], b[b.files[0]], rtol=2e-5, atol=1e-6)
    with (out / "lanes.csv").open(newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["finished"] * 3


def test_what_one_process_is_asked_stops_both_and_one_alone_goes_on(stopped, alone, capsys):
    """Two processes of 2 lanes each (the third one twice) save at iteration 6; one process of 3 lanes goes on."""
    out, said = stopped
    assert "2 processes with" in said[0] and "stopped, saved" in said[0] and "stopped" not in said[1]
    capsys.readouterr()
    assert main([*WORDS, "--out", str(out)]) == 0
    assert "resumed  lanes_0-2 at iteration 6" in capsys.readouterr().out
    assert_same(out, alone)


@pytest.mark.slow
def test_two_processes_go_on_and_another_command_is_refused(tmp_path, alone):
    """Begun by two, ended by two; then both are refused: process 0's directory holds another sweep."""
    directories = [tmp_path / "0", tmp_path / "1"]
    for directory in directories:
        directory.mkdir()
    codes, said = start_two(directories, STOP="0")
    assert codes == [128 + signal.SIGTERM] * 2, said
    codes, said = start_two(directories)
    assert codes == [0, 0] and "resumed  lanes_0-2 at iteration 6" in said[0] and "winner" not in said[1], said
    assert_same(tmp_path / "0" / "out", alone)
    assert not list((tmp_path / "1").iterdir())
    codes, said = start_two(directories, [*WORDS, "--seed", "1"])
    assert codes == [2, 2] and all("holds another sweep" in text for text in said), said


@pytest.mark.parametrize("address", ["host", "host:", ":80", "host:0", "host:99999", "host:port"])
def test_an_address_that_is_none_is_refused(address, capsys):
    assert main([*WORDS, "--coordinator", address, "--num-processes", "2"]) == 2
    assert "write HOST:PORT" in capsys.readouterr().err


def test_srun_says_who_the_processes_are(monkeypatch, capsys):
    task = {"STEP_NUM_TASKS": "2", "PROCID": "1", "JOB_ID": "7", "STEP_ID": "0", "STEP_NODELIST": "node[3-4]"}
    for name in task:
        monkeypatch.delenv(f"SLURM_{name}", raising=False)
    assert main([*WORDS, "--coordinator", "slurm"]) == 2
    assert "start it by srun" in capsys.readouterr().err
    for name, value in task.items():
        monkeypatch.setenv(f"SLURM_{name}", value)
    args, _ = parse([*WORDS, "--coordinator", "slurm"])
    assert (args.coordinator, args.num_processes, args.process_id) == ("node3:61447", 2, 1)
    assert main([*WORDS, "--coordinator", "slurm", "--num-processes", "2"]) == 2
    assert "leave out --num-processes" in capsys.readouterr().err
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    monkeypatch.setenv("SLURM_PROCID", "0")
    args, _ = parse([*WORDS, "--coordinator", "slurm"])
    assert (args.coordinator, args.num_processes, args.process_id) == (None, 1, 0)


def test_one_process_has_nobody_to_meet(capsys):
    assert main([*WORDS, "--coordinator", "host:80"]) == 2
    assert "give --num-processes" in capsys.readouterr().err


def test_a_process_alone_agrees_with_itself():
    assert collectives.from_first(lambda: {"a": 1}) == {"a": 1}
    assert (
        collectives.any_of(True),
        collectives.any_of(False),
        collectives.smallest(7),
        collectives.smallest(None),
    ) == (True, False, 7, None)


def test_arrays_are_exchanged_at_the_address_that_the_others_reach(monkeypatch):
    """Not at that of the host name; an address that is set again takes the place of the first."""
    from jax._src.lib import _jax

    monkeypatch.setattr(_jax, "make_gloo_tcp_collectives", lambda **given: given)
    for address in ("10.77.0.1", "10.77.0.2"):
        collectives._exchange_at(address)
        assert _jax.make_gloo_tcp_collectives(distributed_client=3) == {"distributed_client": 3, "hostname": address}


def test_bytes_are_sent_in_pieces_of_few_lengths(monkeypatch):
    """150 bytes of at most 64 a piece: three, the last padded with 42 zeros; a piece is at least 64."""
    monkeypatch.setattr(collectives, "BLOCK", 64)
    data = np.arange(150, dtype=np.uint8)
    pieces = collectives._blocks(data)
    assert [len(piece) for piece in pieces] == [64, 64, 64]
    assert np.array_equal(np.concatenate(pieces)[:150], data) and not np.concatenate(pieces)[150:].any()
    assert [len(piece) for piece in collectives._blocks(data[:3])] == [64]
