"""The learning benchmark beside JaxMARL's scripts: its curves, its settings, their policies, a whole tiny call."""

import csv
import json
import math
import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.reference import learn as benchmark_learn
from benchmarks.reference import our_training, script_policies, script_training, scripts
from benchmarks.reference.our_training import CurvePoint
from envs.base import ActionSpec, EnvSpec, TimeStep
from envs.errors import ConfigError
from experiments import benchmark
from experiments.common.cli import run_command

CONFIG = """
NUM_ENVS: 4
NUM_STEPS: 5
LR: 0.5
MAP_NAME: 2s3z
TOTAL_TIMESTEPS: 1e7
ENV_KWARGS: {see_enemy_actions: True}
"""
QMIX_CONFIG = CONFIG + "HIDDEN_SIZE: 512\nBUFFER_SIZE: 5000\nBUFFER_BATCH_SIZE: 2\nTEST_DURING_TRAINING: True\n"
# Reports as theirs, returns that tell the seed; its one parameter is the number of updates.
SCRIPT = """
import flax
import hydra
import jax
import jax.numpy as jnp
import wandb

def make_train(config):
    updates = config["TOTAL_TIMESTEPS"] // config["NUM_ENVS"] // config["NUM_STEPS"]

    def report(i, rank):
        wandb.log({"env_step": i, "win_rate": i / 10, "returns": rank})

    def train(key):
        def body(state, i):
            jax.experimental.io_callback(report, None, i, state.rank)
            return state.replace(params={"count": state.params["count"] + 1}), None
        state = State(params={"count": jnp.zeros(())}, rank=(key[1] % 1000).astype(jnp.float32))
        return {"runner_state": jax.lax.scan(body, state, jnp.arange(updates))[:1]}
    return train

@flax.struct.dataclass
class State:
    params: dict
    rank: jax.Array
"""


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """A clone whose IPPO is the stand-in, and whatever its scripts import is there."""
    for algo, name in script_training.LEARNERS.items():
        script = scripts.SCRIPTS[name]
        for path, text in (
            (script.script, SCRIPT),
            (script.config, QMIX_CONFIG if algo in ("qmix", "vdn") else CONFIG),
        ):
            (tmp_path / "clone" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "clone" / path).write_text(text)
    monkeypatch.setattr(benchmark_learn, "check_clone", lambda directory: None)
    return tmp_path / "clone"


def test_a_curve_of_ippo_counts_updates_and_leaves_out_those_without_an_episode():
    reports = [
        {"env_step": 20.0, "win_rate": 0.5, "returns": 1.5},
        {"env_step": 0.0, "win_rate": math.nan, "returns": math.nan},
    ]
    assert script_training.curve_of(reports, 20) == [CurvePoint(20, 0.0, 0.0, 0.0), CurvePoint(40, 1.0, 0.5, 1.5)]


def test_a_curve_of_qmix_goes_by_episodes():
    """Of 20 rows 2 ended an episode (mean 0.1), one of them won (0.05); their returns sum to 3 (0.15)."""
    report = {"env_step": 20, "returned_episode": 0.1, "ended_won": 0.05, "ended_returns": 0.15}
    (point,) = script_training.curve_of([report | {"returned_won_episode": 0.9}], 20)
    np.testing.assert_allclose(point, (20, 2.0, 1.0, 3.0))


def test_what_ended_is_told_at_the_step_that_ends_it():
    pytest.importorskip("jaxmarl", reason="the wrapper is JaxMARL's")
    old = {"returned_won_episode": jnp.ones(2), "returned_episode_returns": jnp.full(2, 1.5)}

    def step(key, state, action):
        return "obs", state, 0.0, False, old | {"returned_episode": jnp.array([False, True])}

    env = script_training.with_ended_episodes(types.SimpleNamespace(step=step, agents=["a", "b"]))
    info = env.step(None, None, None)[-1]
    assert info["ended_won"].tolist() == [0.0, 1.0] and info["ended_returns"].tolist() == [0.0, 1.5]
    assert env.agents == ["a", "b"] and info.keys() >= old.keys()


def test_reports_are_told_apart():
    turns = [{"x": 0}, {"x": 1}, {"x": 2}, {"x": 3}]
    assert script_training.split_reports(turns, [7, 9]) == [turns[::2], turns[1::2]]
    named = [{"rng9/env_step": 1}, {"rng7/env_step": 1}, {"rng7/env_step": 2}]
    assert script_training.split_reports(named, [7, 9]) == [named[1:], named[:1]]


def test_a_scripts_configuration(clone):
    """150 steps are 7 updates of 20; 140 steps are 28 rollouts of 5, which is what the replay needs to hold."""
    config = script_training.script_config("qmix", clone, "3m", 150, {"LR": 0.1})
    assert (config["TOTAL_TIMESTEPS"], config["MAP_NAME"], config["LR"]) == (140, "3m", 0.1)
    assert (config["HIDDEN_SIZE"], config["BUFFER_SIZE"]) == (64, 28)
    assert config["WANDB_LOG_ALL_SEEDS"] and not config["TEST_DURING_TRAINING"]
    with pytest.raises(ConfigError, match="--reference-set LRR: ippo has no such setting: did you mean LR?"):
        script_training.script_config("ippo", clone, "3m", 150, {"LRR": 1})
    with pytest.raises(ConfigError, match="less than one update of JaxMARL's ippo: give at least 20"):
        script_training.script_config("ippo", clone, "3m", 19, {})


def job(**changes):
    common = {"algo": "ippo", "map": "3m", "steps": 140, "seeds": 2, "episodes": 3, "system": "ours"}
    options = {"see_enemy_actions": True, "attack_mode": "closest"}
    return common | {"options": options, "preset": "default", "changes": {}} | changes


def test_our_settings():
    """The default preset anneals over its 2 M steps: all of them, so over all of these; what is given stays."""
    settings = our_training.our_settings(job(), "there")
    assert settings.run.env_options == ("see_enemy_actions=True", "attack_mode=closest")
    assert (settings.run.env, settings.run.seeds, settings.run.total_steps) == ("jaxmarl:smax:3m", 2, 140)
    assert settings.algorithm.anneal_steps == 140 and settings.algorithm.value_norm
    tuned = job(preset="tuned", changes={"lr": 0.25, "value_norm": False})
    algorithm = our_training.our_settings(tuned, "there").algorithm
    assert (algorithm.anneal_steps, algorithm.lr, algorithm.value_norm) == (1_000_000, 0.25, False)


def test_a_seeds_result():
    """100 steps: the window of 5 % that ends at 25 holds the update at 25 alone; the last tenth those at 95 and 100.

    (1 + 0) wins of (1 + 3) episodes are 0.25; returns (2 + 4) / 4 = 1.5.
    """
    curve = [
        CurvePoint(25, 2, 1, 3.0),
        CurvePoint(90, 5, 5, 5.0),
        CurvePoint(95, 1, 1, 2.0),
        CurvePoint(100, 3, 0, 4.0),
    ]
    result = benchmark_learn.seed_result(1, curve, 100, (0.75, 1.75))
    assert (result["train_win_rate"], result["train_return"]) == (0.25, 1.5)
    rates = result["curve_win_rate"]
    assert len(rates) == 20 and rates[4] == 0.5 and rates[17:] == [1.0, 1.0, 0.0] and rates[9] is None
    assert (result["seed"], result["greedy_win_rate"], result["greedy_return"]) == (1, 0.75, 1.75)


class _Echo:
    """A network that keeps what it is given; its memory counts the calls.

    IPPO's returns a policy and a value, MAPPO's actor a policy, a Q-learner's the values.
    """

    def __init__(self, algo):
        self.algo = algo

    def apply(self, params, memory, *x):
        self.seen = x[0] if isinstance(x[0], tuple) else x
        values = jnp.broadcast_to(jnp.array([3.0, 2.0, 1.0]), (1, memory.shape[0], 3))
        policy = types.SimpleNamespace(logits=values)
        return memory + 1, *{"ippo": (policy, None), "mappo": (policy,)}.get(self.algo, (values,))


@pytest.mark.parametrize("algo", list(script_training.LEARNERS))
def test_a_scripts_policy_reads_what_its_script_gives_it(algo):
    """Two agents, the second dead: its memory is reset; Q-learners know their ids, and dead ones read zeros."""
    made = []
    name = {"ippo": "ActorCriticRNN", "mappo": "ActorRNN", "pqn_vdn": "QNetwork"}.get(algo, "RNNQNetwork")
    module = types.SimpleNamespace(**{name: lambda *args, **config: made.append(_Echo(algo)) or made[0]})
    spec = EnvSpec("world", 2, 1, 2, ActionSpec(num_actions=3), 5, True)
    config = {"GRU_HIDDEN_DIM": 4, "HIDDEN_SIZE": 4, "NUM_LAYERS": 1, "NORM_TYPE": "none"}
    algorithm = script_policies.script_policy(algo, module, config, spec)
    no = jnp.zeros(1, bool)
    timestep = TimeStep(
        obs=jnp.array([[[5.0], [6.0]]]), state=jnp.zeros((1, 2)),
        avail=jnp.array([[[False, True, True], [True, False, False]]]), alive=jnp.array([[True, False]]),
        reward=jnp.zeros(1), terminated=no, truncated=no, info={},
    )  # fmt: skip
    memory = algorithm.carry(1)
    assert memory.shape == (2, 4)
    memory, action, _ = algorithm.act(None, memory, timestep, no, None, None, explore=False)
    assert action.tolist() == [[1, 0]]  # the best that is legal
    if algo in ("ippo", "mappo"):
        obs, dead, avail = made[0].seen[:3]
        assert obs.tolist() == [[[5.0], [6.0]]] and avail.shape == (1, 2, 3)
    else:
        obs, dead = made[0].seen
        assert obs.tolist() == [[[5.0, 1.0, 0.0], [0.0, 0.0, 0.0]]]
    assert dead.tolist() == [[False, True]]
    assert memory.tolist() == [[1.0] * 4] * 2


def test_the_agents_parameters_in_a_runner_state():
    """IPPO's state comes first; MAPPO's actor before its critic, QMIX's agents beside the mixer, PQN's statistics."""
    state = types.SimpleNamespace
    assert script_training.final_params((state(params={"params": 1}), "env")) == {"params": 1}
    mappo = (((state(params={"params": 1}), state(params={"params": 2})), "env"), 7)
    assert script_training.final_params(mappo) == {"params": 1}
    assert script_training.final_params((state(params={"agent": 1, "mixer": 2}),)) == 1
    pqn = state(params=1, batch_stats=2)
    assert script_training.final_params((pqn, "memory")) == {"params": 1, "batch_stats": 2}


def test_a_script_is_trained(clone, monkeypatch):
    """7 updates: the last reports win rate 0.6, and leaves 7 in the parameter of either seed; seeds are told apart."""

    def evaluated(algo, module, config, params, seeds, episodes):
        assert (algo, config["MAP_NAME"], seeds, episodes) == ("ippo", "3m", 2, 3)
        assert params["count"].tolist() == [7.0, 7.0]
        return [(0.5, 1.0), (0.25, 2.0)]

    monkeypatch.setattr(script_training, "evaluate_script", evaluated)
    row = benchmark_learn.measure(job(system="jaxmarl", preset=""), str(clone), "")
    assert (row["name"], row["env_steps"]) == ("ippo_rnn_smax", 140)
    assert row["config"] == {"num_envs": 4, "num_steps": 5, "lr": 0.5}
    assert [seed["greedy_return"] for seed in row["seeds"]] == [1.0, 2.0]
    np.testing.assert_allclose([seed["train_win_rate"] for seed in row["seeds"]], [0.6, 0.6])
    ranks = jax.random.split(jax.random.PRNGKey(0), 2)[:, 1] % 1000
    assert [seed["train_return"] for seed in row["seeds"]] == ranks.tolist() and ranks[0] != ranks[1]
    assert row["train_s"] > 0 and row["compile_s"] > 0 and row["cpu_s"] > 0
    json.dumps(row)


def row_of(job, win_rate, seconds):
    seed = benchmark_learn.seed_result(0, [CurvePoint(140, 10, 10 * win_rate, 5.0)], 140, (win_rate, 1.0))
    times = {"train_s": seconds, "compile_s": 2.0, "cpu_s": 3.0}
    return {"job": job, "name": job["system"], "env_steps": 140, "config": {"lr": 1}, "seeds": [seed] * 2, **times}


def test_a_whole_call_and_its_second(clone, tmp_path, capsys, monkeypatch):
    """Theirs wins 0.5 in 10 s, ours 0.75 in 5 s; the second call finds both in the file and measures nothing."""
    calls = []

    def measured(job, peer_dir, run_dir):
        calls.append(job["system"])
        return row_of(job, *((0.5, 10.0) if job["system"] == "jaxmarl" else (0.75, 5.0)))

    monkeypatch.setattr(benchmark_learn, "in_a_process", measured)
    out = tmp_path / "new" / "learn.json"
    argv = [
        "learn",
        "--reference-dir",
        str(clone),
        "--maps",
        "3m",
        "--algos",
        "ippo",
        "--steps",
        "150",
        "--out",
        str(out),
    ]
    for _ in range(2):
        assert run_command(benchmark.command, argv) == 0
        printed = capsys.readouterr().out
        assert "ippo on 3m: ours / theirs win rate 0.750 / 0.500 (greedy 0.750 / 0.500)" in printed
        assert "wall-clock of training x 0.50, processor time x 1.00: the target is reached" in printed
    assert calls == ["ours", "jaxmarl"]
    rows = json.loads(out.read_text())
    assert [row["job"]["system"] for row in rows] == calls and "--steps 150" in rows[0]["command"]
    with out.with_suffix(".csv").open(newline="") as file:
        table = list(csv.DictReader(file))
    assert len(table) == 4 and table[0]["train_win_rate"] == "0.75" and table[0]["win_rate_at_25"] == ""
    assert benchmark_learn.estimated_seconds(job(steps=280), rows) == pytest.approx(10.0)  # twice the steps in 5 s


def test_a_slower_or_worse_one_does_not_reach_the_bar():
    theirs = row_of(job(system="jaxmarl"), 0.5, 10.0)
    assert "the target is not reached" in benchmark_learn.verdict(theirs, row_of(job(), 0.75, 10.5))
    assert "the target is not reached" in benchmark_learn.verdict(theirs, row_of(job(), 0.25, 9.0))
    assert "the target is reached" in benchmark_learn.verdict(theirs, row_of(job(), 0.5, 10.0))


@pytest.mark.parametrize(
    "argv,text",
    [
        (["--steps", "0"], "--steps must be at least 1, not 0"),
        (["--maps", "9z"], "unknown environment 'jaxmarl:smax:9z'"),
        (["--peer-set", "LR"], "--reference-set LR: write KEY=VALUE, e.g. LR=5e-4"),
        (["--our-set", "lrr=1"], "unknown option --lrr: did you mean --lr?"),
        (["--preset", "papre"], "did you mean paper?"),
    ],
)
def test_refusals(clone, argv, text, capsys):
    given = ["learn", "--reference-dir", str(clone), "--algos", "ippo", *argv]
    assert run_command(benchmark.command, given) == 2
    error = capsys.readouterr().err
    assert text in error and error.count("\n") == 1


def test_no_clone(tmp_path, capsys):
    assert run_command(benchmark.command, ["learn", "--reference-dir", str(tmp_path)]) == 2
    assert "no baselines/IPPO/ippo_rnn_smax.py" in capsys.readouterr().err
