"""TensorBoard events: one TensorBoard run per seed, so that users choose how to smooth and average."""

import os
import pathlib
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any

from envs.errors import ConfigError
from experiments.loggers.csv import ROW_KEYS


def check_package() -> None:
    """Raises ConfigError where the package is not installed."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        raise ConfigError('--tensorboard needs its package: pip install "iacjax[tensorboard]"') from None


def scalars_of(table: str, row: dict[str, float]) -> dict[str, float]:
    """What a row of metrics.csv or eval.csv says, by TensorBoard's names; without what is undefined there."""
    return {f"{table}/{name}": value for name, value in row.items() if name not in ROW_KEYS and value == value}


class SeedEvents:
    """An event file, such as that of one seed and process, open only while it is appended to: a sweep has hundreds.

    tensorboardX's SummaryWriter cannot be used: it writes in a thread, which ends with a traceback when the disk is
    full, and the training then waits for it forever.
    """

    def __init__(self, directory: pathlib.Path, purge_step: int):
        """TensorBoard hides earlier events in `directory` from `purge_step` on."""
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
        from tensorboardX.proto.summary_pb2 import Summary

        self.add(Summary(value=[Summary.Value(tag=tag, simple_value=value) for tag, value in scalars.items()]), step)

    def add(self, summary: Any, step: int) -> None:
        """Appends a summary, a protocol buffer of tensorboardX or TensorBoard.

        Raises:
          OSError: as `write`.
        """
        from tensorboardX.proto.event_pb2 import Event
        from tensorboardX.proto.summary_pb2 import Summary

        own = Summary.FromString(summary.SerializeToString())
        self._append([Event(wall_time=time.time(), step=step, summary=own)])

    def _append(self, events: Sequence[Any]) -> None:
        """Appends the events as TFRecords: length, checksum of the length, data, checksum of the data."""
        from tensorboardX.record_writer import masked_crc32c

        with self._path.open("ab") as file:
            for data in (event.SerializeToString() for event in events):
                length = struct.pack("<Q", len(data))
                checksums = (struct.pack("<I", masked_crc32c(part)) for part in (length, data))
                file.write(length + next(checksums) + data + next(checksums))

    def sync(self) -> None:
        """Flushes the file to disk."""
        with self._path.open("rb") as file:
            os.fsync(file.fileno())


class TensorboardSink:
    """Writes <directory>/tensorboard/seed_<seed>; `metrics/...` and `eval/...` over environment steps."""

    def __init__(self, directory: pathlib.Path):
        check_package()
        self._directory = directory / "tensorboard"
        self._directory.mkdir(exist_ok=True)  # fails now, before anything is compiled
        self._events: dict[int, SeedEvents] = {}

    def write(self, table: str, rows: list[dict[str, float]]) -> None:
        for row in rows:
            seed, steps = int(row["seed"]), int(row["env_steps"])
            if seed not in self._events:
                self._events[seed] = SeedEvents(self._directory / f"seed_{seed}", purge_step=steps)
            self._events[seed].write(scalars_of(table, row), steps)

    def check(self, seeds: Sequence[int], iteration: int, known: dict[str, str]) -> None:
        """Nothing to check: event files are not read."""

    def trim(self, seeds: Sequence[int], iteration: int) -> None:
        """Nothing to do: the first row that is written again hides the later ones (`purge_step`)."""

    def digests(self, seeds: Sequence[int]) -> dict[str, str]:
        """None are kept."""
        return {}

    def sync(self) -> None:
        for events in self._events.values():
            events.sync()

    def close(self) -> None:
        """Nothing to do: no file is open between two writes."""
