"""Training a run from its settings: environment and algorithm, compiled programs, one loop per batch of seeds, results.

build -> compile_largest -> TrainingLoop.train -> summary.json
"""

import contextlib
import dataclasses
import functools
import pathlib
import sys
from collections.abc import Iterator, Sequence

from envs.custom import is_custom_env, is_custom_name
from envs.errors import ConfigError
from experiments.analysis.pictures import CURVES, draw_pictures
from experiments.common.cli import explain
from experiments.common.files import check_digest, write_json
from experiments.common.text import duration
from experiments.config.schema import Settings
from experiments.loggers import check_sinks, open_sinks
from experiments.loggers.console import Console
from experiments.runs import custom_environment, results
from experiments.runs.build import build
from experiments.runs.checkpoint import Progress
from experiments.runs.directory import create_directory, locked, software_versions, write_config
from experiments.training.compile import lower_run
from experiments.training.hooks import Hook, RunContext
from experiments.training.kept_programs import kept_programs
from experiments.training.live_curves import LiveCurves
from experiments.training.loop import Diverged, Interrupted, TrainingLoop
from experiments.training.pace import resolve
from experiments.training.policies import PolicyTarget, SavePolicies
from experiments.training.runtime import describe_devices, prepare_jax
from experiments.training.seed_batches import compile_batch, compile_largest, split
from experiments.training.signals import Signals


def train(
    settings: Settings,
    directory: pathlib.Path | None = None,
    hooks: Sequence[Hook] = (),
    evaluate_at: Sequence[int] = (),
) -> int:
    """Trains to the end, in a new run directory or on from the checkpoints of `directory`; the exit code.

    config.json is written when the run begins, so that it can be resumed if it is killed while it compiles, and again
    when the compiler has shown how many seeds fit in memory, if their number was not given.

    Args:
      hooks: called by the loop of every batch of seeds (see `training.hooks`).
      evaluate_at: env steps at which to evaluate, as well as at the end; empty: each `eval_every`.

    Returns:
      0: finished. 1: a metric was NaN or infinite. 128 + the signal: interrupted, after saving.

    Raises:
      ConfigError: the settings do not go together, the memory is too small, or files of the run are damaged.
    """
    check_sinks(settings.run)
    prepare_jax(settings.run, print)
    env, algorithm = build(settings)
    digest = custom_environment.environment_digest(env) if is_custom_env(env) else ""
    if digest:
        custom_environment.check_played(env, digest, print)
    settings, resumed = resolve(settings, algorithm.plan), directory is not None
    directory = directory or create_directory(settings)
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(directory))
        if digest:
            custom_environment.keep_digest(directory, settings.run.env, digest, print)
        if resumed:
            check_digest(directory / "config.json")
            write_config(directory, settings)
        console = stack.enter_context(Console(directory / "log.txt"))
        stop = stack.enter_context(Signals().listening())
        sinks = open_sinks(settings, directory)
        for sink in sinks:
            stack.callback(sink.close)
        context = RunContext(settings, directory, algorithm, env, sinks, console, stop)
        return train_batches(context, stop, hooks, evaluate_at)


def train_batches(context: RunContext, stop: Signals, hooks: Sequence[Hook], evaluate_at: Sequence[int]) -> int:
    """Trains all seeds, batch after batch; the exit code."""
    console, run, directory = context.console, context.settings.run, context.directory
    seeds = tuple(range(run.seed, run.seed + run.seeds))
    write_json(directory / "versions.json", software_versions(describe_devices(run.devices, len(seeds))))
    env = " ".join((run.env, *run.env_options))
    console.say(
        f"run      {run.algo} on {env}, preset {run.preset}, {len(seeds)} seed(s), {run.total_steps:,} steps each"
    )
    console.say(f"dir      {directory}")
    if run.pictures:
        console.say(f"watch    {directory / CURVES}, drawn again at evaluations")
        hooks = (LiveCurves(), *hooks)
    again = f"python -m experiments.run --resume {directory}" + (f" --env {run.env}" if is_custom_name(run.env) else "")
    lower = functools.partial(
        lower_run,
        context.env,
        context.algorithm,
        eval_episodes=run.eval_episodes,
        devices=run.devices,
        kept=kept_programs(context.settings, context.env),
    )
    finished: list[Progress] = []
    with _explained(directory, again):
        compiled = compile_largest(len(seeds), lower, run, console.say)
        context = _keep_batch_size(context, compiled.num_seeds)
        for batch in split(seeds, compiled.num_seeds):
            compiled = compile_batch(len(batch), compiled, lower, console.say)
            target = PolicyTarget(directory, context.settings, batch, tuple(range(len(batch))))
            save = SavePolicies([target])
            loop = TrainingLoop(context, batch, compiled, hooks=(save, *hooks), evaluate_at=evaluate_at)
            try:
                finished.append(loop.train())
            except Interrupted:
                console.end_progress()
                console.say(f"stopped at iteration {loop.progress.iteration}, saved; continue with: {again}")
                _finish(context, [*finished, loop.progress], "interrupted")
                return 128 + stop.received
            except Diverged as error:
                console.end_progress()
                console.record(f"stopped: {error}")
                print(f"stopped: {error}", file=sys.stderr)
                return 1
            console.end_progress()
    reached = all(progress.reached_target_win_rate for progress in finished)
    _finish(context, finished, "reached_target_win_rate" if reached else "finished")
    return 0


@contextlib.contextmanager
def _explained(directory: pathlib.Path, again: str) -> Iterator[None]:
    """Turns errors of the file system and of the device memory into ConfigErrors that say what to do; `again`: the
    command that resumes the run."""
    try:
        yield
    except OSError as error:
        if error.errno is None or not any(directory.glob("checkpoints/*/[0-9]*")):
            raise
        raise ConfigError(f"{explain(error)}; resume what was saved with: {again}") from error
    except RuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        text = "the device has run out of memory: use a smaller --seeds-per-batch, --num-envs or --rollout-length"
        raise ConfigError(text) from error


def _keep_batch_size(context: RunContext, size: int) -> RunContext:
    """Records the size in config.json: a checkpoint holds a whole batch, so a resumed run must form the same ones."""
    settings = context.settings
    if settings.run.seeds_per_batch == size:
        return context
    settings = Settings(dataclasses.replace(settings.run, seeds_per_batch=size), settings.algorithm)
    write_config(context.directory, settings)
    return context._replace(settings=settings)


def _finish(context: RunContext, finished: list[Progress], status: str) -> None:
    """Prints the last evaluations and the times, draws the pictures, and writes summary.json."""
    steps = sum(sum(p.env_steps) for p in finished)
    timing = {
        name: sum(getattr(p, name) for p in finished) for name in ("train_seconds", "eval_seconds", "save_seconds")
    }
    rows = results.last_evaluations(context.directory)
    spent = max(sum(timing.values()), 1e-9)
    if rows and status != "interrupted":
        context.console.terminal.print(results.summary_table(rows))
    evaluating, saving = (100 * timing[name] / spent for name in ("eval_seconds", "save_seconds"))
    rate = steps / max(timing["train_seconds"], 1e-9)
    context.console.say(
        f"time     {duration(spent)}, of which evaluating {evaluating:.1f} %, saving {saving:.1f} %; "
        f"{rate:,.0f} env steps/s while training"
    )
    if rows and status != "interrupted" and context.settings.run.pictures:
        draw_pictures(context.directory, context.console.say)
    results.write_summary(context.directory, status, timing)  # last: a run that has it is complete
