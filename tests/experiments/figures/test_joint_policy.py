"""IAC from the inside: contours of a squashed Gaussian by hand, and pictures of what was seen in training."""

import dataclasses
import math
from types import SimpleNamespace

import numpy as np
import pytest

from envs.errors import ConfigError
from experiments.analysis import inspection
from experiments.common.files import write_json
from experiments.config.preset_io import default_settings
from experiments.config.schema import to_dict
from experiments.figures.iac import joint_policy, simple_world


def run_of(directory, env, preset, looks):
    """A run of `iac` with what was seen in its training, and nothing else."""
    settings = default_settings("iac", preset, env)
    run = dataclasses.replace(settings.run, seeds=2, seed=4)
    write_json(directory / "config.json", to_dict(dataclasses.replace(settings, run=run)))
    (directory / "seen").mkdir()
    for k, look in enumerate(looks):
        np.savez(directory / "seen" / f"{10 * k + 1}.npz", env_steps=[10 * k + 1] * 2, return_mean=[0.25, k], **look)
    return directory


@pytest.fixture
def simple(tmp_path):
    """Two seeds in Simple World, seen five times: the second one's mean goes to (-4, 4)."""
    grid = len(simple_world.GRID)
    looks = [
        {"mean": np.array([[0.0, 0.0], [-k, k]]), "covariance": np.array([np.eye(2)] * 2), "q": np.zeros((2, grid**2))}
        for k in range(5)
    ]
    return run_of(tmp_path, "simple_world", "simple_world", looks)


@pytest.fixture
def pendulums(tmp_path, monkeypatch):
    """Three pendulums, seen twice; and an episode of four steps, in which agent 1 attends to agent 2 more and more."""
    weights = np.linspace(0.2, 0.8, 4)
    attention = np.zeros((4, 2, 3, 3))
    attention[:, :, 0, 1], attention[:, :, 0, 2] = weights[:, None], 1 - weights[:, None]
    turned = np.stack([np.cos([0.0, 3.0, -3.0, -0.5, 0.0]), np.sin([0.0, 3.0, -3.0, -0.5, 0.0])], -1)
    steps = [SimpleNamespace(obs=np.tile(row, (1, 3, 1)), reward=np.ones(1)) for row in turned]
    episode = SimpleNamespace(timesteps=steps)
    monkeypatch.setattr(inspection, "inspect_run", lambda run_dir, seed_index: (episode, {"attention": attention}))
    looks = [{"covariance": np.array([np.full((3, 3), 0.1 + k)] * 2)} for k in range(2)]
    return run_of(tmp_path, "multi_pendulum_shaped:3", "default", looks)


def test_contour_of_a_squashed_gaussian():
    """Variances 1 and 4 about the middle of [-10, 10]: one deviation along the second action is 10 tanh 2 = 9.640,
    along the first 10 tanh 1 = 7.616; two deviations of the first are 10 tanh 2."""
    one = joint_policy.contour(np.zeros(2), np.diag([1.0, 4.0]), 1, -10, 10)
    assert one.max(0) == pytest.approx([10 * math.tanh(1), 10 * math.tanh(2)])
    assert one.min(0) == pytest.approx(-one.max(0)) and one[0] == pytest.approx(one[-1])
    assert joint_policy.contour(np.zeros(2), np.diag([1.0, 4.0]), 2, -10, 10).max(0)[0] == pytest.approx(
        9.640, abs=1e-3
    )


def test_contour_leans_with_the_covariance_and_is_about_the_mean():
    """[15, 10; 10, 15] / 400 on bounds of +-10, unsquashed: half axes 5 / 20 and sqrt(5) / 20 of half the range, the
    long one along (1, 1): the farthest point from (1, -2) is 10 x 0.25 = 2.5 away on that diagonal."""
    curve = joint_policy.contour(np.array([1.0, -2.0]), np.array([[15, 10], [10, 15]]) / 400, 1, -10, 10, "none")
    distance = np.linalg.norm(curve - [1, -2], axis=1)
    assert distance.max() == pytest.approx(2.5, abs=1e-3) and distance.min() == pytest.approx(
        math.sqrt(5) / 2, abs=1e-3
    )
    far = curve[distance.argmax()] - [1, -2]
    assert abs(far[0]) == pytest.approx(abs(far[1]), rel=0.02) and far[0] * far[1] > 0


def test_a_mean_at_the_edge_gives_finite_numbers():
    assert np.isfinite(joint_policy.contour(np.array([10.0, -10.0]), np.eye(2), 2, -10, 10)).all()


def test_ellipses_over_training(simple):
    figure = joint_policy.draw_ellipses(simple, seed_index=1, panels=3)
    # of places 0 to 4 the nearest to 4 (0, 0.5, 1)^1.5 = 0, 1.41, 4
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["1 step: greedy reward 0.00", "11 steps: greedy reward 1.00", "41 steps: greedy reward 4.00"]
    last = figure.axes[-1].lines
    assert len([line for line in last if len(line.get_xdata()) == 361]) == 2  # one and two deviations
    (path,) = [line.get_xydata() for line in last if line.get_linestyle() == ":"]
    np.testing.assert_array_equal(path, [[-k, k] for k in range(5)])


def test_covariances_over_training(pendulums):
    panels = [ax for ax in joint_policy.draw_covariances(pendulums).axes if ax.texts]
    assert [ax.get_title() for ax in panels] == ["1 step", "11 steps", "", ""]  # a row a seed
    assert panels[1].texts[0].get_text() == "1.10" and panels[0].get_ylabel() == "seed 4\nagent"
    assert [ax.get_xlabel() for ax in panels] == ["return 0", "return 0", "return 0", "return 1"]


def test_attention_over_an_episode(pendulums):
    world, *agents = joint_policy.draw_attention(pendulums).axes
    assert len(world.lines) == len(agents) == 3
    np.testing.assert_allclose(world.lines[0].get_ydata(), np.degrees([0, 3, np.nan, -0.5, 0]), atol=1e-9)  # 3 -> -3
    means = [line.get_ydata() for line in agents[0].lines if line.get_linewidth() > 2]
    np.testing.assert_allclose(means, [[0.2, 0.4, 0.6, 0.8], [0.8, 0.6, 0.4, 0.2]])
    dashed = [line.get_ydata()[0] for line in agents[0].lines if line.get_linestyle() == "--"]
    assert dashed == [0.5]  # to both alike
    assert agents[0].get_xlim() == (0, 4)
    assert joint_policy.draw_attention(pendulums, steps=2).axes[0].get_xlim() == (0, 2)


def test_what_was_not_seen_is_said(simple, tmp_path, monkeypatch):
    with pytest.raises(ConfigError, match="no seed index 2: the run has 2"):
        joint_policy.draw_ellipses(simple, seed_index=2)
    with pytest.raises(ConfigError, match="no mean was observed .* train=joint_policy.watch_actions"):
        joint_policy.draw_ellipses(tmp_path / "elsewhere")
    monkeypatch.setattr(
        inspection, "inspect_run", lambda run_dir, seed_index: (None, {"attention": np.zeros((4, 2, 2, 2))})
    )
    with pytest.raises(ConfigError, match="its critic has no attention to two or more"):
        joint_policy.draw_attention(simple)  # two agents: one other each
