"""AIIR-MIX's figures 5 and 6: which episode and which steps are shown, what is saved, drawing from that alone."""

import json
import pathlib
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from envs.errors import ConfigError
from experiments.common.files import read_csv, write_csv
from experiments.config.preset_io import default_settings
from experiments.figures.aiir import episode, episode_drawing
from experiments.reproduce import main
from experiments.runs import find

A, N = 5, 10  # 2s3z: agents, units
HEALTH = np.full((5, N), 50.0)  # 4 steps: zealot 3's enemy (unit 8) falls at step 2, agent 1 at step 3
HEALTH[2:, 7] = HEALTH[3:, 0] = 0.0
R_IN = np.array([[0.5, 0.1, 0.2, 0.3, -0.4], [0.5, 0.1, 0.2, 0.3, 0.9], [0.5, 0.1, -0.2, 0.3, 0.8],
                 [9.0, 0.0, 0.1, 0.25, 0.5]])  # fmt: skip
ATTENTION = np.full((4, A, A), 0.2)
ATTENTION[3] = [[0.0] * 5, *[[0.0, 0.4, 0.3, 0.2, 0.1]] * 4]  # agent 1 is dead


def fought():
    """An episode of two lanes, the second of which is the one with the numbers above."""
    rng = np.random.default_rng(0)
    place = 16 + rng.normal(size=(N, 2))
    states = []
    for health in HEALTH:
        units = {"x": place, "y": place, "health": np.stack([health * 0, health], 1), "shield": np.zeros((N, 2)),
                 "energy": np.zeros((N, 2)), "cooldown": np.zeros((N, 2)), "target": np.full((N, 2), 1)}  # fmt: skip
        states.append(SimpleNamespace(battle=SimpleNamespace(**units)))
    action = np.stack([np.zeros(A, int), np.array([1, 6, 8, 2, 10])])  # 6 + e aims at enemy e
    return SimpleNamespace(states=states, actions=[action] * 4, timesteps=timesteps([[0] * 5] * 5))


def timesteps(rows):
    """5 moments of 5 lanes: lane 0 lost at 2, 1 won at 3 unharmed, 2 cut at 4, 3 and 4 won at 3 and 4 with a loss."""
    ends, won, dead = np.array([2, 3, 4, 3, 4]), np.array([0, 1, 0, 1, 1]), np.array([5, 0, 1, 1, 1])
    return [
        SimpleNamespace(
            boundary=ends == t,
            reward=np.full(5, t / 4),
            info={"won": won * (ends == t) > 0, "dead_allies": dead * (ends == t)},
        )
        for t, _ in enumerate(rows)
    ]


def test_a_won_episode_that_cost_an_agent_is_chosen():
    moments = timesteps([0] * 5)
    assert episode.choose(moments) == (3, 3, True)

    def without(*lanes):
        keep = [lane for lane in range(5) if lane not in lanes]
        return [
            SimpleNamespace(boundary=ts.boundary[keep], info={k: v[keep] for k, v in ts.info.items()}) for ts in moments
        ]

    assert episode.choose(without(3, 4)) == (1, 3, True)
    assert episode.choose(without(1, 3, 4)) == (0, 2, False)


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "episode.csv"
    write_csv(path, episode.episode_rows("smax:2s3z", fought(), 1, R_IN, ATTENTION))
    record = {"algo": "aiir_mix", "preset": "default", "env": "smax:2s3z", "seed": 3, "env_steps": 64, "steps": 4,
              "won": True, "device": "cpu"}  # fmt: skip
    path.with_suffix(".json").write_text(json.dumps(record))
    return path


def test_what_is_saved_of_an_episode(table):
    rows = read_csv(table)
    assert len(rows) == 5 * N
    assert [r["type"] for r in rows[:A]] == ["stalker", "stalker", "zealot", "zealot", "zealot"]
    falls = [(row["step"], row["unit"], row["side"]) for row in rows if row["event"] == "falls"]
    assert falls == [("2", "8", "enemy"), ("3", "1", "agent")]
    shown = episode_drawing.read_episode(table)
    assert shown.names == ["s1", "s2", "z3", "z4", "z5"]
    expected = np.vstack([np.full(A, np.nan), R_IN])
    expected[4, 0] = np.nan  # agent 1 did not act after its death
    np.testing.assert_allclose(shown.r_in, expected)
    np.testing.assert_allclose(shown.attention[4, 1:], ATTENTION[3, 1:])
    assert np.isnan(shown.attention[0]).all() and np.isnan(shown.attention[4, 0]).all()
    np.testing.assert_array_equal(shown.units["health"], HEALTH)
    # actions 1 and 2 aim at nobody, 6 at the first enemy (unit 5 from 0), 8 at the third, 10 at the fifth
    assert shown.units["target"][1].tolist() == [-1, 5, 7, -1, 9, 1, 1, 1, 1, 1]
    assert shown.units["target"][4][0] == -1  # the dead aim at nobody


def test_steps_to_look_at(table):
    """The falls at 2 and 3; the highest r_in, z5's 0.9, at 2 as well. z5's 0.3 less at 4 is no more than z3's 0.4 less
    at 3; the lowest, z5's -0.4 at 1, stands too near."""
    found = episode_drawing.moments(episode_drawing.read_episode(table))
    assert found == [
        (2, "the first enemy dies; z5's $r^{in}$ is the highest"),
        (3, "the first agent dies; z3's $r^{in}$ drops most"),
    ]


def test_attention_among_the_living():
    found = episode_drawing.among_the_living(ATTENTION[3])
    np.testing.assert_allclose(found[1], [np.nan, 0.4, 0.3, 0.2, 0.1])
    assert np.isnan(found[0]).all()
    # four alive: equal attention is .25; .4 is 60 % above it, .3 20 % above, .2 20 % and .1 60 % below
    found = episode_drawing.over_uniform(ATTENTION[3])
    np.testing.assert_allclose(found[1], [np.nan, 60.0, 20.0, -20.0, -60.0], atol=1e-9)
    assert np.isnan(found[0]).all()


def test_a_close_up_holds_all_units_beside_the_names():
    # x over 8: (8 + 2.6) / .8 = 13.25 wide, a fifth of it for names; 13.25 * .75 = 9.9375 high about y = 3
    found = episode_drawing.close_up(np.array([10.0, 18.0]), np.array([2.0, 4.0]))
    assert found == pytest.approx((19.3 - 13.25, 19.3, 3 - 9.9375 / 2, 3 + 9.9375 / 2))
    x0, x1, y0, y1 = episode_drawing.close_up(np.array([5.0]), np.array([5.0]))
    assert (x1 - x0, y1 - y0) == pytest.approx((9.0, 6.75))


@pytest.mark.parametrize("target", ["aiir/fig5", "aiir/fig6"])
def test_both_are_drawn_again_from_the_numbers(table, target):
    out = table.with_name("picture.png")
    assert main([target, "--redraw", "--out", str(out)]) == 0
    assert out.read_bytes()[:4] == b"\x89PNG"


@pytest.mark.parametrize("target", ["aiir/fig5", "aiir/fig6"])
def test_a_reward_net_without_attention_has_half_the_picture(table, target):
    out = table.with_name("a.png")
    assert episode_drawing.has_attention(episode_drawing.read_episode(table))
    assert main([target, "--redraw", "--out", str(out)]) == 0
    whole = Image.open(out).height
    alone = np.eye(A) * np.ones((4, 1, 1))  # as LIIR's net reports it
    write_csv(table, episode.episode_rows("smax:2s3z", fought(), 1, R_IN, alone))
    assert not episode_drawing.has_attention(episode_drawing.read_episode(table))
    assert main([target, "--redraw", "--out", str(out)]) == 0
    assert Image.open(out).height < 0.7 * whole


def test_it_says_what_is_wrong(tmp_path, capsys):
    for options, message in (
        (["--redraw", "--out", str(tmp_path / "a.png")], "no episode is saved in"),
        (["--seeds", "0"], "--seeds must be at least 1, not 0"),
        (["--run", str(tmp_path / "none")], "no run directory"),
    ):
        assert main(["aiir/fig5", *options]) == 2
        err = capsys.readouterr().err
        assert message in err and err.count("\n") == 1


def test_a_run_without_intrinsic_rewards_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(episode, "read_config", lambda directory: default_settings("aiir_mix", "no_intrinsic"))
    with pytest.raises(ConfigError, match="has no intrinsic rewards; give a run of aiir_mix, aiir, rmix or liir"):
        episode.keep(tmp_path / "episode.csv", None, tmp_path, "")


def test_it_trains_what_is_missing_and_keeps_the_episode(tmp_path, monkeypatch, capsys):
    asked = []

    def train(settings, directory):
        asked.append((settings, directory))
        return 0

    class Played:
        env, seed = SimpleNamespace(spec=SimpleNamespace(name="smax:2s3z")), 3

        def play(self, num_episodes):
            assert num_episodes == episode.TRIES
            return fought()

        def inspect(self, played, lane):
            assert lane == 1
            return {"intrinsic_reward": R_IN, "attention": ATTENTION}

    monkeypatch.setattr("experiments.training.train.train", train)
    monkeypatch.setattr(episode, "load_seed", lambda directory, seed_index: Played())
    monkeypatch.setattr(episode, "choose", lambda timesteps: (1, 4, True))
    monkeypatch.setattr(episode, "read_config", lambda directory: asked[0][0])
    monkeypatch.setattr(find, "newest_run", lambda settings: tmp_path / "run" if asked else None)
    out = tmp_path / "fig5.png"
    assert main(["aiir/fig5", "--out", str(out), "--total-steps", "640", "--run-dir", str(tmp_path)]) == 0
    ((settings, begun),) = asked
    run = settings.run
    assert (run.algo, run.env, run.total_steps, begun) == ("aiir_mix", "smax:2s3z", 640, None)
    assert "1 runs, 1 to train: about 0.0 hours on this" in capsys.readouterr().out
    record = json.loads((tmp_path / "episode.json").read_text())
    assert (record["seed"], record["won"], record["steps"], record["preset"]) == (3, True, 4, "default")
    assert out.exists() and len(read_csv(tmp_path / "episode.csv")) == 5 * N
    assert pathlib.Path(record["command"].split()[-1]) == tmp_path
