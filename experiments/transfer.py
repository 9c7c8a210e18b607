"""How policies of our engine do elsewhere: `python -m experiments.transfer RUN ... [--backends smax ...]`.

Plays greedy episodes of every run, with each of its seeds, in every world, without further training: at home by SMAC's
rules, at home by SMAClite's (`smax-smaclite`), in SMAClite, in StarCraft II. Prints a table and keeps a csv.
"""

import csv
import os
import pathlib
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from envs.errors import ConfigError
from experiments.common.arguments import MAX_SEED, Parser, check_file, out_file, whole, word
from experiments.common.cli import run_command, signals_interrupt
from experiments.common.stats import wilson
from experiments.config.validation import MAX_EPISODES
from experiments.evaluate import Evaluation, evaluate_policy

if TYPE_CHECKING:  # it brings jax along, which --help can do without
    from iacjax import Policy

HOME = {"smax": (), "smax-smaclite": ("rules=smaclite",)}  # our engine, and its options
# SMAClite opens every battle alike; the noisy one moves each unit's first place a little, as our engine does.
BACKENDS = {"smaclite-noisy": "envs.smac_backend.smaclite:NOISY"}
WORLDS = ("smax", "smaclite", "smaclite-noisy")  # played by default
OUT = pathlib.Path("results/transfer/transfer.csv")
KEYS = ("run", "algo", "map", "trained_with", "world")
Row = dict[str, str]


def play_in(
    world: str, policy: "Policy", map_name: str, episodes: int, directory: pathlib.Path, games: int, seed: int
) -> list[Evaluation]:
    """A row for each seed of `policy`, after `episodes` in `world`: one of HOME, or a backend of experiments.evaluate.

    Raises:
      ConfigError: an unknown world, one that is not installed, or one that keeps failing.
      KeyboardInterrupt: Ctrl-C; the games are closed by then.
    """
    if world in HOME:
        return evaluate_policy(policy, f"smax:{map_name}", episodes, seed, HOME[world])
    from envs.smac_backend.backend import load_backend
    from experiments.smac.games import play_on_backend

    backend = load_backend(BACKENDS.get(world, world))
    file = directory / f"evaluation_{backend.name}_{map_name}_episodes.csv"
    played = play_on_backend(policy, backend, map_name, episodes, file, games, seed, say=lambda line: None)
    if not played.complete:
        raise KeyboardInterrupt
    if played.discarded:
        print(f"{map_name} in {world}: {played.discarded} episode(s) discarded and replayed", flush=True)
    return played.rows


def read_rows(file: pathlib.Path) -> list[Row]:
    """The rows of an earlier call; none where there is no such file."""
    if not file.exists():
        return []
    with file.open(newline="") as handle:
        return list(csv.DictReader(handle))


def merge(rows: Sequence[Row], new: Sequence[Row]) -> list[Row]:
    """`rows` with those of the same run and world replaced by `new`."""
    again = {(row["run"], row["world"]) for row in new}
    return [row for row in rows if (row["run"], row["world"]) not in again] + list(new)


def write_rows(file: pathlib.Path, rows: Sequence[Row]) -> None:
    """Writes the csv, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_name(file.name + ".part")
    with part.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, [*KEYS, *Evaluation._fields], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)
    part.replace(file)


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
    """A rich table: a row a run, a column a world."""
    from rich.table import Table

    worlds = list(dict.fromkeys(row["world"] for row in rows))
    title = "greedy win rate: all seeds' episodes and their 95 % interval (each seed)"
    result = Table("map", "algorithm", "trained with", *worlds, title=title)
    for run in dict.fromkeys(row["run"] for row in rows):
        of_run = [row for row in rows if row["run"] == run]
        cells = [rate_text([row for row in of_run if row["world"] == world]) for world in worlds]
        result.add_row(*(of_run[0][key] for key in ("map", "algo", "trained_with")), *cells)
    return result


def transfer(
    runs: Sequence[pathlib.Path], worlds: Sequence[str], episodes: int, out: pathlib.Path, games: int, seed: int
) -> list[Row]:
    """Plays every run in every world; `out` gets the rows of each as soon as it is through. Returns those played."""
    from envs.smac_backend.backend import load_backend
    from experiments.smac.games import map_of
    from iacjax import load_policy

    for world in set(worlds) - set(HOME):
        load_backend(BACKENDS.get(world, world))  # a mistyped one is told before anything is played
    played: list[Row] = []
    for directory in runs:
        policy = load_policy(directory)
        map_name = map_of(policy, None)
        trained = " ".join(policy.env_options) or "smac"
        keys = dict(zip(KEYS, (directory.resolve().name, policy.algo, map_name, trained), strict=False))
        for world in worlds:
            results = play_in(world, policy, map_name, episodes, directory, games, seed)
            numbers = [{name: format(value, ".6g") for name, value in r._asdict().items()} for r in results]
            new = [{**keys, "world": world, **row} for row in numbers]
            played += new
            write_rows(out, merge(read_rows(out), new))
            print(f"{map_name}, trained with {trained}, in {world}: {' '.join(rate_text(new).split())}", flush=True)
    return played


def _command(argv: Sequence[str]) -> int:
    parser = Parser(prog="python -m experiments.transfer", description=__doc__.split("\n\n")[0])
    parser.add_argument("runs", metavar="RUN", nargs="+", type=word, help="run directories, trained in smax:*")
    parser.add_argument(
        "--backends", nargs="+", default=WORLDS, metavar="WORLD",
        help=f"{', '.join(HOME)} (our engine), smaclite, smaclite-noisy (it opens every battle a little differently), "
        f"smac, or MODULE:FACTORY (default: {' '.join(WORLDS)})",
    )  # fmt: skip
    parser.add_argument(
        "--episodes", type=whole(1, MAX_EPISODES), default=32, help="greedy ones per seed (default: 32)"
    )
    parser.add_argument(
        "--games", type=whole(0, 1024), help="games at once, each in a process (0: one, in this process)"
    )
    parser.add_argument("--seed", type=whole(0, MAX_SEED), default=0, help="another number plays other episodes")
    parser.add_argument(
        "--out", type=out_file(parents=True), default=str(OUT), help="csv to add to (default: %(default)s)"
    )
    args = parser.parse_args(argv)
    runs = [pathlib.Path(run) for run in args.runs]
    for run in runs:
        if not run.is_dir():
            raise ConfigError(f"no run directory {run}: give one that experiments.run has made")
        if set(args.backends) - set(HOME):
            check_file(run / "evaluation.csv")  # the games of other worlds are noted there
    from rich.console import Console

    games = min(4, os.cpu_count() or 1, args.episodes) if args.games is None else args.games
    try:
        with signals_interrupt() as ended:
            rows = transfer(runs, args.backends, args.episodes, args.out, games, args.seed)
    except KeyboardInterrupt:
        print(f"interrupted: what was through is in {args.out}")
        return ended.code
    Console().print(table(rows))
    print(f"wrote {args.out}")
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code: 2 for input that cannot work."""
    return run_command(_command, argv)


if __name__ == "__main__":
    sys.exit(main())
