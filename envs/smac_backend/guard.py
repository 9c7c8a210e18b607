"""Games end with the command: a guard beside each game's process kills its whole process group once nobody asks.

Neither SIGKILL nor a hanging game leaves a chance to clean up, in the command or in the game's process, and the
StarCraft II that the game has started would live on. So the guard is a process of its own, of a few hundred KiB. It
waits at a pipe whose other end the command alone holds, and which the system closes however the command ends.
"""

import multiprocessing
import subprocess

GRACE = 5  # seconds in which a game that does not hang closes by itself; PySC2 waits 3 s for StarCraft II to end

# `read` returns when the pipe is closed. `kill 0` is of the guard's own process group, which is the game's.
_SCRIPT = f"trap '' HUP INT TERM; read _; sleep {GRACE}; kill -s KILL 0"


def start_guard() -> None:
    """Starts the guard of this process, which must lead its group and be a child of `multiprocessing`'s."""
    parent = multiprocessing.parent_process()
    # multiprocessing's own pipe, by which a child sees that its parent is gone: no second one is needed.
    subprocess.Popen(
        ["/bin/sh", "-c", _SCRIPT],
        stdin=parent.sentinel,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
