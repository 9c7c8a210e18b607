"""Makes a pretrained policy of a run: a seed's actor parameters, the run's configuration, and a card with its score."""

import dataclasses
import pathlib
import re
import shutil
from typing import TYPE_CHECKING, NamedTuple

from envs.errors import ConfigError
from envs.values import show
from experiments.analysis.evaluation import Evaluation, choose_seed, evaluate_policy
from experiments.common.arguments import check_file
from experiments.common.files import read_json, write_json
from experiments.config.command_line import command_of
from experiments.config.schema import CHANGEABLE, RunConfig, Settings, read_config, to_dict
from experiments.config.trust import check_trusted
from experiments.runs import find
from experiments.runs.directory import software_versions
from experiments.runs.pretrained import LIST, PAGE, Card, read_cards, write_card, write_page
from experiments.runs.results import best_seed, last_evaluations
from iacjax import pretrained

if TYPE_CHECKING:  # it imports jax, which --help can do without
    from iacjax import Policy

# Fields of a run that are of the machine that it was made on: a policy has their defaults.
ELSEWHERE = [name for name in CHANGEABLE if name not in ("total_steps", "stop_at")]
CHOICE = 1  # number of the episodes by which a seed is chosen; those of the card have 0


class PackagingOptions(NamedTuple):
    """What is asked for."""

    run: pathlib.Path
    name: str
    parent: pathlib.Path = pretrained.DIRECTORY  # of the policy's folder
    seed_index: int | None = None  # None: that of `best_index`
    episodes: int = 1000
    replace: bool = False  # the policy of that name
    trust: bool = False  # run the custom environment that the run names

    @property
    def directory(self) -> pathlib.Path:
        """The policy's folder."""
        return self.parent / self.name


def package_policy(asked: PackagingOptions, device: str) -> Card:
    """Evaluates one seed of a run and writes it as a pretrained policy; the package's own get a row in the docs' table.

    Args:
      device: the name of the device that plays.

    Raises:
      ConfigError: a name that cannot be one or is taken, a run that has not ended, an environment that is not trusted,
        or a place that cannot be written.
    """
    from iacjax import load_policy

    settings = check_packaging(asked)
    policy = load_policy(asked.run)
    index = best_index(policy, asked.episodes) if asked.seed_index is None else asked.seed_index
    policy = choose_seed(policy, index)
    (evaluation,) = evaluate_policy(policy, policy.spec.name, asked.episodes)
    card = make_card(asked, settings, policy, evaluation, software_versions(device))
    write_policy(asked.directory, settings, policy, card)
    page = pretrained.DIRECTORY.parents[1] / PAGE
    if asked.parent.resolve() == pretrained.DIRECTORY.resolve() and page.exists():
        write_page(page, read_cards())
    return card


def best_index(policy: "Policy", episodes: int) -> int:
    """The index of the seed with the best win rate, or return, over other episodes than the card's: those, which chose
    it, flatter it."""
    if len(policy.seeds) == 1:
        return 0
    return best_seed(evaluate_policy(policy, policy.spec.name, episodes, seed=CHOICE))


def check_packaging(asked: PackagingOptions) -> Settings:
    """The run's settings, after checking all that can be checked without jax; see `package_policy`."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", asked.name) or asked.name == LIST:
        raise ConfigError(f"--name {show(asked.name)}: give letters, digits and _, such as smax_2s3z_aiir_mix")
    settings = read_config(asked.run)
    check_trusted(settings.run.env, asked.run, asked.trust)
    if find.status(asked.run) not in find.FINISHED:
        raise ConfigError(f"the run in {asked.run} has not ended: continue it with experiments.run --resume")
    if asked.directory.exists() and not (asked.replace and (asked.directory / pretrained.CARD).exists()):
        hint = "it is no policy" if asked.replace else "to make that policy anew, give --replace"
        raise ConfigError(f"{asked.directory} exists: give another --name ({hint})")
    check_file(asked.directory / pretrained.CARD, parents=True)
    command_of(settings)
    return settings


def make_card(
    asked: PackagingOptions, settings: Settings, policy: "Policy", evaluation: Evaluation, versions: dict[str, str]
) -> Card:
    """The card of a policy of one seed, by its evaluation."""
    (seed,) = policy.seeds
    steps = {result.seed: result.env_steps for result in last_evaluations(asked.run)}
    scores = {name: None if value != value else value for name, value in evaluation._asdict().items()}
    return Card(
        name=asked.name,
        algo=policy.algo,
        env=policy.spec.name,
        env_options=list(policy.env_options),
        env_steps=steps[seed],
        command=command_of(settings),
        versions=read_json(asked.run / "versions.json"),
        evaluated_with=versions,
        **scores,
    )


def write_policy(directory: pathlib.Path, settings: Settings, policy: "Policy", card: Card) -> None:
    """Writes a policy's folder, the card last: what has none is no policy."""
    import jax
    import numpy as np

    from iacjax.policy import save_policy

    if directory.exists():
        shutil.rmtree(directory)
    directory.mkdir(parents=True)
    usual = {name: getattr(RunConfig(), name) for name in ELSEWHERE}
    settings = Settings(dataclasses.replace(settings.run, **usual), settings.algorithm)
    write_json(directory / "config.json", to_dict(settings))
    params = jax.tree.map(lambda x: np.asarray(x)[None], policy.params[0])
    save_policy(directory, policy.algo, policy.config, policy.spec, policy.seeds, params, policy.env_options)
    write_card(directory, card)
