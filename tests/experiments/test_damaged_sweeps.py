"""What damaged files of a sweep come to: the end that it would have come to, or one line, code 2 and nothing lost."""

import json
import pathlib
import re
import shutil
import signal

import pytest

from experiments.runs import checkpoint
from experiments.sweep import main

# 12 iterations of 8 rows, 4 of them env steps; two groups of two trials, of which the second is stopped on its way.
ARGV = ["--algo", "fake", "--env", "toy:coordination", "--set", "num_envs=2", "rollout_length=4", "lr=0.1,0.4"]
ARGV += ["--total-steps", "48", "--seeds", "2", "--eval-every", "12", "--log-every", "2", "--eval-episodes", "4"]
ARGV += ["--seeds-per-batch", "2", "--checkpoint-every", "0", "--chunk-iterations", "5", "--no-pictures"]
FREE = ARGV.index("--seeds-per-batch")
PART = pathlib.Path("programs/000/part_0")
POINTS = [pathlib.Path(f"toy_coordination/fake/num_envs=2_rollout_length=4_lr={lr}") for lr in ("0.1", "0.4")]
TABLES = ("lanes.csv", "eval.csv", "metrics.csv")


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory):
    """(a sweep that was stopped in its second group, the same one at its end)."""
    cut, save = tmp_path_factory.mktemp("sweeps") / "cut", checkpoint.Checkpoints.save

    def save_then_signal(self, states, progress):
        save(self, states, progress)
        if self.directory.name == "lanes_2-3" and progress.iteration == 6:  # at an evaluation
            signal.raise_signal(signal.SIGTERM)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint.Checkpoints, "save", save_then_signal)
        assert main([*ARGV, "--out", str(cut)]) == 128 + signal.SIGTERM
    whole = pathlib.Path(shutil.copytree(cut, cut.parent / "whole"))
    assert main([*ARGV, "--out", str(whole)]) == 0
    return cut, whole


@pytest.fixture
def go_on(tmp_path, capsys):
    """(directory to copy, (copy) -> None that damages it, *options) -> (exit code, stderr, the copy)."""

    def call(sweep, damage, argv=ARGV):
        out = pathlib.Path(shutil.copytree(sweep, tmp_path / "out"))
        damage(out)
        capsys.readouterr()
        return main([*argv, "--out", str(out)]), capsys.readouterr().err, out

    return call


def one_line(err):
    return err.startswith("error: ") and err.count("\n") == 1


def tables(out):
    return [re.sub(",/[^\n]*/toy_", ",toy_", (out / name).read_text()) for name in TABLES]


def change_digit(file):
    text = file.read_text()
    file.write_text(text[:-2] + ("3" if text[-2] == "7" else "7") + "\n")


def set_size(out, size):
    (out / PART / "groups.json").write_text(json.dumps({"size": size}))


DAMAGE = {
    "torn groups": (lambda out: (out / PART / "groups.json").write_text('{"size": '), "groups.json cannot be read"),
    "text in groups": (lambda out: set_size(out, "2"), "groups.json has no size"),
    "a list of groups": (lambda out: (out / PART / "groups.json").write_text("[2]"), "groups.json was changed"),
    "other groups": (lambda out: set_size(out, 4), 'are of batches of 2 trial(s), not of 4: write {"size": 2} into'),
    "a torn request": (lambda out: (out / "sweep.json").write_text("{"), "sweep.json cannot be read"),
    "a lost row": (lambda out: change_digit(out / POINTS[0] / "eval.csv"), "lr=0.1/eval.csv has lost or changed rows"),
    "lost rows": (lambda out: (out / POINTS[1] / "metrics.csv").unlink(), "lr=0.4/metrics.csv has lost or changed"),
    "lost checkpoints": (lambda out: shutil.rmtree(out / PART / "checkpoints"), "no checkpoint in"),
}


@pytest.mark.parametrize("case", list(DAMAGE))
def test_a_damaged_sweep_does_not_go_on(sweeps, go_on, case):
    damage, message = DAMAGE[case]
    code, err, out = go_on(sweeps[0], damage)
    assert code == 2 and one_line(err) and message in err
    damaged = pathlib.Path(shutil.copytree(sweeps[0], out.parent / "damaged"))
    damage(damaged)
    for file in damaged.rglob("*.csv"):  # as the damage has left them
        assert (out / file.relative_to(damaged)).read_text() == file.read_text()


def test_lost_groups_are_found_by_what_was_asked_for(sweeps, go_on):
    code, _, out = go_on(sweeps[0], lambda out: (out / PART / "groups.json").unlink())
    assert code == 0 and tables(out) == tables(sweeps[1])


def test_lost_groups_are_not_other_groups(sweeps, go_on):
    argv = ARGV[:FREE] + ARGV[FREE + 2 :]  # all trials at a time
    code, err, _ = go_on(sweeps[0], lambda out: (out / PART / "groups.json").unlink(), argv)
    assert code == 2 and one_line(err) and 'write {"size": 2} into' in err


ENDED = {
    "a torn summary": (lambda out: (out / POINTS[0] / "summary.json").write_text("{"), "summary.json cannot be read"),
    "no summary": (lambda out: (out / POINTS[1] / "summary.json").unlink(), "summary.json is not there"),
    "a changed row": (lambda out: change_digit(out / POINTS[1] / "eval.csv"), "eval.csv was changed since"),
    "lost rows": (lambda out: (out / POINTS[0] / "metrics.csv").unlink(), "metrics.csv was changed since"),
}


@pytest.mark.parametrize("case", list(ENDED))
def test_a_damaged_sweep_that_has_ended_makes_no_other_tables(sweeps, go_on, case):
    damage, message = ENDED[case]
    code, err, out = go_on(sweeps[1], damage)
    assert code == 2 and one_line(err) and message in err
    assert tables(out) == tables(sweeps[1])  # as they were


def test_the_request_of_a_job_is_one_line_where_it_is_damaged(sweeps, tmp_path):
    from envs.errors import ConfigError
    from experiments.sweeps.request import read_request

    (tmp_path / "job.json").write_bytes((sweeps[0] / "job.json").read_bytes())
    assert read_request(tmp_path).algos == ("fake",)
    for text in ("{", "[]", "{}", '{"algos": 3, "envs": [], "run": [1]}'):
        (tmp_path / "job.json").write_text(text)
        with pytest.raises(ConfigError, match="job.json"):
            read_request(tmp_path)
