"""Stands in for a process of the queue that trains a run: `fake_queue_run.py DIRECTORY WORDS...` writes what a training
writes, in no time and without jax.

FAKE_RUNS, a directory, says what it does: it writes there who has started; with a file `together` it waits until two
have; with `wait` it makes half a new run and waits for a signal; with `fail` it ends with an error.
"""

import json
import os
import pathlib
import signal
import sys
import time

TIMEOUT = 60.0  # seconds


def until(condition):
    """Waits for what another process does."""
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


def main():
    directory, orders, stopped = pathlib.Path(sys.argv[1]), pathlib.Path(os.environ["FAKE_RUNS"]), []
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda number, frame: stopped.append(number))
    run = json.loads((directory / "config.json").read_text())
    resumed = (directory / "eval.csv").exists()
    (directory / "versions.json").write_text(json.dumps({"device": "cpu, 1 cores", "jax": "0"}))

    def write(share):
        lines = ["iteration,env_steps,seed,return_mean,return_std,length_mean"]
        lines += [f"1,{int(share * run['total_steps'])},{seed},1,0,9" for seed in range(run["seeds"])]
        (directory / "eval.csv").write_text("\n".join(lines) + "\n")

    write(0.5)
    (orders / f"{time.time_ns()}.started").write_text(run["env"])
    if (orders / "fail").exists():
        sys.exit("error: the disk is full")
    if (orders / "together").exists():
        until(lambda: len(list(orders.glob("*.started"))) >= 2)
    if (orders / "wait").exists() and not resumed:
        until(lambda: stopped)
        (directory / "stopped").write_text(str(int(stopped[0])))
        sys.exit(128 + stopped[0])
    write(1)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 1
    process = {"nice": os.nice(0), "cores": cores, "devices": os.environ.get("JAX_NUM_CPU_DEVICES")}
    (directory / "process.json").write_text(json.dumps(process))
    times = {"train_seconds": 90.0, "eval_seconds": 10.0, "save_seconds": 0.0}
    seeds = [{"seed": seed, "env_steps": run["total_steps"]} for seed in range(run["seeds"])]
    (directory / "summary.json").write_text(json.dumps({"status": "finished", "seeds": seeds, **times}))


if __name__ == "__main__":
    main()
