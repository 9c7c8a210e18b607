"""Ctrl-C and SIGTERM during training: the running chunk is finished and saved."""

import contextlib
import os
import signal
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
