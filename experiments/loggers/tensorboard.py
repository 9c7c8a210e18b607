"""TensorBoard events, one run a seed, so that its own smoothing and averaging stay the reader's choice."""

import contextlib
import pathlib
import time

from envs.errors import ConfigError


def check_package() -> None:
    """Raises ConfigError where the package is not installed."""
    try:
        import tensorboardX  # noqa: F401
    except ImportError:
        raise ConfigError('--tensorboard needs its package: pip install "iacjax[tensorboard]"') from None


class SeedEvents:
    """The event file of one seed.

    Written at once: tensorboardX's SummaryWriter writes in a thread, and where the disk is full that thread ends with a
    traceback, and the training waits for it for ever.
    """

    def __init__(self, directory: str, purge_step: int):
        """What stands in `directory` of `purge_step` and later is hidden."""
        from tensorboardX.event_file_writer import EventsWriter
        from tensorboardX.proto.event_pb2 import Event, SessionLog
        from tensorboardX.summary import scalar

        pathlib.Path(directory).mkdir(parents=True, exist_ok=True)
        self._event, self._scalar = Event, scalar
        self._file = EventsWriter(f"{directory}/events")
        self._file.write_event(Event(step=purge_step, file_version="brain.Event:2"))
        self._file.write_event(Event(step=purge_step, session_log=SessionLog(status=SessionLog.START)))

    def add_scalar(self, name: str, value: float, step: int) -> None:
        summary = self._scalar(name, value)
        self._file.write_event(self._event(wall_time=time.time(), step=step, summary=summary))

    def flush(self) -> None:
        self._file.flush()

    def close(self) -> None:
        self._file.close()


class TensorboardSink:
    """Writes <directory>/tensorboard/seed_<seed>; `metrics/...` and `eval/...` over environment steps.

    What a resumed run writes again, from its checkpoint on, takes the place of what was there (`purge_step`).
    """

    def __init__(self, directory: pathlib.Path):
        check_package()
        self._directory = directory / "tensorboard"
        self._directory.mkdir(exist_ok=True)  # now, before anything is compiled
        self._writers: dict[int, SeedEvents] = {}

    def write(self, table: str, rows: list[dict[str, float]]) -> None:
        for row in rows:
            seed, steps = int(row["seed"]), int(row["env_steps"])
            if seed not in self._writers:
                self._writers[seed] = SeedEvents(str(self._directory / f"seed_{seed}"), purge_step=steps)
            for name, value in row.items():
                if name not in ("iteration", "env_steps", "seed") and value == value:
                    self._writers[seed].add_scalar(f"{table}/{name}", value, steps)

    def sync(self) -> None:
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        for writer in self._writers.values():
            with contextlib.suppress(OSError):  # each checkpoint was preceded by a flush, which has told of it
                writer.close()
