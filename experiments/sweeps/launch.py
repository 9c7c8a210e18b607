"""Trains the programs of a sweep in this process, or in several that share the trials (as Slurm jobs: `jobs`)."""

import contextlib
import os
import pathlib
import signal
import time
from collections.abc import Callable, Sequence
from typing import Any

from experiments.distributed import collectives
from experiments.distributed.connection import connected
from experiments.loggers.console import Console
from experiments.sweeps.forecast import Watch, keep, make_forecast
from experiments.sweeps.plan import Program
from experiments.sweeps.trials import runs_of
from experiments.training.loop import Interrupted
from experiments.training.memory import free_programs
from experiments.training.pace import check_warmup
from experiments.training.runtime import prepare_jax
from experiments.training.signals import Signals

POLL_SECONDS = 1.0


def train_here(out: pathlib.Path, programs: Sequence[Program], count: int = 1, index: int = 0) -> int:
    """Trains the queue, or this process's part of it (`index` of `count` processes); the exit code.

    Trials are independent, and so are the processes: each trains whole runs on its own devices, and process 0, which
    waits for the others, writes the tables. All see the same directory `out`. If one dies the others continue: start it
    again.
    """
    prepare_jax(programs[0].settings.run, print)
    log = out / (f"log_{index}.txt" if index else "log.txt")
    with Console(log) as console, Signals().listening() as stop:
        try:
            train_queue(out, programs, console, stop, count, index)
        except Interrupted:
            console.end_progress()
            console.say("stopped, saved; the same command resumes it")
            return 128 + stop.received
        if index == 0:
            if not _wait(out, programs, count, stop):
                return 128 + stop.received
            finish(out, programs, console, count)
    return 0


def train_together(
    out: pathlib.Path,
    programs: Sequence[Program],
    where: tuple[str, int, int],
    request: Any,
    show: Callable[[], None],
    open_out: Callable[[contextlib.ExitStack], None],
) -> int:
    """Trains the queue as one program over the devices of several processes; the exit code.

    Process 0 writes and prints; a signal to one of them stops all at the end of the chunk.

    Args:
      where: the coordinator, the number of processes and this one's id, as `connected` takes them.
      request: json that must be the same on all.
      show: prints the queue; called on process 0.
      open_out: makes and locks `out`; called on process 0.
    """
    prepare_jax(programs[0].settings.run, print)
    print(f"waiting  for all processes, process 0 at {where[0]}", flush=True)
    with connected(*where), contextlib.ExitStack() as held:
        collectives.check_alike(request)
        check_pairs(programs)
        if collectives.is_main():
            show()
        collectives.broadcast_from_main(lambda: open_out(held))
        console = held.enter_context(Console(out / "log.txt" if collectives.is_main() else pathlib.Path(os.devnull)))
        console.say(collectives.describe())
        console.terminal.quiet = not collectives.is_main()
        signals = held.enter_context(Signals().listening())
        try:
            train_queue(out, programs, console, lambda: collectives.all_any(signals()))
        except Interrupted:
            console.end_progress()
            console.say("stopped, saved; the same command, on any number of processes, resumes it")
            return 128 + (signals.received or signal.SIGTERM)
        collectives.broadcast_from_main(lambda: finish(out, programs, console))
    return 0


def train_queue(
    out: pathlib.Path,
    programs: Sequence[Program],
    console: Console,
    stop: Callable[[], bool],
    count: int = 1,
    index: int = 0,
) -> None:
    """Prints the forecast of the queue and trains it, or this process's part of it (`index` of `count` processes).

    Raises:
      Interrupted: the user asked to stop, and a checkpoint was written.
    """
    from experiments.sweeps.train import train_program

    runs = [runs_of(program, out, count)[index::count] for program in programs]
    places = [program_dir(out, program, count, index) for program in programs]
    ended = collectives.broadcast_from_main(lambda: [(place / "finished.json").exists() for place in places])
    forecast = make_forecast(programs, [sum(len(run.seeds) for run in some) for some in runs], ended)
    if not all(ended):
        console.say(forecast.line())
    for k, (program, mine, place) in enumerate(zip(programs, runs, places, strict=True)):
        train_program(program, mine, place, console, stop, Watch(forecast, k))
        if not ended[k]:
            keep(forecast.shares[k])
        free_programs()


def check_pairs(programs: Sequence[Program]) -> None:
    """Checks the queue before anything is trained.

    Raises:
      ConfigError: an algorithm cannot handle its environment or would end before its first update, or a custom
        environment breaks its contract.
    """
    from envs.custom import is_custom_env
    from experiments.config.env_options import make_run_env
    from experiments.runs.custom_environment import check_played, environment_digest
    from iacjax.algorithms.registry import check_fits, get_entry

    pairs = {(p.settings.run.algo, p.settings.run.env): p.settings.run for p in programs}
    envs = {run.env: make_run_env(run.env, run.env_options) for run in pairs.values()}
    for algo, env in pairs:
        check_fits(algo, envs[env].spec)
    for env in filter(is_custom_env, envs.values()):
        check_played(env, environment_digest(env), print)
    for settings in (program.settings for program in programs if warms_up(program)):
        algorithm = get_entry(settings.run.algo).make(envs[settings.run.env].spec, settings.algorithm)
        check_warmup(settings, algorithm.plan)


def warms_up(program: Program) -> bool:
    """Whether its algorithm fills a replay buffer before it learns; the horizon of the environment may say how long."""
    return hasattr(program.settings.algorithm, "warmup")


def program_dir(out: pathlib.Path, program: Program, count: int = 1, index: int = 0) -> pathlib.Path:
    """The directory of a program's checkpoints and of the marker that it has ended; each process has its own."""
    return out / "programs" / (f"{program.index:03}" + (f"_{index}_of_{count}" if count > 1 else ""))


def _wait(out: pathlib.Path, programs: Sequence[Program], count: int, stop: Callable[[], bool]) -> bool:
    """Waits until every process has ended every program; False where the user stopped it."""
    ends = [program_dir(out, p, count, k) / "finished.json" for p in programs for k in range(count)]
    while not all(file.exists() for file in ends):
        if stop():
            return False
        time.sleep(POLL_SECONDS)
    return True


def finish(out: pathlib.Path, programs: Sequence[Program], console: Console, count: int = 1) -> None:
    """Writes the tables, the picture and the winners of a sweep that has ended."""
    from experiments.runs.results import check_summary
    from experiments.sweeps import results as sweep_results
    from experiments.sweeps.pictures import write_overview

    runs = [run for program in programs for run in runs_of(program, out, count)]
    for run in runs:
        check_summary(run.directory)
    trials = sweep_results.read_trials(runs)
    sweep_results.write_tables(out, runs, trials)
    results = sweep_results.group_by_configuration(trials)
    for table in sweep_results.tables(results):
        console.terminal.print(table)
    if programs[0].settings.run.pictures:
        write_overview(out / "sweep.png", results, console.say)
    for path in sweep_results.write_winners(out, results):
        console.say(f"winner   --preset {path}")
