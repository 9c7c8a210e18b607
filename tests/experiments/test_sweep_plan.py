"""The queue of a sweep: points, programs, draws, and refusals, all without jax."""

import math
import pathlib
import subprocess
import sys
import time

import pytest

from experiments.config.preset_io import default_settings
from experiments.sweep import main
from experiments.sweeps.command_line import parse
from experiments.sweeps.plan import Range, make_programs, read_choices

ROOT = pathlib.Path(__file__).parents[2]
BASE = ["--algo", "liir", "--env", "smax:3m"]


def programs(*words, base=BASE):
    return make_programs(parse([*base, *words])[1], "out")


def test_floats_are_trials_and_the_rest_are_programs():
    """2 x 2 algorithms and environments, 2 numbers of environments, 3 x 2 floats: 8 programs of 6 points."""
    queue = programs(
        *("--set", "lr=3e-4,5e-4,1e-3", "num_envs=8,16", "entropy=0,0.01"),
        base=["--algo", "aiir_mix", "liir", "--env", "smax:2s3z", "smax:8m"],
    )
    assert [len(program.configurations) for program in queue] == [6] * 8
    assert [(p.settings.run.algo, p.settings.run.env, p.settings.algorithm.num_envs) for p in queue[:5]] == [
        ("aiir_mix", "smax:2s3z", 8),
        ("aiir_mix", "smax:2s3z", 16),
        ("aiir_mix", "smax:8m", 8),
        ("aiir_mix", "smax:8m", 16),
        ("liir", "smax:2s3z", 8),
    ]
    assert queue[0].floats == ("lr", "entropy")
    assert [each.name for each in queue[0].configurations[:2]] == [
        "lr=0.0003_num_envs=8_entropy=0",
        "lr=0.0003_num_envs=8_entropy=0.01",
    ]
    assert queue[0].configurations[0].settings.algorithm.lr == 3e-4


def test_nothing_set_is_one_point():
    (program,) = programs("--seeds", "7", "--total-steps", "1000")
    assert (program.floats, program.configurations[0].name) == ((), "default")
    assert (program.settings.run.seeds, program.settings.run.total_steps) == (7, 1000)


def test_words_truth_values_and_whole_numbers_keep_their_type():
    (on, off) = programs("--set", "value_norm=true,false", "optimizer=rmsprop", "epochs=2")
    assert (on.settings.algorithm.value_norm, off.settings.algorithm.value_norm) == (True, False)
    assert (on.settings.algorithm.optimizer, on.settings.algorithm.epochs) == ("rmsprop", 2)


def test_random_points_are_drawn_evenly_in_the_logarithm_and_alike_for_each_algorithm():
    words = ("--set", "lr=1e-4..1e-2", "clip=lin:0.1..0.3", "epochs=2..5", "gamma=0.9,0.99", "--random", "400")
    queue = programs(*words, base=["--algo", "aiir_mix", "liir", "--env", "smax:3m"])
    assert queue == programs(*words, base=["--algo", "aiir_mix", "liir", "--env", "smax:3m"])
    some = [each.values for program in queue if program.settings.run.algo == "liir" for each in program.configurations]
    assert some == [
        p.values for program in queue if program.settings.run.algo == "aiir_mix" for p in program.configurations
    ]
    assert len(some) == 400
    rates = [math.log10(values["lr"]) for values in some]
    # uniform on [-4, -2]: mean -3, standard error (2 / sqrt(12)) / sqrt(400) = 0.029
    assert -4 <= min(rates) and max(rates) <= -2 and sum(rates) / 400 == pytest.approx(-3, abs=0.1)
    clips = [values["clip"] for values in some]
    assert sum(clips) / 400 == pytest.approx(0.2, abs=0.01) and 0.1 <= min(clips) <= max(clips) <= 0.3
    assert {values["epochs"] for values in some} == {2, 3, 4, 5} and {values["gamma"] for values in some} == {0.9, 0.99}
    other = programs(*words, "--draw-seed", "1")
    assert [p.values for program in other for p in program.configurations] != some


def test_choices():
    base = default_settings("liir", "default")
    read = read_choices(["lr=1e-4..1e-2", "entropy=0.0,0.0,0.1", "epochs=2"], base, drawn=True)
    assert read == {"lr": Range(1e-4, 1e-2, True), "entropy": [0.0, 0.1], "epochs": [2]}


@pytest.mark.parametrize(
    "words, message",
    [
        (["--set", "lrr=1"], "--set lrr: liir has no such field: did you mean lr?"),
        (["--set", "lr"], "write NAME=VALUE"),
        (["--set", "lr=1e-3,"], "write NAME=VALUE"),
        (["--set", "=3"], "write NAME=VALUE"),
        (["--set", "lr=1e-3", "lr=1e-4"], "lr is given twice"),
        (["--set", "lr=fast"], "lr"),
        (["--set", "lr=-1"], "--lr must be more than 0"),
        (["--set", "gamma=1.5"], "--gamma must be between 0 and 1"),
        (["--set", "seeds=3"], "give --seeds"),
        (["--set", "value_norm=maybe"], "write true or false"),
        (["--set", "lr=1e-4..1e-2"], "a range needs --random N"),
        (["--set", "lr=1e-2..1e-4", "--random", "3"], "the lower end comes first"),
        (["--set", "entropy=0..1", "--random", "3"], "write entropy=lin:0..1"),
        (["--set", "optimizer=adam..rmsprop", "--random", "3"], "only numbers have ranges"),
        (["--set", "lr=1e-4..", "--random", "3"], "write a range as lr=LOW..HIGH"),
        (["--set", "minibatches=3"], "--minibatches must divide --num-envs 64, which 3 does not"),
        (["--set", "minibatches=3", "--dry-run"], "--minibatches must divide --num-envs 64, which 3 does not"),
        (["--out", ""], "--out must be a directory that can be written to, not ''"),
        (["--random", "100001", "--set", "lr=1e-4..1e-2"], "100,001 configurations are more than 100,000"),
        (["--set", "num_envs=2.5"], "error: Error parsing --num-envs: invalid literal for int() with base 10: '2.5'\n"),
        (["--random", "3"], "--set says what is drawn"),
        (["--job", "timeout_min=3"], "give both or neither"),
        (["--random", "-1"], "--random"),
        (["--grid", "--random", "2"], "not allowed with"),
        (["--preset", "none"], "unknown preset 'none' of liir"),
        (["--preset", "no/such.json"], "there is no such file"),
        (["--seeds", "0"], "--seeds must be more than 0"),
        (["--num-processes", "2", "--process-id", "2"], "--process-id must be"),
        (["--num-processes", "2", "--launcher", "local"], "choose one of them"),
        (["--env-options", "oops"], "write KEY=VALUE"),
        (["--nonsense"], "unrecognized arguments: --nonsense"),
    ],
)
def test_what_cannot_be_is_refused_in_one_line(words, message, capsys):
    assert main([*BASE, *words]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and message in error and error.count("\n") == 1


def test_a_hundred_thousand_points_are_planned_at_once():
    """Each of a program of its own; with a parser for every value, as once, it took minutes."""
    values = [",".join(map(str, range(1, count + 1))) for count in (250, 400)]
    began = time.process_time()
    queue = programs("--set", f"epochs={values[0]}", f"anneal_steps={values[1]}")
    assert len(queue) == 100_000 and queue[-1].settings.algorithm.epochs == 250
    assert time.process_time() - began < 30


def test_a_field_without_effect_is_no_field_of_a_sweep(capsys):
    assert main(["--algo", "qmix", "iql", "--env", "smax:3m", "--dry-run", "--set", "hyper_dim=16,32"]) == 2
    assert capsys.readouterr().err == "error: --set hyper_dim: iql has no use for it: sweep it without iql\n"
    assert main(["--algo", "qmix", "--env", "smax:3m", "--dry-run", "--set", "hyper_dim=16,32"]) == 0


def test_an_unknown_algorithm_or_world_is_refused(capsys):
    assert main(["--algo", "lir", "--env", "smax:3m"]) == 2
    assert "did you mean liir" in capsys.readouterr().err
    assert main(["--algo", "liir", "--env", "smax:3n"]) == 2
    assert "smax:3n" in capsys.readouterr().err


@pytest.mark.parametrize(
    "option, message",
    [
        ("payof=[[1,2],[3,4]]", "'matrix_game' does not take these options: payof (it takes payoff)"),
        ("payoff=[[1,2],[3]]", "payoff must be square"),
    ],
)
def test_options_that_a_world_does_not_take_are_refused_before_anything_is_written(option, message, tmp_path, capsys):
    words = ["--algo", "qmix", "--env", "matrix_game", "--env-options", option, "--out", str(tmp_path / "out")]
    together = ["--coordinator", "localhost:7654", "--num-processes", "2"]
    for more in (["--dry-run"], [], ["--dry-run", *together]):
        assert main([*words, *more]) == 2
        said = capsys.readouterr()
        assert message in said.err and said.err.count("\n") == 1 and not said.out
    assert not (tmp_path / "out").exists()


def test_an_algorithm_that_cannot_handle_a_world_is_refused_before_anything_is_written(tmp_path, capsys):
    """So that the corrected command finds no other sweep in its --out."""
    words = ["--env", "matrix_game", "--out", str(tmp_path / "out"), "--algo", "iql", "iac"]
    for more in ([], ["--num-processes", "2", "--process-id", "1"], ["--launcher", "local"]):
        assert main([*words, *more]) == 2
        error = capsys.readouterr().err
        assert error == "error: iac cannot handle the discrete actions of matrix_game: choose another --env or --algo\n"
    assert not (tmp_path / "out").exists()


def test_a_run_that_would_end_before_its_first_update_is_refused_before_anything_is_written(tmp_path, capsys):
    words = ["--algo", "qmix", "--env", "toy:time_limit", "--total-steps", "100", "--out", str(tmp_path / "out")]
    words += ["--set", "warmup=8", "num_envs=8,20"]  # episodes of 5 steps: a whole one in each is 6 rows each
    for more in (["--dry-run"], [], ["--launcher", "local"]):
        assert main([*words, *more]) == 2
        said = capsys.readouterr()
        assert "qmix would learn nothing in 100 env steps: its first update comes after 120, when" in said.err
        assert said.err.count("\n") == 1 and not said.out
    assert not (tmp_path / "out").exists()


def test_help_and_refusals_import_no_jax():
    code = (
        "import sys; from experiments.sweep import main; "
        "assert main(['--algo', 'liir', '--env', 'smax:3m', '--set', 'x=1']) == 2; "
        "assert main(['--algo', 'liir', '--env', 'smax:3m', '--dry-run', '--set', 'lr=1e-3,1e-2']) == 0; "
        "assert 'jax' not in sys.modules"
    )
    finished = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert finished.returncode == 0, finished.stderr
    assert "2 configuration(s), 10 trial(s)" in finished.stdout
