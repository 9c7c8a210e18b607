"""experiments.evaluate: greedy episodes of a trained run, the table's files, and what is refused."""

import json

import pytest

from experiments.evaluate import main
from experiments.loggers.csv import read_table

SHORT = ["--total-steps", "1600", "--seeds", "2", "--eval-episodes", "2", "--eval-every", "1600", "--lr", "0.5"]


def table_of(directory):
    return read_table(directory / "evaluation.csv", needs=("seed", "episodes"))


def test_a_trained_run_is_evaluated_per_seed(run, capsys):
    """The coordination game pays 1 for agreeing, which a greedy policy that has learned always does."""
    _, directory, _, _ = run(*SHORT)
    assert main([str(directory), "--episodes", "7"]) == 0
    assert "7 greedy episodes per seed on toy:coordination" in capsys.readouterr().out
    rows = table_of(directory)
    assert [(row["seed"], row["episodes"]) for row in rows] == [(0, 7), (1, 7)]
    saved = json.loads((directory / "evaluation.json").read_text())
    assert saved["env"] == "toy:coordination"
    for row, seed in zip(rows, saved["seeds"], strict=True):
        assert row["return_mean"] == pytest.approx(seed["return_mean"])
        assert row["return_std"] == 0.0  # a greedy policy in a game without chance
        assert row["length_mean"] >= 1
        assert seed["win_rate"] is None  # nobody wins here
    assert main([str(directory), "--env", "toy:memory"]) == 2
    assert "does not fit toy:memory" in capsys.readouterr().err


def test_the_options_of_the_run_are_those_of_its_evaluation(run, capsys):
    """A matrix game that always pays 5, or 7 where it is asked to."""
    given = ["--env", "matrix_game", "--env-options", "payoff=[[5,5],[5,5]]", *SHORT[:6], "--eval-every", "800"]
    code, directory, out, _ = run(*given)
    assert code == 0 and "on matrix_game payoff=[[5,5],[5,5]], preset" in out
    assert main([str(directory), "--episodes", "2"]) == 0
    assert [row["return_mean"] for row in table_of(directory)] == [5.0, 5.0]
    assert main([str(directory), "--episodes", "2", "--env-options", "payoff=[[7,7],[7,7]]"]) == 0
    assert [row["return_mean"] for row in table_of(directory)] == [7.0, 7.0]
    assert main([str(directory), "--env-options", "payoff=[[7,7"]) == 2
    assert "the value cannot be read" in capsys.readouterr().err


@pytest.mark.parametrize(
    "argv, message",
    [
        (["nothing"], "no run directory nothing"),
        (["."], "no policy in"),
        ([".", "--episodes", "0"], "--episodes must be at least 1"),
        ([".", "--seed", "-1"], "--seed must be at least 0"),
        ([".", "--seed", "4294967296"], "--seed must be at most 4294967295"),
        ([".", "--env", ""], "--env must be a word, not ''"),
        ([".", "--backend", "..x:y"], "--backend ..x:y cannot be loaded"),
        ([""], "must be a word, not ''"),
    ],
)
def test_wrong_input_is_one_line_and_code_2(argv, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert message in err and err.startswith("error: ") and err.count("\n") == 1
