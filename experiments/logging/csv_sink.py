"""CSV files: one row per (logged iteration, seed), never averaged over seeds."""

import csv
import os
import pathlib
from typing import IO

from envs.errors import ConfigError

TABLES = ("metrics", "eval")
INTEGERS = ("iteration", "env_steps", "seed", "episodes")


def _cell(name: str, value: float) -> str:
    if value != value:  # nothing to tell, e.g. no episode ended
        return ""
    return str(int(value)) if name in INTEGERS else format(float(value), ".8g")


class CsvSink:
    """Appends to <directory>/metrics.csv and eval.csv."""

    def __init__(self, directory: pathlib.Path):
        self._directory = directory
        self._files: dict[str, IO[str]] = {}
        self._columns: dict[str, list[str]] = {}

    def path(self, table: str) -> pathlib.Path:
        return self._directory / f"{table}.csv"

    def _open(self, table: str, columns: list[str]) -> IO[str]:
        path = self.path(table)
        header = path.open(newline="").readline().strip().split(",") if path.exists() else []
        if header and header != [""] and header != columns:
            if not set(header) <= set(columns):
                raise ConfigError(f"{path} has other columns than this run writes: move it away")
            self._widen(path, columns)
        file = path.open("a", newline="")
        if file.tell() == 0:
            file.write(",".join(columns) + "\n")
        self._files[table], self._columns[table] = file, columns
        return file

    def _widen(self, path: pathlib.Path, columns: list[str]) -> None:
        """Gives the rows that a version with fewer columns wrote the others, empty."""
        with path.open(newline="") as file:
            rows = list(csv.DictReader(file))
        part = path.with_name(path.name + ".part")
        with part.open("w", newline="") as file:
            writer = csv.DictWriter(file, columns, restval="", lineterminator="\n")
            writer.writeheader()
            writer.writerows(rows)
        part.replace(path)

    def write(self, table: str, rows: list[dict[str, float]]) -> None:
        if not rows:
            return
        file = self._files.get(table) or self._open(table, list(rows[0]))
        for row in rows:
            file.write(",".join(_cell(name, row[name]) for name in self._columns[table]) + "\n")
        file.flush()

    def trim(self, seeds: tuple[int, ...], iteration: int) -> None:
        """Drops what `seeds` wrote after `iteration` (it will be written again), and a half-written last line."""
        for table in TABLES:
            path = self.path(table)
            if not path.exists():
                continue
            text = path.read_text()
            lines = text.splitlines(keepends=True)
            kept = [line for i, line in enumerate(lines) if i == 0 or _stays(line, lines[0], seeds, iteration)]
            kept = kept if kept and kept[0].endswith("\n") else []
            if kept != lines:
                self.close()
                part = path.with_name(path.name + ".part")
                part.write_text("".join(kept))
                part.replace(path)

    def sync(self) -> None:
        for file in self._files.values():
            file.flush()
            os.fsync(file.fileno())

    def close(self) -> None:
        for file in self._files.values():
            file.close()
        self._files.clear()


def _stays(line: str, header: str, seeds: tuple[int, ...], iteration: int) -> bool:
    row = dict(zip(header.strip().split(","), line.strip().split(","), strict=False))
    if not line.endswith("\n") or line.count(",") != header.count(","):
        return False
    return int(row["seed"]) not in seeds or int(row["iteration"]) <= iteration


def read_table(path: pathlib.Path) -> list[dict[str, float]]:
    """The rows of a CSV file that a `CsvSink` wrote, as numbers; empty cells are nan, no file has no rows."""
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [{k: float(v) if v else float("nan") for k, v in row.items()} for row in csv.DictReader(file)]
