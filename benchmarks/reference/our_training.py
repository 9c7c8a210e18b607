"""Our side of `experiments.benchmark learn`: the run that is compared with a reference script."""

import dataclasses
import pathlib
import time
from typing import Any, NamedTuple

from envs.errors import ConfigError
from experiments.config.command_line import parse_fields
from experiments.config.preset_io import default_settings
from experiments.config.schema import Settings


class CurvePoint(NamedTuple):
    """One entry of a training curve: sums over the episodes that ended in the steps up to `steps`."""

    steps: int
    episodes: float
    won: float
    returns: float


def our_settings(job: dict[str, Any], run_dir: str) -> Settings:
    """The run to compare with the script: the job's steps per seed in the same environment, evaluated at its end only.

    A preset that anneals over its whole run anneals over this one, as JaxMARL's scripts do.
    """
    settings = default_settings(job["algo"], job["preset"], f"jaxmarl:smax:{job['map']}")
    algorithm, steps = settings.algorithm, job["steps"]
    if getattr(algorithm, "anneal_steps", 0) == settings.run.total_steps:
        algorithm = dataclasses.replace(algorithm, anneal_steps=steps)
    options = tuple(f"{name}={value}" for name, value in job["options"].items())
    run = dataclasses.replace(
        settings.run,
        env_options=options,
        seeds=job["seeds"],
        total_steps=steps,
        eval_every=steps,
        run_dir=run_dir,
        pictures=False,
    )
    argv = []
    for name, value in job["changes"].items():
        option = name.replace("_", "-")
        argv += [f"--{'' if value else 'no-'}{option}"] if isinstance(value, bool) else [f"--{option}", str(value)]
    return parse_fields(argv, Settings(run, algorithm))


def our_curves(directory: pathlib.Path, seeds: int) -> list[list[CurvePoint]]:
    """metrics.csv as a curve per seed."""
    from experiments.loggers.csv import read_table

    curves: list[list[CurvePoint]] = [[] for _ in range(seeds)]
    for row in read_table(directory / "metrics.csv"):
        sums = [row["episodes"] * row[name] if row["episodes"] else 0.0 for name in ("win_rate", "return_mean")]
        curves[int(row["seed"])].append(CurvePoint(int(row["env_steps"]), row["episodes"], *sums))
    return curves


def train_ours(job: dict[str, Any], settings: Settings) -> dict[str, Any]:
    """Trains `settings` (or resumes the run, or takes the finished one); the result is as of `train_script`.

    compile_s is all of the call but training, evaluating and saving; None where the run was begun by another call.
    """
    from experiments.analysis.evaluation import evaluate_policy
    from experiments.common.files import read_json
    from experiments.runs.find import FINISHED, newest_run, seconds, status
    from experiments.training.train import train
    from iacjax import load_policy

    began, worked = time.perf_counter(), time.process_time()
    begun = newest_run(settings)
    if status(begun) not in FINISHED:
        code = train(settings, begun)
        if code:
            raise ConfigError(f"our {job['algo']} stopped on {job['map']} (code {code}): the same command resumes it")
    wall, cpu = time.perf_counter() - began, time.process_time() - worked
    directory = newest_run(settings)
    summary = read_json(directory / "summary.json")
    found = evaluate_policy(load_policy(directory), settings.run.env, job["episodes"])
    fields = dataclasses.asdict(settings.algorithm)
    return {
        "name": f"{job['algo']} {job['preset']}",
        "env_steps": summary["seeds"][0]["env_steps"],
        "config": {name: value for name, value in fields.items() if not isinstance(value, str)},
        "curves": our_curves(directory, job["seeds"]),
        "greedy": [(seed.win_rate, seed.return_mean) for seed in found],
        "train_s": summary["train_seconds"],
        "compile_s": None if begun else wall - seconds(directory),
        "cpu_s": None if begun else cpu,
    }
