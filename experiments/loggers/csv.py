"""CSV files: one row per (logged iteration, seed), never averaged over seeds."""

import contextlib
import csv
import errno
import hashlib
import math
import os
import pathlib
import re
from collections.abc import Sequence
from typing import IO, Any, NamedTuple

from envs.errors import ConfigError
from experiments.common.files import read_csv, write_bytes, write_csv
from iacjax.digests import digest

TABLES = ("metrics", "eval")
ROW_KEYS = ("iteration", "env_steps", "seed")  # columns of every row that say where it belongs
INTEGERS = (*ROW_KEYS, "episodes")


def _cell(name: str, value: float) -> str:
    if value != value:  # undefined, e.g. the mean return where no episode ended
        return ""
    return str(int(value)) if name in INTEGERS else format(float(value), ".8g")


class _Rows(NamedTuple):
    """A CSV file on disk: its header, and (line, seed, iteration) of each complete row."""

    header: str
    rows: list[tuple[bytes, int, int]]


def _read(path: pathlib.Path) -> _Rows:
    """Reads a file. Incomplete lines, as a killed process leaves them, are skipped; so is an incomplete header.

    Raises:
      ConfigError: the header has no seed and iteration, or `path` is a directory.
    """
    if path.is_dir():
        raise ConfigError(f"{path} is a directory: restore the file")
    head, end, rest = (path.read_bytes() if path.exists() else b"").partition(b"\n")
    if not end:
        return _Rows("", [])
    names = head.decode(errors="replace").split(",")
    if not {"seed", "iteration"} <= set(names):
        raise ConfigError(f"{path} has other columns than this run writes: restore it, or move it away")
    seed, iteration = names.index("seed"), names.index("iteration")
    rows = []
    for line in rest.split(b"\n")[:-1]:
        cells = line.split(b",")
        if len(cells) == len(names) and all(re.fullmatch(rb"[0-9]{1,18}", cells[k]) for k in (seed, iteration)):
            rows.append((line + b"\n", int(cells[seed]), int(cells[iteration])))
    return _Rows(",".join(names), rows)


def _digest(header: str, hashes: dict[int, Any], seeds: Sequence[int]) -> str:
    """The digest of the rows of `seeds`, in that order, from a hash per seed; with the header if there is a row."""
    parts = [hashes[seed].hexdigest() if seed in hashes else "" for seed in seeds]
    return digest("\n".join([header if any(parts) else "", *parts]).encode())


def _hash_rows(table: _Rows, seeds: Sequence[int], iteration: int) -> dict[int, Any]:
    """{seed: hash of its rows up to `iteration`}; seeds without a row are left out."""
    hashes: dict[int, Any] = {}
    for line, seed, at in table.rows:
        if seed in seeds and at <= iteration:
            hashes.setdefault(seed, hashlib.sha256()).update(line)
    return hashes


class CsvSink:
    """Appends to <directory>/metrics.csv and eval.csv, and keeps digests of each seed's rows for its checkpoints."""

    def __init__(self, directory: pathlib.Path, seeds: Sequence[int] | None = None, keep_open: bool = True):
        """`seeds`: all seeds that write here; None: any. `keep_open`: whether files stay open between two writes."""
        self._directory, self._seeds, self._keep_open = directory, seeds, keep_open
        self._files: dict[str, IO[str]] = {}
        self._columns: dict[str, list[str]] = {}
        self._hashes: dict[str, dict[int, Any]] = {table: {} for table in TABLES}  # of each seed's rows

    def path(self, table: str) -> pathlib.Path:
        return self._directory / f"{table}.csv"

    def _open(self, table: str, columns: list[str]) -> IO[str]:
        path = self.path(table)
        header = header_of(path)
        if header and header != [""] and header != columns:
            if not set(header) <= set(columns):
                raise ConfigError(f"{path} has other columns than this run writes: move it away")
            self._widen(path, columns)
        file = path.open("a", newline="")
        if file.tell() == 0:
            if self._hashes[table]:  # there were rows in it
                raise _gone(path)
            file.write(",".join(columns) + "\n")
        self._files[table], self._columns[table] = file, columns
        return file

    def _widen(self, path: pathlib.Path, columns: list[str]) -> None:
        """Adds empty columns to the rows of a version that wrote fewer."""
        write_csv(path, read_csv(path), columns)

    def write(self, table: str, rows: list[dict[str, float]]) -> None:
        if not rows:
            return
        file = self._files.get(table) or self._open(table, list(rows[0]))
        for row in rows:
            line = ",".join(_cell(name, row[name]) for name in self._columns[table]) + "\n"
            file.write(line)
            self._hashes[table].setdefault(int(row["seed"]), hashlib.sha256()).update(line.encode())
        file.flush()
        if not self._keep_open:
            self.close()

    def digests(self, seeds: Sequence[int]) -> dict[str, str]:
        """{table: digest of all rows of `seeds`}, for a checkpoint."""
        return {t: _digest(",".join(self._columns.get(t, [])), self._hashes[t], seeds) for t in TABLES}

    def check(self, seeds: Sequence[int], iteration: int, known: dict[str, str]) -> None:
        """Raises ConfigError where the rows of `seeds` up to `iteration` do not have the digests `known`.

        Tables without a digest in `known`, as of older checkpoints, are not checked.
        """
        for name, due in known.items():
            table = _read(self.path(name))
            if _digest(table.header, _hash_rows(table, seeds, iteration), seeds) != due:
                raise ConfigError(f"{self.path(name)} has lost or changed rows up to iteration {iteration}")

    def trim(self, seeds: Sequence[int], iteration: int) -> None:
        """Drops the rows of `seeds` after `iteration`, to be written again, and lines that are not of this run."""
        for name in TABLES:
            path = self.path(name)
            if not path.exists():
                continue
            table = _read(path)
            kept = [line for line, seed, at in table.rows if self._stays(seed, at, seeds, iteration)]
            text = b"".join([table.header.encode() + b"\n", *kept]) if table.header else b""
            if text != path.read_bytes():
                self.close()
                write_bytes(path, text)
            self._columns[name] = table.header.split(",")
            others = {seed: hashed for seed, hashed in self._hashes[name].items() if seed not in seeds}
            self._hashes[name] = others | _hash_rows(table, seeds, iteration)

    def _stays(self, seed: int, at: int, seeds: Sequence[int], iteration: int) -> bool:
        return at <= iteration if seed in seeds else self._seeds is None or seed in self._seeds

    def sync(self) -> None:
        """Flushes everything to disk.

        Raises:
          OSError: a file was deleted or moved away while it was open: its new rows are lost.
        """
        for table, file in self._files.items():
            file.flush()
            os.fsync(file.fileno())
            path = self.path(table)
            if not path.exists() or not os.path.samestat(os.fstat(file.fileno()), path.stat()):
                raise _gone(path)

    def close(self) -> None:
        for file in self._files.values():
            with contextlib.suppress(OSError):  # each write was flushed, and has raised what closing raises again
                file.close()
        self._files.clear()


def _gone(path: pathlib.Path) -> OSError:
    return FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), str(path))


def header_of(path: pathlib.Path) -> list[str]:
    if not path.exists():
        return []
    with path.open(newline="", errors="replace") as file:
        return file.readline().strip().split(",")


def read_table(path: pathlib.Path, needs: tuple[str, ...] = ("seed", "env_steps")) -> list[dict[str, float]]:
    """The rows of a CSV file that a `CsvSink` wrote, as numbers; empty cells are nan, no file has no rows.

    An incomplete last line, which is just being written, is skipped.

    Args:
      needs: columns that the file must have.

    Raises:
      ConfigError: a cell is no number, a row has too few or too many cells, or a column of `needs` is missing.
    """
    if not path.exists():
        return []
    try:
        with path.open(newline="") as file:
            lines = [line for line in file if line.endswith("\n")]
        columns, *rows = [row for row in csv.reader(lines, strict=True) if row] or [[]]
        if any(len(row) != len(columns) for row in rows) or rows and not set(needs) <= set(columns):
            raise ValueError("unexpected columns")
        table = [{k: float(v) if v else math.nan for k, v in zip(columns, row, strict=True)} for row in rows]
        if any(not row[name].is_integer() for row in table for name in ROW_KEYS if name in row):
            raise ValueError("a seed or a number of steps is no integer")
        return table
    except (ValueError, csv.Error) as error:
        raise ConfigError(f"{path} is damaged ({error}): restore it from a copy") from None
