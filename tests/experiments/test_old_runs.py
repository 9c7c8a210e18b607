"""Run directories made by an earlier version (commit 23d18b0) evaluate, go on and keep their rows."""

import csv
import pathlib
import shutil
import tarfile

import numpy as np
import pytest

from experiments import evaluate, run
from experiments.config.schema import read_config
from iacjax import load_policy

ARCHIVE = pathlib.Path(__file__).parents[1] / "data" / "old_runs.tar.xz"
RUNS = {  # rows of an iteration, env steps as that version counted them
    "toy_memory/aiir_mix": (32, 640),
    "toy_memory/mappo": (32, 320),
    "toy_variable_continuous/iac": (16, 320),
}


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory):
    place = tmp_path_factory.mktemp("old_runs")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(place, filter="data")
    return place


@pytest.fixture
def old_run(unpacked, tmp_path, request):
    """(directory of a fresh copy, rows an iteration, env steps)."""
    (directory,) = (unpacked / request.param).iterdir()
    shutil.copytree(directory, tmp_path / directory.name)
    return tmp_path / directory.name, *RUNS[request.param]


def rows_of(file):
    with file.open() as lines:
        return list(csv.DictReader(lines))


def test_fields_that_a_run_is_older_than_say_what_it_was_trained_by(unpacked):
    (directory,) = (unpacked / "toy_memory/aiir_mix").iterdir()
    assert read_config(directory).algorithm.embed_end == "relu"
    (directory,) = (unpacked / "toy_memory/mappo").iterdir()
    assert not read_config(directory).algorithm.layer_norm and load_policy(directory).algo == "mappo"


@pytest.mark.parametrize(
    "old_run",
    [
        pytest.param("toy_memory/aiir_mix", marks=pytest.mark.slow),
        pytest.param("toy_memory/mappo", marks=pytest.mark.slow),
        pytest.param("toy_variable_continuous/iac", marks=pytest.mark.slow),
    ],
    indirect=True,
)
def test_an_old_run_is_evaluated_and_goes_on(old_run, capsys):
    directory, rows, steps = old_run
    before = {name: rows_of(directory / name) for name in ("metrics.csv", "eval.csv")}
    assert evaluate.main([str(directory), "--episodes", "4"]) == 0
    further = ["--total-steps", str(steps + 2 * rows), "--chunk-iterations", "1"]
    assert run.main(["--resume", str(directory), *further]) == 0
    assert f"counts a row at each episode's end as a step: on from {steps}" in capsys.readouterr().out
    for name, old in before.items():
        new = rows_of(directory / name)
        kept = [{column: row[column] for column in old[0]} for row in new[: len(old)]]  # there may be new columns
        assert kept == old and len(new) > len(old)
        after = [int(row["env_steps"]) for row in new[len(old) :]]
        assert steps < after[0] and after[-1] >= steps + 2 * rows
    assert all(np.isfinite(float(value)) for row in new for value in row.values() if value)
