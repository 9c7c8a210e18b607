"""The sparse question: which runs it needs, where their numbers are kept, and what is drawn and written."""

import pytest

from experiments.common.files import read_csv, read_json, write_json
from experiments.figures.aiir import sparse
from experiments.figures.spec import parse
from experiments.reproduce import main
from experiments.runs.directory import create_directory
from experiments.training import time_estimates


@pytest.fixture
def trained(monkeypatch, tmp_path):
    """A training that only writes results: 0.4 for AIIR-MIX's own preset, else 0.2 -> what was trained."""
    asked = []

    def pretend(settings, directory=None):
        run = settings.run
        asked.append((run.algo, run.env_options))
        directory = directory or create_directory(settings)
        lines = ["iteration,env_steps,seed,return_mean,return_std,length_mean,win_rate"]
        wins = 0.4 if (run.algo, run.preset) == ("aiir_mix", "default") else 0.2
        lines += [f"1,{at},{seed},1,0,9,{wins}" for seed in range(run.seeds) for at in (5000, 10_000)]
        (directory / "eval.csv").write_text("\n".join(lines) + "\n")
        write_json(directory / "versions.json", {"device": "cpu, 2 cores", "jax": "0"})
        seeds = [{"seed": seed, "env_steps": run.total_steps} for seed in range(run.seeds)]
        times = {"train_seconds": 90.0, "eval_seconds": 10.0, "save_seconds": 0.0}
        write_json(directory / "summary.json", {"status": "finished", "seeds": seeds, **times})
        return 0

    monkeypatch.setattr("experiments.training.train.train", pretend)
    monkeypatch.setattr(time_estimates, "BENCHMARK", tmp_path / "none.json")
    return asked


def test_each_method_is_trained_with_both_forms():
    options = parse(["aiir/sparse", "--budget", "full"], "", sparse.BUDGETS, family="smax")
    runs = sparse.make_runs(options)
    options_of = [" ".join(run.settings.run.env_options) for run in runs]
    easy, semi, hard = "reward=win rules=short_sighted", "reward=semisparse", "reward=sparse"
    assert options_of == [easy] * 2 * 5 + [semi] * 3 * 5 + [hard] * 3 * 5
    assert {run.settings.run.env for run in runs[:10]} == {"smax:3m", "smax:8m"}  # chance never wins 2s3z
    found = {run.method: (run.algo, run.settings.run.preset, run.settings.run.total_steps) for run in runs}
    assert found == {
        "aiir_mix": ("aiir_mix", "default", 1_000_000),
        "liir": ("liir", "default", 1_000_000),
        "no_intrinsic": ("aiir_mix", "no_intrinsic", 1_000_000),
        "mappo": ("mappo", "tuned", 1_000_000),
        "qmix": ("qmix", "tuned", 1_000_000),
    }
    (plain,) = {run.settings.algorithm.reward_net for run in runs if run.method == "no_intrinsic"}
    assert plain == "none"


def test_what_is_trained_is_kept_and_drawn_again(trained, tmp_path, capsys):
    out, methods = tmp_path / "results" / "sparse.png", ["--methods", "aiir_mix", "no_intrinsic"]
    argv = ["aiir/sparse", "--run-dir", str(tmp_path / "runs"), "--out", str(out), "--seeds", "2", *methods]
    assert main(argv) == 0
    assert trained == [("aiir_mix", form.env_options) for form in sparse.FORMS.values() for _ in methods[1:]]
    for form in ("win", "semisparse", "sparse"):
        rows = read_csv(out.with_name(f"{form}.csv"))
        assert {(row["algo"], row["win_rate"]) for row in rows} == {("aiir_mix", "0.4"), ("no_intrinsic", "0.2")}
        records = read_json(out.with_name(f"{form}.json"))["runs"]
        assert [(r["algo"], r["preset"], r["seeds"]) for r in records] == [
            ("aiir_mix", "default", 2),
            ("no_intrinsic", "no_intrinsic", 2),
        ]
    table = out.with_suffix(".md").read_text()
    assert "| sparse: a win 1, a defeat -1 | 3m |" in table and "| semi-sparse: deaths and the win | 3m |" in table
    assert "| AIIR-MIX | 40 [40, 40] |" in table
    assert "| AIIR-MIX without intrinsic rewards | 20 [20, 20] |" in table
    assert "6 runs, 6 to train" in capsys.readouterr().out
    out.unlink()
    assert main(argv) == 0 and len(trained) == 6  # nothing is trained twice
    assert out.stat().st_size > 0 and "6 runs, 0 to train" in capsys.readouterr().out


def test_redrawing_needs_numbers(tmp_path, capsys):
    assert main(["aiir/sparse", "--redraw", "--out", str(tmp_path / "sparse.png")]) == 2
    assert "nothing of budget small is saved in" in capsys.readouterr().err
