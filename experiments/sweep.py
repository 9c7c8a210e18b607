"""Trains many configurations: `python -m experiments.sweep --algo liir --env smax:3m --seeds 5 --set lr=5e-4,1e-3`.

Seeds and float hyper-parameters are trained together in one compiled program; algorithms, environments and all other
fields are programs in a queue. The same command resumes where it was stopped; what has ended is not trained again.
"""

import argparse
import contextlib
import hashlib
import json
import pathlib
from collections.abc import Sequence

from experiments.common.cli import leave, run_stoppable
from experiments.loggers import check_sinks
from experiments.runs.directory import locked
from experiments.sweeps import jobs, launch
from experiments.sweeps.command_line import parse, with_process_options
from experiments.sweeps.plan import Program, make_programs, queue_lines
from experiments.sweeps.request import as_json, open_sweep
from experiments.training.runtime import prepare_jax


def _check_environments(args: argparse.Namespace, programs: Sequence[Program]) -> None:
    """Raises ConfigError where an environment refuses its options, or an algorithm cannot handle it or would end before
    its first update, before anything is shown or written.

    Processes that train together check it later: they must not use jax before they are connected. A --dry-run loads
    jax, which takes seconds, only where there are options or a warm-up to check.
    """
    nothing_to_check = not args.env_options and not any(map(launch.warms_up, programs))
    if args.coordinator and not args.dry_run or args.dry_run and nothing_to_check:
        return
    prepare_jax(programs[0].settings.run, lambda text: None)  # it is called again, with output
    launch.check_pairs(programs)


def _command(argv: Sequence[str]) -> int:
    args, request = parse(argv, __doc__)
    name = hashlib.sha256(json.dumps(as_json(request), sort_keys=True).encode()).hexdigest()[:10]
    out = args.out or pathlib.Path("sweeps") / name
    working = with_process_options(request, args)
    programs = make_programs(working, str(out))
    options = jobs.read_options(args.job)
    if not args.dry_run:
        check_sinks(programs[0].settings.run)
    _check_environments(args, programs)

    def show() -> None:
        print(f"sweep    {out}", *queue_lines(programs), sep="\n", flush=True)

    def open_out(held: contextlib.ExitStack) -> None:
        open_sweep(out, request, working)
        held.enter_context(locked(out))

    if args.coordinator and not args.dry_run:
        where = (args.coordinator, args.num_processes, args.process_id)
        return launch.train_together(out, programs, where, as_json(request), show, open_out)
    show()
    if args.dry_run:
        return 0
    with contextlib.ExitStack() as stack:
        if args.process_id == 0:  # the process that writes what the processes share
            open_out(stack)
        else:
            out.mkdir(parents=True, exist_ok=True)
        if args.launcher != "here":
            return jobs.submit_all(out, programs, args.launcher, options)
        return launch.train_here(out, programs, args.num_processes, args.process_id)


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code."""
    return run_stoppable(_command, argv)


if __name__ == "__main__":
    leave(main())
