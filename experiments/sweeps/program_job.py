"""What a job of a sweep does: train one program, saved and queued again where its time is up or others come first."""

import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

from experiments.loggers.console import Console
from experiments.sweeps import launch
from experiments.sweeps.files import read_request
from experiments.sweeps.plan import make_programs
from experiments.training.loop import Interrupted
from experiments.training.runtime import prepare_jax
from experiments.training.signals import Signals


class ProgramJob:
    """One program as a job. submitit pickles it."""

    def __call__(self, out: str, index: int) -> None:
        """Trains it on from where it stands. Where the job's time is up it is saved and queued again.

        Raises:
          SystemExit: it was stopped.
        """
        directory = pathlib.Path(out)
        request = read_request(directory)
        program = make_programs(request, out)[index]
        prepare_jax(program.settings.run, print)
        place = launch.program_dir(directory, program)
        place.mkdir(parents=True, exist_ok=True)
        with Console(place / "log.txt") as console, Signals().listening() as stop, _time_is_up(stop) as queue_again:
            try:
                launch.train_queue(directory, [program], console, stop)
            except Interrupted:
                console.end_progress()
                console.say("stopped, saved")
                if stop.received == signal.SIGUSR2 or _makes_room():
                    with contextlib.suppress(subprocess.SubprocessError):  # Slurm has done it already
                        queue_again()
                sys.exit(128 + stop.received)

    def checkpoint(self, out: str, index: int) -> Any:
        """What submitit queues again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, out, index)


@contextlib.contextmanager
def _time_is_up(stop: Signals) -> Iterator[Callable[[], None]]:
    """Inside, the signal that comes 90 s before a job's time is up (SIGUSR2) stops as Ctrl-C does, at the end of the
    chunk, saved. Gives what submitit does on that signal by itself, at once: queue the job again and leave."""
    submitits = signal.getsignal(signal.SIGUSR2)

    def remember(number: int, frame: Any) -> None:
        stop.received = number

    signal.signal(signal.SIGUSR2, remember)
    try:
        yield lambda: submitits(signal.SIGUSR2, None)
    finally:
        signal.signal(signal.SIGUSR2, submitits)


def _makes_room() -> bool:
    """Whether this is a job of Slurm's that was told to end for a more urgent one. Slurm queues it again by itself only
    where it had to kill it."""
    number = os.environ.get("SLURM_JOB_ID")
    if number is None:
        return False
    try:
        said = subprocess.run(["scontrol", "show", "job", number], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return re.search(r"PreemptTime=\d", said.stdout) is not None
