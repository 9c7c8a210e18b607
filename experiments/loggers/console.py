"""Output on the screen: lines, also written to log.txt, and one progress line below them."""

import contextlib
import datetime
import pathlib
import time
from typing import Any

PLAIN_SECONDS = 20.0  # between progress lines where there is no terminal
CELL_SECONDS, CELL_BAR = 0.2, 16  # progress line of a notebook: seconds between updates, width of the bar


class Cell:
    """The progress line in the output of a notebook cell: one output that is replaced.

    Not a carriage return: a notebook that is executed without a browser would keep every line that was overwritten.
    """

    def __init__(self) -> None:
        self._shown: Any = None
        self._last = 0.0

    def show(self, steps: int, total: int, text: str) -> None:
        """Updates the line, unless it was updated less than CELL_SECONDS ago."""
        if self._shown and steps < total and time.monotonic() - self._last < CELL_SECONDS:
            return
        self._last = time.monotonic()
        full = CELL_BAR * min(steps, total) // total
        line = {"text/plain": f"{'━' * full}{'╌' * (CELL_BAR - full)} {100 * steps / total:.0f} %  {text}"}
        if self._shown:
            self._shown.update(line, raw=True)
        else:
            from IPython.display import display

            self._shown = display(line, raw=True, display_id=True)


class Console:
    """Prints lines and the progress of `total` environment steps. A context manager."""

    def __init__(self, log: pathlib.Path):
        from rich.console import Console as Terminal

        self._log = log.open("a")
        self.terminal = Terminal(soft_wrap=True, highlight=False)
        self._cell = Cell() if self.terminal.is_jupyter else None
        if self._cell:  # plain lines there, too: rich would make HTML of each
            self.terminal = Terminal(soft_wrap=True, highlight=False, force_jupyter=False, force_terminal=False)
        self._bar: Any = None
        self._task: Any = None
        self._last_plain = time.monotonic()

    def __enter__(self) -> "Console":
        return self

    def __exit__(self, *exception: object) -> None:
        self.end_progress()
        with contextlib.suppress(OSError):  # each line was flushed, and has raised what closing raises again
            self._log.close()

    def say(self, text: str) -> None:
        """Prints a line and writes it to log.txt with its UTC time."""
        self.terminal.print(text, markup=False)
        self.record(text)

    def record(self, text: str) -> None:
        """Writes a line to log.txt alone."""
        self._log.write(f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%S} {text}\n")
        self._log.flush()

    def progress(self, steps: int, total: int, text: str) -> None:
        """Updates the progress line; without a terminal or notebook, prints a plain line every PLAIN_SECONDS."""
        if self._cell:
            self._cell.show(steps, total, text)
            return
        if not self.terminal.is_terminal:
            if time.monotonic() - self._last_plain >= PLAIN_SECONDS or steps >= total:
                self._last_plain = time.monotonic()
                self.say(f"{100 * steps / total:5.1f} %  {text}")
            return
        if self._bar is None:
            from rich.progress import BarColumn, Progress, TextColumn

            texts = (TextColumn("{task.percentage:3.0f} %"), TextColumn("{task.fields[text]}"))
            self._bar = Progress(BarColumn(bar_width=24), *texts, console=self.terminal)
            self._task = self._bar.add_task("", total=total, text=text)
            self._bar.start()
        self._bar.update(self._task, completed=steps, total=total, text=text)

    def end_progress(self) -> None:
        """Leaves the progress line as it is; the next `progress` begins a new one."""
        if self._cell:
            self._cell = Cell()
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
