"""Comparing runs: scores, intervals and notes out of run directories, the json, the picture, and marl-eval's format."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from envs.errors import ConfigError
from experiments.analysis import scores
from experiments.analysis.comparison import cell, notes
from experiments.analysis.curves import Curves
from experiments.analysis.marl_eval import to_marl_eval
from experiments.analysis.scores import ALL, ComparisonOptions, choose_metric, compare, curve_scores, group_runs
from experiments.common.stats import Interval
from experiments.compare import main

HEADER = "iteration,env_steps,seed,return_mean,win_rate\n"


def curve(label, env, seed, wins, returns=None, steps=(100, 200, 300)):
    wins, steps = np.array(wins, float), np.array(steps, float)
    return Curves(label, env, seed, steps, {"win_rate": wins, "return_mean": np.array(returns or 20 * wins, float)})


def some_runs():
    """Two algorithms of two seeds on two maps; the scores of the last evaluation are those by hand below."""
    last = {
        ("ours", "3m"): (0.5, 1.0),
        ("ours", "8m"): (0.25, 0.75),
        ("old", "3m"): (0.5, 0.5),
        ("old", "8m"): (0, 0.5),
    }
    return [
        curve(label, f"smax:{task}", seed, (0, wins / 2, wins))
        for (label, task), seeds in last.items()
        for seed, wins in enumerate(seeds)
    ]


def write_run(path, algo="ours", env="smax:3m", wins=((0, 0.5), (0.5, 1.0)), steps=(100, 200), options=()):
    """A run directory; `wins` are a seed's evaluations."""
    path.mkdir()
    (path / "config.json").write_text(json.dumps({"algo": algo, "env": env, "env_options": list(options)}))
    rows = [
        f"{k},{step},{seed},{'' if w is None else 20 * w},{'' if w is None else w}\n"
        for seed, values in enumerate(wins)
        for k, (step, w) in enumerate(zip(steps, values, strict=True))
    ]
    (path / "eval.csv").write_text(HEADER + "".join(rows))
    return str(path)


def test_rows_by_hand():
    rows = compare(group_runs(some_runs()), ComparisonOptions("win_rate", last=1, against="old", resamples=200))
    assert [(r.env, r.label) for r in rows] == [
        ("smax:3m", "ours"), ("smax:3m", "old"), ("smax:8m", "ours"), ("smax:8m", "old"), (ALL, "ours"), (ALL, "old"),
    ]  # fmt: skip
    first, _, _, _, ours, old = rows
    np.testing.assert_array_equal(ours.scores, [[0.5, 0.25], [1.0, 0.75]])
    # 3m: mean 0.75, s = 0.35355, Student's t(0.975, 1) = 12.706: 12.706 * 0.35355 / sqrt 2 = 3.1766
    np.testing.assert_allclose(first.mean, [0.75, 0.75 - 3.1766, 0.75 + 3.1766], atol=1e-4)
    # four scores, one cut from each end: (0.5 + 0.75) / 2; of old (0.5 + 0.5) / 2
    assert (ours.iqm.mean, old.iqm.mean) == (0.625, 0.5)
    # 3m: 0.5 = 0.5 twice (half each), 1 > 0.5 twice: 3 / 4. 8m: 0.25 > 0, 0.25 < 0.5, 0.75 beats both: 3 / 4.
    assert (first.better.mean, ours.better.mean, old.better) == (0.75, 0.75, None)
    assert ours.gap.mean == (0.5 + 0 + 0.75 + 0.25) / 4
    assert ours.mean.mean == 0.625  # the bootstrap's: lowest draw 0.375, highest 0.875
    assert 0.375 <= ours.mean.low < 0.625 < ours.mean.high <= 0.875


def test_the_same_seeds_with_other_options_are_another_task(tmp_path, capsys):
    runs = [write_run(tmp_path / "a"), write_run(tmp_path / "b", options=["see_enemy_actions=True"])]
    table, theirs = str(tmp_path / "table.json"), str(tmp_path / "marl_eval.json")
    assert main([*runs, "--last", "1", "--json", table, "--marl-eval", theirs]) == 0
    capsys.readouterr()
    rows = json.loads((tmp_path / "table.json").read_text())["rows"]
    assert [row["env"] for row in rows] == ["smax:3m", "smax:3m see_enemy_actions=True", ALL]
    assert rows[0]["scores"] == [[0.5], [1.0]]
    tasks = json.loads((tmp_path / "marl_eval.json").read_text())["smax"]
    assert tasks.keys() == {"3m", "3m see_enemy_actions=True"}


def test_score_is_the_mean_of_the_last_evaluations():
    curves = [curve("ours", "smax:3m", 0, (0.0, 0.5, 1.0))]
    row = compare(group_runs(curves), ComparisonOptions("win_rate", last=2))[0]
    assert row.scores == [[0.75]]
    assert np.isnan([row.mean.low, row.iqm.low, row.gap.low]).all()  # one seed has no interval
    assert row.steps == (300, 300)


def test_a_label_without_runs_on_a_task_is_left_out_of_all_tasks():
    curves = [*some_runs(), curve("ours", "smax:MMM", 0, (0, 0, 1))]
    rows = compare(group_runs(curves), ComparisonOptions("win_rate", last=1, against="old", resamples=100))
    assert [r.better for r in rows if r.env == "smax:MMM"] == [None]
    assert [r.scores.shape for r in rows if r.env == ALL] == [(2, 2), (2, 2)]


def test_returns_are_put_on_one_scale_before_tasks_are_pooled():
    nan = (float("nan"),) * 2
    curves = [
        curve("a", "x", 0, nan, (0, 100), (1, 2)),
        curve("b", "x", 0, nan, (0, 50), (1, 2)),
        curve("a", "y", 0, nan, (-1, 0), (1, 2)),
        curve("b", "y", 0, nan, (-1, 1), (1, 2)),
    ]
    assert choose_metric(curves) == "return_mean"
    rows = compare(group_runs(curves), ComparisonOptions("return_mean", last=1))
    # x: 0 to 100, y: -1 to 1. a: 1 and 0.5; b: 0.5 and 1.
    np.testing.assert_array_equal([r.scores for r in rows if r.env == ALL], [[[1, 0.5]], [[0.5, 1]]])
    assert [r.gap is None for r in rows] == [True] * 4 + [False] * 2  # what a return misses needs a --target
    row = compare(group_runs(curves), ComparisonOptions("return_mean", last=1, target=80.0))[1]
    assert row.gap.mean == 30.0


def test_curves_over_the_steps_that_all_runs_have_seen():
    runs = [curve("a", "x", 0, (0, 1), steps=(0, 100)), curve("a", "x", 1, (0.5, 0.5), steps=(50, 200))]
    steps, values = curve_scores(group_runs(runs), "a", ["x"], ComparisonOptions("win_rate", last=1))
    assert (steps[0], steps[-1], values.shape) == (50, 100, (2, 1, scores.POINTS))
    np.testing.assert_allclose(values[0, 0], steps / 100)
    np.testing.assert_allclose(values[1, 0], 0.5)


def test_the_last_point_of_a_curve_is_the_score():
    run = curve("a", "x", 0, (0.0, 1.0, 0.5, 0.75), steps=(1, 2, 3, 4))
    options = ComparisonOptions("win_rate", last=2)  # (0) / 1, (0 + 1) / 2, (1 + 0.5) / 2, (0.5 + 0.75) / 2
    np.testing.assert_allclose(scores.scores_over_steps(run, options), [0, 0.5, 0.75, 0.625])
    assert scores.score(run, options) == 0.625


def test_a_seed_does_not_count_twice():
    with pytest.raises(ConfigError, match="seed 0 of ours on smax:3m is in two of the runs"):
        group_runs([*some_runs(), curve("ours", "smax:3m", 0, (0, 0, 0))])


def test_notes_say_what_the_table_does_not_show():
    curves = [curve("ours", "3m", 0, (0, 1), steps=(1, 200)), curve("old", "3m", 0, (0, 1), steps=(1, 100))]
    curves += [curve(label, "8m", 0, (0, 1), steps=(1, 100)) for label in ("ours", "old")]

    def said(curves):
        groups, options = group_runs(curves), ComparisonOptions("win_rate", last=1)
        return " | ".join(notes(groups, compare(groups, options), options))

    assert "fewer than 5 seeds" in said(curves) and "on 3m runs ended after 100 to 200 env steps" in said(curves)
    assert "not in 'all tasks'" not in said(curves) and "no rows for all" not in said(curves)
    more = curve("ours", "MMM", 0, (0, 1), steps=(1, 100))
    assert "not in 'all tasks', since not every algorithm has runs there: MMM" in said([*curves, more])
    assert "no rows for all tasks together" in said([*curves[:2], more])


def test_cells():
    assert cell(Interval(0.5, -0.25, 1.5), rate=True) == "0.500 [0.000, 1.000]"
    assert cell(Interval(5.0, -0.25, 10.25), rate=False) == "5.000 [-0.250, 10.250]"
    assert cell(Interval(0.5, np.nan, np.nan), rate=True) == "0.500"
    assert cell(None, rate=True) == ""


def test_command_prints_and_writes(tmp_path, capsys):
    runs = [
        write_run(tmp_path / "a"),
        write_run(tmp_path / "b", "old", wins=((0, 0.5), (0, 0.5))),
        write_run(tmp_path / "c", env="smax:8m"),
        write_run(tmp_path / "d", "old", "smax:8m", ((0, 0.25), (0, 0.75), (0, 0.5))),
    ]
    files = {name: str(tmp_path / f"{name}.json") for name in ("json", "marl-eval")}
    argv = [*runs, "--last", "1", "--against", "old", "--resamples", "100", "--out", str(tmp_path / "picture.png")]
    assert main([*argv, "--json", files["json"], "--marl-eval", files["marl-eval"]]) == 0
    out = capsys.readouterr().out
    assert "P(higher than old)" in out and "fewer than 5 seeds" in out and "as many seeds as the task" in out
    data = json.loads((tmp_path / "json.json").read_text())
    assert (data["metric"], data["against"]) == ("win_rate", "old")
    # 3m: 0.5 and 1 against 0.5 twice: (half + half + 1 + 1) / 4
    assert [(r["env"], r["label"], r["better"] and r["better"][0]) for r in data["rows"][:2]] == [
        ("smax:3m", "ours", 0.75), ("smax:3m", "old", None),
    ]  # fmt: skip
    assert data["rows"][0]["scores"] == [[0.5], [1.0]]
    assert set(json.loads((tmp_path / "marl-eval.json").read_text())["smax"]) == {"3m", "8m"}
    width, height = Image.open(tmp_path / "picture.png").size
    assert width == pytest.approx(4 * 4.6 * 150, abs=1) and height > 3 * 3.2 * 150  # four panels for each of 2 + 1 rows


def test_wrong_input_ends_in_one_line_and_code_2(tmp_path, capsys):
    run = write_run(tmp_path / "a")
    gap = write_run(tmp_path / "gap", "gap", wins=((0, None),))
    wrong = (
        ["/no/such/run"], [run, run], [run, "--against", "qmix"], [run, "--last", "0"], [run, "--resamples", "5"],
        [gap], [gap, "--metric", "win_rate"], [run, "--json", str(tmp_path / "no" / "such.json")],
        [run, "--resamples", "100", "--out", str(tmp_path / "no" / "such.png")],
        [run, write_run(tmp_path / "b", "old", "smax:8m"), "--marl-eval", str(tmp_path / "x.json")],
    )  # fmt: skip
    for argv in wrong:
        assert main(argv) == 2, argv
        captured = capsys.readouterr()
        assert captured.err.startswith("error: ") and captured.err.count("\n") == 1, captured.err


def test_marl_eval_of_runs_with_the_same_steps():
    got = to_marl_eval([*some_runs(), curve("net=(8, 8)", "toy", 0, (0, 0, 1))], last=2)
    assert set(got) == {"smax", "toy"} and list(got["toy"]["toy"]) == ["net=(8 8)"]  # no commas, says marl-eval
    assert set(got["smax"]) == {"3m", "8m"} and set(got["smax"]["3m"]) == {"ours", "old"}
    assert got["smax"]["8m"]["ours"]["run_2"] == {
        "step_1": {"step_count": 100, "return": [0.0], "win_rate": [0.0]},
        "step_2": {"step_count": 200, "return": [7.5], "win_rate": [0.375]},
        "step_3": {"step_count": 300, "return": [15.0], "win_rate": [0.75]},
        "absolute_metrics": {"return": [11.25], "win_rate": [0.5625]},
    }


def test_marl_eval_is_rectangular():
    """Other steps and more seeds: lines at as many steps as the shortest run has, and as many seeds as all have."""
    curves = [
        curve("a", "smax:3m", 0, (0, 1), steps=(0, 100)),
        curve("b", "smax:3m", 0, (0, 0.5, 1), steps=(50, 60, 150)),
        curve("b", "smax:3m", 1, (0, 0, 0), steps=(50, 60, 150)),
    ]
    runs = to_marl_eval(curves, last=1)["smax"]["3m"]
    assert {label: list(found) for label, found in runs.items()} == {"a": ["run_1"], "b": ["run_1"]}
    assert runs["a"]["run_1"]["step_1"] == {"step_count": 50, "return": [10.0], "win_rate": [0.5]}
    # b at 100: 0.5 + 0.5 * 40 / 90
    assert runs["b"]["run_1"]["step_2"]["win_rate"] == pytest.approx([0.7222222])
    assert runs["b"]["run_1"]["absolute_metrics"]["win_rate"] == [1.0]


def test_marl_eval_refuses_what_it_cannot_hold():
    with pytest.raises(ConfigError, match="no b on smax:8m"):
        to_marl_eval([curve("a", "smax:3m", 0, (0, 0, 1)), curve("b", "smax:3m", 0, (0, 0, 1)),
                      curve("a", "smax:8m", 0, (0, 0, 1))])  # fmt: skip
    with pytest.raises(ConfigError, match="no env steps in common"):
        to_marl_eval([curve("a", "x", 0, (0, 1), steps=(1, 2)), curve("b", "x", 0, (0, 1), steps=(3, 4))])


def test_help_imports_no_jax():
    code = "import sys\ntry:\n    from experiments.compare import main; main(['--help'])\nexcept SystemExit:\n"
    code += "    sys.exit(any(m in sys.modules for m in ('jax', 'matplotlib', 'scipy')))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
