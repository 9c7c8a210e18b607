"""TensorBoard events, one run a seed, so that its own smoothing and averaging stay the reader's choice."""

import os
import pathlib
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any

from envs.errors import ConfigError
from experiments.loggers.csv import WHOLE


def check_package() -> None:
    """Raises ConfigError where the package is not installed."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        raise ConfigError('--tensorboard needs its package: pip install "iacjax[tensorboard]"') from None


class SeedEvents:
    """The event file of one seed and process, open only while it is appended to: a sweep has hundreds of them.

    tensorboardX's SummaryWriter is of no use: it writes in a thread, and where the disk is full that thread ends with a
    traceback, and the training waits for it for ever.
    """

    def __init__(self, directory: pathlib.Path, purge_step: int):
        """What stands in `directory` of `purge_step` and later is hidden."""
        from tensorboardX.proto.event_pb2 import Event, SessionLog

        directory.mkdir(parents=True, exist_ok=True)
        host = socket.gethostname()
        self._path = directory / f"events.out.tfevents.{time.time_ns() // 10**9}.{host}.{os.getpid()}.{time.time_ns()}"
        version = Event(wall_time=time.time(), step=purge_step, file_version="brain.Event:2")
        start = Event(wall_time=time.time(), step=purge_step, session_log=SessionLog(status=SessionLog.START))
        self._append([version, start])

    def write(self, scalars: dict[str, float], step: int) -> None:
        """Appends scalars by their names.

        Raises:
          OSError: the disk is full, or the like.
        """
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.summary import scalar

        now = time.time()
        self._append([Event(wall_time=now, step=step, summary=scalar(*item)) for item in scalars.items()])

    def _append(self, events: Sequence[Any]) -> None:
        """As TFRecords: length, its checksum, data, their checksum."""
        from tensorboardX.record_writer import masked_crc32c

        with self._path.open("ab") as file:
            for data in (event.SerializeToString() for event in events):
                length = struct.pack("<Q", len(data))
                checksums = (struct.pack("<I", masked_crc32c(part)) for part in (length, data))
                file.write(length + next(checksums) + data + next(checksums))

    def sync(self) -> None:
        """The file survives the death of the machine."""
        with self._path.open("rb") as file:
            os.fsync(file.fileno())


class TensorboardSink:
    """Writes <directory>/tensorboard/seed_<seed>; `metrics/...` and `eval/...` over environment steps."""

    def __init__(self, directory: pathlib.Path):
        check_package()
        self._directory = directory / "tensorboard"
        self._directory.mkdir(exist_ok=True)  # now, before anything is compiled
        self._events: dict[int, SeedEvents] = {}

    def write(self, table: str, rows: list[dict[str, float]]) -> None:
        for row in rows:
            seed, steps = int(row["seed"]), int(row["env_steps"])
            if seed not in self._events:
                self._events[seed] = SeedEvents(self._directory / f"seed_{seed}", purge_step=steps)
            names = [name for name in row if name not in WHOLE and row[name] == row[name]]
            self._events[seed].write({f"{table}/{name}": row[name] for name in names}, steps)

    def check(self, seeds: Sequence[int], iteration: int, known: dict[str, str]) -> None:
        """Event files are not read back."""

    def trim(self, seeds: Sequence[int], iteration: int) -> None:
        """What is written again takes the place of what was there, when it is written (`purge_step`)."""

    def digests(self, seeds: Sequence[int]) -> dict[str, str]:
        return {}

    def sync(self) -> None:
        for events in self._events.values():
            events.sync()

    def close(self) -> None:
        """Nothing is open between two writes."""
