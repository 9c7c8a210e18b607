"""The runs of a figure: their time is estimated, missing ones are trained, and unfinished ones resumed."""

import contextlib
import dataclasses
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from envs.errors import ConfigError
from experiments.common.files import read_json
from experiments.config.preset_io import default_settings
from experiments.config.schema import Settings, read_config
from experiments.config.validation import check_run
from experiments.figures.spec import EVAL_EPISODES, FigureOptions
from experiments.runs import find
from experiments.training import time_estimates
from experiments.training.memory import free_programs
from experiments.training.time_estimates import Estimate, MeasuredSpeed


class Run(NamedTuple):
    """One run that a figure needs; its directory is found again by its settings."""

    settings: Settings
    name: str = ""  # of the method, where it is not the algorithm's

    @property
    def method(self) -> str:
        """The method's name in the figure and in its files."""
        return self.name or self.algo

    @property
    def algo(self) -> str:
        return self.settings.run.algo

    @property
    def env(self) -> str:
        return self.settings.run.env

    @property
    def directory(self) -> pathlib.Path | None:
        return find.newest_run(self.settings)

    @property
    def status(self) -> str:
        return find.status(self.directory)

    @property
    def updates_per_step(self) -> float:
        """Updates per env step; 1 for learners without such a field."""
        return dataclasses.asdict(self.settings.algorithm).get("updates_per_step", 1.0)


def preset_of(algo: str, env: str, wanted: Sequence[str]) -> str:
    """The first of `wanted` that `algo` has, `{family}` read as the environment's family; else `default`."""
    from experiments.config.presets import PRESETS

    names = [name.replace("{family}", env.split(":")[0]) for name in wanted]
    if len(names) == 1:  # requested by name: an error if a method has no such preset
        return names[0]
    return next((name for name in names if name in PRESETS.get(algo, {})), "default")


def make_run(
    options: FigureOptions,
    algo: str,
    env: str,
    folder: str = "",
    eval_every: int = 0,
    eval_episodes: int = EVAL_EPISODES,
) -> Run:
    """The run of one method in one environment, at the figure's seeds and steps."""
    preset = preset_of(algo, env, options.presets)
    settings = default_settings(algo, preset, env)
    known = {field.name for field in dataclasses.fields(settings.algorithm)}
    wanted = options.overrides.get(env.split(":")[0], {}) if preset == "default" else {}
    fields = {name: value for name, value in wanted.items() if name in known}
    run = dataclasses.replace(
        settings.run,
        seeds=options.seeds,
        total_steps=options.other_steps.get(algo, options.steps[env]),
        run_dir=str(options.run_dir / folder),
        eval_every=eval_every,
        eval_episodes=eval_episodes,
        pictures=False,
    )
    check_run(run)
    return Run(Settings(run, dataclasses.replace(settings.algorithm, **fields)))


def estimate_run(
    run: Run, speeds: Sequence[MeasuredSpeed], platform: str, guess: Mapping[str, float] | None = None
) -> Estimate:
    """By the speed of the same method in the same environment, of the same method in another, or of another method in
    the same one (in that order, and of the same preset first), or by a guess.

    Args:
      guess: env steps a second by platform; None: by `UPDATES_PER_SECOND`.
    """
    near = [_as_if(run, s) for s in speeds if s.facts["algo"] == run.algo or s.facts["env"] == run.env]
    rate = time_estimates.UPDATES_PER_SECOND[platform] / run.updates_per_step if guess is None else guess[platform]
    wanted = {"algo": run.algo, "env": run.env, "preset": run.settings.run.preset}
    return time_estimates.estimate(run.settings.run.total_steps * run.settings.run.seeds, wanted, near, rate)


def speed_of(run: Run) -> list[MeasuredSpeed]:
    """The speed of a run that is finished."""
    facts = {"algo": run.algo, "env": run.env, "preset": run.settings.run.preset, "updates": run.updates_per_step}
    return time_estimates.of_run(run.directory, facts)


def _as_if(run: Run, speed: MeasuredSpeed) -> MeasuredSpeed:
    """A measured speed, with as many updates per env step as `run` has."""
    return speed._replace(rate=speed.rate * speed.facts.get("updates", run.updates_per_step) / run.updates_per_step)


def _announce(
    options: FigureOptions, runs: Sequence[Run], records: pathlib.Path | None, guess: Mapping[str, float] | None
) -> list[Run]:
    """Prints what there is to train, for about how long (and how that is known), and what the budget leaves out.

    Returns:
      The unfinished runs.
    """
    platform = time_estimates.platform()
    speeds = [speed for run in runs for speed in speed_of(run)]
    speeds += time_estimates.of_records(records, platform) if records else []
    speeds += time_estimates.of_benchmark(time_estimates.BENCHMARK, platform)
    left = [run for run in runs if run.status not in find.FINISHED]
    found = [estimate_run(run, speeds, platform, guess) for run in left]
    hours = sum(each.hours for each in found)
    print(f"{options.target}: {len(runs)} runs, {len(left)} to train: about {hours:.1f} hours on this {platform}")
    for run, each in zip(left, found, strict=True):
        algo, env = each.facts.get("algo", run.algo), each.facts.get("env", run.env)
        source = each.source if (algo, env) == (run.algo, run.env) else f"{each.source} of {algo} on {env}"
        print(f"  {each.hours:6.2f} h  {run.method} on {run.env}: {each.rate:,.0f} env steps/s, as {source}")
    if options.note:
        print(options.note, flush=True)
    return left


def train_all(
    options: FigureOptions,
    runs: Sequence[Run],
    keep: Callable[[Run], None],
    train: Callable | None = None,
    *,
    records: pathlib.Path | None = None,
    guess: Mapping[str, float] | None = None,
) -> int:
    """Trains the missing runs, resumes unfinished ones, and passes each run to `keep`. Returns the exit code.

    Args:
      train: (settings, directory or None) -> exit code; by default that of `experiments.run`.
      records: json file that says how the saved runs were made, for the time estimate.
      guess: env steps per second by platform, for the time estimate if nothing was measured.
    """
    if train is None:
        from experiments.training.train import train
    left, failed = _announce(options, runs, records, guess), 0
    for run in runs:
        code = 0
        if run in left:
            begun = run.directory
            code = train(run.settings if begun is None else read_config(begun), begun)
            free_programs()  # a figure of 24 runs would keep them all
        keep(run)
        if code >= 128:
            print(f"stopped; resume with: {options.command}")
            return code
        if code:
            print(f"{run.method} on {run.env} failed; continuing with the others")
            failed = code
    return failed


class FigureTraining(NamedTuple):
    """What a figure trains, and what is done with each run; the arguments of `train_all`."""

    options: FigureOptions
    runs: Sequence[Run]
    keep: Callable[[Run], None]  # writes a run's numbers into the figure's file
    train: Callable | None = None
    records: pathlib.Path | None = None
    guess: Mapping[str, float] | None = None
    record_file: Callable[[Run], pathlib.Path] | None = None  # json file with a run's record; None: the picture's

    def record_path(self, run: Run) -> pathlib.Path:
        """The json file in which `keep` writes how a run was made."""
        return self.record_file(run) if self.record_file else self.options.out.with_suffix(".json")

    def run_all(self) -> int:
        """Trains what is missing. Returns the exit code."""
        return train_all(self.options, self.runs, self.keep, self.train, records=self.records, guess=self.guess)

    def run_and_draw(self, draw: Callable[[FigureOptions], object]) -> int:
        """Trains what is missing, unless only to be redrawn, and draws. Returns the exit code.

        If the user stops the training, what there is is drawn, if there is anything.
        """
        code = 0 if self.options.redraw else self.run_all()
        with contextlib.suppress(ConfigError) if code >= 128 else contextlib.nullcontext():
            draw(self.options)
        return code


def device_and_versions(directory: pathlib.Path) -> dict[str, str]:
    """The device and the software versions of a run."""
    versions = read_json(directory / "versions.json")
    device = versions.pop("device", "")
    return {"device": device, "versions": " ".join(f"{name}={version}" for name, version in versions.items())}
