"""Unmodified PyMARL or EPyMARL trains on our battles: its own runner and its own QMIX, in a process of its own.

    PYMARL_DIR=~/epymarl PYMARL_PYTHON=~/epymarl/venv/bin/python pytest -n 0 -m slow tests/envs/test_pymarl.py

PYMARL_DIR is a checkout, PYMARL_PYTHON (default: this Python) has what the checkout and this project need: torch,
sacred, PyYAML, jax (EPyMARL also SMAClite). The checkout is copied, and given a configuration of an easier 3m, against
short-sighted enemies (`envs.smax.rules`), so that tens of thousands of steps are enough.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from tests.helpers.source import ROOT

CHECKOUT = os.environ.get("PYMARL_DIR", "")
PYTHON = os.environ.get("PYMARL_PYTHON", sys.executable)
STEPS = 60_000
# The target network is copied after 200 episodes (PyMARL) or 200 updates (EPyMARL) by default: a dozen times in these
# steps. The second name is EPyMARL's; a small value of it means a soft target.
TARGET_UPDATES = {"target_update_interval": 20, "target_update_interval_or_tau": 0.01}
# What the original PyMARL misses in Pythons and PyYAMLs of today.
LAUNCH = """
import collections, collections.abc, functools, runpy, sys, yaml
collections.Mapping = collections.abc.Mapping
if "Loader" not in open("src/main.py").read():
    yaml.load = functools.partial(yaml.load, Loader=yaml.SafeLoader)
sys.path.insert(0, "src")
sys.argv[0] = "src/main.py"
runpy.run_path("src/main.py", run_name="__main__")
"""

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHECKOUT, reason="PYMARL_DIR names no checkout of PyMARL or EPyMARL"),
]


@pytest.fixture
def copy(tmp_path):
    """The checkout's code and, beside its own, the configuration sc2_easier."""
    shutil.copytree(pathlib.Path(CHECKOUT).expanduser() / "src", tmp_path / "src")
    folder = tmp_path / "src" / "config" / "envs"
    text = (folder / "sc2.yaml").read_text()
    assert text.count("env_args:\n") == 1
    (folder / "sc2_easier.yaml").write_text(text.replace("env_args:\n", "env_args:\n  rules: short_sighted\n"))
    return tmp_path


def test_qmix_learns_to_win(copy):
    shim = subprocess.check_output([sys.executable, "-m", "envs.smac_compat"], cwd=ROOT, text=True).strip()
    options = [  # one battle at a time, as is the default: one update an episode. Eight at once have an eighth of them
        "env_args.map_name=3m", "runner=episode", "epsilon_anneal_time=20000", f"t_max={STEPS}", "test_interval=10000",
        "test_nepisode=32", "log_interval=10000", "use_cuda=False", "seed=1", "env_args.seed=1",
    ]  # fmt: skip
    known = (copy / "src" / "config" / "algs" / "qmix.yaml").read_text()
    options += [f"{name}={value}" for name, value in TARGET_UPDATES.items() if f"{name}:" in known]
    command = [PYTHON, "-c", LAUNCH, "--config=qmix", "--env-config=sc2_easier", "with", *options]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([shim, str(ROOT)]), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    log = result.stdout + result.stderr
    assert result.returncode == 0, log[-3000:]
    rates = [float(rate) for rate in re.findall(r"test_battle_won_mean:\s+([\d.]+)", log)]
    assert len(rates) >= 5 and rates[0] < 0.1 and max(rates[-3:]) > 0.5, rates
