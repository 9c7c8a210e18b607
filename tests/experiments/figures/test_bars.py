"""reproduce aiir/bars: rows are chosen, trained, kept when finished, continued when begun."""

import csv
import json

import pytest

from experiments.config.presets import PRESETS, Preset
from experiments.figures.aiir import bars
from experiments.figures.aiir.bars import TABLES, BarsRow, Map, Table
from experiments.figures.runs import Run
from experiments.reproduce import TARGETS, main
from experiments.run import main as run_main
from experiments.runs.results import write_summary


@pytest.fixture
def tiny(monkeypatch, tmp_path):
    """A table of the fake learner on two toys; () -> its rows as written."""
    table = Table("fake", {"a": Map("toy:coordination", 2, 64, 0.9), "b": Map("matrix_game", 2, 64, 0.9)},
                  {"default": "default"})  # fmt: skip
    monkeypatch.setitem(TABLES, "tiny", table)
    monkeypatch.setitem(TARGETS, "tiny", TARGETS["aiir/bars"])
    monkeypatch.setattr(bars, "EPISODES", 3)
    monkeypatch.setitem(PRESETS, "fake", {"default": Preset({"pictures": False}, {})})
    out = tmp_path / "table.csv"
    argv = ["tiny", "--seeds", "2", "--run-dir", str(tmp_path / "runs"), "--out", str(out)]

    def rows():
        with out.open(newline="") as file:
            return list(csv.DictReader(file))

    return argv, rows, tmp_path / "runs"


def test_bars_are_those_of_the_paper_maps():
    table = TABLES["aiir/bars"]
    assert {name: (m.total_steps, m.bar) for name, m in table.maps.items()} == {
        "3m": (3_000_000, 0.9), "8m": (3_000_000, 0.9), "2s3z": (3_000_000, 0.9),
        "3s5z": (5_000_000, 0.8), "MMM": (5_000_000, 0.8)}  # fmt: skip
    assert set(table.variants.values()) <= PRESETS[table.algo].keys()


def test_rows_are_trained_once_and_begun_ones_go_on(tiny, capsys):
    argv, rows, runs = tiny
    assert main([*argv, "--maps", "a"]) == 0
    assert "1 rows, 1 to train" in capsys.readouterr().out
    (first,) = rows()
    assert (first["map"], first["status"], first["env_steps"], first["seeds"]) == ("a", "finished", "64", "2")
    assert "jax=" in first["versions"] and first["device"]
    assert first["command"] == "python -m experiments.reproduce " + " ".join([*argv, "--maps", "a"])
    (directory,) = (path.parent for path in runs.glob("*/*/*/*/config.json"))
    write_summary(directory, "interrupted", {})
    assert main(argv) == 0
    assert "2 rows, 2 to train" in capsys.readouterr().out
    assert [(r["map"], r["status"]) for r in rows()] == [("a", "finished"), ("b", "finished")]
    assert len(list(runs.glob("*/*/*/*/config.json"))) == 2  # the begun one went on in its own directory
    assert main(argv) == 0
    assert "2 rows, 0 to train" in capsys.readouterr().out


def test_an_extended_run_is_evaluated_again(tiny):
    """Run to 64 steps, then on to 128 by --resume: the row of 128 steps is not given the older policy's episodes."""
    argv, rows, runs = tiny
    assert main([*argv, "--maps", "a"]) == 0
    (directory,) = runs.glob("default/toy_coordination/fake/*")
    evaluation = directory / "evaluation.json"
    before = evaluation.stat().st_mtime_ns
    assert main([*argv, "--maps", "a"]) == 0
    assert evaluation.stat().st_mtime_ns == before
    assert run_main(["--resume", str(directory), "--total-steps", "128"]) == 0
    assert main([*argv, "--maps", "a", "--total-steps", "128"]) == 0
    assert evaluation.stat().st_mtime_ns > before
    assert [r["env_steps"] for r in rows()] == ["64", "128"]


def test_rows_of_other_calls_stay_and_curves_are_kept(tiny):
    argv, rows, runs = tiny
    assert main([*argv, "--maps", "b"]) == 0
    assert main([*argv, "--maps", "a"]) == 0
    assert [(r["map"], r["status"]) for r in rows()] == [("b", "finished"), ("a", "finished")]
    assert rows()[0]["command"].endswith("--maps b")
    (written,) = runs.glob("default/matrix_game/fake/*/eval.csv")
    assert (runs.parent / "table" / "b_default.csv").read_text() == written.read_text()


def test_a_finished_row_is_not_replaced_by_an_unfinished_one():
    def row(status, win_rate=""):
        fields = {"map": "3m", "variant": "paper", "seeds": "3", "total_steps": "64"}
        return {**fields, "status": status, "win_rate": win_rate}

    old, other = row("finished", "0.50"), {**row("finished", "0.20"), "seeds": "5"}
    assert bars.merged([old, other], [row("begun")]) == [old, other]
    for reached in ("reached_target_win_rate", "stopped_at_bar"):  # the latter in tables of older versions
        new = row(reached, "0.75")
        assert bars.merged([old, other], [new]) == [new, other]
        assert bars.merged([new], [row("begun")]) == [new]


def test_rows_over_the_budget_are_left(tiny, capsys):
    argv, rows, runs = tiny
    assert main([*argv, "--budget", "1e-9"]) == 0
    assert "is left for later" in capsys.readouterr().out
    assert [r["status"] for r in rows()] == ["new", "new"]
    assert not runs.exists()


def test_prediction_uses_the_speed_of_finished_rows(monkeypatch, tmp_path):
    """Done: 2 seeds x 500 steps x 3 agents in 10 s, 300 agent steps/s. Asked: 2 x 10800 x 5 = 108000 -> 360 s."""
    import dataclasses

    from experiments.config.preset_io import default_settings
    from experiments.config.schema import Settings

    def row(name, env, steps):
        settings = default_settings("aiir_mix", "default", env)
        run = dataclasses.replace(settings.run, seeds=2, total_steps=steps)
        return BarsRow(name, "default", Run(Settings(run, settings.algorithm)))

    finished, asked = row("3m", "smax:3m", 500), row("2s3z", "smax:2s3z", 10800)
    summary = {"status": "finished", "train_seconds": 8.0, "eval_seconds": 2.0, "seeds": [{"env_steps": 500}] * 2}
    (tmp_path / "summary.json").write_text(json.dumps(summary))
    monkeypatch.setattr(Run, "directory", property(lambda self: tmp_path if self.env == "smax:3m" else None))
    assert bars.estimated_hours(asked, 5, [finished, asked], "cpu") == pytest.approx(0.1)
    assert bars.estimated_hours(asked, 5, [asked], "cpu") == pytest.approx(108000 / 20000 / 3600)


@pytest.mark.parametrize(
    "argv, message",
    [
        (["aiir/bar"], "nothing called 'aiir/bar' to reproduce: did you mean aiir/bars? known are aiir/bars"),
        (["aiir/bars", "--maps", "4m"], "--maps: no '4m' in this figure; it has 3m, 8m"),
        (["aiir/bars", "--variants", "x"], "--variants: no 'x'"),
        (["aiir/bars", "--seeds", "0"], "--seeds must be at least 1"),
    ],
)
def test_wrong_input_is_one_line_and_code_2(argv, message, capsys):
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1
