"""How long runs will take, and which measurement says so."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from experiments.common.files import read_json
from experiments.runs import find

if TYPE_CHECKING:
    from experiments.figures.spec import Options, Run

# Updates a second, all seeds of a run together, where nothing measured tells: for the prediction only.
UPDATES_PER_SECOND = {"cpu": 250.0, "gpu": 1500.0}
BENCHMARK = pathlib.Path("results/train_speed.json")  # kept by `python -m experiments.benchmark train`


class Speed(NamedTuple):
    """What was measured: `rate` is in env steps a second, all seeds of the run together."""

    algo: str
    env: str
    preset: str
    rate: float
    source: str
    updates: float | None = None  # a step, where it is known


class Prediction(NamedTuple):
    hours: float
    rate: float  # env steps a second, all seeds together
    source: str


def of_runs(runs: Sequence["Run"]) -> list[Speed]:
    """The speeds of the runs that are finished."""
    speeds = []
    for run in runs:
        directory = run.directory
        if directory is not None and find.status(directory) in find.FINISHED:
            steps, seconds = find.env_steps(directory), find.seconds(directory)
            if steps and seconds:
                made = run.algo, run.env, run.settings.run.preset
                speeds.append(Speed(*made, steps / seconds, "a finished run", run.updates_per_step))
    return speeds


def of_records(path: pathlib.Path, platform: str) -> list[Speed]:
    """The speeds in a figure's json of how its runs were made, of the runs on such a device (cpu or gpu)."""
    return [
        Speed(r["algo"], r["env"], r["preset"], r["seeds"] * r["total_steps"] / r["hours"] / 3600, str(path))
        for r in read_json(path).get("runs", [])
        if r["status"] == "finished" and r["hours"] and _is_on(r, platform)
    ]


def of_benchmark(path: pathlib.Path, platform: str) -> list[Speed]:
    """The speeds that the benchmark kept, those of most seeds first; other people's programs are left out."""
    rows = read_json(path, list)
    rows = sorted((r for r in rows if _is_on(r, platform)), key=lambda r: -r["seeds"])
    named = [(r, *r["system"].partition(" ")[::2]) for r in rows]
    return [Speed(algo, r["env"], preset, r["steps_per_s"], str(path)) for r, algo, preset in named]


def _is_on(row: Mapping[str, Any], platform: str) -> bool:
    return row.get("device", "").startswith("cpu") == (platform == "cpu")


def predict(run: "Run", speeds: Sequence[Speed], platform: str, guess: Mapping[str, float] | None = None) -> Prediction:
    """Hours that a run will take.

    By the speed of the same method in the same world, of the same method elsewhere, of another method in the same
    world (in that order, and of the same preset first), or by a rough guess.

    Args:
      speeds: what was measured; of two that serve as well, the first counts.
      guess: env steps a second by platform; None: by `UPDATES_PER_SECOND`.
    """
    steps = run.settings.run.total_steps * run.settings.run.seeds
    near = [s for s in speeds if s.algo == run.algo or s.env == run.env]
    if near:
        best = min(near, key=lambda s: (s.algo != run.algo, s.env != run.env, s.preset != run.settings.run.preset))
        there = "" if (best.algo, best.env) == (run.algo, run.env) else f" of {best.algo} on {best.env}"
        rate = best.rate * (1.0 if best.updates is None else best.updates / run.updates_per_step)
        return Prediction(steps / rate / 3600, rate, best.source + there)
    rate = UPDATES_PER_SECOND[platform] / run.updates_per_step if guess is None else guess[platform]
    return Prediction(steps / rate / 3600, rate, "a rough guess")


def announce(
    options: "Options",
    runs: Sequence["Run"],
    records: pathlib.Path | None = None,
    guess: Mapping[str, float] | None = None,
) -> list["Run"]:
    """Says what there is to train, for about how long (and how that is known), and what the budget leaves out.

    Returns:
      The unfinished runs.
    """
    import jax

    platform = "cpu" if jax.devices()[0].platform == "cpu" else "gpu"
    speeds = of_runs(runs) + (of_records(records, platform) if records else []) + of_benchmark(BENCHMARK, platform)
    left = [run for run in runs if run.status not in find.FINISHED]
    found = [predict(run, speeds, platform, guess) for run in left]
    hours = sum(p.hours for p in found)
    print(f"{options.target}: {len(runs)} runs, {len(left)} to train: about {hours:.1f} hours on this {platform}")
    for run, p in zip(left, found, strict=True):
        print(f"  {p.hours:6.2f} h  {run.algo} on {run.env}: {p.rate:,.0f} env steps/s, as {p.source}")
    print(options.note, flush=True)
    return left
