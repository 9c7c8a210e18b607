"""The optional sinks on stand-ins for their packages: a run a seed, all of a run together, over environment steps."""

import dataclasses
import sys
import types

import pytest

from experiments.config import Settings, default_settings
from experiments.logging import open_sinks

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
    """A SummaryWriter that keeps what it is told."""

    def __init__(self, directory, purge_step):
        self.directory, self.purge_step, self.scalars, self.calls = directory, purge_step, [], []

    def add_scalar(self, name, value, step):
        self.scalars.append((name, value, step))

    def flush(self):
        self.calls.append("flush")

    def close(self):
        self.calls.append("close")


def made(monkeypatch, module, name, kind):
    """What the sink makes, in order; `module.name` is the stand-in."""
    found = []

    def make(*args, **kwargs):
        found.append(kind(*args, **kwargs))
        return found[-1]

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
    writers = made(monkeypatch, "tensorboardX", "SummaryWriter", FakeWriter)
    sink = opened(tmp_path, "tensorboard")
    sink.write("metrics", ROWS)
    sink.write("eval", EVAL)
    sink.sync()
    sink.close()
    three, four = writers
    assert [w.directory for w in writers] == [str(tmp_path / "tensorboard" / f"seed_{s}") for s in (3, 4)]
    assert three.scalars == [("metrics/episodes", 0.0, 20), ("metrics/loss", 3.5, 20)]
    assert four.scalars[2:] == [("eval/win_rate", 0.25, 30)]
    assert three.calls == four.calls == ["flush", "close"]
    assert four.purge_step == 20  # a resumed run's first row: what an earlier process wrote from there on is replaced


OPTIONAL = (("wandb", "wandb", "init", FakeRun), ("tensorboard", "tensorboardX", "SummaryWriter", FakeWriter))


@pytest.mark.parametrize("option, module, name, kind", OPTIONAL)
def test_a_sink_that_was_told_nothing_closes(tmp_path, monkeypatch, option, module, name, kind):
    found = made(monkeypatch, module, name, kind)
    sink = opened(tmp_path, option)
    sink.sync()
    sink.close()
    assert found == []
