"""What holds on a GPU: the CPU's numbers, repeatable runs, the memory check, precisions, many seeds as one program.

Each test runs on the CPU too, where less can go wrong: `pytest -m gpu` runs those of a GPU.
"""

import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.registry import make_env
from experiments.loggers.csv import read_table
from experiments.training import compile, memory, runtime
from iacjax.algorithms.registry import get_entry
from tests.helpers.processes import child_environment

# Few updates: where rounding turns an action into another one, the run is another one.
WORDS = ["--env", "toy:coordination", "--num-envs", "2", "--rollout-length", "8", "--hidden-dim", "8", "--no-pictures"]
WORDS += ["--total-steps", "64", "--eval-every", "64", "--eval-episodes", "4", "--log-every", "1"]
WORDS += ["--matmul-precision", "float32"]
ALGORITHM = {  # the CPU's: what compiles quickly
    "cpu": ["--algo", "iql", "--no-recurrent", "--batch-size", "8", "--buffer-size", "64"]
    + ["--warmup", "16", "--updates-per-step", "0.125"],
    "gpu": ["--algo", "ippo", "--critic-dim", "8"],
}
ULPS = {"float32": 1e-6, "tensorfloat32": 1e-3, "bfloat16": 8e-3}  # rounding of a factor, relative


GPU = pytest.param("gpu", marks=pytest.mark.gpu)


def present(kind):
    """`kind`, "cpu" or "gpu"; without a GPU its tests are skipped."""
    if kind == "gpu":
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # the commands need some of the memory
        try:
            jax.devices("gpu")
        except RuntimeError as error:
            pytest.skip(f"no GPU here: {str(error).splitlines()[0]}")
    return kind


@pytest.fixture(scope="module", params=["cpu", GPU])
def platform(request):
    return present(request.param)


@pytest.fixture(scope="module", params=[pytest.param("cpu", marks=pytest.mark.slow), GPU])
def platform_of_commands(request):
    """On the CPU test_run.py shows in less time what these commands show."""
    return present(request.param)


@pytest.fixture(scope="module")
def train(platform_of_commands, tmp_path_factory):
    """(words, where, environment variables) -> (rows of metrics.csv, {seed: parameters}) of the run command."""

    def call(*words, where=platform_of_commands, **more):
        out = tmp_path_factory.mktemp("run")
        environment = child_environment(**more)
        if where == "gpu":
            del environment["JAX_PLATFORMS"]
        command = [
            sys.executable,
            "-m",
            "experiments.run",
            *ALGORITHM[platform_of_commands],
            *WORDS,
            *words,
            "--run-dir",
            str(out),
        ]
        ended = subprocess.run(command, env=environment, capture_output=True, text=True)
        assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
        directory = next(out.glob("*/*/*/config.json")).parent
        policies = {}
        for file in (directory / "policy").glob("seed_*.npz"):
            with np.load(file) as arrays:
                policies[int(file.stem.removeprefix("seed_"))] = dict(arrays)
        return read_table(directory / "metrics.csv"), policies

    return call


@pytest.fixture(scope="module")
def trained(train):
    return train("--seeds", "3", "--deterministic")


def assert_close(ours, theirs, seeds):
    (rows, policies), (their_rows, their_policies) = ours, theirs
    rows, their_rows = ([row for row in table if row["seed"] in seeds] for table in (rows, their_rows))
    assert len(rows) == len(their_rows) == 8 * len(seeds)
    for a, b in zip(rows, their_rows, strict=True):
        assert a.keys() == b.keys()
        for name in a.keys() - {"sps"}:
            np.testing.assert_allclose(a[name], b[name], rtol=1e-3, atol=1e-4, err_msg=name)
    for seed in seeds:
        for name, leaf in policies[seed].items():
            np.testing.assert_allclose(leaf, their_policies[seed][name], rtol=1e-3, atol=1e-4, err_msg=name)


def test_the_numbers_are_those_of_a_cpu(trained, train):
    """Compiled by another compiler: on the CPU by the same one without optimisation."""
    other = {"JAX_DISABLE_MOST_OPTIMIZATIONS": "0"}
    assert_close(trained, train("--seeds", "3", where="cpu", **other), seeds=(0, 1, 2))


def test_deterministic_runs_are_bitwise_equal(trained, train):
    rows, policies = train("--seeds", "3", "--deterministic")
    assert rows == trained[0]
    for seed, leaves in policies.items():
        assert {name: leaf.tobytes() for name, leaf in leaves.items()} == {
            name: leaf.tobytes() for name, leaf in trained[1][seed].items()
        }


def test_a_seed_among_others_is_that_seed_alone(trained, train):
    assert_close(trained, train("--seeds", "1", "--deterministic"), seeds=(0,))


@pytest.fixture(scope="module")
def small(platform):
    """(env, algorithm) whose programs are compiled and run on the platform's first device."""
    env, entry = make_env("toy:coordination"), get_entry("ippo")
    with jax.default_device(jax.devices(platform)[0]):
        yield env, entry.make(env.spec, entry.config(num_envs=4, rollout_length=8, hidden_dim=8, critic_dim=8))


def test_many_seeds_are_one_program(small):
    """The text that is compiled for eight seeds has the operations of that for two: a batch, no copy per seed."""

    def lines(seeds):
        lowered = compile.lower_run(*small, num_seeds=seeds, eval_episodes=2)
        return lowered.init.as_text().count("\n")

    assert abs(lines(8) - lines(2)) <= 0.02 * lines(2)


def test_memory_is_asked_of_the_device(small, platform):
    """The estimate, made before anything is allocated, covers what a chunk then takes."""
    seeds = 2
    compiled = compile.compile_lowered(compile.lower_run(*small, num_seeds=seeds, eval_episodes=2))
    free = memory.available_bytes()
    assert memory.tree_bytes(compiled.states) < compiled.bytes_needed < free
    if platform == "gpu":
        stats = jax.devices("gpu")[0].memory_stats()
        assert 0 < free <= stats["bytes_limit"]
        keys = jax.vmap(jax.random.key)(np.arange(seeds, dtype=np.uint32))
        jax.block_until_ready(compiled.chunk(compiled.init(keys), np.int32(0), np.int32(1)))
        taken = jax.devices("gpu")[0].memory_stats()["peak_bytes_in_use"] - stats["bytes_in_use"]
        assert taken < 2 * compiled.bytes_needed + 2**20


@pytest.mark.parametrize("name", ["float32", "tensorfloat32", "bfloat16"])
def test_the_precision_of_products(platform, name):
    """Errors of a product of 256 terms, against float64: those of the rounding that was asked for, and no larger; a
    CPU always multiplies in full."""
    a, b = (jax.random.normal(jax.random.key(k), (256, 256), jnp.float32) for k in range(2))
    before = jax.config.jax_default_matmul_precision
    try:
        runtime.set_precision(name)
        device = jax.devices(platform)[0]
        product = jax.jit(lambda a, b: a @ b)(jax.device_put(a, device), jax.device_put(b, device))
    finally:
        jax.config.update("jax_default_matmul_precision", before)
    exact = np.asarray(a, np.float64) @ np.asarray(b, np.float64)
    error = np.sqrt(np.mean((np.asarray(product) - exact) ** 2)) / np.sqrt(256)
    expected = ULPS[name if platform == "gpu" else "float32"]
    assert error < expected
    if platform == "gpu" and name != "float32":
        assert error > expected / 50  # it is no float32
