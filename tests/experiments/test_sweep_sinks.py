"""TensorBoard and W&B of a sweep: a run a trial, with the rows of its configuration's CSV files."""

import math
import signal
import sys

import pytest

from experiments.loggers.csv import ROW_KEYS, read_table
from experiments.runs import checkpoint
from experiments.sweep import main
from tests.experiments.test_sinks import FakeRun, refuse, wandb_that

# 12 iterations of 8 rows, 4 of them env steps, an evaluation each third, a row of metrics each second.
SHORT = ["--total-steps", "48", "--seeds", "2", "--eval-every", "12", "--log-every", "2", "--eval-episodes", "4"]
SWEEP = ["--algo", "fake", "--env", "toy:coordination", "--set", "num_envs=2", "rollout_length=4", "lr=0.1,3e38"]
POINT = "toy_coordination/fake/num_envs=2_rollout_length=4_lr={}"
CSV_DIGITS = 1e-6  # TensorBoard keeps float32, CSV files eight digits


def scalars_of(directory):
    """{tag: [(env steps, value)]} of a directory of event files, as TensorBoard reads it."""
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    pytest.importorskip("tensorboardX")
    events = accumulator.EventAccumulator(str(directory)).Reload()
    return {tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]}


def rows_of(directory, seed):
    """The same of the CSV files of a configuration."""
    found = {}
    for table in ("metrics", "eval"):
        for row in read_table(directory / f"{table}.csv"):
            for name in row.keys() - set(ROW_KEYS) if row["seed"] == seed else ():
                if not math.isnan(row[name]):
                    found.setdefault(f"{table}/{name}", []).append((int(row["env_steps"]), row[name]))
    return found


def assert_same_rows(directory):
    for seed in (0, 1):
        ours, expected = scalars_of(directory / "tensorboard" / f"seed_{seed}"), rows_of(directory, seed)
        assert ours.keys() == expected.keys() and ours
        for tag in ours:
            assert [step for step, _ in ours[tag]] == [step for step, _ in expected[tag]]
            values = [[value for _, value in each[tag]] for each in (ours, expected)]
            assert values[0] == pytest.approx(values[1], rel=CSV_DIGITS, abs=1e-7)


def test_tensorboard_has_the_rows_of_the_csv_files(tmp_path, capsys):
    out = tmp_path / "out"
    assert main([*SWEEP, *SHORT, "--out", str(out), "--tensorboard", "--seeds-per-batch", "2"]) == 0
    assert_same_rows(out / POINT.format("0.1"))
    assert not list((out / POINT.format("3e+38")).glob("tensorboard/*"))  # it diverged at once, and has no row


def test_a_resumed_sweep_writes_each_row_once(tmp_path, monkeypatch, capsys):
    out, count = tmp_path / "out", [0]
    argv = [*SWEEP, *SHORT, "--out", str(out), "--tensorboard", "--checkpoint-every", "0", "--chunk-iterations", "2"]
    save = checkpoint.Checkpoints.save

    def save_then_signal(self, *args):
        save(self, *args)
        count[0] += 1
        if count[0] == 3:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.Checkpoints, "save", save_then_signal)
        assert main(argv) == 128 + signal.SIGTERM
    assert main(argv) == 0
    assert_same_rows(out / POINT.format("0.1"))


def test_wandb_has_a_run_a_trial_grouped_by_configuration(tmp_path, monkeypatch, capsys):
    runs = []

    def init(**given):
        runs.append(FakeRun(**given))
        return runs[-1]

    package = wandb_that("offline", refuse)
    package.init = init
    monkeypatch.setitem(sys.modules, "wandb", package)
    argv = [*SWEEP[:-1], "lr=0.1,0.2", *SHORT, "--out", str(tmp_path / "out"), "--wandb", "--wandb-project", "mine"]
    assert main(argv) == 0
    name = "out/toy:coordination/fake/num_envs=2_rollout_length=4_lr="
    assert [run.given["group"] for run in runs] == [f"{name}0.1"] * 2 + [f"{name}0.2"] * 2
    assert [run.given["config"]["seed"] for run in runs] == [0, 1] * 2
    assert [run.given["config"]["algorithm"]["lr"] for run in runs] == [0.1, 0.1, 0.2, 0.2]
    assert len({run.given["id"] for run in runs}) == 4 and {run.given["project"] for run in runs} == {"mine"}
    assert all(run.finished == 1 for run in runs)
    for run in runs:
        directory = tmp_path / "out" / POINT.format(run.given["config"]["algorithm"]["lr"])
        logged = [(values["env_steps"], values["metrics/loss"]) for values in run.logged if "metrics/loss" in values]
        expected = rows_of(directory, run.given["config"]["seed"])["metrics/loss"]
        assert logged == [(step, pytest.approx(value, rel=CSV_DIGITS)) for step, value in expected]


def test_a_sink_that_cannot_work_is_one_line_before_anything(tmp_path, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb", wandb_that("online", refuse))
    assert main([*SWEEP, *SHORT, "--out", str(tmp_path / "out"), "--wandb"]) == 2
    assert capsys.readouterr().err.count("\n") == 1 and not (tmp_path / "out").exists()
