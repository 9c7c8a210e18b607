"""`python -m experiments.benchmark startup`: how long a run takes to begin training, and what takes the time.

The command `experiments.run` is started in fresh processes, first with an empty compile cache, then with what that
start has left there. Seconds are wall time since the process was started. Programs compile side by side, so their
seconds are not a sum. A start ends after its first chunks and one evaluation.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from typing import Any

from benchmarks.arguments import add_json, add_training, check_training, keep, split_name
from envs.errors import ConfigError
from experiments.common.arguments import whole
from experiments.config.preset_io import default_settings

BEGAN = "IACJAX_BENCHMARK_BEGAN"  # of the environment: time.time() when the process was started
PROGRAMS = {"init": "init", "chunk": "chunk", "evaluate_seeds": "evaluate"}  # what jax calls them, and what we do
STEPS = {
    "jaxpr_trace_duration": "trace",
    "jaxpr_to_mlir_module_duration": "lower",
    "backend_compile_duration": "compile",
}
CHILD = "import sys; from benchmarks.startup import measured_run; measured_run(sys.argv[1:])"


def measured_run(argv: list[str]) -> None:
    """The command in this process; its last line of output is the row of this start, as JSON."""
    began = float(os.environ[BEGAN])
    row: dict[str, Any] = {"python": time.time() - began, "others": {"programs": 0, "seconds": 0.0}}
    from experiments.config.command_line import Command, new_settings
    from experiments.training.train import train

    settings = new_settings(Command(argv))
    row["imports"] = time.time() - began
    import jax

    from experiments.training.hooks import Hook

    def listen(event: str, seconds: float, **facts: Any) -> None:
        name = str(facts.get("fun_name", "")).removeprefix("jit(").removesuffix(")")
        step = STEPS.get(event.rsplit("/", 1)[-1])
        if step and name in PROGRAMS:
            row.setdefault(PROGRAMS[name], {})[step] = seconds
        elif step == "compile":
            row["others"]["programs"] += 1
            row["others"]["seconds"] += seconds

    class Watch(Hook):
        def on_start(self, loop: Any, restored: Any) -> None:
            row["compiled"] = time.time() - began

        def on_chunk(self, loop: Any) -> None:
            row.setdefault("first_chunk", time.time() - began)

        def on_evaluation(self, loop: Any, rows: Any) -> None:
            row.setdefault("first_evaluation", time.time() - began)

    row["jax"] = time.time() - began
    jax.monitoring.register_event_duration_secs_listener(listen)
    train(settings, hooks=[Watch()])
    print(json.dumps(row))


def timed_start(words: list[str], variables: dict[str, str]) -> dict[str, Any]:
    """The row of one start of `experiments.run` with these arguments, in a fresh process with `variables` in its
    environment: seconds until it had imported what it needs (`jax`), its programs (`compiled`), its first chunk and
    its first evaluation, and the seconds of each program that was traced, lowered and compiled.

    Raises:
      ConfigError: the run fails.
    """
    command = [sys.executable, "-c", CHILD, *words]
    environment = {**os.environ, **variables, BEGAN: repr(time.time())}
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True)
    if done.returncode:
        raise ConfigError(f"the run ended with exit code {done.returncode}: see above")
    return json.loads(done.stdout.splitlines()[-1])


def _print(name: str, row: dict[str, Any]) -> None:
    print(f"{name:<7} compiled after {row['compiled']:.1f} s, first chunk {row['first_chunk']:.1f} s, "
          f"first evaluation {row['first_evaluation']:.1f} s; imports {row['jax']:.1f} s", flush=True)  # fmt: skip
    for program in PROGRAMS.values():
        if program in row:
            print(
                f"  {program:<9}" + "".join(f" {step} {row[program].get(step, 0.0):5.1f} s" for step in STEPS.values())
            )
    others = row["others"]
    print(f"  {others['programs']} small programs {others['seconds']:.1f} s", flush=True)


def run_startup(args: argparse.Namespace) -> int:
    """Starts as often as asked for, and prints each; `--json` holds those measured so far."""
    check_training(args.env, args.algo)
    algo, preset = split_name(args.algo)
    steps = str(1 + getattr(default_settings(algo, preset, args.env).algorithm, "warmup", 0))  # fewer are refused
    words = ["--algo", algo, "--preset", preset, "--env", args.env, "--total-steps", steps, "--eval-every", steps]
    words.append("--no-pictures")
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        for k in range(args.starts):
            row = timed_start([*words, "--run-dir", f"{folder}/runs"], {"JAX_COMPILATION_CACHE_DIR": folder})
            rows.append({"algo": args.algo, "env": args.env, "start": k + 1} | row)
            _print(f"start {k + 1}", row)
            keep(args.json, rows)
    return 0


def add_parser(commands: Any) -> None:
    """Adds the command `startup` to the parser of `experiments.benchmark`."""
    startup = commands.add_parser("startup", help="seconds until a run trains, with an empty and a full compile cache")
    add_training(startup)
    startup.add_argument("--starts", type=whole(1, 100), default=2, help="the first has an empty cache (default 2)")
    add_json(startup)
    startup.set_defaults(run=run_startup)
