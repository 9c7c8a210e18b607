"""Tracing and compiling the functions of a batch of seeds ahead of time, before anything is allocated."""

import contextlib
import gc
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.metadata import version
from typing import Any, NamedTuple

import numpy as np

from experiments.distributed.layout import Layout, layout_of
from experiments.runs.build import seed_keys
from experiments.training.kept_programs import KeptPrograms, register_lapack
from experiments.training.memory import needed_bytes

CHUNK_CAPACITY = 1024  # iterations that one call of the compiled chunk can do at most


class Lowered(NamedTuple):
    """The functions of a batch of seeds before they are compiled: enough to know what the state will need."""

    trainer: Any
    init: Any  # lowered; None: it is among the kept programs
    num_seeds: int
    keys: Any  # shapes of the seeds' keys
    states: Any  # shapes of the TrainState, seeds in front
    layout: Layout  # how they lie on the devices
    kept: KeptPrograms | None = None  # where programs are kept
    loading: Any = None  # {name: Future of what is kept, (the program, shapes of the TrainState), or None}


class Compiled(NamedTuple):
    """The compiled functions of a batch of seeds (see `iacjax.trainer.Trainer`) and what they need."""

    init: Callable
    chunk: Callable
    evaluate: Future  # its result is the function; it compiles while the first chunk runs
    num_seeds: int
    states: Any  # shapes of the TrainState, seeds in front
    bytes_needed: int  # of the state and of the working memory of a chunk
    seconds: float  # until init and chunk were ready
    layout: Layout  # how what the functions take and return lies on the devices
    shardings: Any = None  # of the states, for `layout`
    was_kept: bool = False  # nothing had to be compiled for the first chunk


def lower_run(
    env: Any,
    algorithm: Any,
    num_seeds: int,
    eval_episodes: int,
    devices: int = 1,
    kept: KeptPrograms | None = None,
) -> Lowered:
    """Traces the initial state, unless its program is `kept`; nothing is compiled or allocated.

    Args:
      devices: as asked for (see `layout_of`).
    """
    import jax

    from iacjax.trainer import make_trainer

    layout = layout_of(num_seeds, devices, algorithm.plan.num_envs)
    trainer = make_trainer(env, algorithm, CHUNK_CAPACITY, eval_episodes, layout.mesh)
    keys = jax.eval_shape(lambda: seed_keys(tuple(range(num_seeds))))
    return lower_trainer(trainer, keys, keys, layout, kept and kept.of(layout))


def lower_trainer(trainer: Any, inputs: Any, keys: Any, layout: Layout, kept: KeptPrograms | None = None) -> Lowered:
    """Traces the initial state from the shapes of the inputs of `Trainer.init` and of the seeds' keys."""
    import jax

    loading = _load(kept, layout.devices) if kept else {}
    if loading and (found := loading["init"].result()):
        return Lowered(trainer, None, layout.size, keys, found[1], layout, kept, loading)
    with _few_collections():
        init = trainer.init.lower(layout.abstract(inputs))
    states = jax.tree.map(lambda x: jax.ShapeDtypeStruct((layout.size, *x.shape[1:]), x.dtype), init.out_info)
    return Lowered(trainer, init, layout.size, keys, states, layout, kept, loading)


def _load(kept: KeptPrograms, devices: int) -> dict[str, Future]:
    register_lapack()
    pool = ThreadPoolExecutor(3)
    loading = {name: pool.submit(kept.load, name, devices) for name in ("init", "chunk", "evaluate")}
    pool.shutdown(wait=False)
    return loading


def compile_lowered(lowered: Lowered) -> Compiled:
    """Compiles ahead of time, so that seconds and bytes are known before anything is allocated."""
    import jax

    began = time.monotonic()
    trainer, layout = lowered.trainer, lowered.layout
    shardings = trainer.shardings(lowered.states)
    states, keys = layout.abstract(lowered.states, shardings), layout.abstract(lowered.keys)
    number = jax.ShapeDtypeStruct((), np.int32)
    missing: list[str] = []

    def program(name: str, lower: Callable[[], Any]) -> Any:
        found = lowered.loading[name].result() if lowered.kept else None
        if found is not None:
            return found[0]
        missing.append(name)
        options = quick_options() if name == "init" else None
        if lowered.kept:
            return lowered.kept.compile(name, lower(), lowered.states, options)
        return lower().compile(compiler_options=options)

    pool = ThreadPoolExecutor(3)
    with _few_collections():
        init = pool.submit(program, "init", lambda: lowered.init)
        chunk = pool.submit(program, "chunk", lambda: trainer.chunk.lower(states, number, number))
        init, chunk = init.result(), chunk.result()
    was_kept = not missing
    evaluate = pool.submit(program, "evaluate", lambda: trainer.evaluate.lower(states, keys))
    pool.shutdown(wait=False)
    seconds = time.monotonic() - began
    need = needed_bytes(chunk, states, layout.devices)
    return Compiled(
        init, chunk, evaluate, lowered.num_seeds, lowered.states, need, seconds, layout, shardings, was_kept
    )


def quick_options() -> dict[str, Any] | None:
    """XLA's options for a program that runs once, where the user has not chosen them by XLA_FLAGS.

    On a CPU, XLA spends most of its time on the machine code of single kernels. At its first level of optimisation, and
    without its newer emitters of fusions, it takes half of the time; the initial states are the same to the bit. What
    runs often runs up to twice as long with them.
    """
    import jax

    if jax.default_backend() != "cpu" or jax.config.values["jax_disable_most_optimizations"]:
        return None
    options: dict[str, Any] = {"xla_backend_optimization_level": 1}
    if version("jaxlib").startswith("0.10."):  # others may not know it
        options["xla_cpu_use_fusion_emitters"] = False
    chosen = os.environ.get("XLA_FLAGS", "")
    return {name: value for name, value in options.items() if name not in chosen} or None


@contextlib.contextmanager
def _few_collections() -> Iterator[None]:
    """Python's garbage collector runs seldom inside: tracing makes objects by the million, of which few are garbage."""
    before = gc.get_threshold()
    gc.set_threshold(50_000, 20, 50)
    try:
        yield
    finally:
        gc.set_threshold(*before)
