"""`python -m experiments.benchmark settings`: the speed and the numbers of training by settings of the runtime.

The same training under each setting, a process each. Beside its speed are its numbers: by how much the first update's
metrics differ from the default's, the mean return of the episodes while training, and whether a second training of the
same seeds gives the same numbers bit by bit. On a CPU, fast matrix products are emulated by rounding the factors: the
numbers are those of a GPU, the time says nothing.
"""

import argparse
import math
import statistics
from typing import Any, NamedTuple

from benchmarks.arguments import add_json, add_seconds, add_seeds, add_training, check_training, keep, split_name
from benchmarks.job import Job, in_a_process
from envs.errors import ConfigError
from experiments.common.arguments import whole

BUFFERS = "--xla_gpu_enable_command_buffer="  # kinds of kernels that are launched in graphs: none
LOOPS = f"{BUFFERS}+WHILE,+CONDITIONAL"  # the default kinds, and whole loops and branches
TWICE = "--xla_gpu_enable_while_loop_unrolling=WHILE_LOOP_UNROLLING_DOUBLE_BUFFER"  # two iterations of a loop in one
LINE = "{:<26} {:>11} {:>9} {:>9} {:>10}  {:<30} {:>18} {:>8}"
HEADS = ("setting", "steps/s", "x default", "compile s", "peak", "first update differs by", "return", "repeats")


class Setting(NamedTuple):
    """What differs from the default; `cpu`: why it is not measured on a CPU, "" if it is."""

    name: str
    option: str  # how a user sets it
    cpu: str = "of GPUs alone"
    variables: tuple[tuple[str, str], ...] = ()
    flags: str = ""
    precision: str = "default"
    bits: int = 0  # of mantissa that the factors of a product keep
    other_gru: bool = False  # differentiates GRUs in the way that is not the platform's default


def _variable(name: str, key: str, value: str) -> Setting:
    return Setting(name, f"{key}={value}", variables=((key, value),))


SETTINGS = (
    Setting("default", "", cpu=""),
    Setting("float32 products", "--matmul-precision float32", "a CPU multiplies so anyway", precision="float32"),
    Setting("TF32 products", "--matmul-precision tensorfloat32", "", precision="tensorfloat32", bits=10),
    Setting("bfloat16 products", "--matmul-precision bfloat16", "", precision="bfloat16", bits=7),
    Setting("deterministic", "--deterministic", "a CPU always is", flags="--xla_gpu_deterministic_ops=true"),
    Setting("no command buffers", f"XLA_FLAGS={BUFFERS}", flags=BUFFERS),
    Setting("command buffers of loops", f"XLA_FLAGS={LOOPS}", flags=LOOPS),
    Setting("double-buffered loops", f"XLA_FLAGS={TWICE}", flags=TWICE),
    Setting("the other GRU gradient", "iacjax.networks.recurrent.use_gru_form", "", other_gru=True),
    _variable("no preallocation", "XLA_PYTHON_CLIENT_PREALLOCATE", "false"),
    _variable("90 % preallocated", "XLA_PYTHON_CLIENT_MEM_FRACTION", "0.9"),
    _variable("CUDA's allocator", "XLA_PYTHON_CLIENT_ALLOCATOR", "cuda_async"),
    _variable("no pool of memory", "XLA_PYTHON_CLIENT_ALLOCATOR", "platform"),
)  # fmt: skip


def difference(ours: dict[str, list[float]], default: dict[str, list[float]]) -> tuple[str, float]:
    """(metric, difference) of the metric that differs most; relative to its value, or to 0.01 if that is larger."""

    def part(a: float, b: float) -> float:
        return abs(a - b) / max(abs(b), 0.01)

    found = {name: max(map(part, ours[name], default[name])) for name in default}
    return max(found.items(), key=lambda item: item[1], default=("", 0.0))


def mean_return(returns: list[float | None]) -> tuple[float, float]:
    """(mean, its standard error over seeds) of those in which an episode ended; NaN if there are too few."""
    known = [value for value in returns if value is not None]
    if not known:
        return math.nan, math.nan
    spread = statistics.stdev(known) / len(known) ** 0.5 if len(known) > 1 else math.nan
    return statistics.fmean(known), spread


def compared(setting: Setting, row: dict[str, Any], default: dict[str, Any]) -> dict[str, Any]:
    """The row, compared with that of the default."""
    row = {"setting": setting.name, "option": setting.option} | row
    if row["status"] != "ok":
        return row
    emulated = row["platform"] == "cpu" and setting.bits != 0
    metric, largest = difference(row["first_update"], default["first_update"])
    row |= {"emulated": emulated, "first_update_metric": metric, "first_update_differs": largest}
    row["x_default"] = None if emulated else row["steps_per_s"] / default["steps_per_s"]
    row["return_mean"], row["return_error"] = mean_return(row["returns"])
    return row


def line(row: dict[str, Any]) -> str:
    """The row as it is printed."""
    from experiments.common.text import human

    if row["status"] != "ok":
        return f"{row['setting']:<26} {row['status']}: {row['why']}"
    speed = ("-", "-") if row["emulated"] else (f"{row['steps_per_s']:,.0f}", f"{row['x_default']:.2f}")
    peak = "-" if row["peak_bytes"] is None else human(row["peak_bytes"])
    differs = f"{row['first_update_differs']:.1e}"
    if row["first_update_differs"]:
        differs += f" ({row['first_update_metric']})"
    returns = f"{row['return_mean']:.3f} +- {row['return_error']:.3f}"
    repeats = "bitwise" if row["repeats"] else "no"
    return LINE.format(row["setting"], *speed, f"{row['compile_s']:.1f}", peak, differs, returns, repeats)


def measured(setting: Setting, job: Job, platform: str) -> dict[str, Any]:
    """The row of a setting, `status` "left out" if the platform does not have it, "failed" if it cannot run."""
    if platform == "cpu" and setting.cpu:
        return {"status": "left out", "why": setting.cpu}
    bits = setting.bits if platform == "cpu" else 0
    shared = {name: getattr(setting, name) for name in ("variables", "flags", "precision", "other_gru")}
    job = job._replace(bits=bits, **shared)
    try:
        return in_a_process(job)
    except RuntimeError as error:  # of XLA
        return {"status": "failed", "why": str(error).partition("\n")[0]}


def run_settings(args: argparse.Namespace) -> int:
    """Measures the default, then setting after setting; `--json` holds those measured so far."""
    check_training(args.env, args.algo)
    job = Job("ours", *split_name(args.algo), args.env, args.seeds, args.num_envs, 1, args.seconds, args.updates)
    print(f"{args.algo} on {args.env}, {args.seeds} seeds; returns over the first {args.updates} iterations that learn")
    print(LINE.format(*HEADS))
    rows: list[dict[str, Any]] = []
    for setting in SETTINGS:
        default = rows[0] if rows else {}
        row = measured(setting, job, default.get("platform", ""))
        if not rows and row["status"] != "ok":
            raise ConfigError(f"the default cannot be measured ({row['why']}): lower --seeds or --num-envs")
        rows.append(compared(setting, row, default or row))
        print(line(rows[-1]), flush=True)
        keep(args.json, {"job": job._asdict(), "note": args.note, "rows": rows})
    return 0


def add_parser(commands: Any) -> None:
    """Adds the command `settings` to the parser of `experiments.benchmark`."""
    settings = commands.add_parser("settings", help="training speed and numbers under each setting of the runtime")
    add = settings.add_argument
    add_training(settings)
    add_seeds(settings, 4)
    add("--num-envs", type=whole(0), default=0, metavar="E", help="parallel environments per seed; 0: the preset's")
    add("--updates", type=whole(), default=50, help="iterations whose numbers are compared (default 50)")
    add_seconds(settings, 5.0)
    add_json(settings, note=True)
    settings.set_defaults(run=run_settings)
