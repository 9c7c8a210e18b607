"""kill -9 at moments drawn with a seed, then resumed: in the end bitwise as if it had been left alone. A learner of
rollouts, one off policy, one with a replay of whole episodes, and a sweep."""

import pathlib
import time

import numpy as np
import pytest
from disturbed import CASES, run_dirs, start, what_is_written

pytestmark = pytest.mark.slow

KILLS = 3  # of a run at most
COMMON = ["--seeds", "2", "--eval-episodes", "2", "--checkpoint-every", "0", "--log-every", "3", "--no-pictures"]
RUNS = {
    "aiir_mix": ["--algo", "aiir_mix", "--env", "toy:coordination", "--num-envs", "2", "--rollout-length", "8"],
    "iac": ["--algo", "iac", "--env", "toy_continuous", "--num-envs", "2"],
    "qmix": ["--algo", "qmix", "--env", "toy:coordination", "--num-envs", "2", "--buffer-size", "64"],
}
