"""What all commands share: errors of the user's end in one line and exit code 2, never in a traceback."""

import contextlib
import errno
import os
import sys
from collections.abc import Callable, Sequence

from envs.errors import ConfigError

FILES, FEWEST_FILES = 1024, 32  # open at once: what is asked for; without these nothing is begun

_ADVICE = {
    errno.ENOSPC: "the disk is full: free some space, then try again",
    errno.EFBIG: "a file would become larger than files may be here (ulimit -f): raise the limit, then try again",
    errno.EDQUOT: "the disk quota is used up: free some space, then try again",
    errno.EACCES: "no permission to write there: choose another directory",
    errno.EPERM: "no permission to write there: choose another directory",
    errno.EROFS: "the file system is read-only: choose another directory",
    errno.ENOTDIR: "a part of the path is a file, not a directory: choose another directory",
    errno.EEXIST: "a file stands where a directory is needed: choose another directory",
    errno.ENOENT: "it is not there: if it was moved or deleted while it was in use, put it back, then try again",
    errno.EMFILE: "too few files may be open at once (ulimit -n): raise the limit, then try again",
    errno.ENFILE: "too few files may be open at once on this machine: close some, then try again",
}


def explain(error: OSError) -> str:
    """One line on what the system has refused, and what to do about it."""
    text = _ADVICE.get(error.errno, f"{error.strerror}: mend that, then try again")
    return f"{error.filename}: {text}" if error.filename else text


def run_command(command: Callable[[Sequence[str]], int], argv: Sequence[str] | None = None) -> int:
    """Runs `command(argv)` and returns its exit code; 2, with one line on stderr, for input that cannot work."""
    try:
        _allow_files()
        return command(sys.argv[1:] if argv is None else argv)
    except ConfigError as error:
        message = str(error)
    except OSError as error:
        if error.errno is None:  # none of the system's
            raise
        message = explain(error)
    print(f"error: {message}", file=sys.stderr)
    return 2


def _allow_files() -> None:
    """Lets this process open as many files at once as it may, where it has to ask for them.

    Raises:
      ConfigError: those are too few to train, play and draw with.
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


def leave(code: int) -> None:
    """Ends the process. One that was interrupted does not wait for programs that still compile in the background."""
    if code > 128:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def run_stoppable(command: Callable[[Sequence[str]], int], argv: Sequence[str] | None = None) -> int:
    """As `run_command`, of a command that hears the first Ctrl-C itself; one that stops it at once is 130."""
    try:
        return run_command(command, argv)
    except KeyboardInterrupt:
        print("stopped at once", file=sys.stderr)
        return 130
