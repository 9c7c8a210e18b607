"""JaxMARL's own training scripts, run unchanged from a clone, so that their speed can be measured beside ours.

They report every update to Weights & Biases. A module of that name made here receives these reports and their times,
which gives the time of each update apart from compiling, and shows whether the script learns at all. Their
configurations are the files beside the scripts; `SCRIPTS` lists what is changed.
"""

import contextlib
import importlib.util
import pathlib
import statistics
import sys
import time
import types
import unittest.mock
from collections.abc import Callable
from typing import Any, NamedTuple

from envs.errors import ConfigError


class Script(NamedTuple):
    """A training script: its place in a clone, its configuration, and what differs from that."""

    script: str
    config: str
    changes: dict[str, Any]
    idle_updates: int  # updates of data collection, before the first gradient step
    timing: dict[str, Any]  # what differs further where only the speed is measured


# QMIX and VDN learn from their 33rd update on, when the buffer holds BUFFER_BATCH_SIZE rollouts, whatever
# LEARNING_STARTS says. Where they are only timed, the buffer is as large as so short a run fills, which costs memory,
# not time; evaluations while training are left out always.
_QUIET = {"TEST_DURING_TRAINING": False, "WANDB_MODE": "online"}
_REPLAY = "baselines/QLearning/config/alg/ql_rnn_smax.yaml"
SCRIPTS = {
    "jaxmarl ippo_rnn": Script(
        "baselines/IPPO/ippo_rnn_smax.py", "baselines/IPPO/config/ippo_rnn_smax.yaml", {}, 1, {}
    ),
    "jaxmarl mappo_rnn": Script(
        "baselines/MAPPO/mappo_rnn_smax.py", "baselines/MAPPO/config/mappo_homogenous_rnn_smax.yaml", {}, 1, {}
    ),
    "jaxmarl qmix_rnn (GRU 64)": Script(
        "baselines/QLearning/qmix_rnn.py", _REPLAY, {"HIDDEN_SIZE": 64, **_QUIET}, 33, {"BUFFER_SIZE": 1024}
    ),
    "jaxmarl vdn_rnn (GRU 64)": Script(
        "baselines/QLearning/vdn_rnn.py", _REPLAY, {"HIDDEN_SIZE": 64, **_QUIET}, 33, {"BUFFER_SIZE": 1024}
    ),
    "jaxmarl pqn_vdn_rnn": Script(
        "baselines/QLearning/pqn_vdn_rnn.py", "baselines/QLearning/config/alg/pqn_vdn_rnn_smax.yaml", _QUIET, 1, {}
    ),
}
TIMED = ("jaxmarl ippo_rnn", "jaxmarl qmix_rnn (GRU 64)")  # by the tables that measure speed alone
FACTS = ("NUM_ENVS", "NUM_STEPS", "UPDATE_EPOCHS", "NUM_EPOCHS", "NUM_MINIBATCHES", "BUFFER_BATCH_SIZE")
FACTS += ("GRU_HIDDEN_DIM", "HIDDEN_SIZE")


class Reports:
    """Takes the place of the module wandb: `log` keeps the report and its time."""

    def __init__(self):
        self.reports: list[tuple[float, float, dict[str, float]]] = []

    def log(self, metrics: dict[str, Any]) -> None:
        import numpy as np

        numbers = {name: float(value) for name, value in metrics.items() if np.ndim(value) == 0}
        self.reports.append((time.perf_counter(), time.process_time(), numbers))


def check_clone(directory: pathlib.Path) -> None:
    """Raises ConfigError where `directory` is no clone of JaxMARL, or a package that its scripts import is missing."""
    for script in SCRIPTS.values():
        for path in (script.script, script.config):
            if not (directory / path).is_file():
                raise ConfigError(f"no {path} in {directory}: give a clone of github.com/FLAIROx/JaxMARL")
    for name in ("jaxmarl", "flashbax", "yaml"):
        if importlib.util.find_spec(name) is None:
            package = "pyyaml" if name == "yaml" else name
            raise ConfigError(f"JaxMARL's scripts need {package}: pip install {package}")


def import_script(path: pathlib.Path, reports: Reports) -> types.ModuleType:
    """The script as a module; what only its command line needs (hydra, omegaconf) and wandb are stand-ins."""
    stand_ins = {name: types.ModuleType(name) for name in ("wandb", "hydra", "omegaconf")}
    stand_ins["wandb"].log = reports.log
    stand_ins["hydra"].main = lambda **settings: lambda function: function
    stand_ins["omegaconf"].OmegaConf = object
    before = {name: sys.modules.get(name) for name in stand_ins}
    sys.modules.update(stand_ins)
    try:
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module
    finally:
        for name, kept in before.items():
            sys.modules.pop(name) if kept is None else sys.modules.update({name: kept})


def make_program(module: types.ModuleType, config: dict[str, Any], wrap: Callable = lambda env: env) -> Callable:
    """`train(key)` of the script for this configuration, which the script then changes.

    `wrap` is put around the environment where the script takes one.
    """
    if hasattr(module, "env_from_config"):
        env, _ = module.env_from_config(config)
        return module.make_train(config, wrap(env))
    return module.make_train(config)


@contextlib.contextmanager
def orthogonal_one_by_one():
    """Inside, while a program of several seeds is traced, their orthogonal matrices are drawn one after the other.

    jaxlib's batched QR waits for the pool of threads that it runs on: two of them at once, on two cores, wait for ever.
    """
    import jax
    from jax._src import random  # what jax.nn.initializers calls has no public name

    draw = random.orthogonal

    def sequential(key, *rest, **options):
        return jax.custom_batching.sequential_vmap(lambda key: draw(key, *rest, **options))(key)

    with unittest.mock.patch.object(random, "orthogonal", sequential):
        yield


def time_script(
    name: str, directory: pathlib.Path, map_name: str, seeds: int, updates: int, free: int | None = None
) -> dict[str, Any]:
    """One row: the script's training speed, median over `updates` updates in which it learned.

    Args:
      name: a key of `SCRIPTS`.
      directory: a clone of JaxMARL.
      map_name: of its SMAX, e.g. "2s3z".
      seeds: how many are trained in one vmapped program.
      updates: how many are timed.
      free: bytes of memory, if known.

    Raises:
      DoesNotFit: the compiler says that it needs more than is free.
    """
    import jax
    import yaml

    from benchmarks.training import check_memory, forget_peak

    script, reports = SCRIPTS[name], Reports()
    config = yaml.safe_load((directory / script.config).read_text()) | {"MAP_NAME": map_name}
    config |= script.changes | script.timing
    rows = config["NUM_ENVS"] * config["NUM_STEPS"]
    config["TOTAL_TIMESTEPS"] = rows * (script.idle_updates + updates)
    facts = {fact.lower(): config[fact] for fact in FACTS if fact in config}
    module = import_script(directory / script.script, reports)
    keys = jax.random.split(jax.random.PRNGKey(0), seeds)
    start = time.perf_counter()
    with orthogonal_one_by_one() if seeds > 1 else contextlib.nullcontext():
        program = jax.jit(jax.vmap(make_program(module, config))).lower(keys).compile()
    seconds = time.perf_counter() - start
    needed = _needed(program)
    check_memory(needed or 0, free)
    forget_peak()
    jax.block_until_ready(program(keys))
    jax.effects_barrier()
    wall, cpu = seconds_per_update(reports, seeds, updates)
    return {
        "system": name,
        "steps_per_s": seeds * rows / statistics.median(wall),
        "cpu_us_per_step": statistics.median(cpu) / (seeds * rows) * 1e6,
        "s_per_iteration": statistics.median(wall),
        "compile_s": seconds,
        "bytes_needed": needed,
        "config": facts,
    }


def _needed(program: Any) -> int | None:
    """Bytes of a program's results and temporaries, by the compiler; None if it does not say."""
    stats = program.memory_analysis()
    return None if stats is None else stats.output_size_in_bytes + stats.temp_size_in_bytes


def seconds_per_update(reports: Reports, seeds: int, updates: int) -> tuple[list[float], list[float]]:
    """Seconds by the clock and of the processor, of each of the last `updates` updates."""
    ends = reports.reports[seeds - 1 :: seeds][-updates - 1 :]  # the seeds report one after the other
    if len(ends) != updates + 1:
        raise RuntimeError(f"{len(reports.reports)} reports are too few for {updates} updates of {seeds} seeds")
    first, last = ends[0][2], ends[-1][2]
    learned = last["grad_steps"] - first["grad_steps"] if "grad_steps" in last else last["approx_kl"]
    if not learned > 0:
        raise RuntimeError(f"the script was not learning while it was timed: {last}")
    pairs = list(zip(ends, ends[1:], strict=False))
    return [b[0] - a[0] for a, b in pairs], [b[1] - a[1] for a, b in pairs]
