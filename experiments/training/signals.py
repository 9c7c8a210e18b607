"""Ctrl-C and SIGTERM during training: the running chunk is finished and saved."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any


class Signals:
    """Remembers a Ctrl-C or SIGTERM; a second Ctrl-C stops at once."""

    def __init__(self) -> None:
        self.received = 0

    def __call__(self) -> bool:
        return self.received != 0

    @contextlib.contextmanager
    def listening(self) -> Iterator["Signals"]:
        def remember(number: int, frame: Any) -> None:
            if self.received and number == signal.SIGINT:
                raise KeyboardInterrupt
            self.received = number  # first: a second signal may come during the message below
            if number == signal.SIGINT:  # os.write: a signal may come in the middle of a print
                os.write(2, b"\nstopping once this chunk is saved; Ctrl-C again stops at once\n")

        before = {number: signal.signal(number, remember) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


@contextlib.contextmanager
def stop_with_parent(poll_seconds: float = 2.0) -> Iterator[None]:
    """Inside, this process gets a SIGTERM if the process that started it dies, so that it does not go on unseen."""
    parent, ended = os.getppid(), threading.Event()

    def watch() -> None:
        while not ended.wait(poll_seconds):
            if os.getppid() != parent:
                os.kill(os.getpid(), signal.SIGTERM)
                return

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        ended.set()
