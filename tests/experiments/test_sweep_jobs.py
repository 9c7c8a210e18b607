"""Programs of a sweep as jobs: of a Slurm that is played by scripts and, where there is one, of Slurm itself."""

import csv
import importlib.util
import json
import os
import pathlib
import pickle
import shutil
import signal
import subprocess
import sys
import tempfile
import types

import pytest

from envs.errors import ConfigError
from experiments.sweeps import jobs, launch, program_job
from experiments.sweeps.command_line import parse
from experiments.sweeps.plan import make_programs
from experiments.sweeps.request import open_sweep
from experiments.training.loop import Interrupted
from experiments.training.signals import Signals

HERE = pathlib.Path(__file__).parent
needs_submitit = pytest.mark.skipif(
    importlib.util.find_spec("submitit") is None, reason="needs submitit: pip install iacjax[slurm]"
)
WORDS = ["--algo", "iql", "--env", "matrix_game", "--seeds", "1", "--set", "num_envs=16,32"]  # two programs


SBATCH = """#!/bin/sh
cd {0}
if [ -e refuse ] && [ $(cat submitted | wc -l) -ge $(cat refuse) ]; then
  echo "sbatch: error: invalid partition specified: nope" >&2
  echo "sbatch: error: Batch job submission failed: Invalid partition name specified" >&2
  exit 1
fi
number=$(expr 41 + $(cat submitted | wc -l))
echo "$1" >> submitted
echo "$number|PENDING|Resources" >> queue
echo "Submitted batch job $number"
"""
SQUEUE = """#!/bin/sh
cd {0}
[ ! -e broken ] || exit 1
echo look >> looks
cat queue
"""
SCANCEL = """#!/bin/sh
cd {0}
echo "$1" >> cancelled
grep -v "^$1|" queue > rest
mv rest queue
"""


class Played:
    """A Slurm of scripts: what is in its queue is a file, and no job does anything."""

    def __init__(self, folder, monkeypatch):
        self.folder = folder
        for name, text in (("sbatch", SBATCH), ("squeue", SQUEUE), ("scancel", SCANCEL), ("srun", "#!/bin/sh\n")):
            (folder / name).write_text(text.format(folder))
            (folder / name).chmod(0o755)
        for name in ("queue", "submitted", "looks", "cancelled"):
            (folder / name).touch()
        monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    def lines(self, name):
        return (self.folder / name).read_text().split("\n")[:-1]


@pytest.fixture
def slurm(tmp_path, monkeypatch):
    folder = tmp_path / "slurm"
    folder.mkdir()
    monkeypatch.setattr(jobs, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(jobs, "QUEUE_SECONDS", 0.02)
    monkeypatch.setattr(launch, "finish", lambda out, programs, console: console.say("the tables"))
    return Played(folder, monkeypatch)


@pytest.fixture
def sweep(tmp_path, monkeypatch):
    """(out, programs, what happens at the k-th poll) -> exit code of `submit_all`."""
    out = tmp_path / "out"
    programs = make_programs(parse(WORDS)[1], str(out))
    out.mkdir()

    def call(*events, options=None):
        queue_of_events = list(events)

        def sleep(seconds):
            if queue_of_events:
                queue_of_events.pop(0)()

        monkeypatch.setattr(jobs, "time", types.SimpleNamespace(sleep=sleep, monotonic=ticks().__next__))
        return jobs.submit_all(out, programs, "slurm", options or {})

    return out, call


def ticks():
    """A clock that goes on by 0.01 s a look at it."""
    at = 0.0
    while True:
        at += 0.01
        yield at


def finish(out, index):
    file = out / "programs" / f"{index:03}" / "finished.json"
    return lambda: file.write_text("{}")


@needs_submitit
def test_jobs_are_submitted_watched_and_their_tables_made(slurm, sweep, capsys):
    out, submit = sweep
    assert submit(*[lambda: None] * 8, finish(out, 1), finish(out, 0)) == 0
    said = capsys.readouterr().out
    assert len(slurm.lines("submitted")) == 2 and not slurm.lines("cancelled")
    assert "job      41: iql on matrix_game num_envs=16" in said
    assert "job      42: iql on matrix_game num_envs=32" in said
    assert "queue    2 pending (Resources)" in said and said.count("trained ") == 2 and "the tables" in said
    assert json.loads((out / "programs" / "000" / "job.json").read_text()) == {"job": "41"}
    assert submit() == 0 and len(slurm.lines("submitted")) == 2


@needs_submitit
def test_a_process_that_ends_leaves_its_jobs_and_the_next_one_waits_for_them(slurm, sweep, capsys):
    """SIGTERM ends the waiting; job 41 stays in the queue, 42 is gone when the command comes again: it is sent anew."""
    out, submit = sweep
    assert submit(lambda: signal.raise_signal(signal.SIGTERM)) == 128 + signal.SIGTERM
    assert "the jobs continue" in capsys.readouterr().out and not slurm.lines("cancelled")
    (slurm.folder / "queue").write_text("41|RUNNING|None\n7|PENDING|Priority\n")
    assert submit(*[lambda: None] * 8, finish(out, 0), finish(out, 1)) == 0
    said = capsys.readouterr().out
    assert "job      41: " in said and "job      43: " in said and "1 pending (Resources), 1 running" in said
    assert len(slurm.lines("submitted")) == 3


@needs_submitit
def test_ctrl_c_cancels_the_jobs_and_waits_for_them_to_save(slurm, sweep, capsys):
    out, submit = sweep
    assert submit(lambda: signal.raise_signal(signal.SIGINT)) == 128 + signal.SIGINT
    assert slurm.lines("cancelled") == ["41", "42"] and not slurm.lines("queue")
    assert "the jobs are cancelled" in capsys.readouterr().out
    assert len(slurm.lines("looks")) >= 3  # before they were sent, and twice until they have left


@needs_submitit
def test_what_a_job_died_of_is_told(slurm, sweep, capsys):
    """41 leaves a traceback, 42 is cancelled; that squeue does not answer for a while changes nothing."""
    out, submit = sweep

    def end():
        (slurm.folder / "broken").unlink()
        (slurm.folder / "queue").write_text("")
        trace = "Traceback\n  File x\nenvs.errors.ConfigError: the device has run out of memory\n"
        (out / "jobs" / "41_0_result.pkl").write_bytes(pickle.dumps(("error", trace)))
        text = "submitit WARNING: x\nslurmstepd: error: *** JOB 42 CANCELLED ***\nsrun: error: task 0: exit code 143\n"
        (out / "jobs" / "42_0_log.err").write_text(text)

    assert submit((slurm.folder / "broken").touch, *[lambda: None] * 9, end) == 1
    said = capsys.readouterr().out
    assert "failed   iql on matrix_game num_envs=16: the device has run out of memory (see " in said
    assert "failed   iql on matrix_game num_envs=32: slurmstepd: error: *** JOB 42 CANCELLED *** (see " in said
    assert "the tables" not in said


@needs_submitit
@pytest.mark.parametrize(
    "options, message",
    [
        ({"timeout_mins": 3}, "--job: Unknown executor 'timeout' in parameter 'timeout_mins': write e.g. timeout_min="),
        ({"slurm_partitoin": "a"}, "--job: Unknown argument 'partitoin' for executor 'slurm'"),
        ({"timeout_min": "long"}, '--job: Parameter "timeout_min" expected type'),
    ],
)
def test_options_that_submitit_does_not_know(slurm, sweep, options, message):
    with pytest.raises(ConfigError) as caught:
        sweep[1](options=options)
    assert str(caught.value).startswith(message) and "\n" not in str(caught.value)
    assert not slurm.lines("submitted")


@needs_submitit
def test_what_sbatch_refuses_is_one_line(slurm, sweep, capfd):
    (slurm.folder / "refuse").write_text("0")
    with pytest.raises(ConfigError, match="num_envs=16: invalid partition specified: nope; Batch .*: change --job$"):
        sweep[1]()
    assert capfd.readouterr().err == ""


@needs_submitit
def test_what_was_sent_before_sbatch_refused_is_told(slurm, sweep):
    """As where a user may have so many jobs: 41 is sent, the second is not; the next time only that one is sent."""
    out, submit = sweep
    (slurm.folder / "refuse").write_text("1")
    with pytest.raises(
        ConfigError, match="refused iql on matrix_game num_envs=32: .*: change --job; 1 job.s. submitted"
    ):
        submit()
    (slurm.folder / "refuse").unlink()
    assert submit(*[lambda: None] * 8, finish(out, 0), finish(out, 1)) == 0 and len(slurm.lines("submitted")) == 2


@needs_submitit
def test_where_there_is_no_slurm(sweep, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(ConfigError, match="no srun on this machine"):
        sweep[1]()


def test_the_end_of_a_jobs_time_stops_it_as_ctrl_c_does_and_queues_it_again():
    told = []
    before = signal.signal(signal.SIGUSR2, lambda number, frame: told.append(number))
    try:
        stop = Signals()
        with program_job.stop_at_limit(stop) as queue_again:
            signal.raise_signal(signal.SIGUSR2)
            assert stop() and stop.received == signal.SIGUSR2 and told == []
            queue_again()
        assert told == [signal.SIGUSR2]
        signal.raise_signal(signal.SIGUSR2)
        assert told == [signal.SIGUSR2] * 2
    finally:
        signal.signal(signal.SIGUSR2, before)


@pytest.mark.parametrize("number, again", [(signal.SIGUSR2, True), (signal.SIGTERM, False)])
def test_a_job_that_is_stopped_says_so_and_only_one_whose_time_is_up_is_queued_again(
    tmp_path, monkeypatch, number, again
):
    def train(out, programs, console, stop):
        signal.raise_signal(number)
        assert stop() and [program.index for program in programs] == [1]
        raise Interrupted

    told = []
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    monkeypatch.setattr(launch, "train_queue", train)
    request = parse(WORDS)[1]
    open_sweep(tmp_path, request, request)
    before = signal.signal(signal.SIGUSR2, lambda number, frame: told.append(number))
    try:
        with pytest.raises(SystemExit) as caught:
            program_job.ProgramJob()(str(tmp_path), 1)
    finally:
        signal.signal(signal.SIGUSR2, before)
    assert caught.value.code == 128 + number and told == ([signal.SIGUSR2] if again else [])
    assert "stopped, saved" in (tmp_path / "programs" / "001" / "log.txt").read_text()


@pytest.mark.parametrize("said, makes_room", [("PreemptTime=2026-11-21T23:28:41", True), ("PreemptTime=None", False)])
def test_a_job_thatis_preempted_knows(tmp_path, monkeypatch, said, makes_room):
    monkeypatch.delenv("SLURM_JOB_ID", raising=False)
    assert not program_job.is_preempted()
    (tmp_path / "scontrol").write_text(f'#!/bin/sh\n[ "$*" = "show job 7" ] && echo "JobId=7 {said}"\n')
    (tmp_path / "scontrol").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setenv("SLURM_JOB_ID", "7")
    assert program_job.is_preempted() == makes_room


def slurm_answers():
    if shutil.which("sbatch") is None or importlib.util.find_spec("submitit") is None:
        return False
    return subprocess.run(["sinfo"], capture_output=True, timeout=60).returncode == 0


@pytest.mark.slow
def test_two_programs_are_jobs_of_slurm():
    """Trained by Slurm itself, in a directory of the user's home, which its machines share."""
    if not slurm_answers():
        pytest.skip("needs Slurm (sbatch, and a controller that answers sinfo) and submitit")
    small = ["rollout_length=4", "hidden_dim=8", "buffer_size=64", "batch_size=4", "updates_per_step=0.125"]
    with tempfile.TemporaryDirectory(dir=pathlib.Path.home(), prefix="iacjax-tests-") as out:
        words = [*WORDS, *small, "recurrent=false", "--total-steps", "64", "--eval-episodes", "2", "--out", out]
        command = [sys.executable, "-m", "experiments.sweep", *words, "--launcher", "slurm", "--job", "timeout_min=15"]
        done = subprocess.run(command, capture_output=True, text=True, cwd=HERE.parents[1], timeout=900)
        assert done.returncode == 0, done.stdout + done.stderr
        assert done.stdout.count("trained ") == 2 and "winner" in done.stdout and done.stderr == ""
        with (pathlib.Path(out) / "lanes.csv").open(newline="") as file:
            assert [row["status"] for row in csv.DictReader(file)] == ["finished"] * 2
