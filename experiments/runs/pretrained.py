"""Pretrained policies: their cards, the tables of them, and `--pretrained NAME` in place of a run directory."""

import argparse
import math
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from envs.errors import ConfigError
from experiments.common.arguments import check_file, word
from experiments.common.files import read_object, write_json, write_text
from experiments.config.env_options import from_saved_options
from iacjax import pretrained

LIST = "list"  # --pretrained list shows the policies
RESULTS = pathlib.Path("runs", "pretrained")  # what is evaluated of a policy, below the working directory
PAGE = pathlib.Path("docs", "pretrained.md")
BEGIN, END = "<!-- table of experiments.package_policy -->", "<!-- end -->"  # of the page's table


class Card(NamedTuple):
    """What is known of a policy, as `card.json` holds it.

    The win rate, with Wilson's 95 % interval, is None in environments without wins.
    """

    name: str
    algo: str
    env: str
    env_options: list[str]  # as files hold them, see `to_saved_options`
    seed: int  # the one of the training's seeds that it is
    env_steps: int  # of that seed
    command: str  # that trained it
    episodes: int  # greedy ones, of which the numbers below are
    return_mean: float
    return_std: float
    length_mean: float
    win_rate: float | None
    win_rate_low: float | None
    win_rate_high: float | None
    versions: dict[str, str]  # of the training
    evaluated_with: dict[str, str]  # versions of the evaluation

    @property
    def score(self) -> str:
        """`mean [low, high]`: the win rate, or the mean return with its 95 % interval, from the episodes' spread."""
        if self.win_rate is not None:
            return f"{self.win_rate:.3f} [{self.win_rate_low:.3f}, {self.win_rate_high:.3f}]"
        half = 1.959964 * self.return_std / math.sqrt(self.episodes)
        return f"return {self.return_mean:.1f} [{self.return_mean - half:.1f}, {self.return_mean + half:.1f}]"

    @property
    def place(self) -> str:
        """The environment, with its options as the command line has them."""
        return " ".join([self.env, *from_saved_options(self.env, self.env_options)])


def read_card(directory: pathlib.Path) -> Card:
    """The card in a policy's folder.

    Raises:
      ConfigError: there is none, or it cannot be read.
    """
    file = directory / pretrained.CARD
    try:
        return Card(**read_object(file))
    except FileNotFoundError:
        raise ConfigError(f"no {pretrained.CARD} in {directory}: it is no pretrained policy") from None
    except TypeError as error:
        raise ConfigError(f"{file} is not of this version ({error})") from None


def write_card(directory: pathlib.Path, card: Card) -> None:
    """Writes card.json into the policy's folder."""
    write_json(directory / pretrained.CARD, card._asdict())


def read_cards() -> list[Card]:
    """The cards of all policies, by name."""
    return [read_card(pretrained.directory_of(name)) for name in pretrained.names()]


def listing(cards: Sequence[Card]) -> str:
    """The policies as lines of a table, with a heading."""
    rows = [("name", "environment", "algorithm", "env steps", "win rate, or return [95 %]")]
    rows += [(card.name, card.place, card.algo, f"{card.env_steps:,}", card.score) for card in cards]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join(lines)


def page_table(cards: Sequence[Card]) -> str:
    """The table of `PAGE`, in Markdown."""
    rows = [
        "| name | environment | algorithm | env steps | win rate, or return [95 %] | trained by |",
        "|---" * 6 + "|",
    ]
    for c in cards:
        cells = (f"`{c.name}`", f"`{c.place}`", f"`{c.algo}`", f"{c.env_steps:,}", c.score)
        rows.append(f"| {' | '.join(cells)} | `{c.command}`, seed {c.seed} |")
    return "\n".join(rows)


def write_page(page: pathlib.Path, cards: Sequence[Card]) -> None:
    """Puts the table of `cards` into the page, between its two marks.

    Raises:
      ConfigError: the marks are missing.
    """
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not end:
        raise ConfigError(f"{page} has no place for the table: write {BEGIN} and {END} where it is to stand")
    write_text(page, f"{before}{begin}\n\n{page_table(cards)}\n\n{end}{after}")


def add_source(parser: argparse.ArgumentParser) -> None:
    """Adds RUN and --pretrained to a command's options; `source_directory` says what they name."""
    parser.add_argument("run", metavar="RUN", nargs="?", type=word, help="run directory")
    what = "a policy that is already trained, in place of RUN; list: shows them"
    parser.add_argument("--pretrained", metavar="NAME", type=word, action=_Pretrained, help=what)


class _Pretrained(argparse.Action):
    """`--pretrained list` shows the policies and ends the command, as --help does."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Any, value: Any, option: str | None = None) -> None:
        if value == LIST:
            print(listing(read_cards()))
            parser.exit()
        setattr(namespace, self.dest, value)


def source_directory(args: argparse.Namespace) -> pathlib.Path:
    """The directory of the policy that a command line names by the options of `add_source`.

    Raises:
      ConfigError: neither or both of RUN and --pretrained, or no such policy.
    """
    if (args.run is None) == (args.pretrained is None):
        raise ConfigError("give a run directory, or --pretrained NAME (--pretrained list shows them): one of both")
    return pathlib.Path(args.run) if args.run else pretrained.directory_of(args.pretrained)


def results_directory(args: argparse.Namespace) -> pathlib.Path:
    """Where results go: into the run's directory; those of a pretrained policy into one below the working directory,
    which need not exist yet.

    Raises:
      ConfigError: nothing can be written there.
    """
    directory = pathlib.Path(args.run) if args.run else RESULTS / args.pretrained
    check_file(directory / "evaluation.csv", parents=not args.run)
    return directory
