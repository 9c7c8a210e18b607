"""Policies of our engine on other backends, without further training; the table of `experiments.transfer`."""

import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

from experiments.analysis.evaluation import Evaluation, evaluate_policy
from experiments.common.files import read_csv, write_csv
from experiments.common.stats import wilson
from experiments.config.env_options import from_saved_options
from experiments.smac.games import episodes_file, interface_of, map_of, play_on_backend

if TYPE_CHECKING:  # it imports jax, which --help can do without
    from iacjax import Policy

OURS = {"smax": (), "smax-smaclite": ("rules=smaclite",)}  # our engine, and its options
# SMAClite opens every battle alike; the noisy one moves each unit's first position a little, as our engine does.
NAMED = {"smaclite-noisy": "envs.smac_backend.smaclite:NOISY"}
DEFAULT = ("smax", "smaclite", "smaclite-noisy")
KEYS = ("run", "algo", "map", "trained_with", "world")  # columns; `world` is the backend
Row = dict[str, str]


def play_on(
    name: str, policy: "Policy", map_name: str, episodes: int, directory: pathlib.Path, games: int, seed: int
) -> list[Evaluation]:
    """A row for each seed of `policy`, after `episodes` on the backend `name`: one of OURS, or a backend of evaluate.

    Raises:
      ConfigError: an unknown backend, one that is not installed, or one that keeps failing.
      KeyboardInterrupt: Ctrl-C; the games are closed by then.
    """
    if name in OURS:
        interface = tuple(f"{key}={value}" for key, value in interface_of(policy).changed.items())
        return evaluate_policy(policy, f"smax:{map_name}", episodes, seed, OURS[name] + interface)
    from envs.smac_backend.backend import load_backend

    backend = load_backend(NAMED.get(name, name))
    file = episodes_file(directory, backend, map_name)
    played = play_on_backend(policy, backend, map_name, episodes, file, games, seed, say=lambda line: None)
    if not played.complete:
        raise KeyboardInterrupt
    if played.discarded:
        print(f"{map_name} on {name}: {played.discarded} episode(s) discarded and replayed", flush=True)
    return played.rows


def merge(rows: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """`rows` with those of the same run and backend replaced by `new`."""
    again = {(row["run"], row["world"]) for row in new}
    return [row for row in rows if (row["run"], row["world"]) not in again] + list(new)


def rate_text(rows: Sequence[Row]) -> str:
    """The win rate over all episodes of all seeds, its 95 % interval (Wilson), and each seed's own rate."""
    if not rows:
        return ""
    counts = [int(row["episodes"]) for row in rows]
    wins = round(sum(float(row["win_rate"]) * count for row, count in zip(rows, counts, strict=True)))
    low, high = wilson(wins, sum(counts))
    seeds = " ".join(f"{float(row['win_rate']):.2f}" for row in rows)
    return f"{wins / sum(counts):.3f} [{low:.3f}, {high:.3f}]\n({seeds})"


def table(rows: Sequence[Row]):
    """A rich table: a row for each run, a column for each backend."""
    from rich.table import Table

    backends = list(dict.fromkeys(row["world"] for row in rows))
    title = "greedy win rate: all seeds' episodes and their 95 % interval (each seed)"
    result = Table("map", "algorithm", "trained with", *backends, title=title)
    for run in dict.fromkeys(row["run"] for row in rows):
        of_run = [row for row in rows if row["run"] == run]
        cells = [rate_text([row for row in of_run if row["world"] == name]) for name in backends]
        result.add_row(*(of_run[0][key] for key in ("map", "algo", "trained_with")), *cells)
    return result


def transfer(
    runs: Sequence[pathlib.Path], backends: Sequence[str], episodes: int, out: pathlib.Path, games: int, seed: int
) -> list[Row]:
    """Plays every run on every backend and returns the rows; `out` gets the rows of each as soon as it is finished."""
    from envs.smac_backend.backend import load_backend
    from iacjax import load_policy

    for name in set(backends) - set(OURS):
        load_backend(NAMED.get(name, name))  # an unknown one ends the command before anything is played
    played: list[Row] = []
    for directory in runs:
        policy = load_policy(directory)
        map_name = map_of(policy, None)
        trained = " ".join(from_saved_options(policy.spec.name, policy.env_options)) or "smac"
        for name in backends:
            keys = dict(zip(KEYS, (directory.resolve().name, policy.algo, map_name, trained, name), strict=True))
            results = play_on(name, policy, map_name, episodes, directory, games, seed)
            new = [keys | {column: format(value, ".6g") for column, value in r._asdict().items()} for r in results]
            played += new
            write_csv(out, merge(read_csv(out), new), [*KEYS, *Evaluation._fields])
            print(f"{map_name}, trained with {trained}, on {name}: {' '.join(rate_text(new).split())}", flush=True)
    return played
