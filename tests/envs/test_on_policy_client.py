"""Unmodified MAPPO (`marlbenchmark/on-policy`) trains on our battles, in a process of its own.

    ON_POLICY_DIR=~/on-policy ON_POLICY_PYTHON=~/on-policy/venv/bin/python pytest -n 0 -m slow \
        tests/envs/test_on_policy_client.py

ON_POLICY_DIR is a checkout, ON_POLICY_PYTHON (default: this Python) has what the checkout and this project need: torch,
gym, wandb, tensorboardX, setproctitle, absl-py, jax. The checkout is copied, and given the file that its `--env_name
SMAC` imports and that it does not have: one line. A run takes some ten minutes on two idle cores.
"""

import os
import pathlib
import re
import shutil
import subprocess
import sys

import pytest

from tests.helpers.source import ROOT

CHECKOUT = os.environ.get("ON_POLICY_DIR", "")
PYTHON = os.environ.get("ON_POLICY_PYTHON", sys.executable)
STEPS = 112_000
MISSING = "from smac.env import OnPolicyStarCraft2Env as SMAC\n"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHECKOUT, reason="ON_POLICY_DIR names no checkout of on-policy"),
]


@pytest.fixture
def copy(tmp_path):
    """The checkout's code with the missing file."""
    shutil.copytree(pathlib.Path(CHECKOUT).expanduser() / "onpolicy", tmp_path / "onpolicy")
    file = tmp_path / "onpolicy" / "envs" / "starcraft2" / "SMAC.py"
    assert not file.exists()
    file.write_text(MISSING)
    return tmp_path


def test_mappo_learns_to_win(copy):
    shim = subprocess.check_output([sys.executable, "-m", "envs.smac_compat"], cwd=ROOT, text=True).strip()
    options = (  # the last one turns wandb off
        "--env_name SMAC --map_name 3m --algorithm_name rmappo --experiment_name check --seed 1 --n_training_threads 1"
        f" --n_rollout_threads 8 --episode_length 400 --num_env_steps {STEPS} --ppo_epoch 15 --num_mini_batch 1"
        " --use_value_active_masks --use_eval --eval_interval 5 --eval_episodes 32 --use_wandb"
    )
    command = [PYTHON, "onpolicy/scripts/train/train_smac.py", *options.split()]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([shim, str(ROOT), str(copy)]), "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True)
    log = result.stdout + result.stderr
    assert result.returncode == 0, log[-3000:]
    rates = [float(rate) for rate in re.findall(r"eval win rate is ([\d.]+)\.", log)]
    assert len(rates) >= 6 and rates[0] < 0.2 and max(rates[-3:]) > 0.5, rates
