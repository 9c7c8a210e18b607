"""Speed against seeds and devices, settings of the runtime; a real algorithm on a mesh."""

import argparse
import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks import job as jobs
from benchmarks import seeds, settings, training
from benchmarks.job import Job
from envs.errors import ConfigError
from envs.registry import make_env
from experiments import benchmark
from experiments.common.cli import run_command
from experiments.config.schema import RunConfig
from experiments.sweeps.command_line import parse
from experiments.training import memory, runtime

LIIR = Job("ours", "liir", "default", "toy:coordination", 2, num_envs=4, seconds=0.01, updates=2)


@pytest.mark.slow
@pytest.mark.parametrize("algo", ["liir", "aiir_mix"])
def test_a_real_algorithm_on_two_devices_is_that_of_one(algo, monkeypatch):
    """A seed a device, in a process of two virtual devices, which draw their orthogonal matrices at the same time."""
    monkeypatch.setenv("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
    job = LIIR._replace(algo=algo)
    two, one = jobs.in_a_process(job._replace(devices=2)), jobs.measure(job)
    assert two["status"] == one["status"] == "ok" and (two["devices"], one["devices"]) == (2, 1)
    assert two["first_update"].keys() == one["first_update"].keys()
    for name, values in one["first_update"].items():
        np.testing.assert_allclose(two["first_update"][name], values, rtol=1e-4, atol=1e-6, err_msg=name)
    np.testing.assert_allclose(two["returns"], one["returns"], rtol=1e-6)
    assert two["repeats"] and one["repeats"] and two["state_bytes"] == one["state_bytes"]
    assert min(one[name] for name in ("steps_per_s", "compile_s", "s_per_iteration", "peak_bytes")) > 0
    assert one["bytes_needed"] > one["state_bytes"] > 0
    assert one["steps_per_iteration"] == 4 * 32 / 2 and one["updates_per_iteration"] == 1


def test_what_does_not_fit_is_a_row(monkeypatch):
    monkeypatch.setattr(memory, "available_bytes", lambda devices: 1000)
    row = jobs.measure(LIIR)
    assert row["status"] == "does not fit" and "1000 B are free" in row["why"]


def test_memory_is_left_free():
    """0.9 of 1000 bytes may be used."""
    training.check_memory(900, 1000)
    training.check_memory(10**15, None)
    with pytest.raises(training.DoesNotFit, match="needs 901 B, 1000 B are free"):
        training.check_memory(901, 1000)


def test_products_of_a_gpu_on_a_cpu():
    """Both factors in bfloat16, sums in float32; also where jax itself makes the product, of a gradient."""
    a, b = (jax.random.normal(jax.random.key(i), (8, 8)) for i in range(2))

    def product(a, b):
        return jax.value_and_grad(lambda a: (a @ b)[0, 0])(a)

    with jobs.rounded_products(7):
        value, gradient = jax.jit(product)(a, b)
    coarse = [np.asarray(x.astype(jnp.bfloat16).astype(jnp.float32)) for x in (a, b)]
    np.testing.assert_allclose(value, (coarse[0] @ coarse[1])[0, 0], rtol=1e-5)
    np.testing.assert_array_equal(gradient[0], coarse[1][:, 0])
    np.testing.assert_array_equal(jax.jit(jnp.matmul)(a, b + 0), np.asarray(a @ b))
    assert abs(value - (a @ b)[0, 0]) > 1e-4


@pytest.mark.parametrize("name", ["smax:3m", "multi_pendulum:2", "predator_prey"])
def test_environments_multiply_no_matrices(name):
    """So what --matmul-precision changes is the networks alone."""
    env = make_env(name)
    key = jax.random.key(0)
    state, timestep = jax.eval_shape(lambda: env.reset(key, 2))
    shape, kind = (2, env.spec.num_agents), env.spec.action
    action = jnp.zeros((*shape, kind.dim)) if kind.dim else jnp.zeros(shape, jnp.int32)
    text = str(jax.make_jaxpr(lambda state, action: env.step(key, state, action))(state, action))
    assert "dot_general" not in text and " mul " in text


def test_the_precision_of_products(monkeypatch):
    asked = []
    monkeypatch.setattr(jax.config, "update", lambda *setting: asked.append(setting))
    for name in ("default", "float32", "bfloat16"):
        runtime.set_precision(name)
    assert asked == [("jax_default_matmul_precision", "float32"), ("jax_default_matmul_precision", "BF16_BF16_F32")]
    assert RunConfig().matmul_precision == "default"
    words = ["--algo", "iql", "--env", "matrix_game", "--set", "lr=1e-3"]
    assert "matmul_precision" not in dict(parse(words)[1].run)
    assert dict(parse([*words, "--matmul-precision", "float32"])[1].run)["matmul_precision"] == "float32"


def row_of(lanes, seconds, **more):
    """A row as `jobs.measure` gives it: 100 env steps an iteration and seed."""
    row = {"status": "ok", "lanes": lanes, "platform": "cpu", "device": "cpu, 2 cores", "versions": {"jax": "0"}}
    row |= {"steps_per_s": 100 * lanes / seconds, "s_per_iteration": seconds, "compile_s": 3.0, "num_envs": 4}
    row |= {"state_bytes": 2048 * lanes, "bytes_needed": 4096 * lanes, "peak_bytes": 10**9, "cpu_us_per_step": 1.0}
    return row | {"steps_per_iteration": 100, "updates_per_iteration": 1} | more


def test_the_table_of_seeds(monkeypatch, tmp_path, capsys):
    """Iterations of 1, 1.5 and 2.5 s with 1, 2 and 4 seeds: 1, 1.33 and 1.6 times one seed; 8 seeds do not fit."""
    took, asked = {1: 1.0, 2: 1.5, 4: 2.5}, []

    def fake(job):
        asked.append((job.seeds, job.devices))
        if job.seeds not in took:
            return {"status": "does not fit", "why": "needs 2.0 GiB, 1.0 GiB are free"}
        return row_of(job.seeds, took[job.seeds], devices=job.devices)

    monkeypatch.setattr(seeds, "in_a_process", fake)
    file = tmp_path / "new" / "seeds.json"
    argv = ["seeds", "--env", "matrix_game", "--seeds", "8", "1", "4", "2", "16", "--devices", "2", "1"]
    argv += ["--predict-seeds", "3", "--predict-steps", "1050", "--json", str(file), "--note", "busy"]
    assert run_command(benchmark.command, argv) == 0
    assert asked == [(1, 1), (2, 1), (4, 1), (8, 1), (1, 2), (2, 2), (4, 2), (8, 2)]
    found = json.loads(file.read_text())
    assert (found["note"], found["device"], found["platform"]) == ("busy", "cpu, 2 cores", "cpu")
    assert [row.get("x_one_lane") for row in found["rows"]] == pytest.approx([1, 4 / 3, 1.6, None] * 2)
    # 1050 steps are 11 iterations; three seeds lie half way between 1.5 and 2.5 s.
    assert [(p["devices"], p["seconds"], p["interpolated"]) for p in found["predictions"]] == [
        (1, 22.0, True), (2, 22.0, True)
    ]  # fmt: skip
    out = capsys.readouterr().out
    assert "2.0 KiB" in out and "does not fit: needs 2.0 GiB" in out and "--reference-dir" in out
    assert "3 seeds x 1,050 env steps, training alone: 0:22 (interpolated)" in out


def test_what_was_not_measured_is_not_predicted():
    rows = [row_of(lanes, 1.0, system="a", devices=1) for lanes in (2, 4)]
    assert seeds.predict(rows, 8, 100)[0]["seconds"] is None
    assert seeds.predict(rows, 4, 250)[0] == {
        "system": "a", "num_envs": 4, "devices": 1, "lanes": 4, "steps": 250, "seconds": 3.0, "interpolated": False
    }  # fmt: skip


def test_scripts_train_as_many_seeds(tmp_path):
    args = argparse.Namespace(
        reference_dir=tmp_path, env="smax:3m", reference_updates=2, references=["ippo"], seeds=[1, 4]
    )
    [column] = seeds.reference_columns(args)
    assert [(job.system, job.env, job.seeds) for job in column] == [
        ("jaxmarl ippo_rnn", "3m", 1), ("jaxmarl ippo_rnn", "3m", 4)
    ]  # fmt: skip


def test_the_table_of_settings(monkeypatch, tmp_path, capsys):
    """On a CPU rounded products are told by their numbers alone, and what only a GPU has is left out."""

    def fake(job):
        coarse = job.precision == "bfloat16"
        assert job.bits == {"bfloat16": 7, "tensorfloat32": 10, "default": 0}[job.precision]
        first = {"loss": [2.0, 4.0 + 0.4 * coarse], "small": [0.0, 1e-4 * coarse]}
        return row_of(2, 1.0 + coarse, first_update=first, returns=[1.0, 3.0], repeats=True)

    monkeypatch.setattr(settings, "in_a_process", fake)
    file = tmp_path / "settings.json"
    argv = ["settings", "--env", "matrix_game", "--lanes", "2", "--json", str(file)]
    assert run_command(benchmark.command, argv) == 0
    rows = {row["setting"]: row for row in json.loads(file.read_text())["rows"]}
    assert rows["default"]["x_default"] == 1 and rows["default"]["first_update_differs"] == 0
    coarse = rows["bfloat16 products"]
    assert coarse["emulated"] and coarse["x_default"] is None and coarse["first_update_metric"] == "loss"
    assert coarse["first_update_differs"] == pytest.approx(0.1)
    assert (coarse["return_mean"], coarse["return_error"]) == pytest.approx((2.0, 1.0))  # sqrt(2) / sqrt(2)
    left_out = [name for name, row in rows.items() if row["status"] == "left out"]
    assert "no command buffers" in left_out and "deterministic" in left_out and len(left_out) == 9
    out = capsys.readouterr().out
    assert "left out: of GPUs alone" in out and "1.0e-01 (loss)" in out and "bitwise" in out


def test_a_setting_that_cannot_run_is_a_row(monkeypatch):
    def fake(job):
        raise RuntimeError("INTERNAL: no such thing\nand a trace")

    monkeypatch.setattr(settings, "in_a_process", fake)
    row = settings.measured(settings.SETTINGS[5], LIIR, "gpu")
    assert settings.line(settings.compared(settings.SETTINGS[5], row, {})).endswith("failed: INTERNAL: no such thing")


def test_numbers_of_returns():
    mean, error = settings.mean_return([None, 2.0])
    assert mean == 2.0 and np.isnan(error)
    assert np.isnan(settings.mean_return([None])).all()
    assert settings.difference({}, {}) == ("", 0.0)


@pytest.mark.parametrize(
    "argv,text",
    [
        (["seeds", "--env", "smax:9z"], "unknown environment 'smax:9z'"),
        (["seeds", "--algo", "qmx"], "did you mean qmix"),
        (["seeds", "--seeds", "0"], "--seeds must be at least 1, not 0"),
        (["seeds", "--peer-dir", "nowhere"], "no baselines/IPPO/ippo_rnn_smax.py in nowhere"),
        (["settings", "--algo", "aiir_mix:papre"], "did you mean paper?"),
        (["settings", "--updates", "0"], "--updates must be at least 1, not 0"),
    ],
)
def test_refusals(argv, text, capsys):
    assert run_command(benchmark.command, argv) == 2
    error = capsys.readouterr().err
    assert text in error and error.count("\n") == 1


def test_what_the_default_cannot_do_is_refused(monkeypatch):
    monkeypatch.setattr(settings, "in_a_process", lambda job: {"status": "does not fit", "why": "needs 2 B"})
    args = benchmark.parser().parse_args(["settings", "--env", "matrix_game"])
    with pytest.raises(ConfigError, match="the default cannot be measured .needs 2 B.: lower --seeds"):
        args.run(args)
