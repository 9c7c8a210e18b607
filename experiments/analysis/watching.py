"""Runs as TensorBoard shows them: their rows, configurations and newest videos as event files, kept up to date.

It reads what every run writes, so any run can be watched, whether or not it logs to TensorBoard. For a run called NAME
there are the TensorBoard runs NAME, with config.json as text and the newest GIF as an image, and NAME/seed_0, ..., with
the columns of metrics.csv and eval.csv as scalars over environment steps, and the configuration as hyper-parameters.
"""

import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any

from envs.errors import ConfigError
from experiments.analysis.curves import config_of_run
from experiments.common.files import read_object
from experiments.config.schema import CHANGEABLE
from experiments.loggers.csv import TABLES, read_table
from experiments.loggers.tensorboard import SeedEvents, scalars_of

NAME_PARTS = 3  # of a run's path in its name, or more where two would have one name: <env>/<algo>/<run>


class WatchedRuns:
    """The runs in some folders, those that are begun later included."""

    def __init__(self, folders: Sequence[pathlib.Path], place: pathlib.Path):
        """
        Args:
          folders: directories of runs, or folders with such directories anywhere below.
          place: where the event files go; TensorBoard's --logdir.

        Raises:
          ConfigError: a folder that does not exist or has no run.
        """
        self._folders, self._place = [folder.resolve() for folder in folders], place
        self._runs: dict[pathlib.Path, _WatchedRun] = {}
        self._shown: set[pathlib.Path] = set()
        for folder in self._folders:
            if not folder.is_dir():
                raise ConfigError(f"there is no directory {folder}: give those of runs")
            if not _runs_below(folder):
                raise ConfigError(f"no run in {folder}: give the directory of a run, or one with runs below")

    def update(self) -> tuple[list[str], str]:
        """Adds what the runs have written since the last call. A run with a damaged file does not keep the others away.

        Returns:
          The names of the runs that are there for the first time, and one line about the first damaged one, "" if there
          is none.
        """
        new, wrong = [], ""
        for directory in sorted({run for folder in self._folders for run in _runs_below(folder)}):
            try:
                if directory not in self._runs:
                    name = _short_name(directory, {run.name for run in self._runs.values()})
                    self._runs[directory] = _WatchedRun(directory, name, self._place)
                self._runs[directory].update()
                if directory not in self._shown:
                    self._shown.add(directory)
                    new.append(self._runs[directory].name)
            except FileNotFoundError:  # it is being deleted
                continue
            except ConfigError as error:
                wrong = wrong or str(error)
        return new, wrong


class _WatchedRun:
    """The event files of one run."""

    def __init__(self, directory: pathlib.Path, name: str, place: pathlib.Path):
        config_of_run(directory)  # raises where it is none
        self._directory, self.name, self._place = directory, name, place
        self._config = read_object(directory / "config.json")
        self._events: dict[str, SeedEvents] = {}
        self._seen: dict[pathlib.Path, tuple[int, int]] = {}  # modification and size of a file when it was last read
        self._last: dict[tuple[str, int], int] = {}  # (table, seed): iteration of the last row that was added
        self._steps = 0  # env steps of the newest row
        self._events_of("").add(_text("configuration", self._config), 0)

    def update(self) -> None:
        for table in TABLES:
            file = self._directory / f"{table}.csv"
            if self._has_changed(file):
                self._add_rows(table, read_table(file, needs=("seed", "env_steps", "iteration")))
        videos = sorted(self._directory.glob("*.gif"), key=lambda file: file.stat().st_mtime)
        if videos and self._has_changed(videos[-1]):
            self._events_of("").add(_image("video", videos[-1]), self._steps)

    def _add_rows(self, table: str, rows: Sequence[dict[str, float]]) -> None:
        """A run that is resumed writes its rows after the checkpoint again, the same ones: they are passed over."""
        for row in rows:
            seed, iteration, steps = (int(row[name]) for name in ("seed", "iteration", "env_steps"))
            if iteration > self._last.get((table, seed), -1):
                self._events_of(f"seed_{seed}").write(scalars_of(table, row), steps)
                self._last[table, seed] = iteration
                self._steps = max(self._steps, steps)

    def _events_of(self, part: str) -> SeedEvents:
        """The file of the whole run, "", or of a seed."""
        if part not in self._events:
            self._events[part] = SeedEvents(self._place / self.name / part, purge_step=0)
            if part:
                self._events[part].add(_hyper_parameters(self._config, self.name), 0)
        return self._events[part]

    def _has_changed(self, file: pathlib.Path) -> bool:
        if not file.exists():
            return False
        now = (file.stat().st_mtime_ns, file.stat().st_size)
        changed, self._seen[file] = self._seen.get(file) != now, now
        return changed


def _short_name(directory: pathlib.Path, taken: set[str]) -> str:
    """The last parts of a path, as many as it takes to differ from the names that are `taken`."""
    parts = directory.parts[1:]
    names = ("/".join(parts[-count:]) for count in range(NAME_PARTS, len(parts) + 1))
    return next((name for name in names if name not in taken), "/".join(parts))


def _runs_below(folder: pathlib.Path) -> list[pathlib.Path]:
    """The directories with a config.json, `folder` included; nothing below one is looked at."""
    found = []
    for path, folders, files in os.walk(folder):
        if "config.json" in files:
            found.append(pathlib.Path(path))
            folders.clear()
    return found


def _text(tag: str, config: dict[str, Any]) -> Any:
    """A summary with a configuration as a block of code."""
    from tensorboardX.summary import text

    title = f"{config['algo']} on {config['env']}"
    lines = json.dumps(config, indent=1).splitlines()
    return text(tag, "\n".join([f"### {title}", "", *("    " + line for line in lines)]))


def _hyper_parameters(config: dict[str, Any], group: str) -> Any:
    """A summary with the fields of a run and its algorithm on which its numbers depend. Seeds of one `group` are one
    row of TensorBoard's table, with the means of their scalars."""
    from tensorboard.plugins.hparams.summary_v2 import hparams_pb  # hparams.api has it too, but imports TensorFlow

    left_out = {"algorithm", *CHANGEABLE} - {"total_steps"}
    fields = {**{k: v for k, v in config.items() if k not in left_out}, **config.get("algorithm", {})}
    plain = {k: v if isinstance(v, bool | int | float | str) else json.dumps(v) for k, v in fields.items()}
    return hparams_pb(plain, trial_id=group)


def _image(tag: str, file: pathlib.Path) -> Any:
    """A summary with an image file as it is; browsers play GIFs."""
    from PIL import Image, UnidentifiedImageError
    from tensorboardX.proto.summary_pb2 import Summary

    try:
        with Image.open(file) as image:
            width, height = image.size
    except UnidentifiedImageError:
        raise ConfigError(f"{file} is no GIF: delete it, or record it again") from None
    image = Summary.Image(width=width, height=height, colorspace=3, encoded_image_string=file.read_bytes())
    return Summary(value=[Summary.Value(tag=tag, image=image)])
