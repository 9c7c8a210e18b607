"""What notebooks call: `trained`, frames of a video side by side, and errors about wrong input."""

import importlib
import pathlib
import shutil
import sys

import pytest
from PIL import Image

from envs.errors import ConfigError
from experiments import notebook
from experiments.analysis.frame_grid import frame_grid, frame_indices, tile
from experiments.notebook import trained
from experiments.runs import custom_environment
from experiments.runs.find import status
from experiments.training.signals import Signals

FAST = "--algo fake --env toy:coordination --no-pictures --num-envs 2 --rollout-length 4 --total-steps 16"


@pytest.fixture
def command(tmp_path):
    return f"{FAST} --run-dir '{tmp_path}/my runs'"


def test_it_trains_once_and_anew_where_an_option_has_changed(command, monkeypatch, capsys):
    first = trained(command)
    assert status(first) == "finished" and first.parts[-3:-1] == ("toy_coordination", "fake")
    monkeypatch.setattr(
        "experiments.training.train.train", lambda settings, directory: pytest.fail("it was trained already")
    )
    capsys.readouterr()
    assert trained(command) == first
    assert capsys.readouterr().out == f"found    {first}, trained already\n"
    assert trained("--any thing", existing=first) == first  # a run is named: nothing else is read
    monkeypatch.undo()
    other = trained(command, seed=1)
    assert other != first and trained(command) == first
    options = {"algo": "fake", "env": "toy:coordination", "pictures": False, "num_envs": 2, "rollout_length": 4}
    assert trained(total_steps=16, run_dir=first.parents[2], **options) == first


def test_a_training_that_was_stopped_goes_on(command, monkeypatch):
    code = iter([False, True])
    monkeypatch.setattr(Signals, "__call__", lambda self: next(code, False))
    monkeypatch.setattr(Signals, "received", 2, raising=False)
    with pytest.raises(KeyboardInterrupt, match="run the cell again") as stopped:
        trained(command + " --chunk-iterations 1")
    assert stopped.value._render_traceback_() == [str(stopped.value)]
    monkeypatch.undo()
    finished = trained(command + " --chunk-iterations 1")
    assert status(finished) == "finished"
    assert len(list(finished.parent.iterdir())) == 1  # it went on in the same directory


def test_a_second_interrupt_is_one_line_too(command):
    def train(settings, directory):
        raise KeyboardInterrupt

    with pytest.raises(notebook.Stopped, match="run the cell again to continue"):
        trained(command, train=train)


MY_WORLD = """
import jax
import jax.numpy as jnp
from envs.toy.probes import coordination

BONUS = jnp.array({bonus})

@jax.jit
def paid(action):
    return BONUS[action].sum(-1)

class Paid:  # {comment}
    def __init__(self):
        self.world = coordination()
        self.spec, self.reset, self.restart = self.world.spec, self.world.reset, self.world.restart

    def step(self, key, state, action):
        state, timestep = self.world.step(key, state, action)
        return state, timestep._replace(reward=timestep.reward + paid(action))
"""


def own_world(tmp_path, monkeypatch):
    """(bonus, comment) -> None, which writes such a world; and the command that trains in it."""
    monkeypatch.syspath_prepend(tmp_path)
    command = "--algo fake --env my_paid_world:Paid --no-pictures --num-envs 2 --rollout-length 4 --total-steps 8 "
    command += f"--run-dir {tmp_path}/runs"

    def write(bonus, comment="as it was"):
        (tmp_path / "my_paid_world.py").write_text(MY_WORLD.format(bonus=bonus, comment=comment))
        sys.modules.pop("my_paid_world", None)
        importlib.invalidate_caches()
        shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)  # it knows files by the second that they are of

    return write, command


def test_a_world_of_ones_own_that_has_changed_is_trained_in_anew(tmp_path, monkeypatch, capsys):
    """A constant's value is a change, a comment is none; and the first world again finds the first run."""
    write, command = own_world(tmp_path, monkeypatch)
    write([0.0, 1.0, 2.0], "as it was")
    first = trained(command)
    write([0.0, 1.0, 2.0], "said in other words")
    assert trained(command) == first
    write([0.0, 1.0, 3.0], "as it was")
    other = trained(command)
    assert other != first and f"has changed since {first} was trained" in capsys.readouterr().out
    write([0.0, 1.0, 2.0], "as it was")
    assert trained(command) == first
    (first / custom_environment.DIGEST_FILE).unlink()  # trained from a shell: nobody knows
    assert trained(command) == first


def test_a_kernel_that_was_killed_does_not_go_on_in_another_world(tmp_path, monkeypatch):
    """What it was training in is written down before it trains; and in the world as it was it goes on."""
    write, command = own_world(tmp_path, monkeypatch)
    asked = []

    def train(settings, directory):
        asked.append(directory)
        raise SystemExit  # stands for the kill: nothing is done after it

    for bonus in (1.0, 1.0, 2.0):
        write([0.0, 0.0, bonus])
        with pytest.raises(SystemExit):
            trained(command, train=train)
    first, again, other = asked
    assert first == again and other not in (None, first)


def test_what_cannot_be_trained_in_a_world_of_ones_own_leaves_nothing(tmp_path, monkeypatch):
    write, command = own_world(tmp_path, monkeypatch)
    write([0.0, 0.0, 1.0])
    with pytest.raises(ConfigError, match="cannot handle the discrete actions"):
        trained(command.replace("--algo fake", "--algo iac"))
    assert not (tmp_path / "runs").exists()


def test_a_sweep_ends_a_cell_as_a_training_does(monkeypatch, capsys):
    from experiments import sweep

    told = []
    monkeypatch.setattr(sweep, "main", lambda words: told.append(words) or code)
    code = 0
    swept = notebook.swept("--seeds 2", algo=["ippo", "mappo"], dry_run=True, out="sweeps/mine")
    assert swept == pathlib.Path("sweeps/mine")
    assert told.pop() == ["--seeds", "2", "--algo", "ippo", "mappo", "--dry-run", "--out", "sweeps/mine"]
    assert notebook.swept("--algo ippo --out sweeps/mine --seeds 2") == pathlib.Path("sweeps/mine")
    assert told == [["--algo", "ippo", "--out", "sweeps/mine", "--seeds", "2"]]
    code = 130
    with pytest.raises(notebook.Stopped):
        notebook.swept("--out sweeps/mine")
    code = 2
    with pytest.raises(ConfigError, match="the line above says why"):
        notebook.swept("--out sweeps/mine")
    code = 1
    with pytest.raises(RuntimeError, match="not finite: see log.txt"):
        notebook.swept("--out sweeps/mine")
    with pytest.raises(ConfigError, match="give out, the directory of the sweep"):
        notebook.swept("--algo ippo")


def test_what_stops_a_notebook():
    for command, message in (("--lrr 1", "unknown option --lrr"), ("--resume there", "without --resume"),
                             ("--list", "without --resume, --list")):  # fmt: skip
        with pytest.raises(ConfigError, match=message) as error:
            trained(command)
        assert error.value._render_traceback_() == [f"error: {error.value}"]
    with pytest.raises(ConfigError, match="no run directory"):
        trained("", existing="not_there")


def test_frame_indices():
    assert frame_indices(11, 6) == [0, 2, 4, 6, 8, 10]
    assert frame_indices(3, 6) == [0, 1, 2] and frame_indices(1, 6) == [0] and frame_indices(5, 1) == [0]


def test_pictures_side_by_side():
    """Five of 10 x 6 pixels, three a line: 3 x 10 + 2 x 4 pixels wide, 2 x 6 + 4 high; the last place is empty."""
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0), (0, 250, 250)]
    sheet = tile([Image.new("RGB", (10, 6), colour) for colour in colours], 3).convert("RGB")
    assert sheet.size == (38, 16)
    assert [sheet.getpixel(at) for at in ((5, 3), (19, 3), (33, 3), (5, 13), (19, 13))] == colours
    assert sheet.getpixel((33, 13)) == sheet.getpixel((12, 3)) == (255, 255, 255)


def test_a_strip_needs_a_run(tmp_path):
    with pytest.raises(ConfigError, match="no policy in"):
        frame_grid(tmp_path)
