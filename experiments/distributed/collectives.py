"""What several processes of one program (see `connection`) must agree on.

All run the same command. Trials are sharded over the devices of all processes, so every process calls the same compiled
programs in the same order; what a clock, a signal or a file decides is decided by one process and broadcast. Process 0,
the main one, alone reads and writes files, so the others need not see its disk. A single process returns at once.
"""

import hashlib
import json
from collections.abc import Callable
from typing import Any

import numpy as np

from envs.errors import ConfigError

BLOCK = 2**24  # bytes sent at a time: times the processes, what devices hold in addition to the trials


def check_alike(what: Any) -> None:
    """Raises ConfigError, on all processes, where `what` (JSON) is not the same on all."""
    digest = np.frombuffer(hashlib.sha256(json.dumps(what, sort_keys=True).encode()).digest(), np.uint8)
    if process_count() > 1 and (gather_bytes(digest) != digest).any():
        raise ConfigError("the processes were given different commands: give each the same, except for --process-id")


def process_count() -> int:
    """The number of processes of this program."""
    import jax

    return jax.process_count()


def is_main() -> bool:
    """Whether this is the process that reads and writes files."""
    import jax

    return jax.process_index() == 0


def describe() -> str:
    """A line that says which of the processes this is."""
    import jax

    return f"process  {jax.process_index()} of {jax.process_count()}; process 0 writes"


def broadcast_from_main(make: Callable[[], Any]) -> Any:
    """Calls `make` on process 0 alone and returns its result (JSON) on all.

    Raises:
      ConfigError: on all, where process 0 raised it; an OSError of process 0 is a ConfigError on the others.
    """
    if process_count() == 1:
        return make()
    answer, error = {}, None
    if is_main():
        try:
            answer = {"value": make()}
        except (ConfigError, OSError) as caught:
            error, answer = caught, {"error": str(caught)}
    text = json.dumps(answer).encode()
    length = int(_broadcast_block(np.array([len(text)], np.int32))[0])
    sent = np.frombuffer(text.ljust(length), np.uint8) if is_main() else np.zeros(length, np.uint8)
    answer = json.loads(broadcast_bytes(sent).tobytes())
    if error is not None:
        raise error
    if "error" in answer:
        raise ConfigError(f"process 0: {answer['error']}")
    return answer["value"]


def all_any(flag: bool) -> bool:
    """Whether the flag is set on any process."""
    return bool(gather_bytes(np.array([flag], np.uint8)).any()) if process_count() > 1 else flag


def all_min(number: int | None) -> int | None:
    """The smallest of the processes' numbers; None where a process has none."""
    if process_count() == 1:
        return number
    all_of_them = gather_bytes(np.array([-1 if number is None else number], np.int64).view(np.uint8)).view(np.int64)
    return None if (all_of_them < 0).any() else int(all_of_them.min())


def gather_bytes(mine: np.ndarray) -> np.ndarray:
    """uint8[n] of each process -> uint8[processes, n], on all."""
    from jax.experimental import multihost_utils

    parts = [np.asarray(multihost_utils.process_allgather(block)) for block in split_blocks(mine)]
    return np.ascontiguousarray(np.concatenate(parts, axis=1)[:, : len(mine)])


def broadcast_bytes(mine: np.ndarray) -> np.ndarray:
    """uint8[n] of process 0, on all; the others give an array of that length."""
    return np.concatenate([_broadcast_block(block) for block in split_blocks(mine)])[: len(mine)]


def _broadcast_block(block: np.ndarray) -> np.ndarray:
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.broadcast_one_to_all(block))


def split_blocks(data: np.ndarray) -> list[np.ndarray]:
    """In pieces whose lengths are powers of two, at most BLOCK, so that few are compiled; the last is padded."""
    size = min(BLOCK, 1 << max(6, (len(data) - 1).bit_length()))
    padded = np.zeros(-(-max(len(data), 1) // size) * size, data.dtype)
    padded[: len(data)] = data
    return np.split(padded, len(padded) // size)
