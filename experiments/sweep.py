"""Trains many configurations: `python -m experiments.sweep --algo liir --env smax:3m --seeds 5 --set lr=5e-4,1e-3`.

Seeds and float hyper-parameters are lanes of one compiled program; algorithms, environments and all other fields are
programs in a queue. The same command goes on where it was stopped; what has ended is not trained again.
"""

import argparse
import contextlib
import dataclasses
import hashlib
import json
import os
import pathlib
from collections.abc import Sequence
from typing import get_args

from envs.errors import ConfigError
from envs.registry import check_name
from experiments.common.arguments import MAX_SEED, Parser, out_folder, whole, word
from experiments.common.cli import leave, run_stoppable
from experiments.config.env_options import read_env_options
from experiments.config.schema import Precision
from experiments.distributed import rendezvous
from experiments.runs.directory import locked
from experiments.sweeps import jobs
from experiments.sweeps import launch as sweep_launch
from experiments.sweeps.files import as_json, open_sweep
from experiments.sweeps.plan import Program, Request, make_programs
from experiments.training.runtime import prepare_jax

# Options that are fields of RunConfig: part of the request, or (FREE) how this process works.
FIELDS = {"seeds": int, "seed": int, "total_steps": int, "eval_every": int, "eval_episodes": int, "log_every": int}
FREE_FIELDS = {"seeds_per_batch": int, "devices": int, "checkpoint_every": float, "chunk_iterations": int}
HELP = {
    "seeds": "seeds of every point: --seed, --seed + 1, ...",
    "seeds_per_batch": "train at most so many lanes (a point's seed) at a time; 0: as many as fit in memory",
    "devices": "devices that the lanes are spread over; 0: all that this machine has",
}
LAUNCHERS = ("here", "slurm", "local")


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="python -m experiments.sweep", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--algo", nargs="+", type=word, required=True, metavar="NAME", help="algorithms (experiments.run --list)")
    add("--env", nargs="+", type=word, required=True, metavar="NAME", help="environments (experiments.run --list)")
    add("--env-options", nargs="+", default=[], metavar="KEY=VALUE", help="of every environment")
    values = "values of a field of the algorithms; with --random also a range, NAME=1e-4..1e-2, drawn evenly in its"
    values += " logarithm, or NAME=lin:0..1, drawn evenly"
    add("--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE,...", dest="sets", help=values)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--grid", action="store_true", help="all combinations of the values (the default)")
    how.add_argument("--random", type=whole(0), default=0, metavar="N", help="N points drawn at random")
    add("--draw-seed", type=whole(0, MAX_SEED), default=0, help="of --random (default: %(default)s)")
    add("--preset", type=word, default="default", help="of every algorithm: where the other fields come from")
    for name, kind in {**FIELDS, **FREE_FIELDS}.items():
        default = {"seeds": 5}.get(name)
        text = HELP.get(name, "as in experiments.run")
        add("--" + name.replace("_", "-"), type=kind, default=default, metavar="N", help=text)
    add("--deterministic", action="store_true", help="deterministic GPU kernels")
    add("--matmul-precision", choices=get_args(Precision), help="as in experiments.run")
    add("--no-compile-cache", action="store_true", help="keep no compiled programs")
    add("--no-pictures", action="store_true", help="draw no sweep.png at the end")
    add("--out", type=out_folder, help="directory of the sweep (default: sweeps/<hash of what is swept>)")
    add("--dry-run", action="store_true", help="only show the programs")
    launch = "train here, one program after the other (the default), or each as a job of Slurm's, or as a process"
    add("--launcher", choices=LAUNCHERS, default="here", help=launch + ' (pip install "iacjax[slurm]")')
    resources = "of a job, as submitit names them: timeout_min=240 cpus_per_task=4 gpus_per_node=1; sbatch's own begin"
    resources += " with slurm_: slurm_partition=gpu slurm_account=me"
    add("--job", nargs="+", default=[], metavar="KEY=VALUE", help=resources)
    several = "several processes (machines): how many, the same command on each; without --coordinator the lanes are"
    add(
        "--num-processes",
        type=whole(1, 65_536),
        default=1,
        metavar="N",
        help=several + " dealt out, and all see the same --out",
    )
    add("--process-id", type=whole(0), default=0, metavar="I", help="which of them this is; 0 makes the tables")
    together = "they train as one program over all their devices (jax.distributed), and process 0, at this address,"
    together += " writes; only it needs --out. 'slurm' among the tasks of an srun: all three are known there"
    add("--coordinator", metavar="HOST:PORT", help=together)
    return parser


def parse(argv: Sequence[str]) -> tuple[argparse.Namespace, Request]:
    """The command line.

    Raises:
      ConfigError: what it says cannot be.
    """
    args = _of_slurm(_parser().parse_args(list(argv)))
    for env in args.env:
        check_name(env)
    read_env_options(args.env_options)
    if args.job and args.launcher == "here":
        raise ConfigError("--job is for --launcher slurm: give both or neither")
    if not 0 <= args.process_id < args.num_processes:
        raise ConfigError("--process-id must be from 0 to --num-processes - 1")
    if args.coordinator is not None:
        rendezvous.read_address(args.coordinator)
        if args.num_processes < 2:
            raise ConfigError("--coordinator: give --num-processes, how many processes there are, at least 2")
    if args.launcher != "here" and args.num_processes > 1:
        raise ConfigError(f"--launcher {args.launcher} and --num-processes: choose one of them")
    run = {name: getattr(args, name) for name in FIELDS if getattr(args, name) is not None}
    run |= {"env_options": tuple(args.env_options)} if args.env_options else {}
    run |= {"deterministic": args.deterministic}
    run |= {"matmul_precision": args.matmul_precision} if args.matmul_precision else {}
    algos, envs = tuple(dict.fromkeys(args.algo)), tuple(dict.fromkeys(args.env))
    # How many train as one program is no matter of the request: it may go on with another number of them.
    processes = 1 if args.coordinator else args.num_processes
    request = Request(
        algos, envs, tuple(args.sets), args.random, args.draw_seed, args.preset, tuple(run.items()), processes
    )
    return args, request


def _of_slurm(args: argparse.Namespace) -> argparse.Namespace:
    """With `--coordinator slurm` made plain; one task alone needs no others."""
    if args.coordinator != "slurm":
        return args
    if args.num_processes != 1 or args.process_id != 0:
        raise ConfigError("--coordinator slurm: leave out --num-processes and --process-id, which srun says")
    address, count, index = rendezvous.of_slurm(os.environ)
    known = {"coordinator": address if count > 1 else None, "num_processes": count, "process_id": index}
    return argparse.Namespace(**{**vars(args), **known})


def _with_free(request: Request, args: argparse.Namespace) -> Request:
    """The request with the fields that say how to work, not what to train."""
    free = {name: getattr(args, name) for name in FREE_FIELDS if getattr(args, name) is not None}
    free |= {"compile_cache": not args.no_compile_cache, "pictures": not args.no_pictures, "keep_checkpoints": 1}
    return dataclasses.replace(request, run=(*request.run, *free.items()))


def _show(programs: Sequence[Program]) -> None:
    """The queue: what each program trains."""
    for program in programs:
        run = program.settings.run
        lanes = len(program.points) * run.seeds
        floats = f", lanes over {', '.join(program.floats)}" if program.floats else ""
        total = f"{lanes * run.total_steps:,} env steps"
        print(f"  {program.index:3}  {program.title}: {len(program.points)} point(s), {lanes} lane(s), {total}{floats}")
    total = sum(len(p.points) * p.settings.run.seeds * p.settings.run.total_steps for p in programs)
    print(f"{len(programs)} program(s), {total:,} env steps in all")


def _check_worlds(args: argparse.Namespace, programs: Sequence[Program]) -> None:
    """Raises ConfigError where an environment does not take its options, or an algorithm cannot handle it or would end
    before its first update, before anything is shown or written.

    Processes that train together find it out later: they must not use jax before they have met. A --dry-run does
    without jax, which takes seconds to load, where there are neither options nor a warm-up to check.
    """
    unchecked = not args.env_options and not any(map(sweep_launch.warms_up, programs))
    if args.coordinator and not args.dry_run or args.dry_run and unchecked:
        return
    prepare_jax(programs[0].settings.run, lambda text: None)  # what it has to say it says again
    sweep_launch.check_pairs(programs)


def _command(argv: Sequence[str]) -> int:
    args, request = parse(argv)
    name = hashlib.sha256(json.dumps(as_json(request), sort_keys=True).encode()).hexdigest()[:10]
    out = args.out or pathlib.Path("sweeps") / name
    working = _with_free(request, args)
    programs = make_programs(working, str(out))
    options = jobs.read_options(args.job)
    _check_worlds(args, programs)
    if args.coordinator is None or args.process_id == 0:  # of several that train as one, the first speaks
        print(f"sweep    {out}")
        _show(programs)
    if args.dry_run:
        return 0

    def open_out(held: contextlib.ExitStack) -> None:
        open_sweep(out, request, working)
        held.enter_context(locked(out))

    if args.coordinator:
        where = (args.coordinator, args.num_processes, args.process_id)
        return sweep_launch.train_together(out, programs, *where, as_json(request), open_out)
    with contextlib.ExitStack() as stack:
        if args.process_id == 0:  # of several processes, the one that writes what is common to them
            open_out(stack)
        else:
            out.mkdir(parents=True, exist_ok=True)
        if args.launcher != "here":
            return jobs.submit_all(out, programs, args.launcher, options)
        return sweep_launch.train_here(out, programs, args.num_processes, args.process_id)


def main(argv: Sequence[str] | None = None) -> int:
    """The command. Returns the exit code."""
    return run_stoppable(_command, argv)


if __name__ == "__main__":
    leave(main())
