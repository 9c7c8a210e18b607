"""Code that imports `smac`, in a process of its own: the stand-in of that name, beside a package `envs` of the code."""

import os
import subprocess
import sys

import pytest

from tests.helpers.source import ROOT

REGISTRY = """
from functools import partial
from smac.env import MultiAgentEnv, StarCraft2Env
def build(env, **kwargs) -> MultiAgentEnv:
    return env(**kwargs)
REGISTRY = {"sc2": partial(build, env=StarCraft2Env)}
"""
MAIN = """
import sys
from envs import REGISTRY
assert "jax" not in sys.modules  # PyMARL starts processes before it builds environments
env = REGISTRY["sc2"](map_name="3m", seed=0, debug=True, window_size_x=640)
env.reset()
reward, terminated, info = env.step([1, 1, 1])
print(type(env).__module__, env.get_env_info()["obs_shape"], reward, terminated, info["battle_won"])
"""
FIRST = "import smac.env.multiagentenv\n"  # before the code's own `envs`
MAPS = """
from smac.env.starcraft2.maps import get_map_params, map_present
from smac.env.starcraft2.starcraft2 import StarCraft2Env
from smacv2.env.starcraft2.wrapper import StarCraftCapabilityEnvWrapper as Drawn
print(Drawn.__module__)
print(get_map_params("MMM")["limit"], map_present("2s3z"), map_present("4m"), StarCraft2Env.__module__)
"""


@pytest.fixture
def run(tmp_path):
    """Runs a script in a folder that has a package `envs`, as PyMARL's `src` has. Returns what it printed."""

    def go(code, registry=REGISTRY):
        if registry:
            (tmp_path / "envs").mkdir()
            (tmp_path / "envs" / "__init__.py").write_text(registry)
        (tmp_path / "main.py").write_text(code)
        shim = subprocess.check_output([sys.executable, "-m", "envs.smac_compat"], cwd=ROOT, text=True).strip()
        paths = os.pathsep.join([shim, str(ROOT)])
        command = [sys.executable, "main.py"]
        return subprocess.run(
            command, cwd=tmp_path, env=os.environ | {"PYTHONPATH": paths}, capture_output=True, text=True
        )

    return go


@pytest.mark.parametrize("before", ["", FIRST])
def test_beside_pymarls_package_envs(run, before):
    result = run(before + MAIN)
    assert result.stdout == "envs.smac_compat.starcraft 30 0.0 False False\n", result.stderr


def test_without_one(run):
    result = run(MAPS, registry="")
    drawn, maps = result.stdout.splitlines() or ("", result.stderr)
    assert drawn == "envs.smac_compat.smacv2"
    assert maps == "150 True False envs.smac_compat.starcraft"


def test_names_that_mappos_code_and_harl_import(run):
    """HARL imports SMACv2's inner class too, and does not use it."""
    code = "from smac.env import OnPolicyStarCraft2Env as SMAC\nprint(SMAC('3m', seed=0).reset()[2][0])\n"
    assert run(code, registry="").stdout == "[0, 1, 1, 1, 1, 1, 0, 0, 0]\n"
    result = run("from smacv2.env import StarCraft2Env\nStarCraft2Env()", registry="")
    assert "NotImplementedError: smacv2.env.StarCraft2Env is not played here" in result.stderr


def test_a_name_that_is_not_there(run):
    result = run("from smac.env import Nothing", registry="")
    assert "ImportError: cannot import name 'Nothing'" in result.stderr
