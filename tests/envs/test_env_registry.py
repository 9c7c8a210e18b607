"""Names of environments: what exists, what is refused, and that neither needs jax."""

import subprocess
import sys

import pytest

from envs.errors import ConfigError
from envs.registry import FAMILIES, check_name, known_envs, make_env
from envs.toy.continuous_probes import CONTINUOUS_TOYS
from envs.toy.probes import TOYS


@pytest.mark.parametrize("name", ["matrix_game", "simple_world", "multi_pendulum:1", "multi_pendulum_shaped:7"])
def test_a_name_is_that_of_its_spec(name):
    assert make_env(name).spec.name == name


def test_the_number_is_that_of_the_agents():
    assert make_env("multi_pendulum:4").spec.num_agents == 4
    assert make_env("multi_pendulum:2", horizon=7).spec.horizon == 7


def test_all_toys_are_listed():
    assert {f"toy:{name}" for name in TOYS | CONTINUOUS_TOYS} == {name for name in known_envs() if name[:4] == "toy:"}


def test_numbered_families_are_listed_with_an_n():
    assert {"multi_pendulum:N", "multi_pendulum_shaped:N", "matrix_game", "simple_world"} <= set(known_envs())


@pytest.mark.parametrize(
    "name, text",
    [
        ("multi_pendulum", "'multi_pendulum' must end in the number of pendulums, at least 1: e.g. 'multi_pendulum:3'"),
        ("multi_pendulum:0", "must end in the number of pendulums"),
        ("multi_pendulum:x", "must end in the number of pendulums"),
        ("multi_pendulum_shaped:-1", "e.g. 'multi_pendulum_shaped:3'"),
        ("multi_pendulum:03", "must end in the number"),
        ("multi_pendulum:3:4", "must end in the number"),
        ("multi_pendulm:3", "did you mean 'multi_pendulum:N'"),
        ("matrix_game:3", "did you mean 'matrix_game'"),
        ("matrix_gam", "did you mean 'matrix_game'"),
        ("smax", "unknown environment 'smax'"),
        ("", "unknown environment ''"),
    ],
)
def test_unknown_names_are_refused_in_one_line(name, text):
    with pytest.raises(ConfigError, match=text) as error:
        check_name(name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "name, options, text",
    [
        ("matrix_game", {"colour": 1}, r"'matrix_game' does not take these options: colour \(it takes payoff\)"),
        ("toy:constant", {"name": 1}, r"does not take these options: name \(it takes none\)"),
        ("multi_pendulum:2", {"num_pendulums": 3}, "does not take these options: num_pendulums"),
        ("multi_pendulum:2", {"horizon": "x"}, "horizon must be a whole number, not 'x'"),
        ("multi_pendulum:2", {"upright": 4}, "upright must be an angle between 0 and pi"),
        ("simple_world", {"variances": None}, "variances must be a list, not None"),
        ("toy:memory", {"length": "x"}, "length must be a whole number, not 'x'"),
    ],
)
def test_wrong_options_are_refused_in_one_line(name, options, text):
    with pytest.raises(ConfigError, match=text) as error:
        make_env(name, **options)
    assert "\n" not in str(error.value)


def test_listing_and_typos_import_no_jax():
    code = (
        "import sys\nfrom experiments.run import main\n"
        "assert main(['--list']) == 0\nassert main(['--env', 'matrix_gam', '--total-steps', '10']) == 2\n"
        "sys.exit('jax' in sys.modules)"
    )
    given = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=600)
    assert given.returncode == 0, given.stderr
    assert all(family in given.stdout for family in FAMILIES)
    assert "did you mean 'matrix_game'" in given.stderr
