"""Rows on disk: literal text, what a resumed run drops, optional sinks that are not installed."""

import errno
import pathlib
import sys

import pytest

from envs.errors import ConfigError
from experiments.common.text import duration
from experiments.config.preset_io import default_settings
from experiments.config.schema import Settings
from experiments.loggers import console as console_module
from experiments.loggers import csv, open_sinks
from experiments.loggers.console import Console
from experiments.loggers.csv import CsvSink, read_table


def row(iteration, seed, loss=0.5):
    return {"iteration": iteration, "env_steps": 10 * iteration, "seed": seed, "episodes": 2.0, "loss": loss}


def test_rows_are_written_as_they_are(tmp_path):
    sink = CsvSink(tmp_path)
    sink.write("metrics", [row(1, 0, 1 / 3), row(1, 1, float("nan"))])
    sink.close()
    text = "iteration,env_steps,seed,episodes,loss\n1,10,0,2,0.33333333\n1,10,1,2,\n"
    assert (tmp_path / "metrics.csv").read_text() == text
    rows = read_table(tmp_path / "metrics.csv")
    assert rows[0]["loss"] == 0.33333333
    assert rows[1]["loss"] != rows[1]["loss"]
    assert read_table(tmp_path / "eval.csv") == []


def test_trim_drops_what_was_written_after_the_checkpoint(tmp_path):
    sink = CsvSink(tmp_path)
    for iteration in (1, 2, 3):
        sink.write("metrics", [row(iteration, 0), row(iteration, 1)])
    sink.write("metrics", [row(3, 2)])  # another group's seed, which stays
    with (tmp_path / "metrics.csv").open("a") as file:
        file.write("4,40,0,2,0.")  # the process died here
    sink.trim((0, 1), 2)
    sink.write("metrics", [row(3, 0)])
    sink.close()
    kept = [line.split(",")[:3] for line in (tmp_path / "metrics.csv").read_text().splitlines()[1:]]
    assert kept == [list(x) for x in (("1", "10", "0"), ("1", "10", "1"), ("2", "20", "0"), ("2", "20", "1"),
                                      ("3", "30", "2"), ("3", "30", "0"))]  # fmt: skip


def test_trim_keeps_the_header_and_a_half_header_is_written_anew(tmp_path):
    sink = CsvSink(tmp_path)
    sink.write("eval", [row(5, 0)])
    sink.trim((0,), 0)
    assert (tmp_path / "eval.csv").read_text() == "iteration,env_steps,seed,episodes,loss\n"
    (tmp_path / "eval.csv").write_text("iteration,env_st")
    sink.trim((0,), 0)
    sink.write("eval", [row(1, 0)])
    sink.close()
    assert [r["iteration"] for r in read_table(tmp_path / "eval.csv")] == [1.0]


@pytest.mark.parametrize("reopened", [False, True])
def test_a_file_that_was_deleted_or_moved_is_not_begun_anew(tmp_path, reopened):
    """Its rows would be lost, and nobody would know. A sweep closes its files between two writes."""
    sink = CsvSink(tmp_path)
    sink.write("metrics", [row(1, 0)])
    if reopened:
        sink.close()
    (tmp_path / "metrics.csv").rename(tmp_path / "moved.csv")
    with pytest.raises(FileNotFoundError, match="metrics.csv"):
        sink.write("metrics", [row(2, 0)])
        sink.sync()


def test_what_a_full_disk_refuses_is_an_error_once(tmp_path, monkeypatch):
    """Of the write, and not of the closing too, which would hide what the first has to say."""
    sink = CsvSink(tmp_path)
    monkeypatch.setattr(CsvSink, "path", lambda self, table: pathlib.Path("/dev/full"))
    monkeypatch.setattr(csv, "header_of", lambda path: [])  # reading there has no end
    with pytest.raises(OSError) as error:
        sink.write("metrics", [row(1, 0)])
    assert error.value.errno == errno.ENOSPC
    sink.close()


def test_other_columns_are_refused(tmp_path):
    (tmp_path / "metrics.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match="other columns"):
        CsvSink(tmp_path).write("metrics", [row(1, 0)])


def test_rows_of_a_version_that_wrote_fewer_columns_are_kept(tmp_path):
    """The file of a run that an older version began: what it did not write is empty there."""
    (tmp_path / "metrics.csv").write_text("iteration,seed,loss\n1,0,0.5\n2,0,\n")
    sink = CsvSink(tmp_path)
    sink.write("metrics", [{"iteration": 3, "seed": 0, "epsilon": 0.25, "loss": 0.125}])
    sink.close()
    text = "iteration,seed,epsilon,loss\n1,0,,0.5\n2,0,,\n3,0,0.25,0.125\n"
    assert (tmp_path / "metrics.csv").read_text() == text


@pytest.mark.parametrize("name, module", [("tensorboard", "tensorboardX"), ("wandb", "wandb")])
def test_a_missing_optional_package_is_one_clear_line(tmp_path, monkeypatch, name, module):
    import dataclasses

    monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed
    settings = default_settings("aiir_mix", "default")
    settings = Settings(dataclasses.replace(settings.run, **{name: True}), settings.algorithm)
    with pytest.raises(ConfigError, match=rf'pip install "iacjax\[{name}\]"'):
        open_sinks(settings, tmp_path)


def test_console_keeps_its_lines(tmp_path, capsys):
    with Console(tmp_path / "log.txt") as console:
        console.say("compile  [3] s")
        console.progress(10, 10, "done 10")
    assert "compile  [3] s" in capsys.readouterr().out
    lines = (tmp_path / "log.txt").read_text().splitlines()
    assert lines[0].endswith(" compile  [3] s")
    assert lines[1].endswith(" 100.0 %  done 10")
    assert (duration(75), duration(3700)) == ("1:15", "1:01:40")


class Shell:
    """IPython's display, kept: the line of each piece of output, by the number it was given."""

    def __init__(self):
        self.lines, self.calls = [], 0

    def display(self, data, raw, display_id):
        assert raw and display_id and set(data) == {"text/plain"}
        self.lines.append(data["text/plain"])
        number = len(self.lines) - 1

        class Handle:
            def update(_, data, raw):
                self.lines[number], self.calls = data["text/plain"], self.calls + 1

        return Handle()


def test_the_progress_in_a_notebook_is_one_line_which_moves(tmp_path, monkeypatch, capsys):
    import rich.console

    shell, clock = Shell(), iter([100.0, 100.1, 100.3, 100.3, 100.4, 200.0, 200.0])
    monkeypatch.setattr(rich.console, "_is_jupyter", lambda: True)
    monkeypatch.setitem(sys.modules, "IPython.display", shell)
    monkeypatch.setattr(console_module.time, "monotonic", lambda: next(clock, 300.0))
    with Console(tmp_path / "log.txt") as console:  # 100.0
        console.say("compile  [3] s")
        console.progress(25, 100, "a")  # at 100.1
        assert shell.lines == ["━━━━╌╌╌╌╌╌╌╌╌╌╌╌ 25 %  a"]  # 16 * 25 / 100 = 4
        console.progress(50, 100, "b")  # at 100.3: redrawn
        console.progress(51, 100, "c")  # at 100.4, 0.1 s after: not
        assert shell.lines == ["━━━━━━━━╌╌╌╌╌╌╌╌ 50 %  b"] and shell.calls == 1
        console.progress(100, 100, "d")  # the end is always shown
        console.end_progress()
        console.progress(1, 100, "e")  # of the next group, a line of its own
    assert shell.lines == ["━" * 16 + " 100 %  d", "╌" * 16 + " 1 %  e"] and shell.calls == 2
    assert capsys.readouterr().out == "compile  [3] s\n"
    assert (tmp_path / "log.txt").read_text().count("\n") == 1
