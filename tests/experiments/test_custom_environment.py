"""Custom environments before a training: what does not hold is one line, and an edited one is not gone on in."""

import importlib
import json
import shutil
import sys

import pytest

from envs.errors import ConfigError
from experiments import sweep
from experiments.config.env_options import make_run_env
from experiments.run import main
from experiments.runs import custom_environment
from experiments.runs.custom_environment import is_same

SHORT = ("--total-steps", "16", "--eval-episodes", "2", "--checkpoint-every", "0")
SOURCE = '''
import jax.numpy as jnp
from envs.base import ActionSpec, EnvSpec, TimeStep

class Relay:
    """Two agents of two actions for three steps; the first one dies where it says 0."""  # COMMENT

    def __init__(self, bonus=1.0):
        self.bonus = bonus
        self.spec = EnvSpec("relay", 2, 1, STATE_DIM, ActionSpec(num_actions=2), horizon=3)

    def reset(self, key):
        state = (jnp.int32(0), jnp.ones(2, bool))
        return state, self.show(*state, jnp.float32(0))

    def step(self, key, state, action):
        time, alive = state
        time = jnp.where(RESTARTS & (time >= 3), 1, time + 1)
        alive = alive & ((action == 1) | (jnp.arange(2) == 1))
        return (time, alive), self.show(time, alive, (self.bonus * (action == 1).sum()).astype(REWARD))

    def show(self, time, alive, reward):
        obs = jnp.full((2, OBS_DIM), time, jnp.float32)
        obs = jnp.where(alive[:, None], obs, DEAD)
        over = (time == 3) if RESTARTS else (time >= 3) & ENDS
        legal = jnp.ones((2, 2), bool)
        return TimeStep(obs, obs[:, 0][:1], legal, alive, reward.astype(REWARD), jnp.array(False), over, {})
'''
SOUND = {"STATE_DIM": "1", "OBS_DIM": "1", "REWARD": "jnp.float32", "DEAD": "0.0", "ENDS": "True", "RESTARTS": "False"}


@pytest.fixture
def write(tmp_path, monkeypatch):
    """(**changes of SOUND) -> writes my_relay.py, as an editor would."""
    monkeypatch.syspath_prepend(tmp_path)

    def write(bonus=1.0, comment="", **changes):
        text = SOURCE.replace("bonus=1.0", f"bonus={bonus}").replace("COMMENT", comment)
        for name, value in (SOUND | changes).items():
            text = text.replace(name, value)
        (tmp_path / "my_relay.py").write_text(text)
        sys.modules.pop("my_relay", None)
        importlib.invalidate_caches()
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)

    yield write
    sys.modules.pop("my_relay", None)


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"REWARD": "jnp.int32"}, "reward of reset is int32, it must be float32"),
        ({"OBS_DIM": "3"}, "obs of reset has shape (3, 2, 3), the spec says (3, 2, 1)"),
        ({"STATE_DIM": "0"}, "state_dim is 0, it must be a positive integer"),
        ({"ENDS": "False"}, "an episode continues past the horizon of 3 steps: set truncated there"),
        (
            {"RESTARTS": "True"},
            "an episode that was over at step 3 continues: an environment must never restart by itself",
        ),
        ({"DEAD": "jnp.nan"}, "obs of agent 0, which is dead, is not finite at step 1"),
    ],
)
def test_what_does_not_hold_is_one_line_before_anything_is_made(run, write, changes, message, monkeypatch, tmp_path):
    write(**changes)
    monkeypatch.setattr("experiments.training.train.lower_run", lambda *args, **kwargs: pytest.fail("compiled"))
    code, directory, out, err = run(*SHORT, "--env", "my_relay:Relay")
    assert (code, directory) == (2, None)
    assert err == f"error: my_relay:Relay: {message}\n" and "memory" not in out


def test_a_sweep_says_it_too(write, tmp_path, capsys):
    write(ENDS="False")
    argv = ["--algo", "fake", "--env", "my_relay:Relay", "--out", str(tmp_path / "sweep"), "--total-steps", "16"]
    assert sweep.main(argv) == 2
    assert "an episode continues past the horizon" in capsys.readouterr().err and not (tmp_path / "sweep").exists()


@pytest.fixture
def untrained(monkeypatch):
    """The run command does all but train."""
    monkeypatch.setattr("experiments.training.train.train_batches", lambda *args: 0)


def test_an_edited_environment_is_not_gone_on_in(run, write, untrained, capsys):
    """A constant is an edit, a comment is none; removing the kept digest accepts it."""
    write()
    code, directory, out, err = run(*SHORT, "--env", "my_relay:Relay")
    assert (code, err) == (0, "")
    resume = ["--resume", str(directory), "--env", "my_relay:Relay", "--total-steps"]
    write(comment="as it was")
    assert main([*resume, "32"]) == 0
    write(2.0)
    capsys.readouterr()
    assert main([*resume, "48"]) == 2
    err = capsys.readouterr().err
    assert err.count("\n") == 1 and "'my_relay:Relay' computes something else than when" in err
    assert f"remove {directory / custom_environment.DIGEST_FILE}" in err
    assert json.loads((directory / "config.json").read_text())["total_steps"] == 32
    (directory / custom_environment.DIGEST_FILE).unlink()
    assert main([*resume, "48"]) == 0
    assert main([*resume, "64"]) == 0  # it is the one of now that is kept


def test_wherever_one_is_made_its_structure_is_checked(write):
    """As by evaluate and record, where it has been edited since it was trained in."""
    write(OBS_DIM="3")
    with pytest.raises(ConfigError, match=r"obs of reset has shape \(3, 2, 3\), the spec says \(3, 2, 1\)"):
        make_run_env("my_relay:Relay")


def test_another_jax_cannot_tell_and_says_so(run, write, untrained, capsys):
    write()
    _, directory, _, _ = run(*SHORT, "--env", "my_relay:Relay")
    file = directory / custom_environment.DIGEST_FILE
    kept = file.read_text()
    file.write_text("0123 jax-0.1-cpu\n")
    assert main(["--resume", str(directory), "--env", "my_relay:Relay"]) == 0
    said = "another jax version than before: cannot check whether 'my_relay:Relay' has changed"
    assert said in capsys.readouterr().out
    assert file.read_text() == kept


def test_which_digests_are_the_same():
    assert is_same("", "a jax-1") is None and is_same("a jax-1", "b jax-2") is None
    assert is_same("a jax-1", "a jax-2") and is_same("a", "a jax-2")  # a hash alone is of an older run
    assert is_same("a jax-1", "b jax-1") is False and is_same("a", "b jax-1") is False


def test_a_sweep_does_not_go_on_in_an_edited_environment(write, tmp_path, capsys, monkeypatch):
    """The sweep does all but train; it is stopped on the way, and another environment stands in the module then."""
    monkeypatch.setattr("experiments.sweeps.train.parts_of", lambda *args: [])
    monkeypatch.setattr("experiments.sweeps.launch.finish", lambda *args: None)
    write()
    argv = ["--algo", "fake", "--env", "my_relay:Relay", "--out", str(tmp_path / "sweep"), "--total-steps", "16"]
    assert sweep.main(argv) == 0
    place = tmp_path / "sweep" / "programs" / "000"
    (place / "finished.json").unlink()
    assert sweep.main(argv) == 0
    (place / "finished.json").unlink()
    write(2.0)
    capsys.readouterr()
    assert sweep.main(argv) == 2
    assert f"computes something else than when {place} was started" in capsys.readouterr().err


def test_an_environment_is_played_once_a_process_and_not_for_ever(write, monkeypatch):
    """A horizon of a billion steps is played for MOST_STEPS, and that is said."""
    from envs.check import MOST_STEPS, steps_to_play

    write()
    env = make_run_env("my_relay:Relay")
    assert steps_to_play(env) == 5
    long = make_run_env("my_relay:Relay")
    long.spec = long.spec._replace(horizon=10**9)
    assert steps_to_play(long) == MOST_STEPS
    said, played = [], []
    monkeypatch.setattr("envs.check.check_env", lambda env, steps: played.append(steps))
    for _ in range(2):
        custom_environment.check_played(long, "long", said.append)
    assert played == [MOST_STEPS] and said == [
        "check    my_relay:Relay was played for 10,000 of its 1,000,000,000 steps: not to an end"
    ]
