"""A CPU is one device per core, in a process that has not used jax, unless the user says otherwise."""

import os
import pathlib
import subprocess
import sys

import pytest

from experiments.common import cpu
from experiments.config.schema import RunConfig
from experiments.training.runtime import prepare_jax
from tests.helpers.processes import child_environment

# Runs with the options of each argument, in one process, on two cores whatever the machine has.
PROCESS = """
import os, sys
from experiments.common import cpu
cpu.usable_cores = lambda: 2
from experiments import run
from tests.helpers import fake_algorithm
fake_algorithm.register()
words = ["--algo", "fake", "--env", "toy:coordination", "--num-envs", "2", "--rollout-length", "4", "--no-pictures"]
words += ["--total-steps", "8", "--eval-episodes", "2", "--run-dir", sys.argv[1]]
codes = [run.main([*words, *more.split()]) for more in sys.argv[2:]]
print("codes", *codes, os.environ["XLA_FLAGS"])
"""
LEFT_OUT = "--xla_disable_hlo_passes=cpu-parallel-task-assigner"
ONE, TWO = "device   cpu, 2 cores", "device   2 x cpu, 2 cores"


def lines_of(directory, *options, **variables):
    """What a process prints: the lines about devices, and the last line; its errors."""
    environment = child_environment(**{"XLA_FLAGS": "", **variables})
    command = [sys.executable, "-c", PROCESS, str(directory), *options]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    lines = done.stdout.splitlines()
    assert done.returncode == 0, done.stderr[-3000:]
    return [line.rsplit(", ", 1)[0] for line in lines if line.startswith("device ")], lines[-1], done.stderr


def test_seeds_are_spread_over_the_cores(tmp_path):
    """One seed, two, three; one device asked for; more devices than seeds; more than cores."""
    options = ["--seeds 1", "--seeds 2", "--seeds 3", "--seeds 2 --devices 1", "--devices 2", "--devices 3"]
    devices, last, errors = lines_of(tmp_path, *options)
    assert devices == [ONE, TWO, TWO, ONE, TWO]
    assert last == f"codes 0 0 0 0 0 2 {LEFT_OUT}"
    assert "--devices 3: there are 2; give fewer, or 0 for all" in errors


@pytest.mark.parametrize(
    "variables",
    [{"XLA_FLAGS": f"{cpu.DEVICES}=1"}, {"JAX_NUM_CPU_DEVICES": "1", "XLA_FLAGS": "--xla_disable_hlo_passes=none"}],
)
def test_what_the_user_sets_stays(tmp_path, variables):
    devices, last, _ = lines_of(tmp_path, "--seeds 2", **variables)
    assert devices == [ONE]
    assert (LEFT_OUT in last) == ("JAX_NUM_CPU_DEVICES" not in variables)


@pytest.fixture
def unset(monkeypatch):
    """No variable that says how jax uses the CPU; what a test sets is undone."""
    for name in ("XLA_FLAGS", "JAX_NUM_CPU_DEVICES", "OPENBLAS_NUM_THREADS", *cpu.THREADS):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_jax_that_is_in_use_stays_as_it_is(unset, monkeypatch):
    import jax

    have = jax.device_count()
    monkeypatch.setattr(cpu, "usable_cores", lambda: have + 1)
    prepare_jax(RunConfig(), print)
    assert jax.device_count() == have and "XLA_FLAGS" not in os.environ


def test_with_an_accelerator_nothing_is_set(unset, monkeypatch):
    monkeypatch.setattr(cpu, "computes_on_cpu", lambda: False)
    cpu.one_thread()
    assert "XLA_FLAGS" not in os.environ and "PJRT_NPROC" not in os.environ


@pytest.mark.parametrize(
    ("platforms", "plugin", "devices", "hidden", "expected"),
    [
        ("cpu", True, ["nvidia0"], None, True),
        ("cuda,cpu", False, [], None, False),
        (None, False, ["nvidia0"], None, True),  # no plugin that could use it
        (None, True, [], None, True),
        (None, True, ["nvidia0"], None, False),
        (None, True, ["nvidia0"], "", True),
        (None, True, ["accel0"], "", False),
    ],
)
def test_the_platform_is_known_before_jax_starts(monkeypatch, tmp_path, platforms, plugin, devices, hidden, expected):
    import jax

    for name in devices:
        (tmp_path / name).touch()
    monkeypatch.setattr(cpu, "DEV", tmp_path)
    monkeypatch.setattr(cpu.sys, "platform", "linux")
    monkeypatch.setattr(cpu, "has_plugin", lambda: plugin)
    if hidden is None:
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    else:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hidden)
    before = jax.config.jax_platforms
    try:
        jax.config.update("jax_platforms", platforms)
        assert cpu.computes_on_cpu() == expected
    finally:
        jax.config.update("jax_platforms", before)


@pytest.mark.parametrize(("quota", "expected"), [("max 100000", 4), ("150000 100000", 2), ("900000 100000", 4)])
def test_cores_are_those_of_the_container(monkeypatch, quota, expected):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: range(4), raising=False)
    monkeypatch.setattr(pathlib.Path, "read_text", lambda path: quota)
    assert cpu.usable_cores() == expected


def test_processes_started_together_share_the_cores(unset, monkeypatch):
    monkeypatch.setattr(cpu, "usable_cores", lambda: 8)
    cpu.share_cores(3)
    assert os.environ["JAX_NUM_CPU_DEVICES"] == "2"
    cpu.share_cores(20)  # what is set stays
    assert os.environ["JAX_NUM_CPU_DEVICES"] == "2"


def test_programs_without_products_have_one_thread(unset):
    cpu.one_thread()
    assert os.environ["PJRT_NPROC"] == "1"
