"""experiments.export: the files that it writes, and what is refused in one line."""

import importlib.util
import sys

import numpy as np
import pytest

from experiments.export import main
from iacjax import load_policy
from tests.helpers.exported import check_same, jax_answers, random_steps
from tests.helpers.untrained import save_untrained


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    draw = np.random.default_rng(0).standard_normal
    return save_untrained(tmp_path_factory.mktemp("runs") / "run", (3, 5), lambda shape: 0.1 * draw(shape))


def test_the_file_of_numpy_plays_the_seed_that_is_asked_for(run, tmp_path, capsys):
    out = tmp_path / "policy_np.py"
    assert main([str(run), "--out", str(out), "--seed-index", "1"]) == 0
    assert f"wrote {out}: ippo in smax:3m, seed 5," in capsys.readouterr().out
    spec = importlib.util.spec_from_file_location("policy_np", out)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    policy = load_policy(run)
    steps, player = random_steps(policy.spec, num_envs=2), module.Policy()
    assert (player.algo, player.env, player.seed) == ("ippo", "smax:3m", 5)
    carry, answers = player.carry(2), []
    for t in range(len(steps["obs"])):
        carry, action = player.act(carry, **{name: value[t] for name, value in steps.items()})
        answers.append((action, carry))
    check_same(jax_answers(policy._replace(params=policy.params[1:]), steps), answers)


@pytest.mark.parametrize(
    "words, message",
    [
        (["nothing", "--out", "policy.onnx"], "no policy in nothing: give the directory of a run that has trained"),
        (["RUN"], "the following arguments are required: --out: see --help"),
        (
            ["RUN", "--out", "policy.txt"],
            "--out must be a file that can be written, not 'policy.txt' (give a name that ends",
        ),
        (["RUN", "--out", "no/policy.onnx"], "there is no directory no"),
        (["RUN", "--out", "policy.onnx", "--seed-index", "2"], "--seed-index 2: the run has 2 seeds, counted from 0"),
        (["RUN", "--out", "policy.onnx"], "ONNX needs the package jax2onnx: pip install 'iacjax[export]'"),
    ],
)
def test_what_cannot_work_is_one_line(run, words, message, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "jax2onnx", None)  # as if it were not installed
    assert main([str(run) if word == "RUN" else word for word in words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1 and list(tmp_path.iterdir()) == []
