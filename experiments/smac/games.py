"""A trained policy on StarCraft outside our engine: SMAC, SMAClite, or another backend of `envs.smac_backend`.

Every finished episode becomes a row of evaluation_<backend>_<map>_episodes.csv at once, so that an interruption loses
no more than the games in flight; the summary has the form of any other evaluation.
"""

import argparse
import csv
import os
import pathlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from envs.errors import ConfigError
from experiments.analysis.evaluation import Evaluation, summarise
from experiments.common.arguments import word
from experiments.config.env_options import read_env_options

if TYPE_CHECKING:
    from envs.smac_backend.arena import GameEpisode
    from envs.smac_backend.backend import Backend
    from envs.smax.options import Options
    from iacjax import Policy

GAMES = 4  # at once, by default; a StarCraft II takes about a core and 1 GiB
COLUMNS = ("seed", "episode", "game", "won", "return", "length", "dead_allies", "dead_enemies", "seconds")


def add_game_options(parser: Any) -> None:
    """Adds --sc2-path and --game-version to a parser or a group of its arguments."""
    parser.add_argument(
        "--sc2-path", type=word, help="where StarCraft II is installed (default: $SC2PATH or ~/StarCraftII)"
    )
    parser.add_argument("--game-version", type=word, help="an installed version, e.g. 4.10.0 (default: the latest)")


def game_options(args: argparse.Namespace) -> dict[str, Any]:
    """What a game is made with, by the options of `add_game_options`. Sets $SC2PATH, which game processes inherit."""
    if args.sc2_path:
        os.environ["SC2PATH"] = args.sc2_path
    return {"game_version": args.game_version} if args.game_version else {}


def games_at_once(asked: int | None, episodes: int) -> int:
    """How many games to play at once: `asked`, or by default as many as the machine and the episodes allow."""
    return min(GAMES, os.cpu_count() or 1, episodes) if asked is None else asked


def episodes_file(directory: pathlib.Path, backend: "Backend", map_name: str) -> pathlib.Path:
    """The file in a run directory that has a row for each episode played on `backend`."""
    return directory / f"evaluation_{backend.name}_{map_name}_episodes.csv"


class Played(NamedTuple):
    """What was played. `rows` has a row for each seed with at least one finished episode."""

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

    def add(self, seed: int, number: int, e: "GameEpisode") -> None:
        """Writes the `number`-th finished episode of `seed`."""
        numbers = (e.length, e.dead_allies, e.dead_enemies, e.seconds)
        self._write((seed, number, e.game, int(e.won), format(e.episode_return, ".8g"), *numbers))
        self.count += 1

    def _write(self, row: tuple) -> None:
        self._rows.writerow(row)
        self._handle.flush()


def interface_of(policy: "Policy") -> "Options":
    """SMAC's options with which the policy was trained; the defaults if it was trained on no StarCraft map."""
    from envs.smax.options import make_options, options_among

    given = read_env_options(policy.env_options) if policy.spec.name.startswith("smax:") else {}
    return make_options(**options_among(given))


def map_of(policy: "Policy", map_name: str | None) -> str:
    """The map to play: `map_name`, or the one that the policy was trained on.

    Raises:
      ConfigError: an unknown map, one of other sizes than the policy's, or a policy of no StarCraft map.
    """
    from envs.smax.scenarios import get_scenario

    family, _, member = policy.spec.name.partition(":")
    if map_name is None and family != "smax":
        raise ConfigError(f"the policy was trained in {policy.spec.name}: name the StarCraft map with --map")
    scenario, spec = get_scenario(map_name or member), policy.spec
    scenario = replace(scenario, options=interface_of(policy))
    sizes = (scenario.num_allies, scenario.obs_dim, scenario.num_actions)
    if sizes != (spec.num_agents, spec.obs_dim, spec.action.num_actions):
        raise ConfigError(f"the policy of {spec.name} does not fit the map {scenario.name}: it has other sizes")
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

    `file` gets a row for each episode as it ends. KeyboardInterrupt closes the games and returns what was finished.

    Raises:
      ConfigError: the game is not installed, plays another map, or keeps failing; the rows written so far stay.
    """
    import jax

    from envs.smac_backend.arena import Arena

    act = jax.jit(lambda params, *inputs: policy._replace(params=(params,)).act(*inputs))
    results: dict[int, list[GameEpisode]] = {}

    def note(number: int, episode: "GameEpisode") -> None:
        results.setdefault(number, []).append(episode)
        count, outcome = len(results[number]), "won" if episode.won else "not won"
        journal.add(number, count, episode)
        say(f"seed {number}, episode {count}/{episodes}: {outcome}, {episode.length} steps")

    complete, replays = False, 0
    arena = Arena(backend, map_name, games, seed, options, say=say, interface=interface_of(policy))
    with Journal(file) as journal:
        try:
            with arena:
                for number, params in zip(policy.seeds, policy.params, strict=True):
                    carry = policy.carry(len(arena.slots))
                    arena.play(partial(act, params), carry, episodes, lambda e, n=number: note(n, e))
                if save_replay:
                    replays = arena.save_replays()
            complete = True
        except KeyboardInterrupt:
            pass
        except ConfigError as error:
            if journal.count == 0:
                raise
            raise ConfigError(f"{error}; the {journal.count} finished episodes are in {file}") from None
    return Played(_rows(results), arena.discarded, arena.replaced, replays, complete)


def _rows(results: "dict[int, list[GameEpisode]]") -> list[Evaluation]:
    return [
        summarise(number, [e.episode_return for e in ended], [e.length for e in ended], [e.won for e in ended])
        for number, ended in results.items()
    ]
