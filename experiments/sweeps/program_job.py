"""A job of a sweep: trains one program; out of time or preempted, it saves and is queued again."""

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
from experiments.sweeps.plan import make_programs
from experiments.sweeps.request import read_request
from experiments.training.loop import Interrupted
from experiments.training.runtime import prepare_jax
from experiments.training.signals import Signals


class ProgramJob:
    """One program as a job. submitit pickles it."""

    def __call__(self, out: str, index: int) -> None:
        """Trains the program, from its checkpoints on. When the job's time is up it is saved and queued again.

        Raises:
          SystemExit: it was stopped.
        """
        directory = pathlib.Path(out)
        request = read_request(directory)
        program = make_programs(request, out)[index]
        prepare_jax(program.settings.run, print)
        place = launch.program_dir(directory, program)
        place.mkdir(parents=True, exist_ok=True)
        with (
            Console(place / "log.txt") as console,
            Signals().listening() as stop,
            stop_at_limit(stop) as queue_again,
        ):
            try:
                launch.train_queue(directory, [program], console, stop)
            except Interrupted:
                console.end_progress()
                console.say("stopped, saved")
                if stop.received == signal.SIGUSR2 or is_preempted():
                    with contextlib.suppress(subprocess.SubprocessError):  # Slurm has requeued it already
                        queue_again()
                sys.exit(128 + stop.received)

    def checkpoint(self, out: str, index: int) -> Any:
        """What submitit queues again."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, out, index)


@contextlib.contextmanager
def stop_at_limit(stop: Signals) -> Iterator[Callable[[], None]]:
    """Inside, SIGUSR2, which Slurm sends 90 s before a job's time is up, stops as Ctrl-C does, at the end of the chunk,
    saved. Yields what submitit by itself does on that signal at once: it queues the job again and exits."""
    submitits = signal.getsignal(signal.SIGUSR2)

    def remember(number: int, frame: Any) -> None:
        stop.received = number

    signal.signal(signal.SIGUSR2, remember)
    try:
        yield lambda: submitits(signal.SIGUSR2, None)
    finally:
        signal.signal(signal.SIGUSR2, submitits)


def is_preempted() -> bool:
    """Whether a more urgent job preempts this Slurm job. Slurm itself requeues it only if it has to kill it."""
    number = os.environ.get("SLURM_JOB_ID")
    if number is None:
        return False
    try:
        shown = subprocess.run(["scontrol", "show", "job", number], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return re.search(r"PreemptTime=\d", shown.stdout) is not None
