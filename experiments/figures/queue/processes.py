"""Trains the runs of a queue in several processes. This one starts them and writes their rows into the figures' files.

A run is a process of its own, so that each compiles for one core and a run that fails takes no other along. It goes on
in the run's directory, which is made here; `experiments.runs.directory.locked` keeps two processes out of one.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from typing import IO, NamedTuple

from envs.errors import ConfigError
from experiments.common.cli import explain
from experiments.common.cpu import give_core, one_core_environment
from experiments.common.text import duration
from experiments.figures.queue.queued_runs import DONE, QueuedRun, share_done
from experiments.runs import find
from experiments.runs.directory import create_directory
from experiments.training.signals import Signals

COMMAND = (sys.executable, "-m", "experiments.reproduce", "all", "--train")  # DIRECTORY and the figure's command line
POLL_SECONDS, REPORT_SECONDS = 0.2, 300.0
SHARED_DEVICE = {"XLA_PYTHON_CLIENT_PREALLOCATE": "false"}  # the first process would take most of a GPU's memory
NICE = 19  # the lowest priority: what else the machine does comes first
ERROR_LINES = 15  # of a process that failed, that are shown


class Worker(NamedTuple):
    """A process that trains a run."""

    queued: QueuedRun
    process: subprocess.Popen
    errors: IO[bytes]  # what it writes to stderr
    slot: int  # number of its core
    began: float  # by time.monotonic


class Crew:
    """Trains runs in their order, up to `count` at a time."""

    def __init__(
        self, queue: Sequence[QueuedRun], count: int, one_core: bool = True, say: Callable[[str], None] = print
    ):
        """Nothing is started yet.

        Args:
          one_core: whether each process gets a core of its own; else jax uses an accelerator.
        """
        self._queue, self._count, self._one_core, self._say = queue, count, one_core, say
        runs = {queued.run.settings: queued for queued in reversed(queue)}  # the first place of each
        first = [queued for queued in queue if runs[queued.run.settings] is queued]
        status = [queued.status for queued in queue]
        missing = [queued.run.settings for queued, each in zip(queue, status, strict=True) if each not in DONE]
        self._waiting = [queued for queued in first if queued.run.settings in missing]
        self._unkept = [queued for queued, each in zip(queue, status, strict=True) if each in find.FINISHED]
        self._total, self._finished = len(first), len(first) - len(self._waiting)
        self._running: list[Worker] = []
        self._failed: list[QueuedRun] = []

    def train(self) -> int:
        """Trains all that is not finished. Returns the exit code: 1 if a run failed, 128 + the signal if stopped."""
        with Signals().listening() as stop, self._closing():
            asked, reported = False, time.monotonic()
            while self._running or self._waiting or self._unkept:
                if stop() and not asked:
                    asked, self._waiting, self._unkept = True, [], []
                    self._ask_to_stop()
                self._fill()
                for worker in [each for each in self._running if each.process.poll() is not None]:
                    self._end(worker, asked)
                if time.monotonic() - reported > REPORT_SECONDS:
                    reported = time.monotonic()
                    self._report()
                if self._unkept:  # done earlier; its rows may have been lost with the process that was to write them
                    self._keep(self._unkept.pop(0))
                else:
                    time.sleep(POLL_SECONDS)
        if stop():
            return 128 + stop.received
        return 1 if self._failed else 0

    def _fill(self) -> None:
        free = sorted(set(range(self._count)) - {worker.slot for worker in self._running})
        for slot in free[: len(self._waiting)]:
            queued = self._waiting.pop(0)
            self._running.append(self._start(queued, slot))

    def _start(self, queued: QueuedRun, slot: int) -> Worker:
        begun = queued.run.directory
        directory = begun or create_directory(queued.run.settings)
        errors = tempfile.TemporaryFile()  # closed when the process has ended
        environment = {**os.environ, **(one_core_environment() if self._one_core else SHARED_DEVICE)}
        process = subprocess.Popen(
            [*COMMAND, str(directory), *queued.words],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=errors, env=environment,
        )  # fmt: skip
        with contextlib.suppress(ProcessLookupError):
            os.setpriority(os.PRIO_PROCESS, process.pid, NICE)
            if self._one_core:
                give_core(process.pid, slot)
        self._say(f"{'resumed' if begun else 'begun':<9}{queued.title}: {directory}")
        return Worker(queued, process, errors, slot, time.monotonic())

    def _end(self, worker: Worker, asked: bool) -> None:
        """Writes the rows of a run whose process has ended, and says how it ended."""
        self._running.remove(worker)
        queued, code, spent = worker.queued, worker.process.returncode, duration(time.monotonic() - worker.began)
        same = [each for each in self._queue if each.run.settings == queued.run.settings]
        for each in same:
            self._keep(each)
        if code == 0:
            self._finished += 1
            self._say(f"done     {queued.title} in {spent}; {self._finished} of {self._total} runs. To draw it:")
            for line in dict.fromkeys(each.drawing for each in same):
                self._say(f"         {line}")
        elif asked:
            self._say(f"stopped  {queued.title}{', saved' if code >= 128 else ''}")  # below 0: by a signal, at once
        else:
            self._failed.append(queued)
            self._say(f"failed   {queued.title} (exit code {code}); continuing with the others")
            worker.errors.seek(0)
            lines = worker.errors.read().decode(errors="replace").splitlines()
            self._say("\n".join(f"         {line}" for line in lines[-ERROR_LINES:]))
        worker.errors.close()

    def _keep(self, queued: QueuedRun) -> None:
        """Writes a run's rows; the others go on where that is not possible."""
        try:
            queued.training.keep(queued.run)
        except (ConfigError, OSError) as error:
            self._failed.append(queued)
            text = explain(error) if isinstance(error, OSError) else str(error)
            self._say(f"failed   {queued.title}: its rows are not written ({text}); the same command tries again")

    def _report(self) -> None:
        parts = [
            f"{each.queued.title} {share_done(each.queued.run, each.queued.run.directory):.0%}"
            for each in self._running
        ]
        self._say(f"{self._finished} of {self._total} runs are done; {', '.join(parts)}")

    def _ask_to_stop(self) -> None:
        """SIGTERM: Ctrl-C in a terminal has reached the processes, and a second SIGINT would stop them unsaved."""
        for worker in self._running:
            worker.process.send_signal(signal.SIGTERM)

    @contextlib.contextmanager
    def _closing(self) -> Iterator[None]:
        """Leaves no process behind. After a second Ctrl-C they end at once; after an error here they save first."""
        try:
            yield
        except Exception:
            self._ask_to_stop()
            for worker in self._running:
                worker.process.wait()
            raise
        finally:
            for worker in self._running:
                worker.process.kill()
                worker.process.wait()
                worker.errors.close()
