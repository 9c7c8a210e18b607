"""What all commands share: input that cannot work ends in one line and exit code 2, never in a traceback."""

import contextlib
import errno
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from envs.errors import ConfigError

FILES, FEWEST_FILES = 1024, 32  # open at once: as many as wanted, and as many as a command needs at least
MAX_LINE = 2000  # characters; the longest of ours names all StarCraft maps
_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space, then try again",
    errno.EFBIG: "a file would become larger than files may be here (ulimit -f): raise the limit, then try again",
    errno.EDQUOT: "the disk quota is used up: free some space, then try again",
    errno.EACCES: "no permission to write there: choose another directory",
    errno.EPERM: "no permission to write there: choose another directory",
    errno.EROFS: "the file system is read-only: choose another directory",
    errno.ENOTDIR: "a part of the path is a file, not a directory: choose another directory",
    errno.ENAMETOOLONG: "the name is too long: choose another one",
    errno.ELOOP: "its links lead in a circle: choose another directory",
    errno.EEXIST: "a file stands where a directory is needed: choose another directory",
    errno.ENOENT: "it is not there: if it was moved or deleted while it was in use, put it back, then try again",
    errno.EMFILE: "too few files may be open at once (ulimit -n): raise the limit, then try again",
    errno.ENFILE: "too few files may be open at once on this machine: close some, then try again",
    errno.EISDIR: "a directory stands where a file is needed: move it away, or choose another directory",
}


def explain(error: OSError) -> str:
    """One line that says what the operating system refused, and what to do about it."""
    text = _ADVICE.get(error.errno, f"{error.strerror}: fix that, then try again")
    name = error.filename2 or error.filename  # of a rename, what it was to become
    return f"{name}: {text}" if name else text


def run_command(command: Callable[[Sequence[str]], int], argv: Sequence[str] | None = None) -> int:
    """Runs `command(argv)` and returns its exit code; 2, with one line on stderr, for input that cannot work."""
    try:
        _allow_files()
        return command(sys.argv[1:] if argv is None else argv)
    except ConfigError as error:
        message = str(error)
    except BrokenPipeError:  # the reader of the output, `head` for instance, has stopped: no error
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python writes the rest when it ends
        return 1
    except OSError as error:
        if error.errno is None:  # not from the operating system
            raise
        message = explain(error)
    print(f"error: {one_line(message)}", file=sys.stderr)
    return 2


def _allow_files() -> None:
    """Raises this process's limit of open files as far as allowed.

    Raises:
      ConfigError: that is too few to train, play and draw.
    """
    with contextlib.suppress(ImportError):  # not everywhere
        import resource

        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        if soft != resource.RLIM_INFINITY and soft < FILES:
            with contextlib.suppress(ValueError, OSError):
                soft = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
                resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            if soft < FEWEST_FILES:
                raise ConfigError(f"{soft} files may be open at once: allow more (ulimit -n {FILES}), then try again")


def one_line(message: str) -> str:
    """A message without line breaks, cut to MAX_LINE characters."""
    line = " ".join(message.splitlines())
    return line if len(line) <= MAX_LINE else f"{line[: MAX_LINE - 4]} ..."


class Ended:
    """The signal that ended a command; SIGINT until another one arrives."""

    number = int(signal.SIGINT)

    @property
    def code(self) -> int:
        """The exit code of a command that this signal ended."""
        return 128 + self.number


@contextlib.contextmanager
def signals_interrupt() -> Iterator[Ended]:
    """Inside, SIGTERM and SIGHUP raise KeyboardInterrupt, as Ctrl-C does, so that what was started is closed.

    An ignored signal (nohup) stays ignored, and a second signal does not interrupt the closing.
    """
    ended = Ended()

    def end(number: int, frame: Any) -> None:
        ended.number = number
        for each in before:
            signal.signal(each, signal.SIG_IGN)
        raise KeyboardInterrupt

    numbers = (signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers if signal.getsignal(number) != signal.SIG_IGN}
    for number in before:
        signal.signal(number, end)
    try:
        yield ended
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def leave(code: int) -> None:
    """Ends the process; after a signal without waiting for programs that still compile in the background."""
    if code > 128:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run_stoppable(command: Callable[[Sequence[str]], int], argv: Sequence[str] | None = None) -> int:
    """As `run_command`, for a command that handles the first Ctrl-C itself; the second one is exit code 130."""
    try:
        return run_command(command, argv)
    except KeyboardInterrupt:
        print("stopped at once", file=sys.stderr)
        return 130
