"""Figures 2, 3 and 5: ellipses, expected rewards, looks at a learner in training, and what is kept of them."""

import math

import numpy as np
import pytest

from experiments.analysis.inspection import load_learners
from experiments.common.files import read_csv, write_csv
from experiments.config.preset_io import default_settings
from experiments.config.presets import PRESETS, Preset
from experiments.config.schema import RunConfig
from experiments.figures import spec, store
from experiments.figures.iac import covariance, simple_world
from experiments.reproduce import main
from experiments.training.observers import read_seen, train_and_observe
from experiments.training.pace import next_evaluation
from experiments.training.signals import Signals
from iacjax import load_policy


def test_ellipses_of_the_two_policies():
    """[15, 10; 10, 15] has eigenvalues 25 along (1, 1) and 5; [4, 0; 0, 20] has 20 along the second action, and 4."""
    assert simple_world.ellipse(simple_world.COVARIANCES["collaborative"]) == pytest.approx((5.0, math.sqrt(5), 45.0))
    assert simple_world.ellipse(simple_world.COVARIANCES["independent"]) == pytest.approx((math.sqrt(20), 2.0, 90.0))


def test_mean_reward_is_the_integral_of_two_gaussians():
    """E exp(-|u - m|^2 / 2v) for u ~ N(mu, S) = v N(m; mu, S + vI) 2 pi: with S = I, v = 3, m - mu = (2, 0),
    3 / 4 exp(-4 / 8) = 0.4549. A reward of 1 has mean 1."""

    def bump(actions):
        return np.exp(-((actions - np.array([3.0, 1.0])) ** 2).sum(-1) / 6.0)

    assert simple_world.mean_reward((1.0, 1.0), np.eye(2), bump) == pytest.approx(0.75 * math.exp(-0.5), rel=1e-9)
    assert simple_world.mean_reward((1.0, 1.0), np.eye(2), lambda u: np.ones(u.shape[:-1])) == pytest.approx(1.0)


def test_figure_3_has_its_numbers_beside_it(tmp_path):
    assert main(["iac/fig3", "--out", str(tmp_path / "fig3.png")]) == 0
    independent, collaborative = read_csv(tmp_path / "fig3.csv")
    assert (float(independent["major"]), float(collaborative["degrees"])) == pytest.approx((4.47214, 45.0))
    assert float(collaborative["mean_reward"]) > 2 * float(independent["mean_reward"])
    assert (tmp_path / "fig3.png").read_bytes()[:4] == b"\x89PNG"


def test_when_to_look():
    run, times = RunConfig(total_steps=640), [65, 1, 64, 64, 9999]
    assert [next_evaluation(done, run, times) for done in (0, 1, 63, 64, 65, 639)] == [1, 64, 64, 65, 640, 640]
    assert covariance.times(1000) == [1, 20, 100, 300, 600, 1000]


@pytest.fixture
def looked(monkeypatch, tmp_path):
    """The fake learner on a toy, looked at after 8, 16 and 32 of its 32 steps."""
    import dataclasses

    from experiments.config.schema import Settings

    monkeypatch.setitem(PRESETS, "fake", {"default": Preset({}, {"num_envs": 2, "rollout_length": 4})})
    settings = default_settings("fake", "default", "toy:coordination")
    run = dataclasses.replace(settings.run, seeds=2, total_steps=32, run_dir=str(tmp_path), eval_episodes=2)
    return Settings(run, settings.algorithm)


def _make_look(env, algorithm):
    def look(state, key, steps):
        return {"mean": state.learner["logits"], "steps": steps}

    return look


def test_a_training_that_was_stopped_goes_on_and_sees_the_same(looked, tmp_path, monkeypatch):
    from experiments.runs import find

    assert train_and_observe(looked, None, [8, 16], _make_look) == 0
    whole = find.newest_run(looked)
    assert find.status(whole) == "finished"
    expected = read_seen(whole)
    assert [seen["env_steps"].tolist() for seen in expected] == [[8, 8], [16, 16], [32, 32]]
    assert expected[0]["mean"].shape[0] == 2 and expected[0]["return_mean"].shape == (2,)
    learners = load_learners(whole)  # what other runs leave behind, too
    assert np.array_equal(learners[1]["logits"], expected[-1]["mean"][1]) and load_policy(whole).seeds == (0, 1)
    whole.rename(tmp_path / "aside")
    listens = iter([False, True])  # asked once a chunk: stop after the second one, 16 steps
    monkeypatch.setattr(Signals, "__call__", lambda self: next(listens, False))
    assert train_and_observe(looked, None, [8, 16], _make_look) == 128
    begun = find.newest_run(looked)
    assert find.status(begun) == "begun" and len(read_seen(begun)) == 1
    monkeypatch.undo()
    assert train_and_observe(looked, begun, [8, 16], _make_look) == 0
    again = read_seen(begun)
    assert all(np.array_equal(a[name], b[name]) for a, b in zip(expected, again, strict=True) for name in a)


def _options(target, out, budgets):
    return spec.parse([target, "--out", str(out)], "", budgets)


def test_figure_5_csv_round_trip(tmp_path):
    matrix = np.array([[1.0, -0.5], [-0.5, 2.0]])
    rows = [dict(zip(covariance.COLUMNS, ("small", s, at, 7, *where, store.number(value * (s + 1))), strict=True))
            for s in (0, 1) for at in (1, 100) for where, value in np.ndenumerate(matrix)]  # fmt: skip
    write_csv(tmp_path / "fig5.csv", rows, covariance.COLUMNS)
    (tmp_path / "fig5.json").write_text(
        '{"runs": [{"budget": "small", "env": "multi_pendulum:2", "preset": "explore", "seeds": 2, "total_steps": 100, '
        '"device": "cpu"}]}'
    )
    found = covariance.matrices(read_csv(tmp_path / "fig5.csv"))
    assert sorted(found) == [(0, 1), (0, 100), (1, 1), (1, 100)]
    np.testing.assert_array_equal(found[1, 100][0], 2 * matrix)
    assert main(["iac/fig5", "--redraw", "--out", str(tmp_path / "fig5.png")]) == 0


def test_colours_of_figure_5_are_scaled_by_what_lies_off_the_diagonal():
    assert covariance.colour_limit([np.array([[9.0, -0.5], [-0.5, 20.0]]), np.eye(2)]) == 0.5


def test_tables_are_printed_written_and_printed_again(tmp_path, monkeypatch, capsys):
    from experiments.figures.iac import matrix_tables

    asked = []
    monkeypatch.setattr(matrix_tables, "make", lambda seeds, steps: asked.append((seeds, steps)))
    monkeypatch.setattr(matrix_tables, "text", lambda tables: "Table 2")
    monkeypatch.setattr(matrix_tables, "rows", lambda tables: [{"method": "qmix", "seed": 0, "q": -8.12345678}])
    argv = ["iac/tables", "--seeds", "2", "--total-steps", "64", "--out", str(tmp_path / "tables.csv")]
    assert main(argv) == 0
    assert asked == [(2, 64)]
    assert read_csv(tmp_path / "tables.csv") == [{"method": "qmix", "seed": "0", "q": "-8.12346"}]
    capsys.readouterr()
    assert main([*argv, "--redraw"]) == 0
    assert (capsys.readouterr().out, len(asked)) == ("Table 2\n", 1)


def test_figure_2_reads_its_paths_in_the_order_of_time():
    rows = [{"algo": "iac", "seed": "0", "env_steps": at, "u0": str(u), "u1": "1"} for at, u in (("100", 3), ("20", 2))]
    (path,) = simple_world.read_paths(rows, "iac")
    np.testing.assert_array_equal(path, [[2, 1], [3, 1]])
