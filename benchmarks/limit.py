"""`python -m experiments.benchmark limit`: training speed beside what its matrix products alone would allow.

The products of an iteration are counted, one of each shape is timed by itself on one core, and count times time, summed
over the shapes, is the least time of an iteration. This limit leaves out everything that is not a product: the
environment, gates and activations, optimiser, replay, memory traffic. All times are processor time, so that other work
on the machine does not count.
"""

import argparse
import os
import signal
from collections import Counter
from typing import Any

from benchmarks.arguments import add_json, add_seconds, add_training, check_training, keep, split_name
from benchmarks.worker import fresh_process

SECONDS = 0.01  # of a timed call, about
REPEATS = 5
LARGEST = 8  # products that are printed
LINE = "{:<10} {:>16} {:>16} {:>7} {:>13}"
HEADS = ("part", "M mul-adds/step", "us/step at least", "share", "G mul-adds/s")


def time_product(batch: int, m: int, k: int, n: int) -> float:
    """Processor seconds of one f32[batch, m, k] @ f32[batch, k, n] in a loop: the least of REPEATS calls.

    A batch is also timed one by one, and the faster way counts.
    """
    import time

    import jax
    import jax.numpy as jnp
    import numpy as np

    lead = (batch,) if batch > 1 else ()
    left, right, out = (jnp.full((*lead, *shape), 0.1, jnp.float32) for shape in ((m, k), (k, n), (m, n)))

    @jax.jit
    def turns(count, left, right, out):
        def body(_, carry):
            left, out = carry
            left = left.at[(0,) * left.ndim].add(1e-12 * out[(0,) * out.ndim])  # each turn needs the one before
            return left, left @ right

        return jax.lax.fori_loop(0, count, body, (left, out))

    def seconds(count):
        start = time.process_time()
        jax.block_until_ready(turns(np.int32(count), left, right, out))
        return time.process_time() - start

    seconds(1)
    count = 8
    while (once := seconds(count)) < SECONDS / 8:
        count *= 4
    count = max(1, round(count * SECONDS / once))
    least = min(seconds(count) for _ in range(REPEATS)) / count
    return least if batch == 1 else min(least, batch * time_product(1, m, k, n))


def count_products(env: Any, algorithm: Any) -> Counter:
    """{(part, Shape): how often} of one training iteration of one seed."""
    from functools import partial

    import jax
    import numpy as np

    from benchmarks.products import products
    from iacjax.trainer import init_state, train_step

    state = jax.eval_shape(partial(init_state, env, algorithm), jax.eval_shape(lambda: jax.random.key(0)))
    iteration = jax.ShapeDtypeStruct((), np.int32)
    return products(partial(train_step, env, algorithm), state, iteration, turns=algorithm.plan.updates)


def measure(algo: str, preset: str, env_name: str, seconds: float) -> dict[str, Any]:
    """The row of an algorithm, one seed; `parts` and `products` are those of one iteration."""
    import functools

    from benchmarks.training import benchmark_ours, machine, make_training

    env, _, algorithm = make_training(algo, preset, env_name)
    time_one = functools.cache(time_product)
    shapes = []
    for (part, shape), count in count_products(env, algorithm).items():
        batch, m, k, n = shape
        spent = count * time_one(batch, max(m, n), k, min(m, n))  # a product's transpose takes as long
        work = count * shape.multiply_adds
        shapes.append({"part": part, "shape": list(shape), "count": count, "multiply_adds": work, "seconds": spent})
    shapes.sort(key=lambda row: -row["seconds"])
    speed = benchmark_ours(env, algorithm, 1, seconds)
    steps, least = speed["steps_per_iteration"], sum(row["seconds"] for row in shapes)
    parts = {
        part: {name: sum(row[name] for row in shapes if row["part"] == part) for name in ("multiply_adds", "seconds")}
        for part in {row["part"]: None for row in shapes}
    }
    return machine() | {
        "algo": algo, "preset": preset, "env": env_name, "steps_per_iteration": steps,
        "multiply_adds_per_step": sum(row["multiply_adds"] for row in shapes) / steps,
        "steps_per_s": 1e6 / speed["cpu_us_per_step"], "steps_per_s_at_most": steps / least,
        "share_of_limit": least / steps * 1e6 / speed["cpu_us_per_step"], "parts": parts, "products": shapes,
    }  # fmt: skip


def measure_in_child(job: tuple) -> dict[str, Any]:
    """`measure` in a process that has one core."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    if hasattr(os, "sched_setaffinity"):  # not on macOS
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})  # before jax is imported
    os.environ["JAX_PLATFORMS"] = "cpu"
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    return measure(*job)


def text(row: dict[str, Any]) -> str:
    """The row as it is printed."""
    steps, total = row["steps_per_iteration"], {"multiply_adds": 0, "seconds": 0.0}
    for part in row["parts"].values():
        total = {name: total[name] + part[name] for name in total}
    lines = [f"\n{row['algo']} ({row['preset']}) on {row['env']}, one seed on one core", LINE.format(*HEADS)]
    for name, part in [*row["parts"].items(), ("all", total)]:
        work, spent = part["multiply_adds"], part["seconds"]
        cells = f"{work / steps / 1e6:.3f}", f"{spent / steps * 1e6:.1f}", f"{spent / total['seconds']:.0%}"
        lines.append(LINE.format(name, *cells, f"{work / spent / 1e9:.1f}"))
    lines.append(
        f"trained at {row['steps_per_s']:,.0f} env steps/s, {row['share_of_limit']:.0%} of the "
        f"{row['steps_per_s_at_most']:,.0f} of its products alone"
    )
    for product in row["products"][:LARGEST]:
        batch, m, k, n = product["shape"]
        name = f"{product['count']:>7,} x {f'{batch} x ' if batch > 1 else ''}[{m}, {k}] @ [{k}, {n}]"
        speed = f"{product['multiply_adds'] / product['seconds'] / 1e9:.1f} G mul-adds/s"
        lines.append(f"{name:<42} {product['seconds'] / total['seconds']:>5.0%}  {speed:>19}  {product['part']}")
    return "\n".join(lines)


def run_limit(args: argparse.Namespace) -> int:
    """Measures each algorithm in a process of its own; `--json` holds those measured so far."""
    check_training(args.env, *args.algo)
    rows: list[dict[str, Any]] = []
    for word in args.algo:
        with fresh_process() as pool:
            rows.append(pool.submit(measure_in_child, (*split_name(word), args.env, args.seconds)).result())
        print(text(rows[-1]), flush=True)
        keep(args.json, {"note": args.note, "rows": rows})
    return 0


def add_parser(commands: Any) -> None:
    """Adds the command `limit` to the parser of `experiments.benchmark`."""
    limit = commands.add_parser("limit", help="training speed beside the limit that matrix products set")
    add_training(limit, several=True)
    add_seconds(limit, 5.0)
    add_json(limit, note=True)
    limit.set_defaults(run=run_limit)
