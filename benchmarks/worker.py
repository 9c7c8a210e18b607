"""A fresh process for one measurement: it frees all its memory, and ends whenever the command ends."""

import concurrent.futures
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable
from multiprocessing.connection import wait
from typing import Any


def fresh_process() -> concurrent.futures.ProcessPoolExecutor:
    """An executor of one process, to be used as a context manager."""
    context = multiprocessing.get_context("spawn")
    return concurrent.futures.ProcessPoolExecutor(1, context, initializer=_end_with_the_command)


def _end_with_the_command() -> None:
    """In the process: a thread ends it once its parent is gone; a measurement may take hours."""
    parent = multiprocessing.parent_process()

    def watch() -> None:
        wait([parent.sentinel])
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def row_of_process(function: Callable[..., dict[str, Any]], *arguments: Any, limit: float = 0.0) -> dict[str, Any]:
    """What the function returns in a fresh process; a row that says so where the process died, or its time was up.

    Args:
      limit: seconds, the start of the process included; 0: no limit.
    """
    with fresh_process() as pool:
        started = pool.submit(os.getpid)
        row = pool.submit(function, *arguments)
        try:
            return row.result(timeout=limit or None)
        except TimeoutError:
            os.kill(started.result(), signal.SIGKILL)
            return {"status": "timed out", "why": f"not measured in {limit:.0f} s", "limit_s": limit}
        except concurrent.futures.BrokenExecutor:
            return {"status": "does not fit", "why": "its process has died, most likely for memory"}
