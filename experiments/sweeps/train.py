"""Training one program of a sweep: a trial per configuration and seed, a run directory per configuration.

These directories, <out>/<env>/<algo>/<configuration>, are as of experiments.run (config.json, metrics.csv, eval.csv,
policy/, summary.json), so evaluate, record and plot take them. Checkpoints in <out>/programs/<program> are per batch.
"""

import contextlib
import dataclasses
import functools
import pathlib
import re
import shutil
import time
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from envs.custom import is_custom_env
from envs.errors import ConfigError
from experiments.common.files import read_json, write_json
from experiments.common.text import duration, human
from experiments.config.schema import RunConfig, Settings
from experiments.distributed import collectives, sharding
from experiments.loggers.console import Console
from experiments.runs import custom_environment, results
from experiments.runs.build import build, seed_keys
from experiments.runs.checkpoint import Progress
from experiments.runs.directory import locked, software_versions, write_config
from experiments.sweeps.forecast import Watch
from experiments.sweeps.plan import Program
from experiments.sweeps.trials import SweepRun, Trial, batch_name, make_loop
from experiments.training.compile import CHUNK_CAPACITY, Lowered, lower_trainer
from experiments.training.hooks import RunContext
from experiments.training.loop import TrainingLoop
from experiments.training.pace import resolve
from experiments.training.runtime import describe_devices
from experiments.training.seed_batches import compile_batch, compile_largest, split
from experiments.training.time_estimates import time_env_step
from iacjax.algorithms.registry import get_entry
from iacjax.digests import sign


class Part(NamedTuple):
    """Runs whose trials one compiled program holds, and the floats in which those trials differ."""

    name: str
    runs: tuple[SweepRun, ...]
    floats: tuple[str, ...]


def _maker(settings: Settings, spec: Any) -> Callable[[dict[str, Any]], Any]:
    entry = get_entry(settings.run.algo)
    return lambda floats: entry.make(spec, dataclasses.replace(settings.algorithm, **floats))


def parts_of(program: Program, runs: Sequence[SweepRun], env: Any) -> list[Part]:
    """The runs in parts that one compiled program can train: runs that differ in a float on which the factory of the
    algorithm branches, which tracing it shows, are in different parts."""
    from iacjax.vmapped_trials import can_be_traced

    make, names = _maker(program.settings, env.spec), program.floats
    if names and not can_be_traced(env, make, names):
        names = tuple(name for name in names if can_be_traced(env, make, (name,)))
    fixed = [name for name in program.floats if name not in names]
    parts: dict[tuple, list[SweepRun]] = {}
    for sweep_run in runs:
        parts.setdefault(tuple(sweep_run.configuration.values[name] for name in fixed), []).append(sweep_run)
    return [Part(f"part_{k}", tuple(some), names) for k, some in enumerate(parts.values())]


def train_program(
    program: Program,
    runs: Sequence[SweepRun],
    directory: pathlib.Path,
    console: Console,
    stop: Callable[[], bool],
    watch: Watch,
) -> None:
    """Trains the runs of a program to their end, from their checkpoints; does nothing if they have ended.

    Args:
      directory: of this program's checkpoints and of the marker that it has ended.
      watch: receives how far it is.

    Raises:
      Interrupted: the user asked to stop, and a checkpoint was written.
      ConfigError: what was asked for cannot be trained.
    """
    marker = directory / "finished.json"
    if collectives.broadcast_from_main(marker.exists):
        console.say(f"finished {program.title}: {len(program.configurations)} configuration(s)")
        _remove_parts(directory)  # if it was killed before it removed them
        return
    seeds = program.settings.run.seeds
    console.say(f"program  {program.title}: {len(program.configurations)} configuration(s), {seeds} seed(s)")
    began = time.monotonic()
    with contextlib.ExitStack() as held:
        collectives.broadcast_from_main(lambda: _open(directory, held))
        env, _ = build(program.settings)
        if is_custom_env(env):
            digest = custom_environment.environment_digest(env)
            collectives.broadcast_from_main(
                lambda: custom_environment.keep_digest(directory, env.spec.name, digest, console.say)
            )
        try:
            for part in parts_of(program, runs, env) if runs else ():
                _train_part(part, env, directory / part.name, console, stop, watch)
        except RuntimeError as error:
            if "RESOURCE_EXHAUSTED" not in str(error):
                raise
            text = "the device has run out of memory: use a smaller --seeds-per-batch, or --set a smaller num_envs"
            raise ConfigError(text) from error
        record = {"points": len(program.configurations), "seconds": round(time.monotonic() - began, 1)}
        collectives.broadcast_from_main(lambda: write_json(marker, record))
    _remove_parts(directory)


def _remove_parts(directory: pathlib.Path) -> None:
    """Removes the checkpoints of a program that has ended; policies and rows stay."""
    for part in directory.glob("part_*") if collectives.is_main() else ():
        shutil.rmtree(part)


def _open(directory: pathlib.Path, held: contextlib.ExitStack) -> None:
    directory.mkdir(parents=True, exist_ok=True)
    held.enter_context(locked(directory))


def _train_part(
    part: Part, env: Any, directory: pathlib.Path, console: Console, stop: Callable[[], bool], watch: Watch
) -> None:
    first = part.runs[0].configuration.settings
    make = _maker(first, env.spec)
    algorithm = make({})
    settings = resolve(first, algorithm.plan)
    size = collectives.broadcast_from_main(lambda: _open_part(part, directory, settings.run))
    settings = Settings(dataclasses.replace(settings.run, seeds_per_batch=size), settings.algorithm)
    context = RunContext(settings, directory, algorithm, env, [], console, stop)
    trials = [Trial(sweep_run, seed) for sweep_run in part.runs for seed in sweep_run.seeds]
    lower = functools.partial(lower_trials, context, make, part.floats)
    compiled = compile_largest(len(trials), lower, settings.run, console.say, "trial")
    size = compiled.num_seeds
    collectives.broadcast_from_main(lambda: _keep_size(directory, len(trials), size))
    finished: list[tuple[Sequence[Trial], Progress]] = []
    for batch in split(trials, size):
        compiled = compile_batch(len(batch), compiled, lower, console.say, "trial")
        watch.share.bytes = max(watch.share.bytes or 0, compiled.bytes_needed)
        loop = make_loop(context, batch, compiled, part.floats, sum(len(some) for some, _ in finished), watch)
        with contextlib.closing(loop.context.sinks[0]):
            if not finished and loop.checkpoints.latest() is None:
                _predict(loop, len(trials), watch)
            finished.append((batch, loop.train()))
        console.end_progress()
    collectives.broadcast_from_main(lambda: _close_runs(part, finished))


def lower_trials(context: RunContext, make: Callable, floats: tuple[str, ...], size: int) -> Lowered:
    """The functions of a batch of so many trials."""
    import jax

    from iacjax.vmapped_trials import make_trial_trainer

    run = context.settings.run
    layout = sharding.layout_of(size, run.devices, context.algorithm.plan.num_envs)
    trainer = make_trial_trainer(context.env, make, CHUNK_CAPACITY, run.eval_episodes, layout.mesh)
    keys = jax.eval_shape(lambda: seed_keys(tuple(range(size))))
    values = {name: jax.ShapeDtypeStruct((size,), np.float32) for name in floats}
    return lower_trainer(trainer, (keys, values), keys, layout)


def _open_part(part: Part, directory: pathlib.Path, run: RunConfig) -> int:
    """Makes the directories; returns the recorded size of the part's batches, or the one that was asked for."""
    directory.mkdir(exist_ok=True)
    size = read_json(directory / "groups.json").get("size", run.seeds_per_batch)
    if not isinstance(size, int):
        raise ConfigError(f"{directory / 'groups.json'} has no size of batches: restore it from a copy")
    _open_runs(part, dataclasses.replace(run, seeds_per_batch=size))
    return size


def _keep_size(directory: pathlib.Path, trials: int, size: int) -> None:
    """Records the size of the batches.

    Raises:
      ConfigError: there are checkpoints of batches of another size, which would be ignored.
    """
    file = directory / "groups.json"
    due = {batch_name(some[0], len(some)) for some in split(range(trials), size)}
    for path in (directory / "checkpoints").glob("lanes_0-*"):
        last = re.fullmatch("lanes_0-([0-9]{1,9})", path.name)
        if last and path.name not in due:
            held = int(last[1]) + 1
            text = f"the checkpoints in {directory} are of batches of {held} trial(s), not of {size}"
            raise ConfigError(f'{text}: write {{"size": {held}}} into {file}')
    write_json(file, sign({"size": size}))


def _predict(loop: TrainingLoop, trials: int, watch: Watch) -> None:
    """Prints how long the part will take, by timing a few iterations of its first batch."""
    context, compiled = loop.context, loop.compiled
    run = context.settings.run
    seconds = time_env_step(compiled, loop.inputs, context.algorithm.plan, len(loop.seeds))
    about = duration(seconds * trials * run.total_steps)
    text = f"{trials} trial(s) x {run.total_steps:,} env steps: about {about} and its evaluations"
    context.console.say(f"predict  {text}, {human(compiled.bytes_needed)} at a time")
    whole = watch.predicted(seconds)
    if whole:
        context.console.say(whole)


def _open_runs(part: Part, run: RunConfig) -> None:
    """Makes each run directory, with its configuration and the software versions that it is made with."""
    trials = sum(len(sweep_run.seeds) for sweep_run in part.runs)
    made = software_versions(describe_devices(run.devices, trials))
    for sweep_run in part.runs:
        sweep_run.directory.mkdir(parents=True, exist_ok=True)
        write_config(sweep_run.directory, sweep_run.settings(run))
        write_json(sweep_run.directory / "versions.json", made)


def _close_runs(part: Part, finished: list[tuple[Sequence[Trial], Progress]]) -> None:
    """Writes the summary.json of each run, with its share of the times and the seeds that diverged."""
    progress = [p for _, p in finished]
    trials = sum(len(batch) for batch, _ in finished)
    diverged = {
        (batch[int(k)].run.directory, batch[int(k)].seed): at for batch, p in finished for k, at in p.diverged.items()
    }
    for sweep_run in part.runs:
        share = len(sweep_run.seeds) / trials
        names = ("train_seconds", "eval_seconds", "save_seconds")
        timing: dict[str, Any] = {name: share * sum(getattr(p, name) for p in progress) for name in names}
        timing["diverged"] = {str(s): at for (directory, s), at in diverged.items() if directory == sweep_run.directory}
        results.write_summary(sweep_run.directory, "finished", timing)
