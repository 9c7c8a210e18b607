"""Many devices and many processes: 8 virtual CPU devices, 2 processes that share a sweep, programs as jobs."""

import csv
import importlib.util
import json
import subprocess
import sys

import numpy as np
import pytest

from experiments.loggers.csv import read_table
from tests.helpers.processes import ROOT, child_environment, xla_flags

SHORT = ["--total-steps", "24", "--eval-every", "12", "--log-every", "2", "--eval-episodes", "4"]
FIXED = ["num_envs=2", "rollout_length=4"]

MESH = """
import sys, jax
from tests.helpers import fake_algorithm
from experiments import run, sweep
fake_algorithm.register()
assert jax.device_count() == 8
out = sys.argv[1]
short = sys.argv[2:]
base = ["--algo", "fake", "--env", "toy:coordination", "--num-envs", "2", "--rollout-length", "4", "--no-pictures"]
for name, devices in (("one", "1"), ("eight", "0")):
    assert run.main([*base, *short, "--seeds", "10", "--devices", devices, "--run-dir", f"{out}/{name}"]) == 0
begun = [*base, *short, "--total-steps", "12", "--seeds", "3", "--run-dir", f"{out}/moved"]
assert run.main(begun) == 0
moved = str(next(__import__("pathlib").Path(f"{out}/moved").glob("*/*/*/config.json")).parent)
assert run.main(["--resume", moved, "--total-steps", "24", "--devices", "2"]) == 0
for first, then in (("4", "1"), ("1", "8")):
    where = ["--run-dir", f"{out}/split_{first}"]
    assert run.main([*base, *short, "--total-steps", "12", "--seeds", "2", "--devices", first, *where]) == 0
    split = str(next(__import__("pathlib").Path(where[1]).glob("*/*/*/config.json")).parent)
    assert run.main(["--resume", split, "--total-steps", "24", "--devices", then]) == 0
trials = ["--algo", "fake", "--env", "toy:coordination", "--seeds", "3", "--set", "num_envs=2", "rollout_length=4"]
assert sweep.main([*trials, "lr=0.1,0.2,0.4", *short, "--out", f"{out}/sweep"]) == 0
"""


def same_rows(ours, theirs, count):
    assert len(ours) == len(theirs) == count
    for a, b in zip(ours, theirs, strict=True):
        assert a.keys() == b.keys()
        np.testing.assert_allclose(list(a.values()), list(b.values()), rtol=2e-5, atol=1e-6)


@pytest.fixture(scope="module")
def meshed(tmp_path_factory):
    """What runs and a sweep wrote in a process of 8 virtual devices."""
    out = tmp_path_factory.mktemp("mesh")
    env = child_environment(XLA_FLAGS=xla_flags(8))
    done = subprocess.run([sys.executable, "-c", MESH, str(out), *SHORT], env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert "8 x" in done.stdout
    return out


def directory(parent):
    return next(parent.glob("*/*/*/config.json")).parent


def test_ten_seeds_over_eight_devices_are_those_of_one(meshed):
    """Ten trials are padded to sixteen, two a device; 6 iterations: 3 rows of metrics, 2 evaluations a seed."""
    one, eight = directory(meshed / "one"), directory(meshed / "eight")
    for name, count in (("metrics", 30), ("eval", 20)):
        same_rows(read_table(eight / f"{name}.csv"), read_table(one / f"{name}.csv"), count)
    for seed in (0, 9):
        a, b = (np.load(d / "policy" / f"seed_{seed}.npz") for d in (one, eight))
        np.testing.assert_allclose(a[a.files[0]], b[b.files[0]], rtol=2e-5, atol=1e-6)


def test_a_run_of_three_devices_goes_on_on_two(meshed):
    """Begun with a seed a device, resumed with three seeds on two: padded to four."""
    moved = directory(meshed / "moved")
    first = [row for row in read_table(directory(meshed / "one") / "metrics.csv") if row["seed"] < 3]
    same_rows(read_table(moved / "metrics.csv"), first, 9)
    assert sorted(p.stem for p in (moved / "policy").glob("*.npz")) == ["seed_0", "seed_1", "seed_2"]


@pytest.mark.parametrize("first", ["4", "1"])
def test_checkpoints_of_split_runs_are_those_of_one_device(meshed, first):
    """Two seeds, each with its two environments on two devices, resumed on one device; and the other way round."""
    split = directory(meshed / f"split_{first}")
    expected = [row for row in read_table(directory(meshed / "one") / "metrics.csv") if row["seed"] < 2]
    same_rows(read_table(split / "metrics.csv"), expected, 6)
    assert "the environments of a seed are on 2 devices" in (split / "log.txt").read_text()


def test_nine_trials_of_a_sweep_over_eight_devices(meshed):
    parent = meshed / "sweep" / "toy_coordination" / "fake"
    default = [row for row in read_table(directory(meshed / "one") / "metrics.csv") if row["seed"] < 3]
    same_rows(read_table(parent / "num_envs=2_rollout_length=4_lr=0.1" / "metrics.csv"), default, 9)
    with (meshed / "sweep" / "lanes.csv").open(newline="") as file:
        assert [row["status"] for row in csv.DictReader(file)] == ["finished"] * 9


PROCESS = """
import sys
from tests.helpers import fake_algorithm
from experiments.sweep import main
fake_algorithm.register()
sys.exit(main(sys.argv[1:]))
"""


def test_two_processes_share_the_trials(tmp_path):
    """Two seeds of one point: a process each; the first one makes the table of both."""
    words = ["--algo", "fake", "--env", "toy:coordination", "--seeds", "2", "--set", *FIXED, *SHORT]
    words += ["--out", str(tmp_path / "out"), "--num-processes", "2", "--process-id"]
    command = [sys.executable, "-c", PROCESS, *words]
    both = [
        subprocess.Popen(
            [*command, str(k)], env=child_environment(), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for k in range(2)
    ]
    said = [process.communicate(timeout=1200)[0] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    with (tmp_path / "out" / "lanes.csv").open(newline="") as file:
        trials = list(csv.DictReader(file))
    assert [(row["seed"], row["status"]) for row in trials] == [("0", "finished"), ("1", "finished")]
    assert len({row["directory"] for row in trials}) == 2
    assert "winner" in said[0] and "winner" not in said[1]


@pytest.mark.slow
@pytest.mark.skipif(importlib.util.find_spec("submitit") is None, reason="needs submitit: pip install iacjax[slurm]")
def test_programs_are_jobs(tmp_path):
    """Two programs (2 and 4 environments) as processes of submitit's, the stand-in for Slurm."""
    words = ["--algo", "iql", "--env", "matrix_game", "--seeds", "1", "--total-steps", "64", "--eval-episodes", "2"]
    words += ["--set", "num_envs=2,4", "rollout_length=4", "hidden_dim=8", "buffer_size=64", "batch_size=4"]
    words += ["updates_per_step=0.125", "recurrent=false", "warmup=16"]
    words += ["--out", str(tmp_path / "out"), "--launcher", "local", "--job", "timeout_min=20"]
    command = [sys.executable, "-m", "experiments.sweep", *words]
    done = subprocess.run(command, env=child_environment(), capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    out = tmp_path / "out"
    assert sorted(path.parent.name for path in out.glob("programs/*/finished.json")) == ["000", "001"]
    winner = json.loads((out / "winner.json").read_text())
    assert winner["algo"] == "iql" and winner["run"]["env"] == "matrix_game"
    assert not list(out.glob("programs/*/job.json"))  # a process's number, which may be that of a job in Slurm
    again = subprocess.run(command, env=child_environment(), capture_output=True, text=True, cwd=ROOT)
    assert again.returncode == 0 and "job  " not in again.stdout
