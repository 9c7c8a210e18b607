"""The options of `python -m experiments.sweep`. No jax here."""

import argparse
import dataclasses
from collections.abc import Sequence
from typing import get_args

from envs.errors import ConfigError
from envs.registry import check_name
from experiments.common.arguments import MAX_SEED, Parser, out_folder, whole, word
from experiments.config.env_options import read_env_options
from experiments.config.schema import Precision
from experiments.distributed.connection import DETECTED, read_address
from experiments.sweeps.request import Request

# Options that are fields of RunConfig: what is trained (part of the request), and how this process works.
REQUEST_FIELDS = {
    "seeds": int,
    "seed": int,
    "total_steps": int,
    "eval_every": int,
    "eval_episodes": int,
    "log_every": int,
}
PROCESS_FIELDS = {"seeds_per_batch": int, "devices": int, "checkpoint_every": float, "chunk_iterations": int}
HELP = {
    "seeds": "seeds of every configuration: --seed, --seed + 1, ...",
    "seeds_per_batch": "train at most this many trials (a configuration's seed) at a time; 0: as many as fit in memory",
    "devices": "devices (of this machine) for the trials and, if there are more, their environments; 0: one per trial",
}
LAUNCHERS = ("here", "slurm", "local")


def make_parser(description: str | None) -> argparse.ArgumentParser:
    """The parser of all options."""
    parser = Parser(
        prog="python -m experiments.sweep",
        description=description,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_request(parser)
    add, as_in_run = parser.add_argument, "as in experiments.run"
    add("--deterministic", action="store_true", help="deterministic GPU kernels")
    add("--matmul-precision", choices=get_args(Precision), help=as_in_run)
    add("--no-compile-cache", action="store_true", help="keep no compiled programs")
    add("--no-pictures", action="store_true", help="draw no sweep.png at the end")
    add("--tensorboard", action="store_true", help=as_in_run)
    add("--wandb", action="store_true", help=as_in_run + "; each trial is a run there, grouped by configuration")
    add("--wandb-project", metavar="NAME", help=as_in_run)
    add("--out", type=out_folder, help="directory of the sweep (default: sweeps/<hash of what is swept>)")
    add("--dry-run", action="store_true", help="only show the programs")
    _add_processes(parser)
    return parser


def _add_request(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--algo", nargs="+", type=word, required=True, metavar="NAME", help="algorithms (experiments.run --list)")
    add("--env", nargs="+", type=word, required=True, metavar="NAME", help="environments (experiments.run --list)")
    add("--env-options", nargs="+", default=[], metavar="KEY=VALUE", help="of every environment")
    values = "values of a field of the algorithms; with --random also a range, NAME=1e-4..1e-2 (log-uniform) or"
    values += " NAME=lin:0..1 (uniform)"
    add("--set", nargs="+", action="extend", default=[], metavar="NAME=VALUE,...", dest="sets", help=values)
    search = parser.add_mutually_exclusive_group()
    search.add_argument("--grid", action="store_true", help="all combinations of the values (the default)")
    search.add_argument("--random", type=whole(0), default=0, metavar="N", help="N configurations drawn at random")
    add("--draw-seed", type=whole(0, MAX_SEED), default=0, help="of --random (default: %(default)s)")
    add("--preset", type=word, default="default", help="of every algorithm: where the other fields come from")
    for name, kind in {**REQUEST_FIELDS, **PROCESS_FIELDS}.items():
        default = {"seeds": 5}.get(name)
        text = HELP.get(name, "as in experiments.run")
        add("--" + name.replace("_", "-"), type=kind, default=default, metavar="N", help=text)


def _add_processes(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    launch = "train here, one program after the other (the default), or each as a job of Slurm, or as a local process"
    add("--launcher", choices=LAUNCHERS, default="here", help=launch + ' (pip install "iacjax[slurm]")')
    resources = "of a job, as submitit names them: timeout_min=240 cpus_per_task=4 gpus_per_node=1; options of sbatch"
    resources += " begin with slurm_: slurm_partition=gpu slurm_account=me"
    add("--job", nargs="+", default=[], metavar="KEY=VALUE", help=resources)
    number = "number of processes (machines) that run this same command; without --coordinator each trains a part of"
    number += " the trials by itself, and all see the same --out"
    add("--num-processes", type=whole(1, 65_536), default=1, metavar="N", help=number)
    add("--process-id", type=whole(0), default=0, metavar="I", help="which of them this is; 0 writes the tables")
    together = "address of process 0: all processes train as one program over all their devices (jax.distributed), and"
    together += " process 0 alone needs --out. 'slurm': as srun says, with both numbers; 'auto': as jax detects"
    add("--coordinator", metavar="HOST:PORT", help=together)


def parse(argv: Sequence[str], description: str | None = None) -> tuple[argparse.Namespace, Request]:
    """The command line.

    Raises:
      ConfigError: its options contradict each other, or a value cannot be used.
    """
    args = make_parser(description).parse_args(list(argv))
    for env in args.env:
        check_name(env)
    read_env_options(args.env_options)
    if args.job and args.launcher == "here":
        raise ConfigError("--job is for --launcher slurm: give both or neither")
    _check_processes(args)
    run = {name: getattr(args, name) for name in REQUEST_FIELDS if getattr(args, name) is not None}
    run |= {"env_options": tuple(args.env_options)} if args.env_options else {}
    run |= {"deterministic": args.deterministic}
    run |= {"matmul_precision": args.matmul_precision} if args.matmul_precision else {}
    algos, envs = tuple(dict.fromkeys(args.algo)), tuple(dict.fromkeys(args.env))
    # How many processes train as one program is not part of the request: it may resume with another number of them.
    processes = 1 if args.coordinator else args.num_processes
    request = Request(
        algos, envs, tuple(args.sets), args.random, args.draw_seed, args.preset, tuple(run.items()), processes
    )
    return args, request


def _check_processes(args: argparse.Namespace) -> None:
    if not 0 <= args.process_id < args.num_processes:
        raise ConfigError("--process-id must be from 0 to --num-processes - 1")
    if args.coordinator in DETECTED and args.num_processes > 1:
        raise ConfigError(f"--coordinator {args.coordinator} detects the processes: leave out --num-processes")
    if args.coordinator is not None and args.coordinator not in DETECTED:
        read_address(args.coordinator)
        if args.num_processes < 2:
            raise ConfigError("--coordinator: give --num-processes, how many processes there are, at least 2")
    if args.launcher != "here" and (args.num_processes > 1 or args.coordinator):
        other = "--coordinator" if args.coordinator else "--num-processes"
        raise ConfigError(f"--launcher {args.launcher} and {other}: choose one of them")


def with_process_options(request: Request, args: argparse.Namespace) -> Request:
    """The request with the fields that say how this process works, not what is trained."""
    own = {name: getattr(args, name) for name in PROCESS_FIELDS if getattr(args, name) is not None}
    own |= {"compile_cache": not args.no_compile_cache, "pictures": not args.no_pictures, "keep_checkpoints": 1}
    own |= {"tensorboard": args.tensorboard, "wandb": args.wandb}
    own |= {"wandb_project": args.wandb_project} if args.wandb_project else {}
    return dataclasses.replace(request, run=(*request.run, *own.items()))
