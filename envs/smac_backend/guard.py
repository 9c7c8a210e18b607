"""Ends games when the command ends: a guard process kills the process group of a game once the command is gone.

After SIGKILL, or if a game hangs, neither the command nor the game's process can clean up, and the StarCraft II that
the game has started would keep running. So the guard is a separate process (a few hundred KiB). It waits on a pipe
whose other end only the command holds; the system closes it however the command ends.
"""

import multiprocessing
import subprocess

GRACE = 5  # seconds for a game to close by itself; PySC2 waits 3 s for StarCraft II to end

# `read` returns when the pipe is closed. `kill 0` kills the guard's process group, which is the game's.
_SCRIPT = f"trap '' HUP INT TERM; read _; sleep {GRACE}; kill -s KILL 0"


def start_guard() -> None:
    """Starts the guard of this process, which must lead its process group and be a child of `multiprocessing`."""
    parent = multiprocessing.parent_process()
    # multiprocessing's pipe by which a child notices that its parent is gone.
    subprocess.Popen(
        ["/bin/sh", "-c", _SCRIPT],
        stdin=parent.sentinel,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
