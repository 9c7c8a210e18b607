"""The sweep command: trials that are the runs they stand for, its tables, its winner, going on, trials that diverge."""

import csv
import json
import signal

import numpy as np
import pytest

from experiments.config.command_line import Command
from experiments.config.preset_io import default_settings
from experiments.loggers.csv import read_table
from experiments.runs import checkpoint
from experiments.sweep import main

# 12 iterations of 8 rows, 4 of them env steps, an evaluation each third, a row of metrics each second.
SHORT = ["--total-steps", "48", "--seeds", "2", "--eval-every", "12", "--log-every", "2", "--eval-episodes", "4"]
WORLD = ["--algo", "fake", "--env", "toy:coordination", "--set", "num_envs=2", "rollout_length=4"]
POINT = "toy_coordination/fake/num_envs=2_rollout_length=4_lr={}"


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A sweep of three step sizes, of which one makes the loss NaN, with two seeds each."""
    out = tmp_path_factory.mktemp("sweep") / "out"
    assert main([*WORLD, "lr=0.1,0.4,3e38", *SHORT, "--out", str(out)]) == 0
    return out


def test_a_trial_is_the_run_of_its_configuration(swept, run):
    """Two trials of other step sizes and seeds, in one program, against the run command with each step size."""
    for lr in ("0.1", "0.4"):
        code, alone, _, _ = run("--lr", lr, *SHORT, into=lr)
        assert code == 0
        for name, count in (("metrics", 12), ("eval", 8)):
            ours = read_table(swept / POINT.format(lr) / f"{name}.csv")
            theirs = read_table(alone / f"{name}.csv")
            assert len(ours) == len(theirs) == count and ours[0].keys() == theirs[0].keys()
            for a, b in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(list(a.values()), list(b.values()), rtol=2e-5, atol=1e-6)
        for seed in (0, 1):
            a = np.load(swept / POINT.format(lr) / "policy" / f"seed_{seed}.npz")
            b = np.load(alone / "policy" / f"seed_{seed}.npz")
            assert a.files == b.files
            np.testing.assert_allclose(a[a.files[0]], b[b.files[0]], rtol=2e-5, atol=1e-6)
    assert read_table(swept / POINT.format("0.1") / "metrics.csv") != read_table(
        swept / POINT.format("0.4") / "metrics.csv"
    )


def test_a_trial_that_diverges_ends_and_the_others_go_on(swept):
    summary = json.loads((swept / POINT.format("3e+38") / "summary.json").read_text())
    assert summary["diverged"].keys() == {"0", "1"}
    assert json.loads((swept / POINT.format("0.1") / "summary.json").read_text())["diverged"] == {}
    ends = {"0.1": "finished", "0.4": "finished", "3e+38": "diverged"}
    by_trial = {(row["lr"], row["seed"]): row["status"] for row in rows(swept / "lanes.csv")}
    assert by_trial == {(lr, seed): status for lr, status in ends.items() for seed in "01"}


def test_tables_hold_every_row_beside_its_configuration(swept):
    evaluations = [row for row in rows(swept / "eval.csv") if row["lr"] == "0.1"]
    assert [(row["algo"], row["seed"], row["env_steps"]) for row in evaluations[:2]] == [
        ("fake", "0", "12"),
        ("fake", "1", "12"),
    ]
    assert len(evaluations) == 8  # four evaluations of two seeds
    assert (swept / "sweep.png").read_bytes()[:4] == b"\x89PNG"
    metrics = rows(swept / "metrics.csv")
    assert len([row for row in metrics if row["lr"] == "0.4"]) == 12 and float(metrics[0]["loss"])


def test_the_winner_is_a_preset(swept):
    finished = [row for row in rows(swept / "lanes.csv") if row["status"] == "finished"]
    means = {lr: np.mean([float(row["return_mean"]) for row in finished if row["lr"] == lr]) for lr in ("0.1", "0.4")}
    settings = default_settings("fake", str(swept / "winner.json"))
    assert settings.algorithm.lr == float(max(means, key=means.get))  # of equals the first
    assert (settings.algorithm.num_envs, settings.algorithm.rollout_length) == (2, 4)
    assert (settings.run.env, settings.run.total_steps) == ("toy:coordination", 48)
    assert Command(["--preset", str(swept / "winner.json")]).algo == "fake"
    assert (swept / "winners" / "toy_coordination_fake.json").exists()


def test_what_has_ended_is_not_trained_again(swept, monkeypatch, capsys):
    from experiments.sweeps import train

    before = {path: path.read_text() for path in swept.glob("*.csv")}
    with monkeypatch.context() as patch:
        patch.setattr(train, "lower_trainer", None)
        assert main([*WORLD, "lr=0.1,0.4,3e38", *SHORT, "--out", str(swept)]) == 0
    assert {path: path.read_text() for path in swept.glob("*.csv")} == before
    assert main([*WORLD, "lr=0.1,0.5", *SHORT, "--out", str(swept)]) == 2
    assert "holds another sweep" in capsys.readouterr().err


def test_a_sweep_that_is_stopped_goes_on_in_groups(swept, tmp_path, monkeypatch, capsys):
    """Two groups of two trials; SIGTERM comes with a save of the second one (after 3 of 12 iterations), which
    ends after the next two."""
    command = [*WORLD, "lr=0.1,0.4", *SHORT, "--out", str(tmp_path), "--seeds-per-batch", "2"]
    command += ["--checkpoint-every", "0", "--chunk-iterations", "5", "--no-pictures"]
    save, count = checkpoint.Checkpoints.save, []

    def save_then_signal(self, states, progress):
        save(self, states, progress)
        count.append(self.directory.name)
        if self.directory.name == "lanes_2-3" and count.count("lanes_2-3") == 2:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.Checkpoints, "save", save_then_signal)
        assert main(command) == 128 + signal.SIGTERM
    assert "the same command resumes it" in capsys.readouterr().out
    assert not (tmp_path / "lanes.csv").exists()
    assert main(command) == 0
    assert "resumed  lanes_2-3 at iteration 5" in capsys.readouterr().out
    assert not (tmp_path / "sweep.png").exists()
    for lr in ("0.1", "0.4"):
        for name in ("metrics.csv", "eval.csv"):
            ours, whole = (read_table(d / POINT.format(lr) / name) for d in (tmp_path, swept))
            for a, b in zip(ours, whole, strict=True):
                np.testing.assert_allclose(list(a.values()), list(b.values()), rtol=2e-5, atol=1e-6)
    assert not list((tmp_path / "programs").glob("*/part_*"))  # the checkpoints of what has ended
