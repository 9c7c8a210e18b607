"""Policies as ONNX models: ONNX Runtime plays as jax does, where the extra `export` is installed."""

import numpy as np
import pytest

from iacjax import load_policy
from tests.helpers.exported import check_same, jax_answers, play_numpy, random_steps, small_policy, whole_episode

onnxruntime = pytest.importorskip("onnxruntime")
onnx = pytest.importorskip("onnx")
pytest.importorskip("jax2onnx")

QUICK = [("ippo", "toy:coordination"), ("happo", "toy:coordination_continuous"), ("iac", "multi_pendulum:2")]
QUICK += [("qmixs", "toy:coordination")]  # the only one with a table
TYPES = {"tensor(float)": np.float32, "tensor(int32)": np.int32, "tensor(bool)": bool}


def play(session, steps):
    """What a session answers, from a carry of zeros."""
    inputs, num_envs = session.get_inputs(), len(steps["obs"][0])
    carry = {
        each.name: np.zeros((num_envs, *each.shape[1:]), TYPES[each.type]) for each in inputs if each.name not in steps
    }
    outputs, answers = [each.name for each in session.get_outputs()], []
    assert outputs == ["action", *(f"next_{name}" for name in carry)]
    for t in range(len(steps["obs"])):
        action, *after = session.run(None, {name: value[t] for name, value in steps.items()} | carry)
        carry = dict(zip(carry, after, strict=True))
        answers.append((action, carry))
    return answers


@pytest.mark.parametrize(("algo", "env"), QUICK)
def test_onnx_runtime_plays_as_jax_does(algo, env, tmp_path):
    policy = small_policy(algo, env)
    before = jax_answers(policy, random_steps(policy.spec, num_envs=2))
    policy.export(tmp_path / "policy.onnx")
    onnx.checker.check_model(str(tmp_path / "policy.onnx"), full_check=True)
    session = onnxruntime.InferenceSession(str(tmp_path / "policy.onnx"))
    for num_envs in (2, 1):
        steps = random_steps(policy.spec, num_envs)
        check_same(jax_answers(policy, steps), play(session, steps))
    check_same(before, jax_answers(policy, random_steps(policy.spec, num_envs=2)))  # jax is as it was
    facts = session.get_modelmeta().custom_metadata_map
    assert (facts["algo"], facts["env"], facts["seed"]) == (algo, env, "0")
    assert session.get_inputs()[0].shape == ["E", policy.spec.num_agents, policy.spec.obs_dim]


@pytest.mark.parametrize(
    ("name", "env", "length"), [("smax_3m_aiir_mix", "smax:3m", 10), ("predator_prey_iac", "predator_prey", 25)]
)
def test_a_whole_episode_of_a_trained_policy(name, env, length, tmp_path):
    """In onnxruntime and with NumPy alone, the same actions as in jax up to the end."""
    policy = load_policy(f"pretrained:{name}")
    policy.export(tmp_path / "policy.onnx")
    steps, answers = whole_episode(policy, env)
    assert len(answers) >= length
    check_same(answers, play(onnxruntime.InferenceSession(str(tmp_path / "policy.onnx")), steps))
    check_same(answers, play_numpy(policy.to_numpy(), steps))
