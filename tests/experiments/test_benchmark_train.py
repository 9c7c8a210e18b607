"""The training benchmark: its rows, the harness around a reference script, its refusals."""

import json
import pathlib
from types import SimpleNamespace

import numpy as np
import pytest

from benchmarks import train as benchmark_train
from benchmarks import training as training_module
from benchmarks.reference import scripts
from benchmarks.training import Training
from envs.errors import ConfigError
from envs.registry import make_env
from experiments import benchmark
from experiments.common.cli import run_command
from iacjax.algorithms.intrinsic.config import AiirMixConfig
from iacjax.algorithms.intrinsic.learner import make
from iacjax.algorithms.q_learning import learner
from iacjax.algorithms.q_learning.config import QmixConfig
from iacjax.types import TrainState

SMALL = {"num_envs": 2, "rollout_length": 3, "hidden_dim": 4, "critic_dim": 4, "embed_dim": 4, "mix_dim": 2}
SCRIPT = """
import hydra
import jax
import jax.numpy as jnp
import wandb
from omegaconf import OmegaConf

@hydra.main(version_base=None, config_path="config")
def main(config):
    OmegaConf.to_container(config)

def make_train(config):
    assert config["MAP_NAME"] == "3m"
    updates = config["TOTAL_TIMESTEPS"] // config["NUM_ENVS"] // config["NUM_STEPS"]

    def report(i):
        wandb.log({"env_step": i, "approx_kl": config["KL"], "curve": [1.0, 2.0]})

    def train(key):
        def body(carry, i):
            jax.experimental.io_callback(report, None, i + carry)  # a report a seed, since the carry depends on the key
            return carry, i
        return jax.lax.scan(body, 0 * key[0].astype(jnp.int32), jnp.arange(updates))
    return train
"""


def fake_clone(directory: pathlib.Path, kl: float) -> pathlib.Path:
    """A clone whose scripts do nothing but report."""
    for each in scripts.SCRIPTS.values():
        for name, text in ((each.script, SCRIPT), (each.config, f"NUM_ENVS: 4\nNUM_STEPS: 5\nKL: {kl}\nOTHER: x\n")):
            (directory / name).parent.mkdir(parents=True, exist_ok=True)
            (directory / name).write_text(text)
    return directory


@pytest.mark.parametrize("seeds", [1, 2])
def test_a_script_is_timed_by_its_reports(tmp_path, seeds):
    row = scripts.time_script("jaxmarl ippo_rnn", fake_clone(tmp_path, 0.1), "3m", seeds, updates=3)
    assert row["steps_per_s"] > 0 and row["compile_s"] > 0 and row["cpu_us_per_step"] >= 0
    assert row["config"] == {"num_envs": 4, "num_steps": 5}


def test_a_script_that_does_not_learn_is_refused(tmp_path):
    with pytest.raises(RuntimeError, match="not learning"):
        scripts.time_script("jaxmarl ippo_rnn", fake_clone(tmp_path, 0.0), "3m", 1, updates=2)


def test_seconds_per_update():
    """Two seeds report one after the other; an update ends with the second's report: at 1, 3 and 6 s."""
    reports = scripts.Reports()
    for wall, cpu, steps in ((0.5, 0.5, 8), (1, 1, 8), (2.5, 3, 16), (3, 4, 16), (5.5, 8, 24), (6, 9, 24)):
        reports.reports.append((wall, cpu, {"grad_steps": steps}))
    assert scripts.seconds_per_update(reports, seeds=2, updates=2) == ([2.0, 3.0], [3.0, 5.0])


@pytest.mark.slow
def test_our_speed_and_its_parts():
    env = make_env("matrix_game")
    config = AiirMixConfig(**SMALL, critic_update="per_time_index", epochs=1, minibatches=1)
    row = benchmark_train.benchmark_ours(env, make(env.spec, config), seeds=2, seconds=0.01)
    assert min(row["steps_per_s"], row["cpu_us_per_step"], row["compile_s"]) > 0
    parts = benchmark_train.time_by_part(env, config)
    assert set(parts) == {
        "env_step", "act", "values_and_rewards", "meta_gradient", "epochs", "critics_per_time_index"
    }  # fmt: skip
    assert all(value > 0 for part, value in parts.items() if part != "env_step")


def test_a_replays_warm_up_is_not_timed(monkeypatch):
    """Iterations of 2 x 3 steps: ceil(20 / 6) + 1 = 5 are idle, one tells the count, 3 x count are timed."""
    env, runs = make_env("matrix_game"), []
    config = QmixConfig(recurrent=False, num_envs=2, rollout_length=3, warmup=20, updates_per_step=1)
    plan = learner.make(env.spec, config).plan

    def run(states, first, count):
        runs.append((first, count))
        return states, {}, SimpleNamespace(env_steps=np.full((9, 1), 4, np.int32))

    state = TrainState(None, None, None, None, np.zeros(1, np.int32))
    training = Training(lambda: state, run, plan, 1, compile_seconds=7.0, state_bytes=1, bytes_needed=2)
    monkeypatch.setattr(training_module, "compile_training", lambda *args: training)
    row = training_module.benchmark_ours(env, None, seeds=1, seconds=1e-9)
    assert row["compile_s"] == 7.0 and runs == [(0, 5), (5, 1), (6, 1), (7, 1), (8, 1)]
    # four of the six rows are steps
    assert row["steps_per_iteration"] == 4
    assert row["steps_per_s"] == pytest.approx(4 / row["s_per_iteration"])


def test_rows(tmp_path, capsys, monkeypatch):
    figures = {"steps_per_s": 2000.0, "cpu_us_per_step": 500.0, "compile_s": 3.0}
    monkeypatch.setattr(benchmark_train, "benchmark_ours", lambda env, algorithm, seeds, seconds: dict(figures))
    monkeypatch.setattr(benchmark_train, "time_by_part", lambda env, config: {"act": 1.0, "epochs": 3.0})
    file = tmp_path / "new" / "rows.json"
    argv = ["train", "--env", "matrix_game", "--algos", "aiir_mix", "qmix:matrix", "--seeds", "1", "5"]
    argv += ["--json", str(file)]
    assert run_command(benchmark.command, argv) == 0
    rows = json.loads(file.read_text())
    systems = [(name, seeds) for name in ("aiir_mix default", "qmix matrix") for seeds in (1, 5)]
    assert [(row["system"], row["seeds"]) for row in rows] == systems
    assert rows[0]["config"]["epochs"] == 4 and rows[2]["config"]["batch_size"] == 256
    assert ["cpu_us_by_part" in row for row in rows] == [True, False, False, False]
    assert all(row.keys() >= {"device", "versions", "config", "env", *figures} for row in rows)
    out = capsys.readouterr().out
    assert "--reference-dir" in out and "act 25%, epochs 75%" in out


@pytest.mark.parametrize(
    "argv,text",
    [
        (["--env", "smax:9z"], "unknown environment 'smax:9z'"),
        (["--algos", "aiir_mix:papre"], "did you mean paper?"),
        (["--algos", "qmx"], "did you mean qmix"),
        (["--seeds", "0"], "--seeds must be at least 1, not 0"),
        (["--reference-dir", "nowhere"], "no baselines/IPPO/ippo_rnn_smax.py in nowhere"),
    ],
)
def test_refusals(argv, text, capsys):
    assert run_command(benchmark.command, ["train", *argv]) == 2
    error = capsys.readouterr().err
    assert text in error and error.count("\n") == 1


def test_a_missing_package_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(scripts.importlib.util, "find_spec", lambda name: None if name == "yaml" else name)
    with pytest.raises(ConfigError, match="pip install pyyaml"):
        scripts.check_clone(fake_clone(tmp_path, 0.1))
