"""One point of `experiments.benchmark growth`: an environment alone, or a training, in a process of its own."""

import os
import signal
import statistics
import time
from typing import Any, NamedTuple

from benchmarks.job import Job, in_a_process
from benchmarks.worker import row_of_process
from experiments.common.cpu import one_thread

REPEATS = 5
FEWEST_STEPS = 4  # of a timed call: its first step also asks the system for memory


class Point(NamedTuple):
    """What is measured at one place of a panel. `env_only`: random legal actions instead of a training."""

    panel: str
    system: str  # "ours", "jaxmarl" (an environment alone), or a key of `benchmarks.reference.scripts.SCRIPTS`
    env: str
    x: int  # the place on the panel's axis
    env_only: bool = True
    num_envs: int = 0  # 0: the preset's
    algo: str = ""
    preset: str = ""
    seeds: int = 1
    rollout_length: int = 0  # 0: the preset's
    reference_dir: str = ""

    def named(self) -> dict[str, Any]:
        """What the row of any point has."""
        names = ("panel", "system", "env", "x", "env_only")
        algo = f"{self.algo}:{self.preset}" if self.algo else ""
        return {name: getattr(self, name) for name in names} | {"algo": algo}


def measured(point: Point, seconds: float) -> dict[str, Any]:
    """The row of a point: `status` "ok" with `steps_per_s`, its range over the repeats and `bytes`, or why it failed.

    `bytes`: what the compiled program needs, its arguments included; None where the compiler does not say it.
    """
    try:
        found = _environment_row(point, seconds) if point.env_only else _training_row(point, seconds)
    except RuntimeError as error:  # of XLA
        found = {"status": "failed", "why": str(error).partition("\n")[0]}
    return point.named() | found


def _training_row(point: Point, seconds: float) -> dict[str, Any]:
    changes = (("rollout_length", point.rollout_length),) if point.rollout_length else ()
    job = Job(
        point.system,
        point.algo,
        point.preset,
        point.env if point.system == "ours" else point.env.partition(":")[2],
        point.seeds,
        point.num_envs,
        seconds=seconds,
        reference_dir=point.reference_dir,
        changes=changes,
    )
    found = in_a_process(job)
    if found["status"] != "ok":
        return found
    row = {"seeds": point.seeds} | {
        name: found[name] for name in ("status", "steps_per_s", "num_envs", "compile_s", "device", "versions")
    }
    row["steps_per_s_range"] = found.get("steps_per_s_range", 2 * [found["steps_per_s"]])
    row["bytes"] = found.get("bytes_needed")
    return row | ({"rollout_length": point.rollout_length} if point.rollout_length else {})


def _environment_row(point: Point, seconds: float) -> dict[str, Any]:
    return row_of_process(_environment_child, point, seconds)


def _environment_child(point: Point, seconds: float) -> dict[str, Any]:
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a Ctrl-C ends it without output
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    one_thread()  # as `experiments.benchmark env`
    try:
        return environment_speed(point.env, point.system, point.num_envs, seconds)
    except RuntimeError as error:  # jax's own kind cannot be sent to a process without jax
        if "RESOURCE_EXHAUSTED" in str(error):
            return {"status": "does not fit", "why": "the device has run out of memory"}
        raise RuntimeError(str(error)) from None


def environment_speed(name: str, system: str, num_envs: int, seconds: float) -> dict[str, Any]:
    """Steps a second of `num_envs` environments under random legal actions, of ours or of the reference ("jaxmarl").

    The number of steps in a call is an argument of the program: it is chosen so that a call takes about `seconds`.
    Short calls of large batches would measure how fast the system hands out fresh memory.
    """
    import jax

    from benchmarks.env_speed import our_steps
    from benchmarks.references import load_reference
    from benchmarks.training import machine
    from envs.registry import make_env

    reference = None if system == "ours" else load_reference("environments").reference_of(name)
    open_episodes, step = our_steps(make_env(name), num_envs) if reference is None else reference.build(num_envs)

    def play(carry, key, count):
        def body(index, running):
            carry, made = running
            carry, steps = step(carry, jax.random.fold_in(key, index))
            return carry, made + steps

        return jax.lax.fori_loop(0, count, body, (carry, jax.numpy.int32(0)))

    start = time.perf_counter()
    carry = jax.block_until_ready(jax.jit(open_episodes)(jax.random.key(0)))
    program = jax.jit(play).lower(carry, jax.random.key(0), 1).compile()
    row = {"status": "ok", "num_envs": num_envs, "compile_s": time.perf_counter() - start} | machine()
    speeds = _speeds(program, carry, seconds)
    row |= {"steps_per_s": statistics.median(speeds), "steps_per_s_range": [min(speeds), max(speeds)]}
    return row | {"bytes": program_bytes(program)}


def _speeds(program: Any, carry: Any, seconds: float) -> list[float]:
    """Environment steps a second of each of REPEATS calls."""
    import jax

    def timed(carry, repeat, count):
        start = time.perf_counter()
        carry, made = jax.block_until_ready(program(carry, jax.random.key(repeat), count))
        return carry, int(made), time.perf_counter() - start

    count = FEWEST_STEPS
    for repeat, share in enumerate((0.0, 0.1, 1.0)):  # the first call takes longer, a short one says too little
        carry, _, took = timed(carry, repeat, count)
        count = max(FEWEST_STEPS, round(count * share * seconds / took))
    speeds = []
    for repeat in range(REPEATS):
        carry, made, took = timed(carry, 3 + repeat, count)
        speeds.append(made / took)
    return speeds


def program_bytes(program: Any) -> int | None:
    """Bytes of a compiled program's arguments, results and temporaries; None where the compiler does not say it."""
    stats = program.memory_analysis()
    if stats is None:
        return None
    sizes = stats.argument_size_in_bytes, stats.output_size_in_bytes, stats.temp_size_in_bytes
    return int(sum(sizes) - stats.alias_size_in_bytes)
