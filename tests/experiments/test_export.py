"""experiments.export: the files that it writes, and what is refused in one line."""

import importlib.util
import pathlib
import re
import sys
from types import ModuleType

import numpy as np
import pytest

from experiments.export import main
from iacjax import load_policy
from tests.helpers.exported import check_same, jax_answers, random_steps
from tests.helpers.untrained import save_untrained

ROOT = pathlib.Path(__file__).parents[2]


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


def page():
    """The blocks of docs/export.md that can run here: (those of this package, the one of SMAC)."""
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "export.md").read_text(), flags=re.DOTALL)
    assert len(blocks) == 4
    with_onnx = importlib.util.find_spec("jax2onnx") is not None
    return [block for block in blocks[:3] if with_onnx or "# onnx" not in block], blocks[3]


@pytest.fixture
def beside(tmp_path, monkeypatch):
    """In a directory where `policy_np` is imported from."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    yield tmp_path
    sys.modules.pop("policy_np", None)


def test_the_page_runs_as_it_is_written(beside):
    names = {}
    for block in page()[0]:
        exec(compile(block, "docs/export.md", "exec"), names)
    assert (beside / "policy_np.py").exists() and names["player"].env == "smax:3m"
    if "session" in names:
        assert names["action"].shape == (1, 3) and names["carry"]["hidden"].shape == (1, 3, 64)


@pytest.mark.slow  # the engine's battle of 3m is compiled
def test_the_page_wins_a_battle_through_smacs_interface(beside, monkeypatch, capsys):
    """The last block, with our stand-in for SMAC's class, in whose engine the policy was trained."""
    from envs import smac_compat

    monkeypatch.setitem(sys.modules, "smac", ModuleType("smac"))
    monkeypatch.setitem(sys.modules, "smac.env", smac_compat)
    load_policy("pretrained:smax_3m_aiir_mix").to_numpy("policy_np.py")
    exec(compile(page()[1], "docs/export.md", "exec"), {})
    assert capsys.readouterr().out == "won\n"
