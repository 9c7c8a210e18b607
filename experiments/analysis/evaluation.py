"""Greedy episodes of a trained policy: numbers for each seed, their table, and their files."""

import math
import pathlib
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from envs.errors import ConfigError
from experiments.common.files import write_csv, write_json
from experiments.common.stats import RATE, interval_text, wilson
from experiments.config.env_options import from_saved_options, make_run_env

if TYPE_CHECKING:  # it imports jax, which --help can do without
    from iacjax import Policy

EVALUATION = 0x74657374  # folded into a seed's key, so that these are not the episodes evaluated in training


class Evaluation(NamedTuple):
    """Greedy episodes of one seed. Win rate and interval (Wilson, 95 %) are nan in environments without wins."""

    seed: int
    episodes: int
    return_mean: float
    return_std: float
    length_mean: float
    win_rate: float
    win_rate_low: float
    win_rate_high: float


def evaluate_policy(
    policy: "Policy", env_name: str, episodes: int, seed: int = 0, env_options: Sequence[str] | None = None
) -> list[Evaluation]:
    """Plays `episodes` greedy episodes with each seed of `policy` in the environment `env_name`.

    `env_options` are that environment's, as words KEY=VALUE; None: those of the policy, if it was trained there.

    Raises:
      ConfigError: an unknown environment, or one of other sizes than the policy was trained in.
    """
    import jax

    from iacjax.evaluation import evaluate

    if env_options is None:
        trained = from_saved_options(env_name, policy.env_options)
        env_options = trained if env_name == policy.spec.name else ()
    env = make_run_env(env_name, env_options)
    sizes = [(s.num_agents, s.obs_dim, s.action) for s in (env.spec, policy.spec)]
    if sizes[0] != sizes[1]:
        raise ConfigError(f"the policy of {policy.spec.name} does not fit {env_name}: it has other sizes")
    has_wins = "won" in jax.eval_shape(lambda: env.reset(jax.random.key(0), 1))[1].info
    play = jax.jit(lambda params, key: evaluate(env, policy.algorithm, params, key, episodes))
    rows = []
    for number, params in zip(policy.seeds, policy.params, strict=True):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(number), EVALUATION), seed)
        rows.append(summarise(number, *play(params, key), has_wins))
    return rows


def summarise(
    seed: int, returns: Sequence[float], lengths: Sequence[float], won: Sequence[float], has_wins: bool = True
) -> Evaluation:
    """One seed's row, from one number for each episode (at least one). `has_wins`: the environment reports wins."""
    returns, lengths, won = (np.asarray(x, np.float64) for x in (returns, lengths, won))
    episodes = len(returns)
    wins = (won.mean(), *wilson(won.sum(), episodes)) if has_wins else (math.nan,) * 3
    numbers = (returns.mean(), returns.std(), lengths.mean(), *wins)
    return Evaluation(seed, episodes, *(float(x) for x in numbers))


def write_evaluation(
    directory: pathlib.Path, env_name: str, rows: Sequence[Evaluation], name: str = "evaluation"
) -> None:
    """Writes <name>.csv (one row for each seed) and <name>.json."""
    write_csv(directory / f"{name}.csv", [row._asdict() for row in rows], Evaluation._fields)
    seeds = [{k: None if v != v else v for k, v in row._asdict().items()} for row in rows]
    write_json(directory / f"{name}.json", {"env": env_name, "seeds": seeds})


def table(env_name: str, rows: Sequence[Evaluation]):
    """A rich table: a row for each seed, and the mean over seeds with its 95 % interval."""
    from rich.table import Table

    has_wins = not math.isnan(rows[0].win_rate)
    columns = ["seed", "return", "std", "length", *(["win rate", "95 %"] if has_wins else [])]
    result = Table(*columns, title=f"{rows[0].episodes} greedy episodes per seed on {env_name}")
    for r in rows:
        wins = [f"{r.win_rate:.3f}", f"{r.win_rate_low:.3f} to {r.win_rate_high:.3f}"] if has_wins else []
        result.add_row(str(r.seed), f"{r.return_mean:.3f}", f"{r.return_std:.3f}", f"{r.length_mean:.1f}", *wins)
    wins = [interval_text([r.win_rate for r in rows], RATE), ""] if has_wins else []
    length = f"{np.mean([r.length_mean for r in rows]):.1f}"
    result.add_row("mean", interval_text([r.return_mean for r in rows]), "", length, *wins)
    return result


def choose_seed(policy: "Policy", seed_index: int | None) -> "Policy":
    """`policy` with one of its seeds, counted from 0; None: with all.

    Raises:
      ConfigError: it has no such seed.
    """
    if seed_index is None:
        return policy
    if not 0 <= seed_index < len(policy.seeds):
        raise ConfigError(f"no seed index {seed_index}: the run has {len(policy.seeds)} seed(s), counted from 0")
    return policy._replace(seeds=(policy.seeds[seed_index],), params=(policy.params[seed_index],))
