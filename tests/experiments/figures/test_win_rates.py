"""AIIR-MIX's figures 3 and 4 and table 1: what is trained, kept, drawn and written; predictions; IQM."""

import dataclasses
import json
import math

import numpy as np
import pytest

from experiments.analysis import style
from experiments.analysis.curves import Curves
from experiments.common.files import read_csv, read_json, write_json
from experiments.config.preset_io import default_settings
from experiments.config.presets import PRESETS, Preset
from experiments.figures import runs, spec
from experiments.figures.aiir import maps_table, win_rates
from experiments.figures.runs import Run
from experiments.reproduce import main
from experiments.runs.directory import create_directory
from experiments.training import time_estimates
from experiments.training.time_estimates import MeasuredSpeed

TARGETS = ("aiir/fig3", "aiir/fig4")


@pytest.fixture
def small(monkeypatch, tmp_path):
    """The small budgets with learners that are there, and a training that only writes results -> (argv, folder)."""
    for target, methods in zip(TARGETS, (("aiir_mix", "qmix"), ("aiir_mix", "fake")), strict=True):
        budget = win_rates.BUDGETS[target]["small"]._replace(methods=methods, also=())
        monkeypatch.setitem(win_rates.BUDGETS, target, {"small": budget})
    table = win_rates.BUDGETS["aiir/fig3"]["small"]._replace(methods=("aiir_mix", "qmix", "fake"))
    monkeypatch.setattr(maps_table, "BUDGETS", {"small": table, "paper": table})
    monkeypatch.setitem(PRESETS, "fake", {"default": Preset({}, {})})
    monkeypatch.setattr("experiments.training.train.train", _pretend)
    monkeypatch.setattr(time_estimates, "BENCHMARK", tmp_path / "none.json")
    return ["--run-dir", str(tmp_path / "runs")], tmp_path / "results"


def _pretend(settings, directory=None):
    """Instead of training: win rates 0, 0.5 + seed / 10 and the same again."""
    directory = directory or create_directory(settings)
    run = settings.run
    assert (run.eval_every, run.eval_episodes) == (5000, 20)
    lines = ["iteration,env_steps,seed,return_mean,return_std,length_mean,win_rate"]
    for at in (0, 250_000, 500_000):
        lines += [f"1,{at},{seed},1,0,9,{0.5 + seed / 10 if at else 0}" for seed in range(run.seeds)]
    (directory / "eval.csv").write_text("\n".join(lines) + "\n")
    write_json(directory / "versions.json", {"device": "cpu, 2 cores", "jax": "0"})
    times = {"train_seconds": 90.0, "eval_seconds": 10.0, "save_seconds": 0.0}
    seeds = [{"seed": s, "env_steps": run.total_steps} for s in range(run.seeds)]
    write_json(directory / "summary.json", {"status": "finished", "seeds": seeds, **times})
    return 0


def _runs(folder):
    return sorted(path.parent.parent.name for path in (folder.parent / "runs").glob("*/*/*/*/config.json"))


def test_both_figures_and_the_table_share_their_runs(small, capsys, monkeypatch):
    argv, folder = small
    assert main(["aiir/fig3", *argv, "--out", str(folder / "fig3.png"), "--maps", "8m"]) == 0
    out = capsys.readouterr().out
    assert "aiir/fig3: 2 runs, 2 to train: about 0.2 hours" in out  # 2 x 2 seeds x 500 000 / 3000 a second = 0.185 h
    assert "0.09 h  qmix on smax:8m: 3,000 env steps/s, as a rough guess" in out
    assert _runs(folder) == ["aiir_mix", "qmix"]
    assert main(["aiir/fig4", *argv, "--out", str(folder / "fig4.png"), "--maps", "8m"]) == 0
    out = capsys.readouterr().out
    assert "aiir/fig4: 2 runs, 1 to train" in out
    # Another method on the same map: 2 x 500 000 steps in 100 s.
    assert "fake on smax:8m: 10,000 env steps/s, as a finished run of aiir_mix on smax:8m" in out
    assert _runs(folder) == ["aiir_mix", "fake", "qmix"]
    assert main(["aiir/table1", *argv, "--out", str(folder / "table1.md"), "--maps", "8m"]) == 0
    assert "3 runs, 0 to train" in capsys.readouterr().out
    rows = read_csv(folder / "fig3.csv")
    assert tuple(rows[0]) == ("budget", "algo", "env", "seed", "env_steps", "win_rate", "return_mean")
    assert len(rows) == 3 * 2 * 3
    records = read_json(folder / "fig3.json")["runs"]
    assert [(r["algo"], r["seeds"], r["device"]) for r in records] == [
        (algo, 2, "cpu, 2 cores") for algo in ("aiir_mix", "fake", "qmix")
    ]
    monkeypatch.setattr("experiments.training.train.train", None)  # what --redraw must not need
    for target, name in (("aiir/fig3", "fig3.png"), ("aiir/fig4", "fig4.png"), ("aiir/table1", "table1.md")):
        (folder / name).unlink()
        assert main([target, "--redraw", "--run-dir", "elsewhere", "--out", str(folder / name)]) == 0
        assert (folder / name).stat().st_size > 500
    assert read_csv(folder / "fig3.csv") == rows


def test_a_stopped_figure_keeps_what_there_is_and_says_how_to_continue(small, capsys, monkeypatch):
    argv, folder = small
    calls = []

    def stopped(settings, directory=None):
        calls.append(settings.run.algo)
        return 130 if len(calls) == 2 else _pretend(settings, directory)

    monkeypatch.setattr("experiments.training.train.train", stopped)
    words = ["aiir/fig3", *argv, "--out", str(folder / "fig3.png")]
    assert main(words) == 130
    out = capsys.readouterr().out
    assert f"stopped; resume with: python -m experiments.reproduce {' '.join(words)}" in out
    assert {r["algo"] for r in read_csv(folder / "fig3.csv")} == {"aiir_mix"}
    assert (folder / "fig3.png").exists()
    monkeypatch.setattr("experiments.training.train.train", lambda settings, directory=None: 130)
    nothing = ["aiir/fig4", "--run-dir", str(folder / "r"), "--out", str(folder / "empty" / "fig4.png")]
    assert main(nothing) == 130  # nothing to draw yet: no error on top
    assert "resume with" in capsys.readouterr().out


def _curve(algo, env, seed, wins):
    steps = 5000.0 * np.arange(1, len(wins) + 1)
    return Curves(algo, env, seed, steps, {"win_rate": np.array(wins, float)})


def test_percent_millions_and_moving_mean():
    """Over 3 of 0, 0.3, 0.6, 0.6: 0.15 (two), 0.3, 0.5, 0.6 (two)."""
    curve = _curve("qmix", "smax:8m", 0, [0, 0.3, 0.6, 0.6])
    plain, smooth = win_rates.in_percent(curve), win_rates.in_percent(curve, 3)
    np.testing.assert_allclose(plain.columns["win_rate"], [0, 30, 60, 60])
    np.testing.assert_allclose(smooth.columns["win_rate"], [15, 30, 50, 60])
    np.testing.assert_allclose(smooth.steps, [0.005, 0.01, 0.015, 0.02])


@pytest.mark.parametrize("target", TARGETS)
def test_the_papers_budget(target):
    """Five seeds; figure 3 on four maps with five methods, figure 4 on two with the ablations."""
    paper, small = (win_rates.BUDGETS[target][name] for name in ("paper", "small"))
    assert (paper.seeds, small.seeds) == (5, 2)
    assert set(small.steps.items()) == {("smax:2s3z", 500_000), ("smax:8m", 500_000)}
    maps = {"8m", "2s3z", "3s5z", "MMM"} if target == "aiir/fig3" else {"8m", "2s3z"}
    assert {style.env_title(env) for env in paper.steps} == maps
    methods = {"aiir/fig3": {"aiir_mix", "liir", "qmix", "coma", "qtran"},
               "aiir/fig4": {"aiir_mix", "rmix", "aiir", "liir"}}  # fmt: skip
    assert set(paper.methods) == methods[target]
    colours = [style.colour_of(name) for name in (*win_rates.METHODS, *win_rates.OTHERS, "rmix", "aiir")]
    assert len(set(colours)) == 11


def test_a_map_of_the_other_budget_has_this_ones_steps():
    options = spec.parse(["aiir/fig3", "--maps", "MMM", "8m"], "", win_rates.BUDGETS["aiir/fig3"], family="smax")
    assert dict(options.steps) == {"smax:MMM": 500_000, "smax:8m": 500_000}
    assert options.note.startswith("budget small with other maps; leaves out: the maps that are not drawn, three of")


def test_redraw_shows_only_the_methods_and_maps_asked_for(tmp_path):
    curves = [_curve(algo, env, 0, [1.0]) for algo in ("qmix", "coma", "rmix") for env in ("smax:8m", "smax:2s3z")]
    budgets = win_rates.BUDGETS["aiir/fig3"]

    def shown(*words):
        options = spec.parse(["aiir/fig3", *words], "", budgets, win_rates.NUMBERS, "smax")
        return {(c.label, c.env[5:]) for c in win_rates.selected(options, curves, budgets)}

    both = {(algo, env) for algo in ("qmix", "coma") for env in ("8m", "2s3z")}
    assert shown("--redraw") == shown("--methods", "qmix") == both  # the ablation belongs to figure 4
    assert shown("--redraw", "--methods", "qmix", "--maps", "8m") == {("qmix", "8m")}


def test_our_maps_are_the_papers():
    for name, paper in maps_table.PAPER_MAPS.items():
        assert maps_table.our_map(name) == paper
    assert maps_table.our_map("3m") == ("3 Marines", "3 Marines", "homogeneous")


def test_table_by_hand():
    """qmix on 8m: 50 and 70: mean 60, s = 14.14, t(0.975, 1) = 12.706, half = 12.706 x 14.14 / 1.414 = 127: cut.

    Over both maps, seed 0 and 1 have (50, 90) and (70, 100): of the four values 70 and 90 stay: IQM 80.
    """
    finals = {("qmix", "smax:8m", 0): 50.0, ("qmix", "smax:8m", 1): 70.0, ("qmix", "smax:2s3z", 0): 90.0,
              ("qmix", "smax:2s3z", 1): 100.0, ("coma", "smax:8m", 3): 20.0}  # fmt: skip
    table = maps_table.table_of(finals)
    assert table["qmix", "smax:8m"][0] == 2
    assert table["qmix", "smax:8m"][1].mean == pytest.approx((60, 0, 100))
    assert table["qmix", "all"][1].iqm[0] == 80
    low, high = table["qmix", "all"][1].iqm[1:]
    assert 70 <= low < 80 < high <= 90  # (50 or 70, 90 or 100): IQM (50,50,90,90) = 70, (70,70,100,100) = 85
    assert math.isnan(table["coma", "smax:8m"][1].mean[1])
    lines = maps_table.win_markdown(table)
    assert lines[0] == "| method | 8m | 2s3z | IQM over the maps | the paper, of its figures 3 and 4 |"
    assert "| QMIX | 60 [0, 100] | 95 [31, 100] | 80 [70, 85] |" in lines[2]  # half = 12.706 x 7.07 / 1.414 = 63.5
    assert lines[3].startswith("| COMA | 20 |  | 20, of 1 | fails on")


def test_final_win_rate_is_of_the_last_five_evaluations():
    """(0 + 50 + 50 + 100 + 100) / 5 = 60; the first evaluation does not count."""
    assert maps_table.final_win_rate(_curve("qmix", "smax:8m", 0, [1, 0, 0.5, 0.5, 1, 1])) == pytest.approx(60)


def _run():
    settings = default_settings("aiir_mix", "default", "smax:8m")
    return Run(dataclasses.replace(settings, run=dataclasses.replace(settings.run, seeds=2, total_steps=36_000)))


def _speed(algo, env, rate, source):
    return MeasuredSpeed({"algo": algo, "env": env, "preset": "default"}, rate, source)


def test_prediction_prefers_the_same_method_then_the_same_world():
    """2 x 36 000 steps: 0.02 h at 1000 a second, 0.04 h at 500, 0.01 h at 2000."""
    other, elsewhere, same = (
        _speed("liir", "smax:8m", 2000.0, "b"),
        _speed("aiir_mix", "smax:2s3z", 500.0, "a"),
        _speed("aiir_mix", "smax:8m", 1000.0, "c"),
    )
    for speeds, hours, best in (
        ([other, elsewhere, same], 0.02, same),
        ([other, elsewhere], 0.04, elsewhere),
        ([other], 0.01, other),
    ):
        found = runs.estimate_run(_run(), speeds, "cpu")
        assert (found.hours, found.rate) == pytest.approx((hours, best.rate))
        assert (found.source, found.facts) == (best.source, best.facts)
    assert runs.estimate_run(_run(), [], "cpu", {"cpu": 500.0}).source == "a rough guess"


def test_speeds_from_kept_records_and_from_the_benchmark_of_the_same_kind_of_device(tmp_path):
    """2 seeds x 1.8 M steps in 0.5 hours are 2000 a second."""
    record = {"algo": "qmix", "env": "smax:8m", "preset": "default", "seeds": 2, "total_steps": 1_800_000,
              "hours": 0.5, "status": "finished", "device": "cpu, 2 cores"}  # fmt: skip
    records = [record, {**record, "status": "begun"}, {**record, "device": "NVIDIA H100"}]
    path = tmp_path / "fig3.json"
    path.write_text(json.dumps({"runs": records}))
    assert time_estimates.of_records(path, "cpu") == [_speed("qmix", "smax:8m", 2000.0, str(path))]
    rows = [{"system": "aiir_mix paper", "env": "smax:2s3z", "seeds": n, "steps_per_s": 100.0 * n,
             "device": "cpu, 2 cores"} for n in (1, 5)]  # fmt: skip
    path.write_text(json.dumps(rows))
    assert [(s.facts["preset"], s.rate) for s in time_estimates.of_benchmark(path, "cpu")] == [
        ("paper", 500.0),
        ("paper", 100.0),
    ]
    assert time_estimates.of_benchmark(path, "gpu") == time_estimates.of_benchmark(tmp_path / "none", "cpu") == []


@pytest.mark.parametrize(
    "argv, message",
    [
        (["aiir/fig3", "--budget", "huge"], "--budget: no 'huge'; it is one of small, paper"),
        (["aiir/fig3", "--methods", "iac"], "--methods: no 'iac' in this figure; it has aiir_mix, coma, ippo"),
        (["aiir/fig4", "--maps", "MMM"], "--maps: no 'MMM' in this figure; it has 8m, 2s3z"),
        (["aiir/fig3", "--seeds", "0"], "--seeds must be at least 1, not 0"),
        (["aiir/table1", "--total-steps", "0"], "--total-steps must be at least 1, not 0"),
        (["aiir/fig3", "--smooth", "0"], "--smooth must be a whole number of at least 1, not 0"),
        (["aiir/fig3", "--redraw", "--out", "nowhere/fig3.png"], "is saved in nowhere/fig3.csv: train first"),
        (["aiir/table1", "--out", "t.csv"], "--out must be a Markdown file"),
        (["aiir/fig3", "--preset", "nonsense"], "unknown preset 'nonsense' of aiir_mix"),
    ],
)
def test_wrong_input_is_one_line_and_code_2(argv, message, capsys):
    assert main(argv) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


def test_a_method_that_is_not_registered_ends_in_the_registrys_line(small, capsys, monkeypatch):
    argv, folder = small
    budget = win_rates.BUDGETS["aiir/fig3"]["small"]._replace(methods=("qmixx",))
    monkeypatch.setitem(win_rates.BUDGETS, "aiir/fig3", {"small": budget})
    assert main(["aiir/fig3", *argv, "--out", str(folder / "fig3.png")]) == 2
    assert "unknown algorithm 'qmixx': did you mean qmix" in capsys.readouterr().err
