"""What a machine does to a run, drawn with a seed: full disks, limits, a directory that goes away. One line and exit
code 2, or it goes well; never a traceback or a hang, and nothing that was saved is lost."""

import os
import pathlib
import resource
import shutil
import subprocess
import time

import numpy as np
import pytest

from experiments import run
from tests.helpers.disturbed import (
    CASES,
    FAKE,
    assert_ends_as,
    check_answer,
    checkpoints,
    run_dirs,
    start_fake,
    wait_for,
)
from tests.helpers.run_fixtures import compiled_once, fake_learner, unoptimised  # noqa: F401 (fixtures)

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def whole(tmp_path_factory, fake_learner, unoptimised, compiled_once):  # noqa: F811
    """A run that nothing has disturbed."""
    parent = tmp_path_factory.mktemp("whole")
    assert run.main([*FAKE, "--run-dir", str(parent)]) == 0
    return run_dirs(parent)[0]


@pytest.fixture
def disk(tmp_path):
    """(KiB) -> a file system with so much room, or that has so much more from now on."""
    place = tmp_path / "disk"
    place.mkdir()

    def resize(kib):
        how = f"remount,size={kib}k" if os.path.ismount(place) else f"size={kib}k"
        if subprocess.run(["mount", "-t", "tmpfs", "-o", how, "tmpfs", place], capture_output=True).returncode:
            pytest.skip("mounting is not possible here")
        return place

    yield resize
    subprocess.run(["umount", "-l", place], capture_output=True)


@pytest.mark.parametrize("case", range(2 * CASES))
def test_a_disk_that_becomes_full(whole, disk, case):
    kib = int(2 ** np.random.default_rng([1, case]).uniform(2, 9))
    place = disk(kib)
    code, said = check_answer(start_fake(place))
    assert code == 0 or "the disk is full" in said or "No space left" in said
    before = checkpoints(place)
    disk(16384)
    for directory in run_dirs(place):
        assert_ends_as(directory, whole)
        assert not (directory / "refused").exists()
    assert not before or run_dirs(place)


@pytest.mark.parametrize("case", range(CASES))
def test_files_that_may_not_grow(whole, tmp_path, case):
    limit = int(2 ** np.random.default_rng([2, case]).uniform(8, 16))
    code, said = check_answer(start_fake(tmp_path, limit=(resource.RLIMIT_FSIZE, limit)))
    assert code == 0 or "ulimit -f" in said or "File too large" in said
    for directory in run_dirs(tmp_path):
        assert_ends_as(directory, whole)


@pytest.mark.parametrize("case", range(CASES))
def test_too_few_files_at_once(whole, tmp_path, case):
    limit = int(np.random.default_rng([3, case]).integers(6, 48))
    code, said = check_answer(start_fake(tmp_path, limit=(resource.RLIMIT_NOFILE, limit)))
    assert (code, "ulimit -n" in said) == ((2, True) if limit < 32 else (0, False))
    for directory in run_dirs(tmp_path):
        assert_ends_as(directory, whole)


def drop_checkpoints(directory, aside):
    shutil.rmtree(directory / "checkpoints", ignore_errors=True)


def drop_rows(directory, aside):
    (directory / "metrics.csv").unlink()


GOES_AWAY = {
    "deleted": lambda directory, aside: shutil.rmtree(directory, ignore_errors=True),
    "moved": lambda directory, aside: directory.rename(aside),
    "checkpoints": drop_checkpoints,
    "rows": drop_rows,
}


@pytest.mark.parametrize("case", range(CASES))
@pytest.mark.parametrize("kind", GOES_AWAY)
def test_a_directory_that_goes_away(whole, tmp_path, kind, case):
    draw = np.random.default_rng([4, case, list(GOES_AWAY).index(kind)])
    runs, aside, at = tmp_path / "runs", tmp_path / "aside", int(draw.integers(20, 150))
    process = start_fake(runs)
    happened = wait_for(process, lambda: checkpoints(runs)[-1:] >= [at])
    time.sleep(draw.uniform(0, 0.05))
    directory = run_dirs(runs)[0]
    GOES_AWAY[kind](directory, aside)
    code, said = check_answer(process)
    assert happened
    if kind == "moved":  # nothing is begun anew in the old place
        assert code == 2 and not directory.exists()
        assert_ends_as(aside, whole)
    elif kind == "checkpoints":  # they are made again, unless one was just being written
        if code == 0 or checkpoints(runs):
            assert_ends_as(directory, whole)
    else:
        assert code == 2 and "it is not there" in said


def resident(process):
    """MiB that the process has in memory."""
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


@pytest.mark.skipif(not pathlib.Path("/proc/self/status").exists(), reason="no /proc")
def test_saving_leaves_nothing_in_memory(tmp_path):
    """600 chunks, each saved, of a run that is ended then. With orbax some 40 KiB a save stayed for ever: 20 MiB."""
    process = start_fake(tmp_path, "--total-steps", "400000")
    try:
        assert wait_for(process, lambda: checkpoints(tmp_path)[-1:] >= [500])
        early = resident(process)
        assert wait_for(process, lambda: checkpoints(tmp_path)[-1:] >= [3500])
        late = resident(process)
    finally:
        process.kill()
        process.wait()
    assert late - early < 6, (early, late)
