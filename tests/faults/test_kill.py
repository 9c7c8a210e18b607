"""kill -9 at moments drawn with a seed, then resumed: in the end bitwise as if it had been left alone. A learner of
rollouts, one off policy, one with a replay of whole episodes, and a sweep."""

import time

import numpy as np
import pytest

from tests.helpers.disturbed import CASES, run_dirs, start, wait_for, what_is_written

pytestmark = pytest.mark.slow

KILLS = 2  # of a run
COMMON = ["--seeds", "2", "--eval-episodes", "2", "--checkpoint-every", "0", "--log-every", "3", "--no-pictures"]
COMMON += ["--chunk-iterations", "2"]
ROLLOUTS = ["--env", "toy:coordination", "--total-steps", "960", "--eval-every", "224"]
RUNS = {
    "aiir_mix": [*ROLLOUTS, "--num-envs", "2", "--rollout-length", "8", "--minibatches", "1"],
    "iac": ["--env", "toy:coordination_continuous", "--num-envs", "2", "--warmup", "20", "--batch-size", "16",
            "--buffer-size", "256", "--total-steps", "160", "--eval-every", "36"],
    "qmix": [*ROLLOUTS, "--num-envs", "2", "--rollout-length", "8", "--warmup", "64", "--batch-size", "4",
             "--updates-per-step", "0.0625", "--buffer-size", "512"],
}  # fmt: skip
SWEEP = ["-m", "experiments.sweep", "--algo", "aiir_mix", *ROLLOUTS, *COMMON]
SWEEP += ["--set", "num_envs=2", "rollout_length=8", "lr=1e-3,2e-3", "epochs=1,2", "minibatches=1"]


def finish(process):
    _, said = process.communicate(timeout=600)
    assert process.returncode == 0 and "Traceback" not in said, said


def saved(place):
    """How often what is below `place` has been saved, roughly: the iterations of its newest checkpoints, and the
    programs of a sweep that have ended."""
    newest = [int(path.name) for path in place.glob("**/checkpoints/*/[0-9]*") if path.name.isdigit()]
    return max(newest, default=0) + 1000 * len(list(place.glob("programs/*/finished.json")))


def kill_now_and_then(begin, place, draw):
    """Begins again and again, and kills, soon after the start or some checkpoints on; then to the end."""
    kills = 0
    while kills < KILLS:
        process = begin()
        if draw.random() < 0.25:
            until = time.monotonic() + draw.uniform(0.1, 10)
            running = wait_for(process, lambda until=until: time.monotonic() > until)
        else:
            goal = _saved(place) + int(draw.integers(1, 40))
            running = wait_for(process, lambda goal=goal: _saved(place) >= goal)
        time.sleep(draw.uniform(0, 0.03))
        process.kill()
        process.communicate()
        if not running:
            break
        kills += 1
    finish(begin())
    return kills


def _saved(place):
    try:
        return saved(place)
    except FileNotFoundError:  # it has just gone
        return 0


@pytest.fixture(scope="module")
def wholes(tmp_path_factory):
    """(algorithm) -> what a run of it that was left alone has written."""
    known = {}

    def get(algo):
        if algo not in known:
            parent = tmp_path_factory.mktemp(algo)
            finish(start(run_command(algo, parent)))
            known[algo] = what_is_written(run_dirs(parent)[0])
        return known[algo]

    return get


def run_command(algo, parent):
    return ["-m", "experiments.run", "--algo", algo, *RUNS[algo], *COMMON, "--run-dir", str(parent)]


@pytest.mark.parametrize("case", range(CASES))
@pytest.mark.parametrize("algo", RUNS)
def test_a_run_that_is_killed_ends_as_if_it_had_not_been(wholes, tmp_path, algo, case):
    whole = wholes(algo)

    def begin():
        begun = run_dirs(tmp_path)
        resume = ["-m", "experiments.run", "--resume", str(begun[0])] if begun else run_command(algo, tmp_path)
        return start(resume)

    assert kill_now_and_then(begin, tmp_path, np.random.default_rng([case, list(RUNS).index(algo)])) > 0
    ours = what_is_written(run_dirs(tmp_path)[0])
    assert len(run_dirs(tmp_path)) == 1 and ours.keys() == whole.keys()
    assert [name for name in whole if ours[name] != whole[name]] == []


def what_a_sweep_has_written(out):
    found = {str(path.relative_to(out)): path.read_bytes() for path in out.glob("toy*/*/*/*.csv")}
    for path in out.glob("toy*/*/*/policy/*.npz"):
        with np.load(path) as arrays:
            found |= {f"{path.relative_to(out)}/{key}": arrays[key].tobytes() for key in arrays.files}
    return found


@pytest.fixture(scope="module")
def whole_sweep(tmp_path_factory):
    out = tmp_path_factory.mktemp("sweep") / "whole"
    finish(start([*SWEEP, "--out", str(out)]))
    return what_a_sweep_has_written(out)


@pytest.mark.parametrize("case", range(CASES))
def test_a_sweep_that_is_killed_ends_as_if_it_had_not_been(whole_sweep, tmp_path, case):
    out = tmp_path / "out"
    draw = np.random.default_rng([case, 9])
    assert kill_now_and_then(lambda: start([*SWEEP, "--out", str(out)]), out, draw) > 0
    ours = what_a_sweep_has_written(out)
    assert ours.keys() == whole_sweep.keys() and len(ours) > 16
    assert [name for name in ours if ours[name] != whole_sweep[name]] == []
