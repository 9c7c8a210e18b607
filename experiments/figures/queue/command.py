"""`python -m experiments.reproduce all`: works through the queue of evidence."""

import argparse
import pathlib
from collections.abc import Sequence

from envs.errors import ConfigError
from experiments.common.arguments import Parser, out_folder, whole
from experiments.common.cpu import computes_on_cpu, usable_cores
from experiments.config.schema import read_config
from experiments.figures.queue.entries import QUEUES
from experiments.figures.queue.processes import Crew
from experiments.figures.queue.queued_runs import RESULTS, RUNS, TRAININGS, make_queue, print_states, states_of, summary
from experiments.runs.directory import locked
from experiments.training.signals import stop_with_parent

SUMMARY = """\
Trains the runs that the figures and tables need, the most decisive first, and writes their numbers into the figures'
files as each run ends. A run that is done, here or by the figures' files, is not made again, and one that was begun is
resumed: stop it with Ctrl-C (all runs are saved), and repeat the command. The list is in
experiments/figures/queue/entries.py."""
EXAMPLES = """\
  python -m experiments.reproduce all --list                  what there is, how far it is, and how long it will take
  python -m experiments.reproduce all --jobs 2                two runs at a time
  python -m experiments.reproduce all --only aiir/sparse      one figure's runs alone
  python -m experiments.reproduce all --again                 everything anew, whatever results/ has
  python -m experiments.reproduce aiir/sparse --budget full --redraw     draws what is there so far"""
MAX_JOBS = 1024


def _parse(argv: Sequence[str]) -> argparse.Namespace:
    options = Parser(
        prog="python -m experiments.reproduce all",
        description=SUMMARY,
        epilog=f"examples:\n{EXAMPLES}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = options.add_argument
    add("--budget", default="paper", help=f"the list: one of {', '.join(QUEUES)} (default: %(default)s)")
    jobs = "processes, a run in each; on a CPU each has one core, at the lowest priority (default: one for each core; "
    add("--jobs", type=whole(1, MAX_JOBS), metavar="N", help=f"{jobs}with an accelerator one)")
    add("--only", nargs="+", metavar="TARGET", default=(), help="only these figures, e.g. aiir/sparse iac/fig4")
    add("--list", action="store_true", help="train nothing: show the runs, how far they are, and hours to go")
    again = "train also what the figures' files have, but whose run directories are not here"
    add("--again", action="store_true", help=again)
    add("--run-dir", type=out_folder, default=RUNS, help="parent of the runs' directories (default: %(default)s)")
    add("--results", type=out_folder, default=RESULTS, help="parent of the figures' files (default: %(default)s)")
    return options.parse_args(argv[1:])


def command(argv: Sequence[str]) -> int:
    """Trains what is missing of the queue, or lists it. Returns the exit code."""
    if argv[1:2] == ["--train"]:  # what `processes` starts; not for users
        return train_one(argv[2:])
    args = _parse(argv)
    queue = make_queue(args.budget, args.only, args.run_dir, args.results, args.again)
    on_cpu = computes_on_cpu()
    count = args.jobs or (usable_cores() if on_cpu else 1)
    states = states_of(queue, "cpu" if on_cpu else "gpu")
    if args.list:
        print_states(states, count)
        return 0
    print(f"all: {summary(states, count)}", flush=True)
    args.run_dir.mkdir(parents=True, exist_ok=True)
    with locked(args.run_dir):
        code = Crew(queue, count, on_cpu, lambda text: print(text, flush=True)).train()
    if code >= 128:
        print(f"stopped; resume with: python -m experiments.reproduce {' '.join(argv)}")
    return code


def train_one(argv: Sequence[str]) -> int:
    """Trains the run of a directory, which has a config.json and perhaps checkpoints; the exit code.

    Args:
      argv: the directory, then the figure's command line, which says how it trains.

    Raises:
      ConfigError: they are not given, or files of the run are damaged.
    """
    if len(argv) < 2 or argv[1] not in TRAININGS:
        raise ConfigError("--train takes a run directory and a figure's command line; leave it out to train the queue")
    directory, words = pathlib.Path(argv[0]), argv[1:]
    train = TRAININGS[words[0]](words).train
    if train is None:
        from experiments.training.train import train
    with stop_with_parent():
        return train(read_config(directory), directory)
