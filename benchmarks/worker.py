"""A fresh process for one measurement: it frees all its memory, and ends whenever the command ends."""

import concurrent.futures
import multiprocessing
import os
import threading
from multiprocessing.connection import wait


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
