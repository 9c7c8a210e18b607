"""The results of a sweep: all rows with their configuration, a table of the best ones, the winner as a preset."""

import math
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from experiments.common.files import read_json, write_csv
from experiments.common.stats import RATE, interval_text
from experiments.config.preset_io import write_preset
from experiments.loggers.csv import read_table
from experiments.sweeps.plan import Configuration
from experiments.sweeps.trials import SweepRun

TABLES = ("eval", "metrics")
SHOWN = 20  # rows of a table


class TrialResult(NamedTuple):
    """One seed of a configuration. The scores are means over the last tenth of its evaluations (at least the last)."""

    run: SweepRun
    seed: int
    status: str  # finished, diverged, or begun
    env_steps: int
    return_mean: float
    win_rate: float  # nan in environments without wins

    @property
    def score(self) -> float:
        """What configurations are ranked by: the win rate, or the return in environments without wins."""
        return self.return_mean if math.isnan(self.win_rate) else self.win_rate


class ConfigurationResult(NamedTuple):
    """A configuration and its trials."""

    configuration: Configuration
    trials: tuple[TrialResult, ...]

    @property
    def finished(self) -> list[TrialResult]:
        return [trial for trial in self.trials if trial.status == "finished"]

    @property
    def rank(self) -> tuple[bool, float]:
        """Sorts the best first: those of which every seed finished, by their mean score."""
        scores = [trial.score for trial in self.finished]
        return len(scores) < len(self.trials), -float(np.mean(scores)) if scores else math.inf


def read_trials(runs: Sequence[SweepRun]) -> list[TrialResult]:
    """The trials of all runs."""
    return [trial for each in runs for trial in _trials_of(each)]


def _trials_of(sweep_run: SweepRun) -> list[TrialResult]:
    summary = {"status": "begun", **read_json(sweep_run.directory / "summary.json")}
    by_seed: dict[int, list[dict[str, float]]] = {}
    for row in read_table(sweep_run.directory / "eval.csv"):
        by_seed.setdefault(int(row["seed"]), []).append(row)
    results = []
    for seed in sweep_run.seeds:
        rows = by_seed.get(seed, [])  # none where it diverged before the first
        status = "diverged" if str(seed) in summary.get("diverged", {}) else summary["status"]
        last = rows[-max(1, len(rows) // 10) :] or [{}]
        means = [float(np.mean([row.get(name, math.nan) for row in last])) for name in ("return_mean", "win_rate")]
        results.append(TrialResult(sweep_run, seed, status, int(rows[-1]["env_steps"]) if rows else 0, *means))
    return results


def group_by_configuration(trials: Sequence[TrialResult]) -> list[ConfigurationResult]:
    """The trials by configuration, the best of each environment first."""
    of: dict[tuple, list[TrialResult]] = {}
    for trial in trials:
        run = trial.run.configuration.settings.run
        of.setdefault((run.env, run.algo, trial.run.configuration.name), []).append(trial)
    results = [ConfigurationResult(some[0].run.configuration, tuple(some)) for some in of.values()]
    return sorted(results, key=lambda result: (result.configuration.settings.run.env, *result.rank))


def differences(result: ConfigurationResult, results: Sequence[ConfigurationResult], but: str = "") -> str:
    """The fields (except `but`) in which a configuration differs from the others, such as `lr=0.002 entropy=0.01`."""
    algo = result.configuration.settings.run.algo
    words = [algo] * any(r.configuration.settings.run.algo != algo for r in results)
    for name, value in result.configuration.values.items():
        if name != but and any(r.configuration.values.get(name) != value for r in results):
            words.append(f"{name}={value:g}" if isinstance(value, float) else f"{name}={value}")
    return " ".join(words)


def write_tables(out: pathlib.Path, runs: Sequence[SweepRun], trials: Sequence[TrialResult]) -> None:
    """lanes.csv (a row per trial), eval.csv and metrics.csv: all rows of all trials, their configuration in front."""
    rows = []
    for trial in trials:
        numbers = {"seed": trial.seed, "status": trial.status, "env_steps": trial.env_steps}
        numbers |= {"return_mean": trial.return_mean, "win_rate": trial.win_rate}
        rows.append({**_columns(trial.run), **numbers, "directory": str(trial.run.directory)})
    write_csv(out / "lanes.csv", rows)
    for table in TABLES:
        every = [{**_columns(each), **row} for each in runs for row in read_table(each.directory / f"{table}.csv")]
        write_csv(out / f"{table}.csv", every)


def _columns(sweep_run: SweepRun) -> dict[str, Any]:
    run = sweep_run.configuration.settings.run
    return {"algo": run.algo, "env": run.env, **sweep_run.configuration.values}


def tables(results: Sequence[ConfigurationResult]) -> list[Any]:
    """A rich table an environment: its best configurations, means over the seeds that finished with 95 % intervals."""
    from rich.table import Table

    made = []
    for env in dict.fromkeys(result.configuration.settings.run.env for result in results):
        some = [result for result in results if result.configuration.settings.run.env == env]
        algos = {result.configuration.settings.run.algo for result in some}
        title = f"{algos.pop()} on {env}" if len(algos) == 1 else env
        title += ": mean of the last tenth of the evaluations, 95 % over seeds"
        # Two numbers in the first column still fit into 80 characters.
        table = Table("configuration", "seeds", "return", "win rate", title=title, pad_edge=False)
        for result in some[:SHOWN]:
            lost = len(result.trials) - len(result.finished)
            seeds = f"{len(result.trials)}" + (f" ({lost} diverged)" if lost else "")
            table.add_row(differences(result, some) or result.configuration.name, seeds, *_texts(result))
        if len(some) > SHOWN:
            table.add_row(f"and {len(some) - SHOWN} more: lanes.csv", "", "", "")
        made.append(table)
    return made


def _texts(result: ConfigurationResult) -> tuple[str, str]:
    trials = result.finished
    if not trials:
        return "-", "-"
    wins = [trial.win_rate for trial in trials]
    has_wins = not any(math.isnan(win) for win in wins)
    returns = interval_text([trial.return_mean for trial in trials], form=".4g")
    return returns, interval_text(wins, RATE) if has_wins else "-"


def write_winners(out: pathlib.Path, results: Sequence[ConfigurationResult]) -> list[pathlib.Path]:
    """The best configuration of each environment and algorithm as winners/<env>_<algo>.json; with one environment also
    the best of all as winner.json. A configuration of which a seed did not finish is left out."""
    best: dict[tuple[str, str], ConfigurationResult] = {}
    for result in results:
        run = result.configuration.settings.run
        if result.finished and not result.rank[0]:
            best.setdefault((run.env, run.algo), result)
    written = []
    for (env, algo), result in best.items():
        name = f"{env.replace(':', '_').replace('/', '_')}_{algo}.json"
        written.append(_write_winner(out / "winners" / name, result))
    if len({env for env, _ in best}) == 1:
        written.append(_write_winner(out / "winner.json", next(iter(best.values()))))
    return written


def _write_winner(path: pathlib.Path, result: ConfigurationResult) -> pathlib.Path:
    returns, wins = _texts(result)
    what = f"return {returns}" if wins == "-" else f"win rate {wins}"
    configuration = result.configuration
    summary = f"{configuration.name}: the best of a sweep, {what} over {len(result.trials)} seed(s)"
    write_preset(path, configuration.settings, summary)
    return path
