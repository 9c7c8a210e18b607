"""`python -m experiments.benchmark learn`: our learners beside JaxMARL's own scripts, in JaxMARL's own SMAX.

A clone of JaxMARL (`--reference-dir`) trains its script unchanged; we train `jaxmarl:smax:<map>` with the options of
its configuration, for the same steps and as many seeds. Each training has a process of its own, one after the other.
Reported for both: win rates and returns while training, a greedy evaluation of the final policies in the same episodes,
and the wall-clock of training, compiling apart.
"""

import argparse
import ast
import concurrent.futures
import json
import math
import os
import pathlib
import signal
from collections.abc import Sequence
from typing import Any

from benchmarks.reference.our_training import CurvePoint, our_settings, train_ours
from benchmarks.reference.script_training import LEARNERS, script_config, train_script
from benchmarks.reference.scripts import check_clone
from benchmarks.references import add_reference
from benchmarks.worker import fresh_process
from envs.errors import ConfigError
from experiments.common.arguments import out_file, out_folder, whole
from experiments.common.files import read_json, write_csv, write_json
from experiments.config.validation import MAX_EPISODES, MAX_SEEDS
from experiments.training.time_estimates import MeasuredSpeed, estimate

ALGOS = tuple(LEARNERS)  # that both have
WINDOWS = 20  # of a training curve, each 5 % of the steps
QUARTERS = {25: 4, 50: 9, 75: 14, 100: 19}  # per cent of the steps -> the window that ends there
# Env steps a second on two CPU cores with five agents, where the file has no row of them: for the estimate only.
SPEEDS = {
    "jaxmarl": {"ippo": 3900, "mappo": 2500, "qmix": 2000, "vdn": 2500, "pqn_vdn": 300},
    "ours": {"ippo": 5000, "mappo": 5000, "qmix": 5000, "vdn": 6000, "pqn_vdn": 10_000},
}
COLUMNS = ("algo", "map", "system", "name", "seed", "env_steps", "episodes", "train_win_rate", "train_return")
COLUMNS += (*(f"win_rate_at_{q}" for q in QUARTERS), "greedy_win_rate", "greedy_return")
COLUMNS += ("train_s", "compile_s", "cpu_s")

HEADS = ("last tenth", "return", "greedy", "return", "train s", "compile s", "cpu s")
LINE = "{:<6} {:<16} {:>4} {:>26} {:>10} {:>8} {:>8} {:>8} {:>9} {:>9} {:>9}"


def read_changes(words: Sequence[str], option: str) -> dict[str, Any]:
    """["HIDDEN_SIZE=512", "LR=5e-4"] -> {"HIDDEN_SIZE": 512, "LR": 0.0005}; ConfigError names the word at fault."""
    changes: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise ConfigError(f"{option} {word}: write KEY=VALUE, e.g. LR=5e-4")
        try:
            changes[name] = ast.literal_eval(text)
        except (ValueError, SyntaxError):  # a bare word
            changes[name] = text
    return changes


def _mean(points: Sequence[CurvePoint]) -> tuple[float | None, float | None]:
    """(win rate, return) by episodes; None where none ended."""
    episodes = sum(point.episodes for point in points)
    if not episodes:
        return None, None
    return sum(p.won for p in points) / episodes, sum(p.returns for p in points) / episodes


def seed_result(seed: int, curve: Sequence[CurvePoint], steps: int, greedy: tuple[float, float]) -> dict[str, Any]:
    """The results of one seed: the last tenth of its `steps`, the curve in windows of 5 %, the greedy evaluation.

    A window holds the updates that end in it; None where it holds none.
    """
    last = [point for point in curve if point.steps > 0.9 * steps]
    windows: list[list[CurvePoint]] = [[] for _ in range(WINDOWS)]
    for point in curve:
        windows[min(WINDOWS, math.ceil(point.steps * WINDOWS / steps)) - 1].append(point)
    means = [_mean(window) for window in windows]
    win_rate, team_return = _mean(last)
    return {
        "seed": seed,
        "train_win_rate": win_rate,
        "train_return": team_return,
        "greedy_win_rate": greedy[0],
        "greedy_return": greedy[1],
        "curve_win_rate": [mean[0] for mean in means],
        "curve_return": [mean[1] for mean in means],
    }


def measure(job: dict[str, Any], clone: str, run_dir: str) -> dict[str, Any]:
    """One row of the file: trains and evaluates what `job` names."""
    from experiments.runs.directory import software_versions
    from experiments.training.runtime import describe_device

    directory = pathlib.Path(clone)
    algo, battle, steps = job["algo"], job["map"], job["steps"]
    if job["system"] == "jaxmarl":
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # its one long program would not notice a Ctrl-C
        found = train_script(algo, directory, battle, steps, job["seeds"], job["episodes"], job["changes"])
    else:
        found = train_ours(job, our_settings(job, run_dir))
    curves, greedy = found.pop("curves"), found.pop("greedy")
    steps = found["env_steps"]
    rows = [seed_result(i, curve, steps, greedy[i]) for i, curve in enumerate(curves)]
    device = describe_device()
    return {"job": job, **found, "seeds": rows, "device": device, "versions": software_versions(device)}


def _child(*args: Any) -> dict[str, Any]:
    os.environ["JAX_ENABLE_COMPILATION_CACHE"] = "false"  # before jax is imported: both compile anew
    return measure(*args)


def in_a_process(*args: Any) -> dict[str, Any]:
    """`measure` in a fresh process, whose memory is freed at its end."""
    with fresh_process() as pool:
        return pool.submit(_child, *args).result()


def make_jobs(args: argparse.Namespace) -> list[dict[str, Any]]:
    """What is to be measured, in pairs; ConfigError where something cannot be, before anything is trained."""
    from envs.registry import check_name

    if args.reference_dir is None:
        raise ConfigError("--reference-dir: give a clone of github.com/FLAIROx/JaxMARL")
    check_clone(args.reference_dir)
    theirs, our_set = read_changes(args.reference_set, "--reference-set"), read_changes(args.our_set, "--our-set")
    jobs = []
    for name in args.maps:
        check_name(f"jaxmarl:smax:{name}")
        for algo in args.algos:
            config = script_config(algo, args.reference_dir, name, args.steps, theirs)
            common = {"algo": algo, "map": name, "seeds": args.seeds, "episodes": args.episodes}
            common |= {"steps": config["TOTAL_TIMESTEPS"], "options": config["ENV_KWARGS"]}
            ours = common | {"system": "ours", "preset": args.preset, "changes": our_set}
            our_settings(ours, str(args.run_dir))
            # Ours comes first: if it refuses a setting only when it starts, no training of theirs is lost.
            jobs += [ours, common | {"system": "jaxmarl", "preset": "", "changes": theirs}]
    return json.loads(json.dumps(jobs))  # as they are read from the file again


def estimated_seconds(job: dict[str, Any], rows: Sequence[dict[str, Any]]) -> float:
    """By a finished row of the same system and algorithm (its own map first), or by a rough guess."""
    like = [row for row in rows if all(row["job"][name] == job[name] for name in ("system", "algo"))]
    rates = [(row["job"], row["env_steps"] * row["job"]["seeds"] / row["train_s"]) for row in like]
    speeds = [MeasuredSpeed(facts, rate, "a finished row") for facts, rate in rates]
    guess = SPEEDS[job["system"]][job["algo"]]
    return estimate(job["steps"] * job["seeds"], {"map": job["map"]}, speeds, guess).seconds


def csv_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """A flat row per seed, for the table beside the JSON file."""
    flat = []
    for row in rows:
        for seed in row["seeds"]:
            quarters = {f"win_rate_at_{q}": seed["curve_win_rate"][i] for q, i in QUARTERS.items()}
            known = row["job"] | row | seed | quarters
            flat.append({name: known[name] for name in COLUMNS})
    return flat


def write_results(rows: Sequence[dict[str, Any]], out: pathlib.Path) -> None:
    """Writes the JSON file, and a CSV file of the same name beside it."""
    write_json(out, list(rows))
    write_csv(out.with_suffix(".csv"), csv_rows(rows), COLUMNS)


def _cell(value: float | None, form: str = ".3f") -> str:
    return "-" if value is None else format(value, form)


def _mean_seed(seeds: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The mean over seeds of every number that all of them have."""

    def mean(values):
        if isinstance(values[0], list):
            return [mean(each) for each in zip(*values, strict=True)]
        return None if None in values else sum(values) / len(values)

    return {name: mean([seed[name] for seed in seeds]) for name in seeds[0]} | {"seed": "mean"}


def print_row(row: dict[str, Any]) -> None:
    """A line per seed, and one for their mean."""
    for seed in [*row["seeds"], *([_mean_seed(row["seeds"])] if len(row["seeds"]) > 1 else [])]:
        quarters = " ".join(f"{_cell(seed['curve_win_rate'][i], '.2f'):>5}" for i in QUARTERS.values())
        numbers = [_cell(seed[name]) for name in ("train_win_rate", "train_return", "greedy_win_rate", "greedy_return")]
        times = [_cell(row[name], ",.1f") for name in ("train_s", "compile_s", "cpu_s")]
        print(LINE.format(row["job"]["map"], row["name"], seed["seed"], quarters, *numbers, *times))
    shown = row["config"] if row["job"]["system"] == "jaxmarl" else row["job"]["changes"]
    settings = ", ".join(f"{name} {value}" for name, value in shown.items())
    print(f"       {row['env_steps']:,} env steps a seed" + (f"; {settings}" if settings else ""), flush=True)


def verdict(theirs: dict[str, Any], ours: dict[str, Any]) -> str:
    """One line: are our mean win rate over the last tenth and our wall-clock at least as good as theirs?

    Processor time, compiling included, is printed beside the clock: other work on the machine slows the clock alone.
    """
    job = ours["job"]
    us, them = _mean_seed(ours["seeds"]), _mean_seed(theirs["seeds"])
    rates = [(x["train_win_rate"] or 0.0, x["greedy_win_rate"]) for x in (us, them)]
    ratio = ours["train_s"] / theirs["train_s"]
    cpu = f", processor time x {ours['cpu_s'] / theirs['cpu_s']:.2f}" if ours["cpu_s"] else ""
    reached = "reached" if rates[0][0] >= rates[1][0] and ratio <= 1 else "not reached"
    (train, greedy), (their_train, their_greedy) = rates
    return (
        f"{job['algo']} on {job['map']}: ours / theirs win rate {train:.3f} / {their_train:.3f} (greedy {greedy:.3f} / "
        f"{their_greedy:.3f}), wall-clock of training x {ratio:.2f}{cpu}: the target is {reached}"
    )


def command_of(args: argparse.Namespace) -> str:
    """The command again, without the paths of this machine."""
    words = ["python -m experiments.benchmark learn --reference-dir CLONE"]
    for name in ("maps", "algos", "steps", "seeds", "preset", "our_set", "reference_set", "episodes"):
        value = getattr(args, name)
        values = value if isinstance(value, list) else [value]
        words += ["--" + name.replace("_", "-"), *map(str, values)] if values else []
    return " ".join(words)


def run_learn(args: argparse.Namespace) -> int:
    """Measures what the file does not have yet, and prints all that the command names."""
    jobs = make_jobs(args)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    rows = read_json(args.out, list)
    missing = [job for job in jobs if job not in [row["job"] for row in rows]]
    minutes = sum(estimated_seconds(job, rows) for job in missing) / 60
    print(f"{len(jobs)} trainings, {len(missing)} to do: about {minutes:.0f} minutes of training on two CPU cores")
    for i, job in enumerate(missing):
        print(f"[{i + 1}/{len(missing)}] {job['system']} {job['algo']} on {job['map']}", flush=True)
        try:
            row = in_a_process(job, str(args.reference_dir), str(args.run_dir))
        except (KeyboardInterrupt, concurrent.futures.BrokenExecutor):
            print(f"stopped; what {args.out} holds is kept, and the same command resumes")
            return 130
        rows.append(row | {"command": command_of(args)})
        write_results(rows, args.out)
    print(LINE.format("map", "system", "seed", "win rate at 25 50 75 100 %", *HEADS))
    asked = [next(row for row in rows if row["job"] == job) for job in jobs]
    for row in asked:
        print_row(row)
    for ours, theirs in zip(asked[::2], asked[1::2], strict=True):
        print(verdict(theirs, ours))
    print(f"wrote {args.out} and {args.out.with_suffix('.csv')}")
    return 0


def add_parser(commands: Any) -> None:
    """Adds the command `learn` to the parser of `experiments.benchmark`."""
    learn = commands.add_parser("learn", help="win rates and wall-clock of five learners, beside JaxMARL's scripts")
    learn.add_argument("--maps", nargs="+", default=["3m", "2s3z"], metavar="MAP", help="of JaxMARL's SMAX")
    algos = {"choices": list(ALGOS), "metavar": "ALGO", "help": f"of {', '.join(ALGOS)} (default: ippo qmix)"}
    learn.add_argument("--algos", nargs="+", default=["ippo", "qmix"], **algos)
    learn.add_argument("--steps", type=whole(), default=1_000_000, help="env steps per seed (default 1000000)")
    learn.add_argument("--seeds", type=whole(1, MAX_SEEDS), default=2, help="in one program (default 2)")
    learn.add_argument("--preset", default="default", help="of our algorithms (default: default)")
    learn.add_argument("--our-set", nargs="+", default=[], metavar="KEY=VALUE", help="other settings of ours")
    setting = {"nargs": "+", "default": [], "metavar": "KEY=VALUE", "help": "e.g. HIDDEN_SIZE=512 LR=5e-4"}
    add_reference(learn, set=setting)
    episodes = "greedy episodes at the end, per seed (default 100)"
    learn.add_argument("--episodes", type=whole(1, MAX_EPISODES), default=100, help=episodes)
    learn.add_argument("--run-dir", type=out_folder, default="runs/learn", help="of our runs (default runs/learn)")
    learn.add_argument("--out", type=out_file(parents=True), default="results/learn_peers.json", metavar="FILE")
    learn.set_defaults(run=run_learn)
