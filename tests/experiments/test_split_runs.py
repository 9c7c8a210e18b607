"""One run over several devices: each has some of its environments, and the numbers are those of one device."""

import subprocess
import sys

import pytest

from experiments.distributed.layout import largest_divisor
from experiments.distributed.sharding import grid
from tests.helpers.processes import child_environment, xla_flags

SLOW = pytest.mark.slow  # other numbers of devices or seeds; on-policy as AIIR-MIX


@pytest.mark.parametrize(
    ("algo", "seeds", "devices"),
    [("aiir_mix", 1, (8,)), ("qmix", 1, (4,)), ("iac", 2, (8,)), ("smax", 1, (2,)),
     pytest.param("mappo", 1, (4,), marks=SLOW),
     pytest.param("coma", 1, (4,), marks=SLOW), pytest.param("happo", 1, (4,), marks=SLOW),
     *(pytest.param(algo, 1, (4,), marks=SLOW) for algo in ("qplex", "pqn_vdn", "facmac", "masac", "mat")),
     pytest.param("aiir_mix", 1, (2,), marks=SLOW),
     pytest.param("aiir_mix", 2, (8,), marks=SLOW),
     pytest.param("iac", 2, (2,), marks=SLOW)],
)  # fmt: skip
def test_split_environments_train_as_on_one_device(algo, seeds, devices):
    """Parameters, optimiser, replay, metrics, statistics, greedy episodes. Only after a few iterations: in the end
    another order of sums draws another action somewhere, and from there two trainings are two samples."""
    words = [algo, str(seeds), *map(str, devices)]
    environment = child_environment(XLA_FLAGS=xla_flags(8))
    command = [sys.executable, "-m", "tests.helpers.split_training", *words]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-3000:]
    assert done.stdout.count("as on one") == len(devices)


def test_environments_are_split_over_as_many_devices_as_divide_them():
    assert [largest_divisor(64, most) for most in (1, 2, 3, 7, 8, 100)] == [1, 2, 2, 4, 8, 64]
    assert largest_divisor(7, 6) == 1


@pytest.mark.parametrize(
    ("members", "processes", "devices", "num_envs", "expected"),
    [
        (1, 2, 1, 64, (1, 2)),  # two processes share a seed
        (1, 2, 3, 64, (1, 4)),  # of 3 devices each, 2 are used: 4 divides 64
        (2, 4, 2, 64, (2, 4)),
        (2, 3, 2, 64, (3, 2)),  # three processes cannot share two seeds: one is repeated
        (1, 2, 2, 7, (2, 1)),  # nor can 7 environments be halved
        (3, 2, 4, 64, (4, 2)),
        (8, 2, 2, 64, (4, 1)),  # as many seeds as devices, or more: no seed is shared
    ],
)
def test_processes_share_seeds_equally(members, processes, devices, num_envs, expected):
    assert grid(members, processes, devices, num_envs) == expected
