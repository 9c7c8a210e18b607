"""TensorBoard events, one run a seed, so that its own smoothing and averaging stay the reader's choice."""

import pathlib
from typing import Any

from envs.errors import ConfigError


class TensorboardSink:
    """Writes <directory>/tensorboard/seed_<seed>; `metrics/...` and `eval/...` over environment steps.

    What a resumed run writes again, from its checkpoint on, takes the place of what was there (`purge_step`).
    """

    def __init__(self, directory: pathlib.Path):
        try:
            from tensorboardX import SummaryWriter
        except ImportError:
            raise ConfigError('--tensorboard needs its package: pip install "iacjax[tensorboard]"') from None
        self._make, self._directory = SummaryWriter, directory / "tensorboard"
        self._writers: dict[int, Any] = {}

    def write(self, table: str, rows: list[dict[str, float]]) -> None:
        for row in rows:
            seed, steps = int(row["seed"]), int(row["env_steps"])
            if seed not in self._writers:
                self._writers[seed] = self._make(str(self._directory / f"seed_{seed}"), purge_step=steps)
            for name, value in row.items():
                if name not in ("iteration", "env_steps", "seed") and value == value:
                    self._writers[seed].add_scalar(f"{table}/{name}", value, steps)

    def sync(self) -> None:
        for writer in self._writers.values():
            writer.flush()

    def close(self) -> None:
        for writer in self._writers.values():
            writer.close()
