"""The run command: what it writes, that an interrupted run ends as an uninterrupted one, and how it refuses."""

import errno
import json
import signal
import subprocess
import time

import numpy as np
import pytest

from experiments.loggers.csv import read_table
from experiments.run import main
from experiments.runs import checkpoint, find
from experiments.runs.results import write_summary
from experiments.training import loop, rows, train
from experiments.training.policies import SavePolicies

# 24 iterations of 8 rows, 4 of them env steps; windows, evaluations and chunks cross each other's edges.
SHORT = ["--total-steps", "96", "--seeds", "2", "--chunk-iterations", "5", "--log-every", "3", "--eval-every", "28"]
SHORT += ["--eval-episodes", "4", "--checkpoint-every", "0"]


def policies(directory):
    files = sorted((directory / "policy").glob("*.npz"))
    return {file.name: dict(np.load(file)) for file in files}


def last_state(directory):
    """All leaves of the newest checkpoint of the first group, straight from disk."""
    group = min((directory / "checkpoints").iterdir())
    step = max(int(p.name) for p in group.iterdir())
    with np.load(group / str(step) / "state.npz") as arrays:
        return step, [arrays[name] for name in arrays.files]


def assert_same_end(a, b):
    for name in ("metrics.csv", "eval.csv"):
        assert (a / name).read_text() == (b / name).read_text()
    (step, ours), (other_step, theirs) = last_state(a), last_state(b)
    assert step == other_step == 24
    assert len(ours) == len(theirs) > 5
    assert all(np.array_equal(x, y) for x, y in zip(ours, theirs, strict=True))
    ours, theirs = policies(a), policies(b)
    assert ours.keys() == theirs.keys() == {"seed_0.npz", "seed_1.npz"}
    for name, arrays in ours.items():
        assert all(np.array_equal(value, theirs[name][path]) for path, value in arrays.items())


def test_a_run_writes_its_directory(run):
    code, directory, out, err = run(*SHORT)
    assert (code, err) == (0, "")
    metrics, evals = read_table(directory / "metrics.csv"), read_table(directory / "eval.csv")
    assert [(r["iteration"], r["seed"]) for r in metrics] == [(i, s) for i in range(3, 25, 3) for s in (0, 1)]
    assert all(r["env_steps"] == 4 * r["iteration"] for r in metrics)
    assert list(metrics[0])[:6] == ["iteration", "env_steps", "seed", "episodes", "return_mean", "length_mean"]
    assert {"loss", "noise"} < set(metrics[0])
    assert metrics[0]["noise"] != metrics[1]["noise"]
    # 28 env steps are 7 iterations of 4
    assert [(r["iteration"], r["seed"]) for r in evals] == [(i, s) for i in (7, 14, 21, 24) for s in (0, 1)]
    config = json.loads((directory / "config.json").read_text())
    assert (config["algo"], config["env"], config["seeds"], config["algorithm"]["num_envs"]) == (
        "fake", "toy:coordination", 2, 2)  # fmt: skip
    assert {"python", "jax", "device"} <= json.loads((directory / "versions.json").read_text()).keys()
    summary = json.loads((directory / "summary.json").read_text())
    assert summary["status"] == "finished"
    assert [seed["env_steps"] for seed in summary["seeds"]] == [96, 96]
    assert policies(directory).keys() == {"seed_0.npz", "seed_1.npz"}
    for text in ("device ", "memory   state ", "compile ", "of which evaluating"):
        assert text in out
    assert out.index("memory ") < out.index("compile ")


@pytest.mark.parametrize("saves", [1, 2])
def test_interrupted_and_resumed_ends_as_if_it_had_not_been(run, monkeypatch, saves):
    _, whole, _, _ = run(*SHORT, into="whole")
    count = [0]
    save = checkpoint.Checkpoints.save

    def save_then_signal(self, *args):
        save(self, *args)
        count[0] += 1
        if count[0] == saves:
            signal.raise_signal(signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.Checkpoints, "save", save_then_signal)
        code, cut, out, _ = run(*SHORT, into="cut")
    assert code == 128 + signal.SIGTERM
    assert f"--resume {cut}" in out
    assert json.loads((cut / "summary.json").read_text())["status"] == "interrupted"
    assert main(["--resume", str(cut)]) == 0
    assert_same_end(whole, cut)


def test_seeds_of_unlike_episodes_end_and_are_evaluated_by_the_slowest(run, monkeypatch):
    """Episodes of 1 to 5 steps, so that of an iteration's 8 rows each seed acts in another number: rows tell what each
    has done, and do not hang on how the iterations were cut, nor on an interruption."""
    words = ["--env", "toy:variable", "--seeds", "2", "--total-steps", "150", "--eval-every", "40", "--log-every", "3"]
    words += ["--eval-episodes", "2", "--checkpoint-every", "0"]
    code, whole, _, _ = run(*words, "--chunk-iterations", "100", into="whole")
    assert code == 0
    metrics, evals = read_table(whole / "metrics.csv"), read_table(whole / "eval.csv")
    ends = {r["iteration"]: min(e["env_steps"] for e in evals if e["iteration"] == r["iteration"]) for r in evals}
    assert [int(steps // 40) for steps in ends.values()] == [1, 2, 3, 3] and 150 <= [*ends.values()][-1] < 158
    last = [r["env_steps"] for r in metrics[-2:]]
    assert last[0] != last[1] and max(last) < 8 * metrics[-1]["iteration"]
    for seed in (0, 1):  # what acted is in an episode that ended, or in one of the two that are open
        acted = sum(r["episodes"] * r["length_mean"] for r in metrics if r["seed"] == seed and r["episodes"])
        assert 0 <= last[seed] - acted <= 2 * 5
    stop = iter([False, False, False, True])
    with monkeypatch.context() as patch:
        patch.setattr("experiments.training.signals.Signals.__call__", lambda self: next(stop, False))
        _, cut, _, _ = run(*words, "--chunk-iterations", "3", into="cut")
    assert json.loads((cut / "summary.json").read_text())["status"] == "interrupted"
    assert main(["--resume", str(cut), "--chunk-iterations", "4"]) == 0
    for name in ("metrics.csv", "eval.csv"):
        assert (cut / name).read_text() == (whole / name).read_text()
    assert last_state(cut)[0] == last_state(whole)[0]
    assert all(np.array_equal(x, y) for x, y in zip(last_state(cut)[1], last_state(whole)[1], strict=True))


def test_nothing_is_told_of_updates_before_the_first_one(run):
    """4 env steps an iteration, warm-up 50: the 13th is the first that updates, so the row at 15 is of three, of what
    an update comes to; schedules are told throughout (1 less a hundredth of the steps so far)."""
    words = [*SHORT, "--warmup", "50", "--seeds", "1"]
    _, directory, _, _ = run(*words, into="three")
    _, each, _, _ = run(*words, "--log-every", "1", into="each")
    rows, single = read_table(directory / "metrics.csv"), read_table(each / "metrics.csv")
    assert all(np.isnan([r["loss"], r["noise"]]).all() == (r["iteration"] < 15) for r in rows)
    assert all(np.isnan(r["loss"]) == (r["iteration"] < 13) for r in single)
    assert rows[4]["iteration"] == 15
    assert rows[4]["loss"] == pytest.approx(np.mean([r["loss"] for r in single[12:15]]), rel=1e-6)
    assert [r["pace"] for r in single] == pytest.approx([1 - 0.04 * k for k in range(24)], abs=1e-6)
    assert rows[0]["pace"] == pytest.approx(0.96) and "nan" not in (directory / "metrics.csv").read_text()


def test_a_run_that_would_end_before_its_first_update_is_refused(run):
    code, directory, _, err = run(*SHORT, "--warmup", "97")
    assert (code, directory) == (2, None)
    assert one_line(err) and "in 96 env steps: its first update comes after 97: give --total-steps 97 or more" in err
    words = ["--algo", "qmix", "--env", "toy:time_limit", "--num-envs", "20", "--total-steps", "100", "--warmup", "8"]
    code, directory, _, err = run(*words, fast=False)
    assert (code, directory) == (2, None)
    assert one_line(err) and "after 120, when each of 20 environments has shown a whole sequence" in err


def test_rows_after_the_last_checkpoint_are_written_once(run, monkeypatch):
    """The process dies between a checkpoint and the next: rows of the lost iterations stand on disk."""
    _, whole, _, _ = run(*SHORT, into="whole")

    def die(self, training, rows):
        if training.progress.iteration == 14:
            raise RuntimeError("killed")

    with monkeypatch.context() as patch:
        patch.setattr(SavePolicies, "on_evaluation", die)
        with pytest.raises(RuntimeError, match="killed"):
            run(*SHORT, into="cut")
    cut = next((whole.parents[3] / "cut").glob("*/*/*"))
    assert read_table(cut / "eval.csv")[-1]["iteration"] == 14
    assert last_state(cut)[0] == 13  # chunks end at 4, 6, 7, 11, 13, 14
    assert main(["--resume", str(cut)]) == 0
    assert_same_end(whole, cut)


def test_kill_9_loses_only_what_came_after_the_last_checkpoint(run, fake_process, tmp_path):
    _, whole, _, _ = run(*SHORT, into="whole")
    command, environment = fake_process
    slow = [*command, *SHORT, "--run-dir", str(tmp_path / "cut"), "--total-steps", "2000000"]
    process = subprocess.Popen(slow, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        until = time.monotonic() + 600
        while len(list(tmp_path.glob("cut/*/*/*/checkpoints/*/[0-9]*"))) < 2 and time.monotonic() < until:
            assert process.poll() is None
            time.sleep(0.02)
    finally:
        process.kill()
        process.wait()
    cut = next((tmp_path / "cut").glob("*/*/*"))
    reached = max(r["iteration"] for r in read_table(cut / "eval.csv")) if (cut / "eval.csv").exists() else 0
    # Each run goes on to where the killed one would have been next, so that both have made the same iterations.
    goal = 4 * (24 if reached < 24 else int(reached) + 7)
    assert main(["--resume", str(cut), "--total-steps", str(goal)]) == 0
    assert main(["--resume", str(whole), "--total-steps", str(goal)]) == 0
    ours, theirs = ((d / "metrics.csv").read_text() for d in (cut, whole))
    assert ours == theirs
    assert all(np.array_equal(x, y) for x, y in zip(last_state(cut)[1], last_state(whole)[1], strict=True))


def test_groups_train_what_all_seeds_together_train(run):
    """One after the other or side by side: the same numbers, up to what vmap does to rounding."""
    _, together, _, _ = run(*SHORT, into="together")
    code, apart, out, _ = run(*SHORT, "--seeds-per-batch", "1", into="apart")
    assert code == 0
    for name in ("metrics.csv", "eval.csv"):
        ours, theirs = (
            sorted(read_table(d / name), key=lambda r: (r["seed"], r["iteration"])) for d in (together, apart)
        )
        for a, b in zip(ours, theirs, strict=True):
            assert a == pytest.approx(b, abs=1e-5, nan_ok=True)
    assert policies(apart).keys() == {"seed_0.npz", "seed_1.npz"}
    assert sorted(p.name for p in (apart / "checkpoints").iterdir()) == ["seeds_0-0", "seeds_1-1"]
    assert json.loads((apart / "policy" / "policy.json").read_text())["seeds"] == [0, 1]


def test_nan_stops_the_run_and_keeps_the_last_good_checkpoint(run):
    code, directory, _, err = run(*SHORT, "--nan-at", "12")
    assert code == 1
    assert err == "stopped: loss is nan for seed 0 at iteration 12; the checkpoint of iteration 11 is kept\n"
    assert last_state(directory)[0] == 11
    assert max(r["iteration"] for r in read_table(directory / "metrics.csv")) < 12


def test_a_run_may_stop_at_a_target_win_rate(run, monkeypatch):
    """The toy has no winner, so the loop is told that it has one, and every episode is won from the third on."""
    won = iter([0, 0, 1, 1, 1, 1])  # of each seed, evaluated after 7, 14 and 21 iterations
    evaluation_row = rows.evaluation_row

    class Winning(loop.TrainingLoop):
        def train(self):
            self.has_wins = True
            return super().train()

    monkeypatch.setattr(train, "TrainingLoop", Winning)
    monkeypatch.setattr(rows, "evaluation_row", lambda *args: evaluation_row(*args[:2], np.full(4, next(won)), args[3]))
    code, directory, _, _ = run(*SHORT, "--stop-at", "0.9")
    assert code == 0
    assert json.loads((directory / "summary.json").read_text())["status"] == "reached_target_win_rate"
    assert [r["win_rate"] for r in read_table(directory / "eval.csv")] == [0, 0, 1, 1, 1, 1]
    assert find.status(directory) == "reached_target_win_rate"
    write_summary(directory, "stopped_at_bar", {})  # as older versions wrote it
    assert find.status(directory) == "reached_target_win_rate"


def one_line(err):
    return err.startswith("error: ") and err.count("\n") == 1


@pytest.mark.parametrize(
    "argv, message",
    [
        (["--algo", "nothing"], "unknown algorithm 'nothing'"),
        (["--env", "smax:2s3y"], "did you mean 'smax:2s3z'"),
        (["--env", "chess"], "unknown environment 'chess'"),
        (["--seeds", "0"], "--seeds must be more than 0"),
        (["--total-steps", "-5"], "--total-steps must be more than 0"),
        (["--preset", "nothing"], "unknown preset 'nothing'"),
    ],
)
def test_wrong_input_ends_in_one_line_and_code_2(run, argv, message):
    code, directory, _, err = run(*argv, fast=False)
    assert (code, directory) == (2, None)
    assert one_line(err) and message in err


def test_an_unwritable_run_dir_is_code_2(run, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    for place in ("file", "file/below", "/proc/nowhere"):
        code, _, _, err = run(*SHORT, into=place)
        assert code == 2
        assert one_line(err) and "choose another --run-dir" in err


def test_resume_of_nothing_is_code_2(tmp_path, capsys):
    for path in (tmp_path / "nothing", tmp_path):
        assert main(["--resume", str(path)]) == 2
        err = capsys.readouterr().err
        assert one_line(err) and ("no run directory" in err or "no config.json" in err)
    (tmp_path / "config.json").write_text("{")
    assert main(["--resume", str(tmp_path)]) == 2
    assert "cannot be read" in capsys.readouterr().err


def test_a_config_that_does_not_match_the_checkpoint_is_code_2(run, capsys):
    _, directory, _, _ = run(*SHORT)
    assert main(["--resume", str(directory), "--lr", "0.5"]) == 2
    err = capsys.readouterr().err
    assert one_line(err) and "--lr 0.5 does not match the checkpoint (made with 0.1)" in err
    config = json.loads((directory / "config.json").read_text())
    config["algorithm"]["lr"] = 0.5  # edited behind its back
    (directory / "config.json").write_text(json.dumps(config))
    assert main(["--resume", str(directory)]) == 2
    err = capsys.readouterr().err
    assert one_line(err) and "does not match" in err


def test_a_full_disk_is_code_2(run, monkeypatch):
    def full(self, *args):
        raise OSError(errno.ENOSPC, "No space left on device", "somewhere")

    monkeypatch.setattr(checkpoint.Checkpoints, "save", full)
    code, _, _, err = run(*SHORT)
    assert code == 2
    assert one_line(err) and "somewhere: the disk is full" in err


def test_two_processes_do_not_share_a_directory(run, capsys):
    from experiments.runs.directory import locked

    _, directory, _, _ = run(*SHORT)
    with locked(directory):
        assert main(["--resume", str(directory)]) == 2
    assert "another process is training" in capsys.readouterr().err


def test_list_names_algorithms_presets_and_environments(capsys):
    assert main(["--list"]) == 0
    out = capsys.readouterr().out
    for text in ("aiir_mix", "paper", "smax:2s3z", "toy:coordination"):
        assert text in out
