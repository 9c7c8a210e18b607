"""Several processes as one program: two local ones, over jax.distributed, train what one process trains."""

import csv
import signal
import socket
import subprocess
import sys
import time

import numpy as np
import pytest

from experiments.distributed import collectives, connection
from experiments.loggers.csv import read_table
from experiments.sweep import main
from tests.helpers.processes import child_environment, xla_flags

# 12 iterations of 4 env steps, in chunks of 3, 2, 1 and so on, an evaluation each half; three trials: padded to four.
WORDS = ["--algo", "fake", "--env", "toy:coordination", "--seeds", "1", "--set", "num_envs=2", "rollout_length=4"]
WORDS += ["lr=0.1,0.2,0.4", "--total-steps", "48", "--eval-every", "24", "--log-every", "2", "--eval-episodes", "4"]
WORDS += ["--chunk-iterations", "5", "--no-compile-cache"]
POINT = "toy_coordination/fake/num_envs=2_rollout_length=4_lr={}"

# A process with STOP in its environment gets SIGTERM in the first evaluation (iteration 6).
PROCESS = """
import os, signal, sys
from tests.helpers import fake_algorithm
from experiments import sweep
from experiments.distributed import connection
from experiments.training import policies
fake_algorithm.register()
connection.WAIT_SECONDS = int(os.environ.get("WAIT", "300"))
if "STOP" in os.environ:
    policies.SavePolicies.on_evaluation = lambda *args: signal.raise_signal(signal.SIGTERM)
sys.exit(sweep.main(sys.argv[1:]))
"""


def free_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def start(directory, *words, **variables):
    """Starts the command as a process in a directory, without a cluster's variables but those given."""
    clusters = ("SLURM_", "KUBERNETES_", "OMPI_", "JAX_COORDINATOR")
    environment = child_environment(XLA_FLAGS=xla_flags(1), **variables)
    environment = {k: v for k, v in environment.items() if k in variables or not k.startswith(clusters)}
    return subprocess.Popen(
        [sys.executable, "-c", PROCESS, *words, "--out", "out"],
        env=environment,
        cwd=directory,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def start_two(directories, words=WORDS, slurm=False, stop=""):
    """Runs the command as processes 0 and 1, each with a directory of its own; (exit codes, outputs).

    Args:
      slurm: the processes are numbered by the variables of a Slurm step.
      stop: the process that gets a SIGTERM.
    """
    port, both = free_port(), []
    for k, directory in enumerate(directories):
        variables = {"STOP": "1"} if stop == str(k) else {}
        if slurm:
            names = {"JOB_ID": "7", "STEP_NODELIST": "127.0.0.1", "NTASKS": "2", "PROCID": str(k), "LOCALID": "0"}
            variables |= {f"SLURM_{name}": value for name, value in names.items()}
            how, variables["JAX_COORDINATOR_PORT"] = ["slurm"], str(port)
        else:
            how = [f"127.0.0.1:{port}", "--num-processes", "2", "--process-id", str(k)]
        both.append(start(directory, *words, "--coordinator", *how, **variables))
    outputs = [process.communicate(timeout=1200)[0] for process in both]
    return [process.returncode for process in both], outputs


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
    codes, said = start_two(directories, stop="1")
    assert codes == [128 + signal.SIGTERM] * 2, said
    assert not list(directories[1].iterdir())
    return directories[0] / "out", said


def assert_same(out, alone, rates=("0.1", "0.2", "0.4")):
    for lr in rates:
        for name, count in (("metrics", 6), ("eval", 2)):
            ours, theirs = (read_table(d / POINT.format(lr) / f"{name}.csv") for d in (out, alone))
            assert len(ours) == len(theirs) == count
            for a, b in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(list(a.values()), list(b.values()), rtol=2e-5, atol=1e-6)
        a, b = (np.load(d / POINT.format(lr) / "policy" / "seed_0.npz") for d in (out, alone))
        np.testing.assert_allclose(a[a.files[0]], b[b.files[0]], rtol=2e-5, atol=1e-6)
    with (out / "lanes.csv").open(newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["finished"] * len(rates)


def test_what_one_process_is_asked_stops_both_and_one_alone_goes_on(stopped, alone, capsys):
    """Two processes of 2 trials each (the third one twice) save at iteration 6; one process of 3 trials resumes."""
    out, said = stopped
    assert "2 processes with" in said[0] and "stopped, saved" in said[0] and "stopped" not in said[1]
    capsys.readouterr()
    assert main([*WORDS, "--out", str(out)]) == 0
    assert "resumed  lanes_0-2 at iteration 6" in capsys.readouterr().out
    assert_same(out, alone)


def test_two_processes_share_one_trial_and_one_alone_goes_on(tmp_path_factory, alone, capsys):
    """With --devices, each process has one of the trial's two environments; the checkpoint is whole all the same."""
    words = ["lr=0.1" if word.startswith("lr=") else word for word in WORDS] + ["--devices", "1"]
    directories = [tmp_path_factory.mktemp(f"half_{k}") for k in range(2)]
    codes, said = start_two(directories, words, stop="1")
    assert codes == [128 + signal.SIGTERM] * 2, said
    assert "the environments of a trial are on 2 devices" in said[0] and "stopped, saved" in said[0]
    capsys.readouterr()
    assert main([*words, "--out", str(directories[0] / "out")]) == 0
    assert "at iteration 6" in capsys.readouterr().out
    assert_same(directories[0] / "out", alone, ["0.1"])


@pytest.mark.slow
def test_two_processes_go_on_and_another_command_is_refused(tmp_path, alone):
    """Begun by two, ended by two; then both are refused: process 0's directory holds another sweep."""
    directories = [tmp_path / "0", tmp_path / "1"]
    for directory in directories:
        directory.mkdir()
    codes, said = start_two(directories, slurm=True, stop="0")
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


def test_a_detected_cluster_says_how_many_processes_there_are(capsys):
    for word in ("slurm", "auto"):
        assert main([*WORDS, "--coordinator", word, "--num-processes", "2"]) == 2
        assert "leave out --num-processes" in capsys.readouterr().err


@pytest.mark.parametrize("index", ["0", "1"])
def test_a_process_whose_others_do_not_come_ends_with_one_line(index, tmp_path):
    words = ["--coordinator", f"127.0.0.1:{free_port()}", "--num-processes", "2", "--process-id", index]
    process = start(tmp_path, *WORDS, *words, WAIT="1")
    output = process.communicate(timeout=300)[0]
    assert process.returncode == 2
    errors = [line for line in output.splitlines() if not line.startswith("waiting")]
    assert len(errors) == 1 and "not all processes, process 0 among them, connected in 1 s" in errors[0], output


def test_without_a_cluster_none_is_detected(tmp_path):
    for word, advice in (("slurm", "start it by srun"), ("auto", "give HOST:PORT")):
        process = start(tmp_path, *WORDS, "--coordinator", word)
        output = process.communicate(timeout=300)[0]
        assert process.returncode == 2 and advice in output.splitlines()[-1], output


def test_ctrl_c_ends_the_wait(tmp_path):
    words = ["--coordinator", f"127.0.0.1:{free_port()}", "--num-processes", "2"]
    process = start(tmp_path, *WORDS, *words)
    assert process.stdout.readline().startswith("waiting")
    time.sleep(2)  # until jax waits
    process.send_signal(signal.SIGINT)
    output = process.communicate(timeout=60)[0]
    assert process.returncode in (-signal.SIGINT, 130) and "Traceback" not in output, output


def test_an_address_that_cannot_be_used_is_refused_at_once(capsys):
    with socket.create_server(("", free_port())) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        assert main([*WORDS, "--coordinator", address, "--num-processes", "2"]) == 2
    assert f"{address}: Address already in use: choose another" in capsys.readouterr().err
    assert main([*WORDS, "--coordinator", "a..b:80", "--num-processes", "2", "--process-id", "1"]) == 2
    assert "--coordinator a..b:80: not the name of a machine" in capsys.readouterr().err


def test_one_process_has_nobody_to_meet(capsys):
    assert main([*WORDS, "--coordinator", "host:80"]) == 2
    assert "give --num-processes" in capsys.readouterr().err


def test_a_process_alone_agrees_with_itself():
    assert collectives.broadcast_from_main(lambda: {"a": 1}) == {"a": 1}
    assert (
        collectives.all_any(True),
        collectives.all_any(False),
        collectives.all_min(7),
        collectives.all_min(None),
    ) == (True, False, 7, None)


def test_arrays_are_exchanged_at_the_address_that_the_others_reach(monkeypatch):
    """Not at that of the host name, but in the network of the coordinator."""
    from jax._src.distributed import global_state
    from jax._src.lib import _jax

    monkeypatch.setattr(_jax, "make_gloo_tcp_collectives", lambda **given: given)
    monkeypatch.setattr(global_state, "coordinator_address", "127.0.0.1:80")
    connection.set_gloo_address()
    assert _jax.make_gloo_tcp_collectives(distributed_client=3) == {"distributed_client": 3, "hostname": "127.0.0.1"}


def test_bytes_are_sent_in_pieces_of_few_lengths(monkeypatch):
    """150 bytes of at most 64 a piece: three, the last padded with 42 zeros; a piece is at least 64."""
    monkeypatch.setattr(collectives, "BLOCK", 64)
    data = np.arange(150, dtype=np.uint8)
    pieces = collectives.split_blocks(data)
    assert [len(piece) for piece in pieces] == [64, 64, 64]
    assert np.array_equal(np.concatenate(pieces)[:150], data) and not np.concatenate(pieces)[150:].any()
    assert [len(piece) for piece in collectives.split_blocks(data[:3])] == [64]
