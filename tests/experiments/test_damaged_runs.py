"""What damaged files of a run come to: the end that it would have come to, or one line, code 2 and nothing lost."""

import json
import pathlib
import shutil
import signal

import numpy as np
import pytest

from experiments.config.schema import read_config
from experiments.loggers.csv import read_table
from experiments.run import main
from experiments.runs import checkpoint, find, results
from experiments.training import train

# 24 iterations of 8 rows, 4 of them env steps; where it is stopped, half-way, there are two checkpoints.
SHORT = ["--algo", "fake", "--env", "toy:coordination", "--no-pictures", "--num-envs", "2", "--rollout-length", "4"]
SHORT += ["--total-steps", "96", "--seeds", "2", "--chunk-iterations", "5", "--log-every", "1", "--eval-every", "28"]
SHORT += ["--eval-episodes", "4", "--checkpoint-every", "0"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """(a run that was stopped on its way, the same one that was not)."""
    parent, save = tmp_path_factory.mktemp("runs"), checkpoint.Checkpoints.save

    def save_then_signal(self, states, progress):
        save(self, states, progress)
        if progress.iteration == 7:  # at an evaluation; heard after the next chunk, which is saved
            signal.raise_signal(signal.SIGTERM)

    assert main([*SHORT, "--run-dir", str(parent / "whole")]) == 0
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint.Checkpoints, "save", save_then_signal)
        assert main([*SHORT, "--run-dir", str(parent / "cut")]) == 128 + signal.SIGTERM
    cut, whole = (next((parent / name).glob("*/*/*")) for name in ("cut", "whole"))
    assert len(steps(cut)) == 2 and steps(cut)[0] == 7
    return cut, whole


@pytest.fixture
def cut(runs, tmp_path):
    """The run that was stopped; a copy for a test alone."""
    return pathlib.Path(shutil.copytree(runs[0], tmp_path / "cut"))


@pytest.fixture
def end(runs):
    """What it comes to."""
    return end_of(runs[1])


@pytest.fixture
def resume(capsys):
    """(directory, *options) -> (exit code, stdout, stderr)."""

    def call(directory, *options):
        capsys.readouterr()
        code = main(["--resume", str(directory), *options])
        return code, *capsys.readouterr()

    return call


def steps(directory):
    """The iterations of a run's checkpoints."""
    return sorted(int(path.name) for path in (directory / "checkpoints" / "seeds_0-1").iterdir())


def end_of(directory):
    """What a run has come to: its rows and its policies' parameters."""
    rows = [(directory / f"{name}.csv").read_text() for name in ("metrics", "eval")]
    arrays = [np.load(directory / "policy" / f"seed_{seed}.npz") for seed in (0, 1)]
    return rows, [{name: some[name].tolist() for name in some.files} for some in arrays]


def one_line(err):
    return err.startswith("error: ") and err.count("\n") == 1


def drop_row(file, at):
    lines = file.read_text().splitlines(keepends=True)
    del lines[at]
    file.write_text("".join(lines))


def change_digit(file):
    lines = file.read_text().splitlines(keepends=True)
    lines[1] = lines[1][:-2] + ("3" if lines[1][-2] == "7" else "7") + "\n"
    file.write_text("".join(lines))


LOST = {
    "a row": lambda file: drop_row(file, 2),
    "a digit": change_digit,
    "all": lambda file: file.unlink(),
    "the header": lambda file: drop_row(file, 0),
    "text": lambda file: file.write_bytes(b"\xff" + file.read_bytes()[1:]),
}


@pytest.mark.parametrize("name", ["metrics.csv", "eval.csv"])
def test_lost_rows_are_not_gone_on_from(cut, end, resume, name):
    """Nor touched: once they are restored the run ends as if nothing had been."""
    good = (cut / name).read_bytes()
    for kind, damage in LOST.items():
        damage(cut / name)
        left = (cut / name).read_bytes() if (cut / name).exists() else None
        code, _, err = resume(cut)
        assert (code, one_line(err), kind) == (2, True, kind), err
        assert "no usable checkpoint" in err and f"{cut / name} has" in err and "restore" in err
        assert left == ((cut / name).read_bytes() if left is not None else None)
        assert len(steps(cut)) == 2 and not (cut / "refused").exists()
        (cut / name).write_bytes(good)
    assert resume(cut)[0] == 0
    assert end_of(cut) == end


def test_rows_lost_since_the_older_checkpoint_are_made_again_from_it(cut, end, resume):
    drop_row(cut / "metrics.csv", -1)
    newest = steps(cut)[-1]
    code, out, _ = resume(cut)
    assert code == 0
    assert f"checkpoint {newest} is refused" in out and "resumed  seeds_0-1 at iteration 7" in out
    assert (cut / "refused" / f"seeds_0-1-{newest}").is_dir()
    assert end_of(cut) == end


def test_rows_of_no_seed_of_the_run_are_dropped(cut, end, resume):
    with (cut / "metrics.csv").open("a") as file:
        file.write(read_line(cut / "metrics.csv", -1).replace(",1,", ",9,", 1) + "garbage\n1,2\n")
    assert resume(cut)[0] == 0
    assert end_of(cut) == end


def read_line(file, at):
    return file.read_text().splitlines(keepends=True)[at]


def test_a_run_of_an_older_version_goes_on(cut, end, resume):
    """Its files have no digests, and its checkpoints know nothing of its rows."""
    (cut / "config.json.sha256").unlink()
    for step in (cut / "checkpoints" / "seeds_0-1").iterdir():
        (step / "SHA256SUMS").unlink()
        file = next(file for file in step.rglob("*") if file.is_file() and b'"fingerprint"' in file.read_bytes())
        record = json.loads(file.read_text())
        assert record.pop("rows").keys() == {"metrics", "eval"}
        file.write_text(json.dumps(record))
    card = json.loads((cut / "policy" / "policy.json").read_text())
    card = {name: value for name, value in card.items() if name not in ("files", "sha256")}
    (cut / "policy" / "policy.json").write_text(json.dumps(card))
    assert resume(cut)[0] == 0
    assert end_of(cut) == end


CONFIGS = [b'{"algo": ', b"", b"\xff\xfe\x80", b"[]", b"null", b'"x"', b"7" * 5000, b"[" * 100_000, None, "directory"]


@pytest.mark.parametrize("content", CONFIGS, ids=lambda content: str(content)[:12])
def test_what_is_no_configuration_is_one_line(tmp_path, capsys, content):
    if content == "directory":
        (tmp_path / "config.json").mkdir()
    elif content is not None:
        (tmp_path / "config.json").write_bytes(content)
    assert main(["--resume", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert one_line(err) and "config.json" in err


def test_a_changed_number_in_the_configuration_is_no_other_run(cut, resume):
    """Not even in a field that a resumed run may change; by the command line it may."""
    file = cut / "config.json"
    file.write_text(file.read_text().replace('"total_steps": 96', '"total_steps": 71'))
    code, _, err = resume(cut)
    assert code == 2 and one_line(err) and "does not match its digest" in err
    (cut / "config.json.sha256").unlink()  # it was meant
    assert resume(cut)[0] == 0
    assert read_table(cut / "eval.csv")[-1]["env_steps"] == 72
    assert resume(cut, "--total-steps", "76")[0] == 0
    assert read_config(cut).run.total_steps == 76
    assert resume(cut)[0] == 0


PLACES = ["versions.json", "log.txt", ".lock", "summary.json", "policy/policy.json", "eval.csv"]


@pytest.mark.parametrize("name", PLACES)
def test_a_directory_in_a_files_place_is_one_line(cut, resume, name):
    good = (cut / name).read_bytes()
    (cut / name).unlink()
    (cut / name).mkdir()
    code, _, err = resume(cut)
    assert code == 2 and one_line(err) and name in err
    (cut / name).rmdir()
    (cut / name).write_bytes(good)
    assert resume(cut)[0] == 0


def test_damaged_policies_are_saved_anew(cut, resume):
    before = end_of(cut)[1]
    files = [cut / "policy" / name for name in ("policy.json", "seed_0.npz", "seed_1.npz")]
    for file in files:
        file.write_bytes(file.read_bytes()[:40])
    done = ("--total-steps", str(4 * steps(cut)[-1]))  # as it stands: nothing is trained
    assert resume(cut, *done)[0] == 0
    assert end_of(cut)[1] == before
    shutil.rmtree(cut / "policy")
    assert resume(cut, *done)[0] == 0
    assert end_of(cut)[1] == before
    assert json.loads(files[0].read_text())["seeds"] == [0, 1]


def test_deleted_checkpoints_are_no_fresh_start(cut, resume):
    rows = (cut / "metrics.csv").read_text()
    (cut / "checkpoints").rename(cut / "elsewhere")
    code, _, err = resume(cut)
    assert code == 2 and one_line(err) and "no checkpoint in" in err
    assert (cut / "metrics.csv").read_text() == rows
    (cut / "checkpoints").write_text("")
    code, _, err = resume(cut)
    assert code == 2 and one_line(err) and "is a file, not a directory" in err
    (cut / "checkpoints").unlink()
    (cut / "elsewhere").rename(cut / "checkpoints")
    assert resume(cut)[0] == 0


def test_a_run_that_is_killed_before_its_pictures_is_not_finished(run, resume, monkeypatch):
    def killed(directory, say):
        raise KeyboardInterrupt

    drawn = []
    with monkeypatch.context() as patch:
        patch.setattr(train, "draw_pictures", killed)
        code, directory, out, _ = run(*SHORT, "--pictures", fast=False)
    assert code == 130 and find.status(directory) == "begun" and f"watch    {directory / 'curves.png'}" in out
    monkeypatch.setattr(train, "draw_pictures", lambda directory, say: drawn.append(directory))
    assert resume(directory)[0] == 0
    assert drawn == [directory] and find.status(directory) == "finished"


def test_a_longer_run_is_finished_once_it_has_come_to_its_end(run, resume, monkeypatch):
    _, directory, _, _ = run(*SHORT, fast=False)
    assert find.status(directory) == "finished"
    monkeypatch.setattr(results, "last_evaluations", None)  # what comes after the training
    with pytest.raises(TypeError):
        resume(directory, "--total-steps", "120")
    assert find.status(directory) == "begun"
