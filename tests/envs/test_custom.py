"""Custom environments: found by module and name, vectorized if necessary, named as they are found, drawn."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.check import check_env
from envs.custom import is_custom_name
from envs.errors import ConfigError
from envs.registry import check_name, make_env
from envs.rendering import Episode, check_renderer, frames, frames_per_second

SOURCE = '''
import jax.numpy as jnp
from PIL import Image

from envs.base import ActionSpec, EnvSpec, TimeStep, vectorize

FPS = 4


class Counting:
    """Pays the share of agents that say 1, twice."""

    def __init__(self, agents=2):
        self.agents = agents
        self.spec = EnvSpec("whatever", agents, 1, 1, ActionSpec(num_actions=2), horizon=2)

    def reset(self, key):
        return jnp.int32(0), self.show(jnp.int32(0), jnp.float32(0))

    def step(self, key, time, action):
        return time + 1, self.show(time + 1, (action == 1).mean())

    def show(self, time, reward):
        yes, no = jnp.array(True), jnp.array(False)
        obs = jnp.full((self.agents, 1), time, jnp.float32)
        legal = jnp.ones((self.agents, 2), bool)
        return TimeStep(obs, obs[0], legal, legal[:, 0], reward, no, jnp.where(time >= 2, yes, no), {})


def many():
    return vectorize(Counting(5))


def nothing():
    return object()


def episode_frames(env, episode, index, width):
    return [Image.new("RGB", (width, 10 * env.agents)) for _ in episode.states]
'''


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The name of a module with environments; it is unloaded afterwards."""
    (tmp_path / "my_counting.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(tmp_path)
    yield "my_counting"
    sys.modules.pop("my_counting", None)


def test_it_is_found_vectorized_and_named(module):
    check_name(f"{module}:Counting")
    assert module not in sys.modules  # a name is checked without the module, and so without jax
    env = make_env(f"{module}:Counting", agents=3)
    assert env.spec.name == "my_counting:Counting" and env.spec.num_agents == 3 and env.agents == 3
    check_env(env)
    state, timestep = env.reset(jax.random.key(0), 4)
    timestep = env.step(jax.random.key(1), state, jnp.array([[1, 0, 0], [1, 1, 0], [1, 1, 1], [0, 0, 0]]))[1]
    assert timestep.reward == pytest.approx(np.array([1 / 3, 2 / 3, 1, 0]))  # the share that says 1
    assert make_env(f"{module}:many").spec.num_agents == 5  # batch-native, made by a function


def test_its_module_is_its_renderer(module):
    env = make_env(f"{module}:Counting")
    images = frames(env, Episode([0, 1, 2], [], []), width=64)
    assert [image.size for image in images] == [(64, 20)] * 3 and frames_per_second(env.spec.name) == 4.0
    with pytest.raises(ConfigError, match="'json:loads' has no renderer.* episode_frames"):
        check_renderer("json:loads")


def test_names_that_are_not_custom():
    assert is_custom_name("json:loads") and is_custom_name("os.path:join") and is_custom_name("__main__:World")
    assert not any(
        map(is_custom_name, ("json", "json:", "json:a b", "no_such_module:World", "no_such.module:World", ":x"))
    )
    with pytest.raises(ConfigError, match="unknown environment 'smaz:3m'; did you mean 'smax:3m'"):
        check_name("smaz:3m")
    with pytest.raises(ConfigError, match="'my_absent:Relay': Python finds no module my_absent: run"):
        check_name("my_absent:Relay")


def test_finding_a_module_does_not_run_its_package(tmp_path, monkeypatch):
    """Python imports a package to find a module inside it."""
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "__init__.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    check_name("my_package.envs:Relay")
    assert is_custom_name("my_package.envs:Relay") and "my_package" not in sys.modules


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("my_counting:Countin", {}, "no 'my_counting:Countin': my_counting has no class or function Countin$"),
        ("__main__:Countin", {}, "has no class or function Countin: run the cell that defines it"),
        (
            "my_counting:nothing",
            {},
            "returns an object of type object without spec and reset and step: envs/base.py says",
        ),
        ("my_counting:Counting", {"agnts": 3}, r"does not take these options: agnts \(it takes agents\)"),
        ("my_counting:Counting", {"agents": -1}, None),
    ],
)
def test_errors_are_one_line(module, name, options, message):
    if message is None:  # it is built as asked; check_env finds what is wrong
        with pytest.raises(ConfigError, match="num_agents is -1"):
            check_env(make_env(name, **options))
        return
    with pytest.raises(ConfigError, match=message) as error:
        make_env(name, **options)
    assert "\n" not in str(error.value)


def test_a_module_that_fails_to_load(tmp_path, monkeypatch):
    (tmp_path / "my_broken.py").write_text("import no_such_package\n")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(ConfigError, match=r"my_broken cannot be imported \(ModuleNotFoundError: No module named"):
        make_env("my_broken:World")
