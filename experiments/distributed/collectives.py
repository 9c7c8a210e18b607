"""Several processes, on one machine or many, as one program: `jax.distributed`, and what they must agree on.

All run the same command. The lanes are spread over the devices of all processes, so every process calls the same
compiled programs in the same order; what a clock, a signal or a file decides is decided by one process and told to
the others. Process 0 alone reads and writes files, so the others need not see its disk. A process that is on its own
agrees with itself at once.
"""

import atexit
import contextlib
import functools
import hashlib
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from envs.errors import ConfigError

BLOCK = 2**24  # bytes that are sent at a time: what the devices must hold beside the lanes, times the processes
ENDED = "another process has ended, or the network between them; start the same command on all of them again: it goes"
ENDED += " on where process 0 has saved last"
LOST = ("Gloo", "NCCL", "oordination", "onnection", "eartbeat", "UNAVAILABLE", "DEADLINE_EXCEEDED")


@contextlib.contextmanager
def joined(coordinator: str, processes: int, index: int, address: str) -> Iterator[None]:
    """Inside, jax sees the devices of all processes. Enter it before jax has touched a device, after they have met
    (`rendezvous`).

    A process that fails leaves at once, without waiting for the others: they notice it at their next step.

    Args:
      coordinator: HOST:PORT of process 0.
      address: of this machine, by which the others reach it.

    Raises:
      ConfigError: one of the others has ended.
    """
    import jax

    jax.config.update("jax_enable_preemption_service", False)  # SIGTERM is ours
    _exchange_at(address)
    try:
        # Each has all the devices of its machine, also where a cluster's variables would tell jax to take one.
        jax.distributed.initialize(coordinator, processes, index, cluster_detection_method="deactivate")
        yield
        jax.distributed.shutdown()  # waits for the others
    except BaseException as error:
        ours = isinstance(error, ConfigError)
        lost = not ours and isinstance(error, RuntimeError | ValueError) and any(word in str(error) for word in LOST)
        user = lost or ours or isinstance(error, OSError)
        code = 2 if user else 130 if isinstance(error, KeyboardInterrupt) else 1
        atexit.register(_leave, code, index)
        if lost:
            raise ConfigError(ENDED) from error
        raise


def _exchange_at(address: str) -> None:
    """Has this process exchange arrays at this address, where it does so by Gloo (CPUs).

    Gloo by itself tells the others what this machine's host name means here: often 127.0.0.1 or 127.0.1.1, where
    nobody finds it, or another network. jax has no option for it; a later one may not have this name either.
    """
    with contextlib.suppress(ImportError, AttributeError):
        from jax._src.lib import _jax

        make = _jax.make_gloo_tcp_collectives
        make = getattr(make, "func", make)  # as it was, where this process has joined others before
        _jax.make_gloo_tcp_collectives = functools.partial(make, hostname=address)


def check_alike(what: Any) -> None:
    """Raises ConfigError, on all, where the processes were not asked for the same (json)."""
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).digest()
    if (gather_bytes(np.frombuffer(digest, np.uint8)) != np.frombuffer(digest, np.uint8)).any():
        raise ConfigError("the processes were given different commands: give each the same, but for --process-id")


def _leave(code: int, index: int) -> None:
    """Ends this process before jax waits for the others; process 0, whose end ends them, gives them time to speak."""
    sys.stdout.flush()
    sys.stderr.flush()
    if index == 0:
        time.sleep(3)
    os._exit(code)


def count() -> int:
    """Processes of this program."""
    import jax

    return jax.process_count()


def is_first() -> bool:
    """Whether this is the process that reads and writes files."""
    import jax

    return jax.process_index() == 0


def from_first(make: Callable[[], Any]) -> Any:
    """What `make()` gives on process 0 (json), on all; called there alone.

    Raises:
      ConfigError: on all, where process 0 raised it; an OSError of process 0 is a ConfigError on the others.
    """
    if count() == 1:
        return make()
    answer, error = {}, None
    if is_first():
        try:
            answer = {"value": make()}
        except (ConfigError, OSError) as caught:
            error, answer = caught, {"error": str(caught)}
    text = json.dumps(answer).encode()
    length = int(_from_first_block(np.array([len(text)], np.int32))[0])
    told = np.frombuffer(text.ljust(length), np.uint8) if is_first() else np.zeros(length, np.uint8)
    answer = json.loads(broadcast_bytes(told).tobytes())
    if error is not None:
        raise error
    if "error" in answer:
        raise ConfigError(f"process 0: {answer['error']}")
    return answer["value"]


def any_of(flag: bool) -> bool:
    """Whether the flag is set on one of the processes."""
    return bool(gather_bytes(np.array([flag], np.uint8)).any()) if count() > 1 else flag


def smallest(number: int | None) -> int | None:
    """The smallest of the processes' numbers; None where one has none."""
    if count() == 1:
        return number
    all_of_them = gather_bytes(np.array([-1 if number is None else number], np.int64).view(np.uint8)).view(np.int64)
    return None if (all_of_them < 0).any() else int(all_of_them.min())


def gather_bytes(mine: np.ndarray) -> np.ndarray:
    """uint8[n] of each process -> uint8[processes, n], on all."""
    from jax.experimental import multihost_utils

    parts = [np.asarray(multihost_utils.process_allgather(block)) for block in _blocks(mine)]
    return np.ascontiguousarray(np.concatenate(parts, axis=1)[:, : len(mine)])


def broadcast_bytes(mine: np.ndarray) -> np.ndarray:
    """uint8[n] of process 0, on all; the others give an array of that length."""
    return np.concatenate([_from_first_block(block) for block in _blocks(mine)])[: len(mine)]


def _from_first_block(block: np.ndarray) -> np.ndarray:
    from jax.experimental import multihost_utils

    return np.asarray(multihost_utils.broadcast_one_to_all(block))


def _blocks(data: np.ndarray) -> list[np.ndarray]:
    """In pieces of a few lengths (powers of two, at most BLOCK), each of which is compiled once; the last is padded."""
    size = min(BLOCK, 1 << max(6, (len(data) - 1).bit_length()))
    padded = np.zeros(-(-max(len(data), 1) // size) * size, data.dtype)
    padded[: len(data)] = data
    return np.split(padded, len(padded) // size)
