"""One compiled training, measured: how fast it is, what memory it needs, and which numbers it makes."""

import contextlib
import math
import pathlib
import statistics
import time
from collections.abc import Callable
from typing import Any, NamedTuple

REPEATS = 3
TURNS = 10  # of a part, in one call of `timed`


class DoesNotFit(Exception):
    """A training needs more memory than is free; the message says how much of both."""


class Training(NamedTuple):
    """A compiled training of some seeds."""

    init: Callable  # () -> states
    run: Callable  # (states, first iteration, n) -> (states, metrics [., seeds], episode statistics [., seeds])
    plan: Any
    seeds: int
    compile_seconds: float
    state_bytes: int
    bytes_needed: int  # of the state and of the working memory of an iteration; all devices together


def make_training(algo: str, preset: str, env_name: str, num_envs: int = 0, **changes: Any) -> tuple[Any, Any, Any]:
    """(environment, configuration, algorithm).

    Args:
      num_envs: parallel environments; 0: the preset's.
      changes: other fields of the configuration.

    Raises:
      ConfigError: the algorithm cannot handle the environment.
    """
    import dataclasses

    from envs.registry import make_env
    from experiments.config.preset_io import default_settings
    from iacjax.algorithms.registry import check_fits, get_entry

    env = make_env(env_name)
    check_fits(algo, env.spec)
    changes |= {"num_envs": num_envs} if num_envs else {}
    config = dataclasses.replace(default_settings(algo, preset, env_name).algorithm, **changes)
    return env, config, get_entry(algo).make(env.spec, config)


def benchmark_ours(env: Any, algorithm: Any, seeds: int, seconds: float) -> dict[str, Any]:
    """Training speed in environment steps a second, all seeds together: the median of REPEATS calls.

    Args:
      env, algorithm: as the run would have them.
      seeds: trained in one program.
      seconds: about how long each timed call takes.
    """
    return speed_of(compile_training(env, algorithm, seeds), seconds)


def machine() -> dict[str, Any]:
    """The device and the software versions that a row is measured with."""
    from experiments.runs.directory import software_versions
    from experiments.training.runtime import describe_device

    return {"device": describe_device(), "versions": software_versions(describe_device())}


def check_memory(needed: int, free: int | None) -> None:
    """Raises DoesNotFit where `needed` bytes are more than a run would take of those that are `free`."""
    from experiments.common.text import human
    from experiments.training.memory import HEADROOM

    if free is not None and needed > HEADROOM * free:
        raise DoesNotFit(f"needs {human(needed)}, {human(free)} are free")


def compile_training(env: Any, algorithm: Any, seeds: int, devices: int = 1, free: int | None = None) -> Training:
    """Compiles the training of `seeds` seeds, sharded over `devices`; nothing is allocated yet.

    Raises:
      DoesNotFit: its state, or what the compiler says it will need, is more than the `free` bytes.
    """
    import jax
    import numpy as np

    from experiments.runs.build import seed_keys
    from experiments.training.compile import lower_run
    from experiments.training.memory import needed_bytes, tree_bytes

    traced = lower_run(env, algorithm, seeds, eval_episodes=1, devices=devices)
    state_bytes, layout = tree_bytes(traced.states), traced.layout
    check_memory(state_bytes, free)
    number, states = (
        jax.ShapeDtypeStruct((), np.int32),
        layout.abstract(traced.states, traced.trainer.shardings(traced.states)),
    )
    start = time.perf_counter()
    init, chunk = traced.init.compile(), traced.trainer.chunk.lower(states, number, number).compile()
    seconds = time.perf_counter() - start
    needed = needed_bytes(chunk, states, layout.devices)
    check_memory(needed, free)

    def run(states, first, count):
        return jax.block_until_ready(chunk(states, np.int32(first), np.int32(count)))

    def start_states():
        return init(layout.shard(seed_keys(tuple(range(seeds)))))

    return Training(start_states, run, algorithm.plan, seeds, seconds, state_bytes, needed)


def idle_iterations(plan: Any) -> int:
    """Iterations of a warm-up if each row is an env step; at least every second row is, so twice as many suffice."""
    return math.ceil(plan.warmup / plan.steps_per_iteration)


def speed_of(training: Training, seconds: float) -> dict[str, Any]:
    """Env steps a second, all seeds together: the median of REPEATS calls of about `seconds` each.

    Steps in which the agents acted; `steps_per_iteration` is their mean over seeds.
    """
    import numpy as np

    from iacjax.types import with_env_steps

    plan, run = training.plan, training.run
    idle = idle_iterations(plan) + 1
    states = run(training.init(), 0, idle)[0]  # the first call takes longer
    states = with_env_steps(states, states.env_steps + np.int32(plan.warmup))
    start = time.perf_counter()
    states = run(states, idle, 1)[0]
    count = max(1, round(seconds / (time.perf_counter() - start)))
    wall, cpu, made = [], [], []
    for repeat in range(REPEATS):
        began, worked = time.perf_counter(), time.process_time()
        states, _, stats = run(states, idle + 1 + repeat * count, count)
        wall.append(time.perf_counter() - began)
        cpu.append(time.process_time() - worked)
        made.append(int(np.asarray(stats.env_steps)[:count, : training.seeds].sum()))
    steps = statistics.mean(made)
    return {
        "steps_per_s": steps / statistics.median(wall),
        "steps_per_s_range": [steps / max(wall), steps / min(wall)],
        "cpu_us_per_step": statistics.median(cpu) / steps * 1e6,
        "s_per_iteration": statistics.median(wall) / count,
        "steps_per_iteration": steps / count / training.seeds,
        "compile_s": training.compile_seconds,
    }


def numbers_of(training: Training, updates: int) -> dict[str, Any]:
    """Numbers of the first iterations that learn, to compare settings by; the same seeds are trained twice.

    Returns:
      first_update: the metrics of the first iteration that learns, each a list over seeds.
      returns: mean return of the episodes that ended while learning, over seeds; None where none ended.
      repeats: whether the second time gave the same numbers, bit by bit.
    """
    import jax
    import numpy as np

    twice = []
    for _ in range(2):
        _, metrics, stats = training.run(training.init(), 0, 2 * idle_iterations(training.plan) + updates)
        twice.append(jax.device_get((metrics, stats)))
    metrics, stats = twice[0]
    made = np.asarray(stats.env_steps)[:, : training.seeds].cumsum(0)
    first = int(training.plan.is_warm(made).all(1).argmax())  # of all seeds
    same = [np.array_equal(a, b, equal_nan=True) for a, b in zip(*map(jax.tree.leaves, twice), strict=True)]
    ended, total = (np.asarray(x)[first : first + updates].sum(0) for x in (stats.episodes, stats.return_sum))
    return {
        "first_update": {name: np.asarray(value)[first].tolist() for name, value in metrics.items()},
        "returns": [float(t / n) if n else None for t, n in zip(total, ended, strict=True)],
        "repeats": all(same),
    }


def timed(function: Callable, first: Any, *rest: Any) -> tuple[Any, float]:
    """(result of the function, its processor seconds in a loop as in training: the least of three).

    Called once, a program asks the system for fresh memory, which can cost as much as its work. `first` of each turn
    depends on the result before, so that nothing can be moved out of the loop.
    """
    import jax
    import jax.numpy as jnp

    def nudged(result, first):
        scalar = 1e-12 * jax.tree.leaves(result)[0].ravel()[0].astype(jnp.float32)
        return jax.tree.map(lambda x: x + scalar if jnp.issubdtype(x.dtype, jnp.floating) else x, first)

    def turns(count, result, first, rest):
        return jax.lax.fori_loop(0, count, lambda _, result: function(nudged(result, first), *rest), result)

    result = jax.jit(function)(first, *rest)
    compiled, seconds = jax.jit(turns).lower(TURNS, result, first, rest).compile(), []
    for _ in range(REPEATS):
        start = time.process_time()
        jax.block_until_ready(compiled(TURNS, result, first, rest))
        seconds.append((time.process_time() - start) / TURNS)
    return result, min(seconds)


def time_rollout(env: Any, algorithm: Any, env_steps: int = 0) -> tuple[Any, Any, float, float]:
    """(initial state, rows of a rollout, processor seconds of its env steps, and of choosing its actions).

    Args:
      env_steps: that exploration counts as done.
    """
    import jax
    import jax.numpy as jnp

    from iacjax.rollout import rollout
    from iacjax.trainer import init_state
    from iacjax.types import Clock

    state = jax.jit(lambda key: init_state(env, algorithm, key))(jax.random.key(0))
    clock, key, runner = Clock(jnp.int32(0), jnp.int32(env_steps)), jax.random.key(1), state.runner

    def play(params, runner, key):
        return rollout(env, algorithm, params, runner, key, clock)[1]

    def act(params, carry, timestep, first, key):
        def body(carry, key):
            carry, action, _ = algorithm.act(params, carry, timestep, first, key, clock, explore=True)
            return carry, action

        return jax.lax.scan(body, carry, jax.random.split(key, algorithm.plan.rollout_length))

    params = algorithm.policy(state.learner)
    rows, whole = timed(play, params, runner, key)
    _, acting = timed(act, params, runner.carry, runner.timestep, runner.first, key)
    return state, rows, max(whole - acting, 0.0), acting


def forget_peak() -> None:
    """Resets `peak_bytes`, on a CPU; a GPU's peak cannot be reset, so each measurement has a process of its own."""
    with contextlib.suppress(OSError):
        pathlib.Path("/proc/self/clear_refs").write_text("5")


def peak_bytes() -> int | None:
    """The most memory used so far: a GPU's (all of them), or on the CPU the whole process's; None if unknown."""
    import jax

    devices = jax.local_devices()
    if devices[0].platform != "cpu":
        peaks = [(device.memory_stats() or {}).get("peak_bytes_in_use") for device in devices]
        return None if None in peaks else sum(peaks)
    with contextlib.suppress(OSError):
        for line in pathlib.Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return None
