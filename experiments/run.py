"""Trains: `python -m experiments.run --algo aiir_mix --env smax:2s3z --seeds 3`; `--help` shows every field.

Ctrl-C or SIGTERM finishes the running chunk, saves, and prints the command that continues.
"""

import contextlib
import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from envs.custom import is_custom_env, is_custom_name
from envs.errors import ConfigError
from envs.registry import check_name, known_envs
from experiments.common.cli import explain, leave, run_stoppable
from experiments.common.files import check_digest, write_json
from experiments.common.text import duration
from experiments.config.command_line import Command, new_settings, parse_fields
from experiments.config.env_options import read_env_options
from experiments.config.schema import Settings, check_same, read_config
from experiments.config.trust import check_trusted
from experiments.distributed.layout import device_count
from experiments.loggers import check_sinks, open_sinks
from experiments.loggers.console import Console
from experiments.runs import custom_environment
from experiments.runs.build import build
from experiments.runs.checkpoint import Progress
from experiments.runs.directory import create_directory, locked, software_versions, write_config
from experiments.training.compile import Lowered, lower_run
from experiments.training.loop import Diverged, Group, Interrupted, Job
from experiments.training.runtime import describe_devices, prepare_jax
from experiments.training.seed_batches import compile_groups
from experiments.training.signals import Signals

LOG_ROWS, EVALUATIONS = 500, 50  # a run, where --log-every and --eval-every are 0


def print_list() -> None:
    """What `--list` shows."""
    from experiments.config.presets import PRESETS
    from iacjax.algorithms.registry import ALGORITHMS

    print("algorithms (--algo) and their presets (--preset)")
    for name, entry in ALGORITHMS.items():
        print(f"  {name:<16}{entry.summary}")
        for preset, value in PRESETS.get(name, {}).items():
            print(f"    {preset:<14}{value.summary}")
    print("environments (--env)")
    families: dict[str, list[str]] = {}
    for env in known_envs():
        families.setdefault(env.split(":")[0], []).append(env)
    for members in families.values():
        print("  " + "  ".join(members))
    print("  MODULE:NAME, a class or function of yours (envs/custom.py)")


def check_warmup(settings: Settings, plan: Any) -> None:
    """Raises ConfigError where the run would end before its first update."""
    steps, asked = settings.run.total_steps, getattr(settings.algorithm, "warmup", 0)
    if plan.warmup <= steps:
        return
    text = f"{settings.run.algo} would learn nothing in {steps:,} env steps: its first update comes after "
    text += f"{plan.warmup:,}"
    if plan.warmup > asked:
        text += f", when each of {plan.num_envs} environments has shown a whole sequence"
    hint = "or fewer --num-envs" if plan.warmup > asked else "or a smaller --warmup"
    raise ConfigError(f"{text}: give --total-steps {plan.warmup} or more, {hint}")


def resolve(settings: Settings, plan: Any) -> Settings:
    """Puts numbers where 0 meant "about so many a run", so that a continued run keeps them.

    Raises:
      ConfigError: the run would end before its first update.
    """
    check_warmup(settings, plan)
    run = settings.run
    iterations = -(-run.total_steps // plan.steps_per_iteration)
    run = dataclasses.replace(
        run,
        eval_every=run.eval_every or max(plan.steps_per_iteration, run.total_steps // EVALUATIONS),
        log_every=run.log_every or max(1, iterations // LOG_ROWS),
    )
    return Settings(run, settings.algorithm)


def train(settings: Settings, directory: pathlib.Path | None = None) -> int:
    """Trains to the end, in a new run directory or on from the checkpoints of `directory`; the exit code.

    0: finished. 1: a metric was NaN or infinite. 128 + the signal: interrupted, after saving.
    """
    check_name(settings.run.env)
    read_env_options(settings.run.env_options)
    check_sinks(settings.run)
    prepare_jax(settings.run, print)
    env, algorithm = build(settings)
    digest = custom_environment.environment_digest(env) if is_custom_env(env) else ""
    if digest:
        custom_environment.check_played(env, digest, print)
    settings = resolve(settings, algorithm.plan)
    directory = directory or create_directory(settings)
    with contextlib.ExitStack() as stack:
        stack.enter_context(locked(directory))
        if digest:
            custom_environment.keep_digest(directory, settings.run.env, digest, print)
        check_digest(directory / "config.json")
        write_config(directory, settings)
        console = stack.enter_context(Console(directory / "log.txt"))
        stop = stack.enter_context(Signals().listening())
        sinks = open_sinks(settings, directory)
        for sink in sinks:
            stack.callback(sink.close)
        job = Job(settings, directory, algorithm, env, sinks, console, stop)
        return _train_groups(job, stop)


def _train_groups(job: Job, stop: Signals) -> int:
    say, run = job.console.say, job.settings.run
    seeds = tuple(range(run.seed, run.seed + run.seeds))
    write_json(job.directory / "versions.json", software_versions(describe_devices(run.devices)))
    env = " ".join((run.env, *run.env_options))
    say(f"run      {run.algo} on {env}, preset {run.preset}, {len(seeds)} seed(s), {run.total_steps:,} steps each")
    say(f"dir      {job.directory}")
    again = f"python -m experiments.run --resume {job.directory}" + (
        f" --env {run.env}" if is_custom_name(run.env) else ""
    )
    finished: list[Progress] = []
    try:
        for group in _groups(job, seeds):
            finished.append(group.train())
            job.console.end_progress()
    except Interrupted:
        job.console.end_progress()
        say(f"stopped at iteration {group.progress.iteration}, saved; continue with: {again}")
        _finish(job, [*finished, group.progress], "interrupted")
        return 128 + stop.received
    except OSError as error:
        if error.errno is None or not any(job.directory.glob("checkpoints/*/[0-9]*")):
            raise
        raise ConfigError(f"{explain(error)}; what was saved goes on with: {again}") from error
    except RuntimeError as error:
        if "RESOURCE_EXHAUSTED" not in str(error):
            raise
        text = "the device has run out of memory: use a smaller --seeds-per-batch, --num-envs or --rollout-length"
        raise ConfigError(text) from error
    except Diverged as error:
        job.console.end_progress()
        job.console.record(f"stopped: {error}")
        print(f"stopped: {error}", file=sys.stderr)
        return 1
    _finish(job, finished, "stopped_at_bar" if all(p.stopped for p in finished) else "finished")
    return 0


def _groups(job: Job, seeds: tuple[int, ...]) -> Iterator[Group]:
    """The groups of seeds, each compiled when its turn comes."""
    run, devices = job.settings.run, device_count(job.settings.run.devices)

    def trace(size: int) -> Lowered:
        some = (devices,) if devices > 1 else ()
        return lower_run(job.env, job.algorithm, size, run.eval_episodes, *some)

    kept = job

    def keep_size(size: int) -> None:
        nonlocal kept
        kept = job._replace(settings=_keep_group_size(job, size))

    for group, programs in compile_groups(seeds, trace, run, job.console.say, keep_size):
        yield Group(kept, group, programs)


def _keep_group_size(job: Job, size: int) -> Settings:
    """Writes the size into config.json: checkpoints are of whole groups, so a resumed run must form the same ones."""
    settings = Settings(dataclasses.replace(job.settings.run, seeds_per_batch=size), job.settings.algorithm)
    write_config(job.directory, settings)
    return settings


def _finish(job: Job, finished: list[Progress], status: str) -> None:
    from experiments.analysis import pictures
    from experiments.runs import results

    steps = sum(sum(p.env_steps) for p in finished)
    timing = {
        name: sum(getattr(p, name) for p in finished) for name in ("train_seconds", "eval_seconds", "save_seconds")
    }
    rows = results.last_evaluations(job.directory)
    spent = max(sum(timing.values()), 1e-9)
    if rows and status != "interrupted":
        job.console.terminal.print(results.summary_table(rows))
    evaluating, saving = (100 * timing[name] / spent for name in ("eval_seconds", "save_seconds"))
    rate = steps / max(timing["train_seconds"], 1e-9)
    job.console.say(
        f"time     {duration(spent)}, of which evaluating {evaluating:.1f} %, saving {saving:.1f} %; "
        f"{rate:,.0f} env steps/s while training"
    )
    if rows and status != "interrupted" and job.settings.run.pictures:
        pictures.draw_pictures(job.directory, job.console.say)
    results.write_summary(job.directory, status, timing)  # last: what has one has all else, too


def _command(argv: Sequence[str]) -> int:
    command = Command(argv)
    if command.list and not command.help:
        print_list()
        return 0
    if command.resume is None:
        return train(new_settings(command))
    directory = pathlib.Path(command.resume)
    saved = read_config(directory)
    check_trusted(saved.run.env, directory / "config.json", command.trust or command.env)
    asked = parse_fields(command.fields, saved)
    check_same(saved, asked)
    return train(asked, directory)


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code."""
    return run_stoppable(_command, argv)


if __name__ == "__main__":
    leave(main())
