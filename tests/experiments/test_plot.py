"""Curves out of run directories."""

import json
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from envs.base import ConfigError
from experiments.analysis.curves import make_labels, make_tasks, mean_over_seeds, on_common_steps, read_runs
from experiments.analysis.curves_picture import plot_runs
from experiments.plot import main

HEADER = "iteration,env_steps,seed,return_mean,return_std,length_mean,win_rate\n"


def write_run(path, algo="aiir_mix", env="smax:3m", rows=("1,100,0,5.0,1,30,0.25", "1,100,7,7.0,1,30,0.75"), **more):
    path.mkdir()
    (path / "config.json").write_text(json.dumps({"algo": algo, "env": env, **more}))
    (path / "eval.csv").write_text(HEADER + "".join(row + "\n" for row in rows))
    return path


def test_reads_one_curve_a_seed(tmp_path):
    rows = ("1,100,0,5.0,1,30,0.25", "1,100,7,7.0,1,30,0.75", "2,200,0,6.0,1,30,0.5", "2,200,7,8.0,1,30,1.0")
    first, second = read_runs([write_run(tmp_path / "a", rows=rows)])
    assert (first.label, first.env, first.seed, second.seed) == ("aiir_mix", "smax:3m", 0, 7)
    np.testing.assert_array_equal(first.steps, [100, 200])
    np.testing.assert_array_equal(second.columns["win_rate"], [0.75, 1.0])
    np.testing.assert_array_equal(second.columns["return_mean"], [7.0, 8.0])


def test_common_steps_interpolate_and_leave_gaps(tmp_path):
    a = read_runs([write_run(tmp_path / "a", rows=("1,0,0,0,1,30,0", "2,100,0,10,1,30,1"))])
    b = read_runs([write_run(tmp_path / "b", rows=("1,50,1,4,1,30,0.5", "2,200,1,8,1,30,0.5"))])
    steps, values = on_common_steps(a + b, "return_mean")
    np.testing.assert_array_equal(steps, [0, 50, 100, 200])
    # a at 50: halfway 0..10 = 5. b at 100: 4 + (8 - 4) * 50 / 150 = 5.3333
    np.testing.assert_allclose(values, [[0, 5, 10, np.nan], [np.nan, 4, 16 / 3, 8]])


def test_a_mean_ends_where_the_first_seed_ends(tmp_path):
    """Two good seeds stopped early, a bad one ran on: the mean of all three is what is shown, and it does not fall."""
    good = [f"{k},{100 * k},{seed},{k},1,30,1" for seed in (0, 1) for k in (1, 2)]
    bad = [f"{k},{100 * k},2,0,1,30,0" for k in (1, 2, 3, 4)]
    curves = read_runs([write_run(tmp_path / "a", rows=(*good, *bad))])
    steps, band = mean_over_seeds(curves, "win_rate")
    np.testing.assert_array_equal(steps, [100, 200])
    np.testing.assert_allclose(band.mean, [2 / 3, 2 / 3])
    apart = [curves[0]._replace(steps=np.array([500.0, 600.0])), *curves[1:]]
    assert len(mean_over_seeds(apart, "win_rate")[0]) == 0


@pytest.mark.parametrize("rows, panels", [(("1,9,0,5,1,30,0.5", "2,99,0,6,1,30,0.5"), 2), (("1,9,0,5,1,30,",), 1)])
def test_one_panel_a_measure(tmp_path, rows, panels):
    plot_runs([write_run(tmp_path / "a", rows=rows)], tmp_path / "curves.png")
    width, _ = Image.open(tmp_path / "curves.png").size
    assert width == panels * 728  # 5.6 inches at 130 dots an inch


def test_one_row_an_environment(tmp_path):
    runs = [write_run(tmp_path / "a"), write_run(tmp_path / "b", "qmix"), write_run(tmp_path / "c", env="smax:8m")]
    assert main([*map(str, runs), "--out", str(tmp_path / "curves.png")]) == 0
    assert Image.open(tmp_path / "curves.png").size == (1456, 988)  # (0.6 + 2 * 3.5) * 130 high


def test_wrong_input_ends_in_one_line_and_code_2(tmp_path, capsys):
    empty = write_run(tmp_path / "empty", rows=())
    torn = write_run(tmp_path / "torn", rows=("1,abc,0,5,1,30,0.5",))
    (tmp_path / "nothing").mkdir()
    unwritable = [str(write_run(tmp_path / "good")), "--out", str(tmp_path / "no" / "such.png")]
    for argv in (["/no/such/run"], [str(tmp_path / "nothing")], [str(empty)], [str(torn)], unwritable):
        assert main(argv) == 2
        captured = capsys.readouterr()
        assert captured.err.startswith("error: ") and captured.err.count("\n") == 1
    with pytest.raises(ConfigError, match="no config.json"):
        read_runs([tmp_path / "nothing"])


def test_labels_name_what_runs_differ_in():
    def config(preset="default", algo="aiir_mix", env="smax:3m", **fields):
        return {"algo": algo, "preset": preset, "env": env, "algorithm": {"lr": 1, "net": "attention", **fields}}

    assert make_labels([config(), config()]) == ["aiir_mix", "aiir_mix"]
    configs = [config(), config(net="none"), config("paper", lr=2), config(algo="qmix", lr=3)]
    assert make_labels(configs) == ["aiir_mix net=attention", "aiir_mix net=none", "aiir_mix paper", "qmix"]
    assert make_labels([config(), config(env="smax:8m", lr=5)]) == ["aiir_mix", "aiir_mix"]  # tuned by map
    many = make_labels([config(a=1, b=1, c=1, d=1), config(a=2, b=2, c=2, d=2)])
    assert many == ["aiir_mix a=1 b=1 c=1 ...", "aiir_mix a=2 b=2 c=2 ..."]


def test_fields_are_named_until_no_two_runs_look_alike():
    def config(**fields):
        return {"algo": "qmix", "preset": "default", "env": "smax:3m", "algorithm": fields}

    many = make_labels([config(a=1, b=1, c=1, d=1), config(a=1, b=1, c=1, d=2), config(a=2, b=2, c=2, d=2)])
    assert many == ["qmix a=1 b=1 c=1 d=1", "qmix a=1 b=1 c=1 d=2", "qmix a=2 b=2 c=2 ..."]
    precise = {**config(a=1), "matmul_precision": "float32"}
    assert make_labels([config(a=1), precise]) == ["qmix matmul_precision=default", "qmix matmul_precision=float32"]


def test_a_task_is_an_environment_and_its_options():
    def config(*options, env="predator_prey", digest=""):
        return {"algo": "iac", "preset": "default", "env": env, "env_options": list(options), "algorithm": {},
                "digest": digest}  # fmt: skip

    alone = [config("num_prey=2"), config("num_prey=2", env="simple_world")]
    assert make_tasks(alone) == ["predator_prey", "simple_world"]
    # what all have in common is not named; the order of the words says nothing
    some = [config("num_prey=2", "reward=flat"), config("reward=flat"), config("reward=flat", "num_prey=2")]
    assert make_tasks(some) == ["predator_prey num_prey=2", "predator_prey", "predator_prey num_prey=2"]
    assert make_labels(some) == ["iac"] * 3
    own = [config(env="mine:World", digest=digest) for digest in ("abcdef01", "abcdef01", "12345678", "")]
    assert make_tasks(own) == ["mine:World digest=abcdef"] * 2 + ["mine:World digest=123456", "mine:World"]
    assert make_tasks(own[:2]) == ["mine:World"] * 2
    with pytest.raises(ConfigError, match="env_options of a run on predator_prey cannot be read"):
        make_tasks([config("num_prey")])


def test_runs_of_unlike_options_have_panels_of_their_own(tmp_path):
    hard = write_run(tmp_path / "hard", env="predator_prey", env_options=["num_prey=2"])
    easy = write_run(tmp_path / "easy", env="predator_prey")
    assert [c.env for c in read_runs([hard, easy])] == ["predator_prey num_prey=2"] * 2 + ["predator_prey"] * 2
    plot_runs([hard, easy], tmp_path / "curves.png")
    assert Image.open(tmp_path / "curves.png").size == (1456, 988)


def test_help_imports_no_jax():
    code = "import sys\ntry:\n    from experiments.plot import main; main(['--help'])\nexcept SystemExit:\n"
    code += "    sys.exit(any(m in sys.modules for m in ('jax', 'matplotlib', 'scipy')))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
