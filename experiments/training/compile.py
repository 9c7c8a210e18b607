"""Tracing and compiling the functions of a batch of seeds ahead of time, before anything is allocated."""

import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from experiments.distributed.layout import Layout, layout_of
from experiments.runs.build import seed_keys
from experiments.training.memory import needed_bytes

CHUNK_CAPACITY = 1024  # iterations that one call of the compiled chunk can do at most


class Lowered(NamedTuple):
    """The functions of a batch of seeds before they are compiled: enough to know what the state will need."""

    trainer: Any
    init: Any  # lowered
    num_seeds: int
    keys: Any  # shapes of the seeds' keys
    states: Any  # shapes of the TrainState, seeds in front
    layout: Layout  # how they lie on the devices


class Compiled(NamedTuple):
    """The compiled functions of a batch of seeds (see `iacjax.train.Trainer`) and what they need."""

    init: Callable
    chunk: Callable
    evaluate: Future  # its result is the function; it compiles while the first chunk runs
    num_seeds: int
    states: Any  # shapes of the TrainState, seeds in front
    bytes_needed: int  # of the state and of the working memory of a chunk
    seconds: float  # until init and chunk were ready
    layout: Layout  # how what the functions take and return lies on the devices
    shardings: Any = None  # of the states, for `layout`


def lower_run(env: Any, algorithm: Any, num_seeds: int, eval_episodes: int, devices: int = 1) -> Lowered:
    """Traces the initial state; nothing is compiled or allocated. `devices` are those asked for (see `layout_of`)."""
    import jax

    from iacjax.train import make_trainer

    layout = layout_of(num_seeds, devices, algorithm.plan.num_envs)
    trainer = make_trainer(env, algorithm, CHUNK_CAPACITY, eval_episodes, layout.mesh)
    keys = jax.eval_shape(lambda: seed_keys(tuple(range(num_seeds))))
    return lower_trainer(trainer, keys, keys, layout)


def lower_trainer(trainer: Any, inputs: Any, keys: Any, layout: Layout) -> Lowered:
    """Traces the initial state from the shapes of the inputs of `Trainer.init` and of the seeds' keys."""
    import jax

    init = trainer.init.lower(layout.abstract(inputs))
    states = jax.tree.map(lambda x: jax.ShapeDtypeStruct((layout.size, *x.shape[1:]), x.dtype), init.out_info)
    return Lowered(trainer, init, layout.size, keys, states, layout)


def compile_lowered(lowered: Lowered) -> Compiled:
    """Compiles ahead of time, so that seconds and bytes are known before anything is allocated."""
    import jax

    began = time.monotonic()
    trainer, layout = lowered.trainer, lowered.layout
    shardings = trainer.shardings(lowered.states)
    states, keys = layout.abstract(lowered.states, shardings), layout.abstract(lowered.keys)
    number = jax.ShapeDtypeStruct((), np.int32)
    pool = ThreadPoolExecutor(3)
    init = pool.submit(lowered.init.compile)
    chunk = pool.submit(lambda: trainer.chunk.lower(states, number, number).compile())
    init, chunk = init.result(), chunk.result()
    evaluate = pool.submit(lambda: trainer.evaluate.lower(states, keys).compile())
    pool.shutdown(wait=False)
    seconds = time.monotonic() - began
    need = needed_bytes(chunk, states, layout.devices)
    return Compiled(init, chunk, evaluate, lowered.num_seeds, lowered.states, need, seconds, layout, shardings)
