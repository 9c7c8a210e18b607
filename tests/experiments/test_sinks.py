"""The optional sinks on stand-ins for their packages: a run a seed, all of a run together, over environment steps."""

import dataclasses
import sys
import types

import pytest

from envs.errors import ConfigError
from experiments.config.preset_io import default_settings
from experiments.config.schema import Settings
from experiments.loggers import check_sinks, open_sinks, tensorboard

ROWS = [{"iteration": 2, "env_steps": 20, "seed": s, "episodes": 0.0, "loss": 0.5 + s, "return_mean": float("nan")}
        for s in (3, 4)]  # fmt: skip
EVAL = [{"iteration": 3, "env_steps": 30, "seed": 4, "win_rate": 0.25}]


class FakeRun:
    """Keeps what it is told."""

    def __init__(self, **given):
        self.given, self.logged, self.metrics, self.finished = given, [], [], 0

    def define_metric(self, name, step_metric):
        self.metrics.append((name, step_metric))

    def log(self, values):
        self.logged.append(values)

    def finish(self):
        self.finished += 1


class FakeWriter:
    """A SeedEvents that keeps what it is told."""

    def __init__(self, directory, purge_step):
        self.directory, self.purge_step, self.scalars, self.calls = directory, purge_step, [], []

    def write(self, scalars, step):
        self.scalars += [(name, value, step) for name, value in scalars.items()]

    def sync(self):
        self.calls.append("sync")


def made(monkeypatch, module, name, kind):
    """What the sink makes, in order; `module.name` is the stand-in."""
    found = []

    def make(*args, **kwargs):
        found.append(kind(*args, **kwargs))
        return found[-1]

    if name == "SeedEvents":
        monkeypatch.setitem(sys.modules, module, types.SimpleNamespace())
        monkeypatch.setattr(tensorboard, name, make)
    else:
        monkeypatch.setitem(sys.modules, module, types.SimpleNamespace(**{name: make}))
    return found


def opened(directory, option):
    settings = default_settings("aiir_mix", "default")
    run = dataclasses.replace(settings.run, seed=3, seeds=2, wandb_project="battles", **{option: True})
    csv, sink = open_sinks(Settings(run, settings.algorithm), directory)
    csv.close()
    return sink


def test_wandb_has_a_run_a_seed_in_one_group(tmp_path, monkeypatch):
    runs = made(monkeypatch, "wandb", "init", FakeRun)
    sink = opened(tmp_path / "20261121-aa", "wandb")
    assert runs == []  # none before there is something to tell
    sink.write("metrics", ROWS)
    sink.write("eval", EVAL)
    sink.sync()
    sink.close()
    three, four = runs
    assert [r.given["id"] for r in runs] == ["20261121-aa-seed3", "20261121-aa-seed4"]
    assert [r.given["config"]["seed"] for r in runs] == [3, 4]
    for run in runs:
        assert (run.given["group"], run.given["project"]) == ("20261121-aa", "battles")
        assert (run.given["resume"], run.given["reinit"]) == ("allow", "create_new")
        assert run.given["config"]["algo"] == "aiir_mix"
        assert (run.metrics, run.finished) == ([("*", "env_steps")], 1)
    assert three.logged == [{"env_steps": 20, "metrics/episodes": 0.0, "metrics/loss": 3.5}]  # nan is not told
    assert four.logged[1:] == [{"env_steps": 30, "eval/win_rate": 0.25}]


def test_a_resumed_run_goes_on_in_the_same_wandb_runs(tmp_path, monkeypatch):
    runs = made(monkeypatch, "wandb", "init", FakeRun)
    for _ in range(2):
        sink = opened(tmp_path / "20261121-aa", "wandb")
        sink.write("metrics", ROWS)
        sink.close()
    assert [r.given["id"] for r in runs[:2]] == [r.given["id"] for r in runs[2:]]


def test_tensorboard_has_a_directory_a_seed(tmp_path, monkeypatch):
    writers = made(monkeypatch, "tensorboardX", "SeedEvents", FakeWriter)
    sink = opened(tmp_path, "tensorboard")
    sink.write("metrics", ROWS)
    sink.write("eval", EVAL)
    sink.sync()
    sink.close()
    three, four = writers
    assert [w.directory for w in writers] == [tmp_path / "tensorboard" / f"seed_{s}" for s in (3, 4)]
    assert three.scalars == [("metrics/episodes", 0.0, 20), ("metrics/loss", 3.5, 20)]
    assert four.scalars[2:] == [("eval/win_rate", 0.25, 30)]
    assert three.calls == four.calls == ["sync"]
    assert four.purge_step == 20  # a resumed run's first row: what an earlier process wrote from there on is replaced


OPTIONAL = (("wandb", "wandb", "init", FakeRun), ("tensorboard", "tensorboardX", "SeedEvents", FakeWriter))


@pytest.mark.parametrize("option, module, name, kind", OPTIONAL)
def test_a_sink_that_was_told_nothing_closes(tmp_path, monkeypatch, option, module, name, kind):
    found = made(monkeypatch, module, name, kind)
    sink = opened(tmp_path, option)
    sink.sync()
    sink.close()
    assert found == []


def test_tensorboard_reads_what_is_written(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    pytest.importorskip("tensorboardX")
    for rows in (ROWS, [{**ROWS[0], "loss": 0.25}]):  # the second by a resumed run
        sink = opened(tmp_path, "tensorboard")
        sink.write("metrics", rows)
        sink.sync()
        sink.close()
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard" / "seed_3")).Reload()
    assert [(e.step, e.value) for e in events.Scalars("metrics/loss")][-1] == (20, 0.25)


def test_an_unwritable_tensorboard_directory_is_found_before_there_is_a_row(tmp_path):
    pytest.importorskip("tensorboardX")
    (tmp_path / "tensorboard").write_text("")
    with pytest.raises(FileExistsError):  # which a command answers in one line
        opened(tmp_path, "tensorboard")


class Refusal(Exception):
    """Stands for wandb.errors.Error."""


def wandb_that(mode, verified):
    """A stand-in for W&B: `verified` is what it does with a key."""

    def login(verify):
        assert verify
        verified()

    settings = types.SimpleNamespace(mode=mode)
    setup = lambda: types.SimpleNamespace(settings=settings)  # noqa: E731
    return types.SimpleNamespace(setup=setup, login=login, errors=types.SimpleNamespace(Error=Refusal))


def refuse():
    raise Refusal("No API key configured. Use `wandb login` to log in.\nmore")


def test_wandb_without_a_login_is_one_line_before_anything(tmp_path, monkeypatch):
    run = dataclasses.replace(default_settings("aiir_mix", "default").run, wandb=True)
    monkeypatch.setitem(sys.modules, "wandb", wandb_that("online", refuse))
    with pytest.raises(ConfigError, match="^--wandb: No API key configured.*set WANDB_MODE=offline$"):
        check_sinks(run)
    monkeypatch.setitem(sys.modules, "wandb", wandb_that("offline", refuse))
    check_sinks(run)  # nobody is asked for a key
    monkeypatch.setitem(sys.modules, "wandb", wandb_that("online", lambda: None))
    check_sinks(run)


def test_a_run_begins_with_the_login(tmp_path, monkeypatch, capsys):
    from experiments.run import main

    monkeypatch.setitem(sys.modules, "wandb", wandb_that("online", refuse))
    assert main(["--wandb", "--run-dir", str(tmp_path / "runs")]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "runs").exists()
