"""Every registered algorithm goes through the run command: trains under vmap, resumes bitwise, evaluates, loads."""

import signal

import numpy as np
import pytest

from envs.errors import ConfigError
from experiments.loggers.csv import read_table
from experiments.run import main
from experiments.runs import checkpoint
from iacjax.algorithms.registry import ALGORITHMS, option_names

# Smaller than the defaults, where an algorithm has such fields; 4 iterations of 32 rows, 16 of them env steps.
SMALL = ["--num-envs", "4", "--rollout-length", "8", "--total-steps", "64", "--seeds", "2", "--no-pictures"]
SMALL += ["--eval-every", "32", "--eval-episodes", "2", "--log-every", "1", "--checkpoint-every", "0"]
SMALL += ["--chunk-iterations", "1"]
SIZES = {"hidden_dim": 8, "critic_dim": 8, "embed_dim": 8, "mix_dim": 4, "epochs": 1, "mixer_dim": 4, "hyper_dim": 4}
SIZES |= {"batch_size": 8, "buffer_size": 64, "warmup": 32, "target_every": 3, "updates_per_step": 0.0625}
# of whose parts the others are made
SLOW = {"liir", "rmix", "aiir", "mappo", "qtran", "sq", "attn_qmix", "siq", "siaq", "ddpg_mix", "qmixs", "vdn", "iql"}
SLOW |= {"qplex", "pqn_vdn", "masac", "hasac", "happo", "mat"}
KINDS = {"discrete": "toy:coordination", "continuous": "toy:coordination_continuous"}


def _cases():
    """Each algorithm with the actions that it handles; the second kind of actions is left to the slow tests."""
    for name, entry in ALGORITHMS.items():
        kinds = [env for kind, env in KINDS.items() if getattr(entry, kind)]
        for env in kinds if name != "fake" else []:
            slow = name in SLOW or env != kinds[0]
            yield pytest.param(name, env, marks=pytest.mark.slow if slow else (), id=name if env == kinds[0] else None)


@pytest.mark.parametrize(("algo", "env"), list(_cases()))
def test_trains_resumes_bitwise_evaluates_and_loads(run, algo, env, monkeypatch):
    from iacjax import load_policy

    entry = ALGORITHMS[algo]
    names = option_names(entry.config)
    layers = {} if entry.discrete else {name: 1 for name in names if name.endswith("_layers")}
    fields = [f"--{name.replace('_', '-')}={value}" for name, value in (SIZES | layers).items() if name in names]
    options = ["--algo", algo, "--env", env, *SMALL, *fields]
    code, whole, _, err = run(*options, into="whole", fast=False)
    assert (code, err) == (0, "")
    save = checkpoint.Checkpoints.save

    def save_then_stop(self, states, progress):
        save(self, states, progress)
        if progress.iteration == 2:
            signal.raise_signal(signal.SIGINT)

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint.Checkpoints, "save", save_then_stop)
        code, cut, _, _ = run(*options, into="cut", fast=False)
    assert code == 130
    assert main(["--resume", str(cut)]) == 0
    for name in ("metrics.csv", "eval.csv"):
        assert (cut / name).read_text() == (whole / name).read_text()
    assert [(r["iteration"], r["seed"]) for r in read_table(whole / "eval.csv")] == [(2, 0), (2, 1), (4, 0), (4, 1)]
    ours, theirs = load_policy(cut), load_policy(whole)
    assert ours.seeds == (0, 1) and ours.centralised == entry.centralised
    import jax

    pairs = zip(jax.tree.leaves(ours.params), jax.tree.leaves(theirs.params), strict=True)
    assert all(np.array_equal(a, b) for a, b in pairs)
    if algo == "aiir_mix":
        _check_inspection(whole)


def _check_inspection(run_dir):
    """The newest checkpoint tells of one step of two agents: rows of attention sum to 1 over the living."""
    from experiments.analysis.inspection import inspect_run, load_seed

    episode, seen = inspect_run(run_dir, 1)
    assert len(episode.actions) == 1
    assert {name: value.shape for name, value in seen.items()} == {
        "attention": (1, 2, 2), "intrinsic_reward": (1, 2), "total_reward": (1, 2), "value_total": (1, 2),
        "value_ex": (1,)}  # fmt: skip
    np.testing.assert_allclose(seen["attention"].sum(-1), 1.0, rtol=1e-6)
    assert np.abs(seen["intrinsic_reward"]).max() > 0.0
    trained = load_seed(run_dir, 1)  # of several episodes, one
    assert trained.inspect(trained.play(3), 2)["attention"].shape == (1, 2, 2)
    with pytest.raises(ConfigError, match="no seed index 2: the run has 2"):
        inspect_run(run_dir, 2)
    with pytest.raises(ConfigError, match="no config.json"):
        inspect_run(run_dir / "policy")


def test_the_list_says_whose_execution_is_centralised(capsys):
    assert main(["--list"]) == 0
    marked = [line.split()[0] for line in capsys.readouterr().out.splitlines() if "(centralised execution)" in line]
    assert marked == ["mat", "qmixs"]


@pytest.mark.parametrize(
    "algo", [name for name, entry in ALGORITHMS.items() if name != "fake" and not (entry.discrete and entry.continuous)]
)
def test_refuses_the_other_kind_of_actions_in_one_line(algo, run):
    wrong, kind = ("simple_world", "continuous") if ALGORITHMS[algo].discrete else ("toy:action", "discrete")
    code, directory, _, err = run("--algo", algo, "--env", wrong, fast=False)
    assert (code, directory) == (2, None)
    assert err == f"error: {algo} cannot handle the {kind} actions of {wrong}: choose another --env or --algo\n"
