"""A trained policy on somebody else's StarCraft: the host's side of `experiments.evaluate --backend`.

Every finished episode becomes a row of evaluation_<backend>_<map>_episodes.csv at once, so that an interruption loses
no more than the games in flight; the summary has the form of any other evaluation.
"""

import argparse
import csv
import os
import pathlib
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from envs.errors import ConfigError
from experiments.common.cli import signals_interrupt
from experiments.evaluate import Evaluation, choose_seed, summarise, table, write_evaluation

if TYPE_CHECKING:
    from envs.smac_backend.arena import Episode
    from envs.smac_backend.backend import Backend
    from iacjax import Policy

GAMES = 4  # at once, by default; a StarCraft II takes about a core and 1 GiB
COLUMNS = ("seed", "episode", "game", "won", "return", "length", "dead_allies", "dead_enemies", "seconds")


class Played(NamedTuple):
    """What came of it. `rows` has a row for each seed of which an episode has ended."""

    rows: list[Evaluation]
    discarded: int  # episodes that the game lost, and that were replayed
    replaced: int  # illegal actions, never sent
    replays: int  # files written
    complete: bool  # False: interrupted


class Journal:
    """The csv of finished episodes: one row each, on disk before the next step. A context manager."""

    def __init__(self, file: pathlib.Path):
        self.file, self.count = file, 0

    def __enter__(self) -> "Journal":
        self._handle = self.file.open("w", newline="")
        self._rows = csv.writer(self._handle, lineterminator="\n")
        self._write(COLUMNS)
        return self

    def __exit__(self, *_: Any) -> None:
        self._handle.close()

    def add(self, seed: int, number: int, e: "Episode") -> None:
        """Writes the `number`-th finished episode of `seed`."""
        numbers = (e.length, e.dead_allies, e.dead_enemies, e.seconds)
        self._write((seed, number, e.game, int(e.won), format(e.episode_return, ".8g"), *numbers))
        self.count += 1

    def _write(self, row: tuple) -> None:
        self._rows.writerow(row)
        self._handle.flush()


def map_of(policy: "Policy", map_name: str | None) -> str:
    """The map to play: `map_name`, or that of the policy's own world.

    Raises:
      ConfigError: an unknown map, one of other sizes than the policy's, or a policy of no StarCraft map.
    """
    from envs.smax.scenarios import get_scenario

    family, _, member = policy.spec.name.partition(":")
    if map_name is None and family != "smax":
        raise ConfigError(f"the policy was trained in {policy.spec.name}: name the StarCraft map with --map")
    scenario, spec = get_scenario(map_name or member), policy.spec
    sizes = (scenario.num_allies, scenario.obs_dim, scenario.num_actions)
    if sizes != (spec.num_agents, spec.obs_dim, spec.action.num_actions):
        raise ConfigError(f"the policy of {spec.name} does not fit the map {scenario.name}: its sizes are other ones")
    return scenario.name


def play_on_backend(
    policy: "Policy",
    backend: "Backend",
    map_name: str,
    episodes: int,
    file: pathlib.Path,
    games: int = GAMES,
    seed: int = 0,
    options: dict[str, Any] | None = None,
    save_replay: bool = False,
    say: Callable[[str], None] = print,
) -> Played:
    """Plays `episodes` greedy episodes with each seed of `policy` on `games` games at once (0: one, in this process).

    `file` gets a row for each episode as it ends. KeyboardInterrupt closes the games and gives back what was finished.

    Raises:
      ConfigError: the game is not installed, plays another map, or keeps failing; the rows are kept.
    """
    import jax

    from envs.smac_backend.arena import Arena

    act = jax.jit(lambda params, *seen: policy._replace(params=(params,)).act(*seen))
    results: dict[int, list[Episode]] = {}

    def keep(number: int, episode: "Episode") -> None:
        results.setdefault(number, []).append(episode)
        count = len(results[number])
        journal.add(number, count, episode)
        outcome = "won" if episode.won else "not won"
        say(f"seed {number}, episode {count}/{episodes}: {outcome}, {episode.length} steps")

    complete, replays = False, 0
    arena = Arena(backend, map_name, games, seed, options, say=say)
    with Journal(file) as journal:
        try:
            with arena:
                for number, params in zip(policy.seeds, policy.params, strict=True):
                    carry = policy.carry(len(arena.slots))
                    arena.play(partial(act, params), carry, episodes, lambda e, n=number: keep(n, e))
                if save_replay:
                    replays = arena.save_replays()
            complete = True
        except KeyboardInterrupt:
            pass
        except ConfigError as error:
            if journal.count == 0:
                raise
            raise ConfigError(f"{error}; the {journal.count} finished episodes are in {file}") from None
    rows = [
        summarise(number, [e.episode_return for e in ended], [e.length for e in ended], [e.won for e in ended])
        for number, ended in results.items()
    ]
    return Played(rows, arena.discarded, arena.replaced, replays, complete)


def command(args: argparse.Namespace, directory: pathlib.Path) -> int:
    """`experiments.evaluate` with a backend, its arguments read. The exit code: 128 + the signal that ended it."""
    from rich.console import Console

    from envs.smac_backend.backend import load_backend
    from iacjax import load_policy

    backend = load_backend(args.backend)
    policy = choose_seed(load_policy(directory), args.seed_index)
    map_name = map_of(policy, args.map)
    if args.sc2_path:
        os.environ["SC2PATH"] = args.sc2_path  # the games' processes inherit it
    options = {"game_version": args.game_version} if args.game_version else {}
    games = min(GAMES, os.cpu_count() or 1, args.episodes) if args.games is None else args.games
    name = f"evaluation_{backend.name}_{map_name}"
    file = directory / f"{name}_episodes.csv"
    with signals_interrupt() as ended:
        played = play_on_backend(
            policy, backend, map_name, args.episodes, file, games, args.seed, options, args.save_replay
        )
    if played.rows:
        write_evaluation(directory, f"{backend.name}:{map_name}", played.rows, name)  # a terminal may be gone
        Console().print(table(f"{backend.name}:{map_name}", played.rows))
        print(f"wrote {directory / name}.csv")
    print(f"episodes discarded and replayed: {played.discarded}; illegal actions replaced: {played.replaced}")
    if not played.complete:
        count = sum(row.episodes for row in played.rows)
        print(f"interrupted: {count} of {args.episodes * len(policy.seeds)} episodes are in {file}")
        return ended.code
    if played.replays:
        print(f"replays written: {played.replays}, in the game's own folder, Replays/{map_name}_game*.SC2Replay")
    return 0
