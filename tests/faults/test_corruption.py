"""Single changes to the files of a run and of a sweep, drawn with a seed: the numbers that there would have been, or
one line, exit code 2 and nothing lost; never a traceback, never other numbers."""

import pathlib
import re
import shutil
import signal

import numpy as np
import pytest

from envs.errors import ConfigError
from experiments import run, sweep
from experiments.analysis.curves import read_runs
from experiments.config.schema import read_config
from experiments.runs import checkpoint, find
from experiments.runs.results import last_evaluations
from experiments.sweeps import launch, train
from iacjax import load_policy
from tests.helpers.run_fixtures import compiled_once, fake_learner, once, unoptimised  # noqa: F401 (fixtures)

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")]

WORLD = ["--algo", "fake", "--env", "toy:coordination", "--seeds", "2", "--eval-episodes", "4", "--no-pictures"]
SAVING = ["--checkpoint-every", "0", "--chunk-iterations", "5"]  # of what is stopped; later only the end is saved
RUN = [*WORLD, "--num-envs", "2", "--rollout-length", "4", "--total-steps", "96", "--log-every", "1"]
RUN += ["--eval-every", "28"]  # 24 iterations, an evaluation at the seventh
SWEEP = [*WORLD, "--set", "num_envs=2", "rollout_length=4", "lr=0.1,0.4", "--total-steps", "48", "--log-every", "2"]
SWEEP += ["--eval-every", "12", "--seeds-per-batch", "2"]  # two groups, of which a stopped sweep has trained the first
KINDS = ("bit", "byte", "garbage", "zeros", "cut", "gone", "empty", "directory")


def change(file, kind, draw):
    """Changes a file; returns what puts it back."""
    whole = file.read_bytes()
    at = int(draw.integers(max(len(whole), 1)))
    if kind in ("gone", "directory"):
        file.unlink()
        if kind == "directory":
            file.mkdir()
    else:
        new = {
            "bit": lambda old: bytes([old[0] ^ 1 << draw.integers(8)]) + old[1:] if old else b"\x01",
            "byte": lambda old: draw.bytes(1) + old[1:],
            "garbage": lambda old: draw.bytes(min(64, len(old))) + old[64:],
            "zeros": lambda old: bytes(min(512, len(old))) + old[512:],
            "cut": lambda old: b"",
            "empty": lambda old: b"",
        }[kind](whole[at:])
        file.write_bytes((b"" if kind == "empty" else whole[:at]) + new)

    def undo():
        if file.is_dir():
            shutil.rmtree(file)
        file.write_bytes(whole)

    return undo


def stopped_after(group, iteration):
    """`Checkpoints.save` that asks to stop with a save of a group; it is heard after the next chunk, which is saved."""
    save = checkpoint.Checkpoints.save

    def save_then_signal(self, states, progress):
        save(self, states, progress)
        if (self.directory.name, progress.iteration) == (group, iteration):
            signal.raise_signal(signal.SIGTERM)

    return save_then_signal


def make_both(command, argv, option, parent, group, iteration):
    """(what was stopped, the same at its end)."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint.Checkpoints, "save", stopped_after(group, iteration))
        assert command.main([*argv, *SAVING, option, str(parent / "cut")]) == 128 + signal.SIGTERM
    assert command.main([*argv, option, str(parent / "whole")]) == 0
    return parent / "cut", parent / "whole"


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """(a run that was stopped, the same one at its end)."""
    both = make_both(run, RUN, "--run-dir", tmp_path_factory.mktemp("runs"), "seeds_0-1", 7)
    return [next(place.glob("*/*/*")) for place in both]


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory, compiled_once):  # noqa: F811
    """(a sweep that was stopped, the same one at its end). Their programs are traced once."""
    lower_size = once(train.lower_trials, lambda context, make, floats, size: size)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "lower_trials", lower_size)
        patch.setattr(launch, "free_programs", lambda: None)
        yield make_both(sweep, SWEEP, "--out", tmp_path_factory.mktemp("sweeps"), "lanes_2-3", 6)


def end_of_run(directory):
    rows = [(directory / f"{name}.csv").read_bytes() for name in ("metrics", "eval")]
    return rows, [parameters(directory, seed) for seed in (0, 1)]


def parameters(directory, seed):
    with np.load(directory / "policy" / f"seed_{seed}.npz") as arrays:
        return {name: arrays[name].tolist() for name in arrays.files}


def end_of_sweep(out):
    """Its tables, but for where they say that it is; so every row of every point."""
    texts = [(out / f"{name}.csv").read_text() for name in ("lanes", "eval", "metrics")]
    return [re.sub(",/[^\n]*/toy_", ",toy_", text) for text in texts]


def files_of(directory, pattern):
    """Relative paths, in an order that is the same in each run."""
    files = [path.relative_to(directory) for path in directory.rglob("*") if path.is_file()]
    return sorted(file for file in files if re.search(pattern, file.as_posix()))


def try_changes(original, files, kinds, count, go_on, end_of, due, place, capsys, seed):
    """Makes `count` changes, each to a copy of `original`, and goes on; what went wrong, in words.

    Kinds and files take turns, so that every kind and every file has its share; where in a file is drawn.
    """
    draw, wrong, answers = np.random.default_rng(seed), [], {0: 0, 2: 0}
    for k in range(count):
        kind, file = kinds[k % len(kinds)], files[(k // len(kinds) + k) % len(files)]
        copy = place / f"{k}"
        shutil.copytree(original, copy)
        undo = change(copy / file, kind, draw)
        try:
            capsys.readouterr()
            code = go_on(copy)
            said = capsys.readouterr().err
            answers[code] += 1
            if code == 2:
                if not (said.startswith("error: ") and said.count("\n") == 1):
                    wrong.append(f"{kind} {file}: not one line: {said}")
                undo()
                code = go_on(copy)  # nothing was lost
            if code != 0 or end_of(copy) != due:
                wrong.append(f"{kind} {file}: code {code}, other numbers after {said!r}")
        except Exception as error:
            wrong.append(f"{kind} {file}: {error!r}")
        shutil.rmtree(copy)
    return wrong, answers


def resume(directory):
    return run.main(["--resume", str(directory), "--checkpoint-every", "9999"])


def go_on_with_sweep(out):
    return sweep.main([*SWEEP, "--out", str(out)])


GROUPS = {
    "arrays": ("^checkpoints/.*(/d/|npz|npy|manifest)", ("bit", "byte", "garbage", "zeros"), 100),
    "checkpoints": ("^checkpoints/", KINDS, 64),
    "texts": (r"json|log\.txt|\.lock|sha256|SHA256SUMS|progress", KINDS, 104),
    "rows": (r"\.csv$", KINDS, 96),
    "policies": ("^policy/", KINDS, 48),
}


@pytest.mark.parametrize("group", list(GROUPS))
def test_changed_files_of_a_run(runs, group, tmp_path, capsys):
    pattern, kinds, count = GROUPS[group]
    cut, whole = runs
    files = files_of(cut, pattern)
    assert files
    wrong, answers = try_changes(
        cut, files, kinds, count, resume, end_of_run, end_of_run(whole), tmp_path, capsys, seed=len(group)
    )
    assert wrong == []
    assert sum(answers.values()) == count and answers[0] > 0


@pytest.mark.parametrize("ended, count", [(False, 96), (True, 64)])
def test_changed_files_of_a_sweep(sweeps, ended, count, tmp_path, capsys):
    cut, whole = sweeps
    original = whole if ended else cut
    files = files_of(original, "")
    due = end_of_sweep(whole)
    wrong, answers = try_changes(
        original, files, KINDS, count, go_on_with_sweep, end_of_sweep, due, tmp_path, capsys, seed=count
    )
    assert wrong == []
    assert sum(answers.values()) == count and min(answers.values()) > 0


def test_changed_policies_load_as_they_were_or_not_at_all(runs, tmp_path):
    _, whole = runs
    due, draw, answers = load_policy(whole), np.random.default_rng(5), {"same": 0, "refused": 0}
    for k in range(200):
        copy = pathlib.Path(shutil.copytree(whole / "policy", tmp_path / f"{k}" / "policy"))
        files = files_of(copy, "")
        change(copy / files[k // len(KINDS) % len(files)], KINDS[k % len(KINDS)], draw)
        try:
            found = load_policy(copy.parent)
        except ConfigError as error:
            assert "\n" not in str(error)
            answers["refused"] += 1
            continue
        assert (found.config, found.spec, found.seeds) == (due.config, due.spec, due.seeds)
        for ours, theirs in zip(found.params, due.params, strict=True):
            assert np.array_equal(ours["logits"], theirs["logits"])
        answers["same"] += 1
    assert answers["refused"] > 100


READERS = (read_config, last_evaluations, find.status, lambda directory: read_runs([directory]))


def test_what_reads_a_changed_run_reads_it_or_says_one_line(runs, tmp_path):
    """What the other commands read; an OSError of a directory in a file's place is one line of a command, too."""
    _, whole = runs
    draw, refused = np.random.default_rng(6), 0
    files = files_of(whole, "^[a-z.]*(json|csv)$")
    for k in range(200):
        copy = pathlib.Path(shutil.copytree(whole, tmp_path / f"{k}", ignore=shutil.ignore_patterns("checkpoints")))
        change(copy / files[k // len(KINDS) % len(files)], KINDS[k % len(KINDS)], draw)
        for read in READERS:
            try:
                read(copy)
            except (ConfigError, IsADirectoryError) as error:
                assert "\n" not in str(error)
                refused += 1
    assert refused > 50
