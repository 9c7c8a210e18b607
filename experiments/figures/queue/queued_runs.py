"""The runs of a queue: what the figures make of its entries, how far each is, and how long the rest will take."""

import pathlib
from collections.abc import Callable, Sequence
from typing import NamedTuple

from envs.errors import ConfigError
from experiments.figures import store
from experiments.figures.aiir import sparse, why, win_rates
from experiments.figures.iac import covariance, curves, saved_steps
from experiments.figures.queue.entries import QUEUES, QueueEntry
from experiments.figures.runs import FigureTraining, Run, estimate_run, speed_of
from experiments.figures.smac import maps
from experiments.loggers.csv import read_table
from experiments.runs import find
from experiments.training import time_estimates

TRAININGS: dict[str, Callable[[Sequence[str]], FigureTraining]] = {
    "aiir/sparse": sparse.training,
    "aiir/fig3": win_rates.training,
    "aiir/fig4": win_rates.training,
    "aiir/why": why.training,
    "iac/fig4": curves.training,
    "iac/fig5": covariance.training,
    "iac/fig6": curves.training,
    "iac/fig7": saved_steps.training,
    "smac/maps": maps.training,
}
RUNS, RESULTS = pathlib.Path("runs"), pathlib.Path("results")
# Measured speeds, beside those of the queue's own runs; a file that is not there has none.
RECORDS = tuple(
    RESULTS / f"{name}.json"
    for name in ("aiir/fig3", "aiir/published/fig3", "aiir/sparse", "aiir/semisparse", "aiir/win", "aiir/why",
                 "iac/fig4", "iac/fig5", "iac/fig6", "smac/maps")
)  # fmt: skip
RECORDED = "recorded"
DONE = (*find.FINISHED, RECORDED)
BENCHMARKS = (RESULTS / "train_speed.json", RESULTS / "algos_speed.json")


class QueuedRun(NamedTuple):
    """A run of the queue. Two figures may need the same run: then it has a place in each, and is trained once."""

    entry: QueueEntry
    words: tuple[str, ...]  # the figure's command line
    training: FigureTraining
    run: Run
    again: bool = False  # train it though the figure's files say that it was finished

    @property
    def status(self) -> str:
        """new, begun, finished, reached_target_win_rate; or `recorded`: the figure's files have it, from a run whose
        directory is not here."""
        status = self.run.status
        if status in find.FINISHED or self.again:
            return status
        path, budget = self.training.record_path(self.run), self.training.options.budget
        return RECORDED if store.is_recorded(path, budget, self.run) else status

    @property
    def title(self) -> str:
        """The figure, the method and the environment with its options."""
        run = self.run.settings.run
        return " ".join((self.entry.target, self.run.method, "on", run.env, *run.env_options))

    @property
    def drawing(self) -> str:
        """The command that draws the figure from what is saved."""
        kept, words = ("--budget", "--out"), self.words[1:]
        pairs = [pair for pair in zip(words, words[1:], strict=False) if pair[0] in kept]
        return " ".join(["python -m experiments.reproduce", self.words[0], *sum(pairs, ()), "--redraw"])


def make_queue(
    budget: str,
    only: Sequence[str] = (),
    runs: pathlib.Path = RUNS,
    results: pathlib.Path = RESULTS,
    again: bool = False,
) -> list[QueuedRun]:
    """All runs of a queue in their order.

    Args:
      only: figures; empty: all.
      runs, results: parents of the run directories and of the figures' files.
      again: whether runs are to be trained that the figures' files have, but whose directories are not here.

    Raises:
      ConfigError: there is no such queue, or no such figure in it.
    """
    if budget not in QUEUES:
        raise ConfigError(f"--budget: no {budget!r}; it is one of {', '.join(QUEUES)}")
    targets = dict.fromkeys(entry.target for entry in QUEUES[budget])
    unknown = [name for name in only if name not in targets]
    if unknown:
        raise ConfigError(f"--only: no {unknown[0]!r} in this queue; it has {', '.join(targets)}")
    queue = []
    for entry in QUEUES[budget]:
        if only and entry.target not in only:
            continue
        words = entry.words.split()
        words += ["--run-dir", str(runs / entry.target.split("/")[0])] if runs != RUNS else []
        words += ["--out", str(results / f"{entry.target}.png")] if results != RESULTS else []
        training = TRAININGS[entry.target](words)
        queue += [QueuedRun(entry, tuple(words), training, run, again) for run in training.runs]
    return queue


class State(NamedTuple):
    """How far a queued run is."""

    queued: QueuedRun
    status: str  # as QueuedRun's
    share: float  # of its env steps that are made
    hours: float | None  # that the rest takes on one core or device; None: nothing like it was measured
    source: str  # what was measured instead of this run; "": the same method in the same environment

    @property
    def is_finished(self) -> bool:
        return self.status in DONE

    @property
    def text(self) -> str:
        """In words."""
        return "done" if self.is_finished else f"begun, {self.share:.0%}" if self.status == "begun" else "to do"


def share_done(run: Run, directory: pathlib.Path) -> float:
    """The share of a run's env steps that had been made at its last evaluation, all seeds together."""
    wanted, made = run.settings.run, {}
    for row in read_table(directory / "eval.csv"):
        made[row["seed"]] = min(row["env_steps"], wanted.total_steps)
    return sum(made.values()) / (wanted.seeds * wanted.total_steps)


def states_of(queue: Sequence[QueuedRun], platform: str) -> list[State]:
    """The states of all runs.

    Args:
      platform: of the speeds to estimate by: cpu or gpu.
    """
    speeds = [speed for queued in queue for speed in speed_of(queued.run)]
    records = dict.fromkeys(j.training.records or j.training.options.out.with_suffix(".json") for j in queue)
    speeds += [speed for path in (*records, *RECORDS) for speed in time_estimates.of_records(path, platform)]
    speeds += [speed for path in BENCHMARKS for speed in time_estimates.of_benchmark(path, platform)]
    states = []
    for queued in queue:
        directory = queued.run.directory
        status = queued.status
        share = 1.0 if status in DONE else share_done(queued.run, directory) if directory else 0.0
        found = estimate_run(queued.run, speeds, platform)
        pair = found.facts.get("algo"), found.facts.get("env")
        source = "" if pair in ((None, None), (queued.run.algo, queued.run.env)) else f"as {pair[0]} on {pair[1]}"
        states.append(State(queued, status, share, (1 - share) * found.hours if found.facts else None, source))
    return states


def print_states(states: Sequence[State], count: int) -> None:
    """Prints each entry with its runs.

    Args:
      count: of processes.
    """
    print("hours: of one process, by measured speeds; where a run was not measured, of what is named behind them")
    number, last = 0, None
    for state in states:
        queued, run = state.queued, state.queued.run.settings.run
        if queued.entry != last:
            number, last = number + 1, queued.entry
            print(f"{number:>2}  {queued.entry.words}\n    {queued.entry.why}")
        env = " ".join((run.env, *run.env_options))
        hours = (
            "" if state.is_finished else "   ? h" if state.hours is None else f"{state.hours:6.2f} h  {state.source}"
        )
        size = f"{run.seeds} x {run.total_steps:,}"
        print(f"      {queued.run.method:<13}{env:<31}{run.preset:<14}{size:<15}{state.text:<12}{hours}".rstrip())
    print(summary(states, count))


def summary(states: Sequence[State], count: int) -> str:
    """How many runs there are and are left, and for about how long; a run that two figures need counts once."""
    runs = list({state.queued.run.settings: state for state in states}.values())
    left = [state for state in runs if not state.is_finished]
    begun = sum(state.status == "begun" for state in left)
    text = f"{len(runs)} runs: {len(runs) - len(left)} done, {begun} begun, {len(left) - begun} to do"
    if not left:
        return text
    hours, unknown = sum(state.hours or 0.0 for state in left), sum(state.hours is None for state in left)
    text += f"; about {hours:.1f} hours one after another, {hours / count:.1f} with --jobs {count}"
    return text + (f", and {unknown} runs of which nothing like them was measured" if unknown else "")
