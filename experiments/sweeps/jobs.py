"""The programs of a sweep as jobs, by submitit: Slurm jobs or, to try it without Slurm, local processes.

The id of a job is saved with its program's checkpoints (`job.json`): the process that waits for the jobs may end
before them, and the same command finds them again. `finished.json` says that a program has ended, and `squeue` that a
job has left the queue; accounting (`sacct`), which not every Slurm has, is not needed.
"""

import contextlib
import getpass
import io
import json
import pathlib
import pickle
import re
import signal
import subprocess
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from envs.errors import ConfigError
from experiments.common.cpu import share_cores
from experiments.common.files import write_json
from experiments.loggers.console import Console
from experiments.sweeps import launch
from experiments.sweeps.plan import Program
from experiments.sweeps.program_job import ProgramJob
from experiments.training.signals import Signals

POLL_SECONDS = 1.0
QUEUE_SECONDS = 15.0  # between two polls of Slurm's queue
RETRIES = 100  # times that a job whose time is up is queued again
LISTS = ("slurm_setup", "slurm_teardown", "slurm_srun_args")  # options of submitit's that are lists


def read_options(words: Sequence[str]) -> dict[str, Any]:
    """`--job KEY=VALUE ...` as submitit's parameters: numbers and truth values as such.

    Raises:
      ConfigError: a word that is not of that form, or one that asks for several processes per job.
    """
    options: dict[str, Any] = {}
    for word in words:
        key, equals, text = word.partition("=")
        if not equals or not key.isidentifier():
            raise ConfigError(f"--job {word}: write KEY=VALUE, e.g. timeout_min=240")
        value: Any = {"true": True, "false": False}.get(text, text)
        if re.fullmatch(r"(0|[1-9]\d*)(\.\d+)?", text):  # no 2024_15 or 007, which are names of accounts
            value = float(text) if "." in text else int(text)
        options[key] = [text] if key in LISTS else value
        if key in ("nodes", "tasks_per_node", "slurm_ntasks_per_node") and value != 1:
            raise ConfigError(f"--job {word}: a job is one process, on one machine with all the devices that it gets")
    return options


class SubmittedJob(NamedTuple):
    """A program, and the job that trains it."""

    program: Program
    place: pathlib.Path  # of the program's checkpoints
    job: Any  # submitit's

    @property
    def ended(self) -> bool:
        """Whether the program is trained."""
        return (self.place / "finished.json").exists()


def submit_all(out: pathlib.Path, programs: Sequence[Program], launcher: str, options: dict[str, Any]) -> int:
    """Submits a job (`slurm`, `local`) per program that has not ended, waits, and writes the tables; the exit code.

    Ctrl-C cancels the jobs, which save. If this process ends otherwise, Slurm's jobs continue.

    Raises:
      ConfigError: submitit is not installed, there is no Slurm, or it does not take an option.
    """
    executor = make_executor(out / "jobs", launcher, options)
    left = [program for program in programs if not (launch.program_dir(out, program) / "finished.json").exists()]
    with Console(out / "log.txt") as console, Signals().listening() as stop:
        known = queue() if left and launcher == "slurm" else {}
        sent = []
        if launcher == "local":  # all at once, on the same cores
            share_cores(len(left))
        for program in left:
            place = launch.program_dir(out, program)
            sent.append(_find(program, place, out / "jobs", known) or _submit(program, place, out, executor, len(sent)))
            console.say(f"job      {sent[-1].job.job_id}: {program.title}; its output is {sent[-1].job.paths.stdout}")
        if sent and launcher == "slurm":
            console.say("waiting  Ctrl-C cancels the jobs; if this ends otherwise they continue, and the same command")
            console.say("         waits for them again")
        if not _wait(sent, launcher, console, stop):
            return 128 + stop.received
        if not all(each.ended for each in sent):
            console.say("not all programs are trained; the same command tries the others again")
            return 1
        launch.finish(out, programs, console)
    return 0


def make_executor(folder: pathlib.Path, launcher: str, options: dict[str, Any]) -> Any:
    """submitit's executor.

    Raises:
      ConfigError: submitit is not installed, there is no Slurm, or it does not know an option.
    """
    try:
        import submitit
    except ImportError:
        raise ConfigError(f'--launcher {launcher} needs its package: pip install "iacjax[slurm]"') from None
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=launcher, slurm_max_num_timeout=RETRIES)
    except RuntimeError:
        raise ConfigError("--launcher slurm: no srun on this machine: run this where jobs are submitted") from None
    try:
        executor.update_parameters(**{"name": "iacjax", "timeout_min": 24 * 60, **options})
    except (RuntimeError, NameError, TypeError, ValueError, AssertionError) as error:
        text = str(error).splitlines()[0].split(". ")[0].rstrip(".")
        example = "timeout_min=240 mem_gb=16 cpus_per_task=4 gpus_per_node=1 slurm_partition=gpu slurm_account=me"
        raise ConfigError(f"--job: {text}: write e.g. {example}") from None
    return executor


def _submit(program: Program, place: pathlib.Path, out: pathlib.Path, executor: Any, earlier: int) -> SubmittedJob:
    """Submits a program's job; `earlier` jobs were submitted before it."""
    import submitit
    from submitit.core.utils import FailedJobError, FailedSubmissionError

    try:
        with contextlib.redirect_stderr(io.StringIO()):  # submitit prints what it raises
            job = executor.submit(ProgramJob(), str(out), program.index)
    except (FailedJobError, FailedSubmissionError) as error:
        said = "; ".join(line.removeprefix("sbatch: error: ") for line in str(error).splitlines())
        others = f"; {earlier} job(s) submitted before continue, and the same command waits for them" if earlier else ""
        raise ConfigError(f"sbatch refused {program.title}: {said}: change --job{others}") from None
    place.mkdir(parents=True, exist_ok=True)
    if isinstance(job, submitit.SlurmJob):  # the id of a local process may be that of another Slurm job
        write_json(place / "job.json", {"job": job.job_id})
    return SubmittedJob(program, place, job)


def _find(program: Program, place: pathlib.Path, folder: pathlib.Path, known: dict[str, str]) -> SubmittedJob | None:
    """The job that an earlier process has submitted, if it is still in the queue."""
    import submitit

    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        number = json.loads((place / "job.json").read_text())["job"]
        if number in known:
            return SubmittedJob(program, place, submitit.SlurmJob(folder, number))
    return None


def queue() -> dict[str, str]:
    """{number: state} of the user's jobs in Slurm's queue, with the reason of those that wait.

    Raises:
      ConfigError: Slurm does not answer.
    """
    command = ["squeue", "--noheader", "--format=%A|%T|%r", f"--user={getpass.getuser()}"]
    try:
        shown = subprocess.run(command, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigError(f"squeue does not answer ({error}): try again") from None
    if shown.returncode != 0:
        raise ConfigError(f"squeue: {' '.join(shown.stderr.split())}: try again")
    jobs = {}
    for line in shown.stdout.splitlines():
        number, state, reason = line.strip().split("|", 2)
        jobs[number] = f"{state.lower()} ({reason})" if state == "PENDING" else state.lower()
    return jobs


class Watcher:
    """Which jobs are running: by Slurm's queue, polled now and then; of a local job, by its process."""

    def __init__(self, launcher: str):
        self._slurm = launcher == "slurm"
        self._looked = time.monotonic() - 0.8 * QUEUE_SECONDS  # the first look comes soon
        self._missed: dict[str, int] = {}  # looks in a row that did not find the job
        self.states: dict[str, str] = {}

    def has_left(self, job: Any) -> bool:
        """Whether a job has ended. A Slurm job: two polls in a row did not find it, so its last files are seen here."""
        return self._missed.get(job.job_id, 0) > 1 if self._slurm else job.done()

    def look(self, jobs: Sequence[Any], every: float) -> None:
        """Polls Slurm's queue, at most once in `every` seconds; without an answer the states stay."""
        if not self._slurm or time.monotonic() - self._looked < every:
            return
        self._looked = time.monotonic()
        with contextlib.suppress(ConfigError):
            known = queue()
            self.states = {job.job_id: known[job.job_id] for job in jobs if job.job_id in known}
            for job in jobs:
                self._missed[job.job_id] = 0 if job.job_id in known else self._missed.get(job.job_id, 0) + 1


def _wait(sent: Sequence[SubmittedJob], launcher: str, console: Console, stop: Signals) -> bool:
    """Waits until all jobs have ended, and prints changes; False where the user stopped it (Ctrl-C cancels them)."""
    watcher, at_work, shown = Watcher(launcher), list(sent), ""
    while at_work:
        if stop():
            if stop.received == signal.SIGINT or launcher != "slurm":
                _cancel(at_work, watcher)
                console.say("stopped: the jobs are cancelled; the same command resumes them")
            else:
                console.say("stopped waiting: the jobs continue; the same command waits for them again")
            return False
        watcher.look([each.job for each in at_work], QUEUE_SECONDS)
        for each in [each for each in at_work if each.ended or watcher.has_left(each.job)]:
            at_work.remove(each)
            console.say(f"trained  {each.program.title}" if each.ended else _failure(each))
        states = sorted(watcher.states.get(each.job.job_id, "") for each in at_work)
        line = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states) if state)
        if line and line != shown:
            console.say(f"queue    {line}")
            shown = line
        time.sleep(POLL_SECONDS if at_work else 0)
    return True


def _cancel(sent: Sequence[SubmittedJob], watcher: Watcher) -> None:
    """Cancels the jobs and waits until they have saved and ended (Slurm kills a job after its KillWait)."""
    for each in sent:
        with contextlib.suppress(subprocess.CalledProcessError):  # it has ended meanwhile
            each.job.cancel()
    while not all(watcher.has_left(each.job) for each in sent):
        time.sleep(POLL_SECONDS)
        watcher.look([each.job for each in sent], 2 * POLL_SECONDS)


def _failure(sent: SubmittedJob) -> str:
    return f"failed   {sent.program.title}: {why(sent.job)} (see {sent.job.paths.stderr})"


class _PlainUnpickler(pickle.Unpickler):
    """Reads strings, numbers and lists, which a file of submitit holds. Anything else could run code from the file."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"{module}.{name} is not a plain value")


def why(job: Any) -> str:
    """Why a job did not train its program to the end: its exception, or the last line that Slurm wrote."""
    with contextlib.suppress(OSError, EOFError, ValueError, TypeError, pickle.UnpicklingError):
        outcome, trace = _PlainUnpickler(io.BytesIO(job.paths.result_pickle.read_bytes())).load()
        if outcome == "error":
            return trace.strip().splitlines()[-1].removeprefix("envs.errors.ConfigError: ")
    try:
        lines = job.paths.stderr.read_text(errors="replace").splitlines()
    except OSError:
        lines = []
    lines = [line for line in lines if line.strip() and not line.startswith("srun:") and "submitit" not in line]
    return lines[-1] if lines else "it ended without output"
