"""Runs and a sweep made before the source tree was rearranged (commit 595c8c8): they load, continue with the rows of an
uninterrupted run of that version, and are not trained again.

The archive holds short/ (runs of 160 env steps a seed, with checkpoints), whole/ (the rows of the same runs of 320
env steps) and sweep/ (a finished sweep).
"""

import csv
import json
import pathlib
import shutil
import tarfile

import numpy as np
import pytest

from experiments import evaluate, run, sweep
from experiments.sweeps import train
from iacjax import load_policy

ARCHIVE = pathlib.Path(__file__).parents[1] / "data" / "old_runs_before_redesign.tar.xz"
SWEEP = ["--algo", "ippo", "--env", "toy:memory", "--seeds", "2", "--total-steps", "160", "--eval-every", "80"]
SWEEP += ["--eval-episodes", "4", "--no-pictures", "--out", "sweep"]
SWEEP += ["--set", "lr=1e-3,2e-3", "num_envs=4", "rollout_length=8", "hidden_dim=8"]


@pytest.fixture
def unpacked(tmp_path, monkeypatch):
    """A fresh copy of the archive, which is the working directory."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows_of(file):
    with file.open() as lines:
        return list(csv.DictReader(lines))


def assert_same_rows(directory, of):
    """Both tables are, to what other compilers round, those of the run `of`."""
    for name in ("metrics.csv", "eval.csv"):
        new, old = rows_of(directory / name), rows_of(of / name)
        assert [row.keys() for row in new] == [row.keys() for row in old] and len(old) >= 8, name
        for a, b in zip(new, old, strict=True):
            assert all((a[column] == "") == (b[column] == "") for column in b), (name, a, b)
            some = [column for column in b if b[column]]
            numbers = ([float(row[column]) for column in some] for row in (a, b))
            np.testing.assert_allclose(*numbers, rtol=2e-2, atol=2e-3, err_msg=f"{name} {some}")


@pytest.mark.parametrize(
    "name",
    [
        pytest.param("toy_memory/aiir_mix", marks=pytest.mark.slow),
        pytest.param("toy_memory/qmix"),
        pytest.param("toy_variable_continuous/iac", marks=pytest.mark.slow),
    ],
)
def test_a_run_continues_as_it_would_have(name, unpacked):
    (short,), (whole,) = (unpacked / "short" / name).iterdir(), (unpacked / "whole" / name).iterdir()
    policy = load_policy(short)
    assert policy.algo == name.split("/")[1] and policy.seeds == (0, 1)
    assert evaluate.main([str(short), "--episodes", "2"]) == 0
    assert run.main(["--resume", str(short), "--total-steps", "320"]) == 0
    assert_same_rows(short, of=whole)


def test_a_finished_sweep_is_not_trained_again(unpacked, monkeypatch, capsys):
    shutil.copytree(unpacked / "sweep", unpacked / "before")
    monkeypatch.setattr(train, "compile_largest", lambda *args, **kwargs: pytest.fail("it is trained again"))
    assert sweep.main(SWEEP) == 0
    for name in ("lanes.csv", "eval.csv", "metrics.csv"):
        assert rows_of(unpacked / "sweep" / name) == rows_of(unpacked / "before" / name), name
    winner, before = (json.loads((unpacked / name / "winner.json").read_text()) for name in ("sweep", "before"))
    assert winner == before  # fields may be in another order today
