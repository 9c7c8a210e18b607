"""What notebooks call: `trained`, moments of a film side by side, and what they are told of wrong input."""

import pytest
from PIL import Image

from envs.errors import ConfigError
from experiments import notebook, run
from experiments.figures.film_strip import film_strip, moments, tile
from experiments.kept_runs import status
from experiments.notebook import trained

FAST = "--algo fake --env toy:coordination --no-pictures --num-envs 2 --rollout-length 4 --total-steps 16"


@pytest.fixture
def command(tmp_path):
    return f"{FAST} --run-dir '{tmp_path}/my runs'"


def test_it_trains_once_and_anew_where_an_option_has_changed(command, monkeypatch, capsys):
    first = trained(command)
    assert status(first) == "finished" and first.parts[-3:-1] == ("toy_coordination", "fake")
    monkeypatch.setattr(run, "train", lambda settings, directory: pytest.fail("it was trained already"))
    capsys.readouterr()
    assert trained(command) == first
    assert capsys.readouterr().out == f"found    {first}, trained already\n"
    assert trained("--any thing", run_dir=first) == first  # a run is named: nothing else is read
    monkeypatch.undo()
    other = trained(command + " --seed 1")
    assert other != first and trained(command) == first


def test_a_training_that_was_stopped_goes_on(command, monkeypatch):
    code = iter([False, True])
    monkeypatch.setattr(run.Signals, "__call__", lambda self: next(code, False))
    monkeypatch.setattr(run.Signals, "received", 2, raising=False)
    with pytest.raises(KeyboardInterrupt, match="run the cell again"):
        trained(command + " --chunk-iterations 1")
    monkeypatch.undo()
    finished = trained(command + " --chunk-iterations 1")
    assert status(finished) == "finished"
    assert len(list(finished.parent.iterdir())) == 1  # it went on in the same directory


def test_what_stops_a_notebook():
    assert notebook._end(0) is None
    with pytest.raises(RuntimeError, match="not finite: see log.txt"):
        notebook._end(1)
    for command, message in (("--lrr 1", "unknown option --lrr"), ("--resume there", "without --resume"),
                             ("--list", "without --resume, --list")):  # fmt: skip
        with pytest.raises(ConfigError, match=message) as error:
            trained(command)
        assert error.value._render_traceback_() == [f"error: {error.value}"]
    with pytest.raises(ConfigError, match="no run directory"):
        trained("", run_dir="not_there")


def test_moments_of_a_film():
    assert moments(11, 6) == [0, 2, 4, 6, 8, 10]
    assert moments(3, 6) == [0, 1, 2] and moments(1, 6) == [0] and moments(5, 1) == [0]


def test_pictures_side_by_side():
    """Five of 10 x 6 pixels, three a line: 3 x 10 + 2 x 4 pixels wide, 2 x 6 + 4 high; the last place is empty."""
    colours = [(250, 0, 0), (0, 250, 0), (0, 0, 250), (250, 250, 0), (0, 250, 250)]
    sheet = tile([Image.new("RGB", (10, 6), colour) for colour in colours], 3).convert("RGB")
    assert sheet.size == (38, 16)
    assert [sheet.getpixel(at) for at in ((5, 3), (19, 3), (33, 3), (5, 13), (19, 13))] == colours
    assert sheet.getpixel((33, 13)) == sheet.getpixel((12, 3)) == (255, 255, 255)


def test_a_strip_needs_a_run(tmp_path):
    with pytest.raises(ConfigError, match="no policy in"):
        film_strip(tmp_path)
