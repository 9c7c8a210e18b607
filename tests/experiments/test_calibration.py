"""The calibration of the rules: settings, likelihood by literal numbers, and that it goes on where it stopped."""

import math

import numpy as np
import pytest

from benchmarks import calibration
from benchmarks.calibration import SPACE, combinations, draw_settings, log_likelihood, play_stage, preset_settings
from experiments import benchmark
from experiments.common.cli import run_command
from experiments.common.files import read_json


def test_settings():
    drawn, again = draw_settings(500, 3), draw_settings(500, 3)
    for name, values in SPACE.items():
        np.testing.assert_array_equal(drawn[name], again[name])
        if isinstance(values, list):
            assert set(drawn[name].tolist()) == set(values)
        else:
            span = values[1] - values[0]
            assert values[0] <= drawn[name].min() < values[0] + 0.05 * span
            assert values[1] - 0.05 * span < drawn[name].max() <= values[1] + 1e-6
    given = combinations()
    discrete = [name for name, values in SPACE.items() if isinstance(values, list)]
    assert len({tuple(given[name][row] for name in discrete) for row in range(48)}) == len(given["chase"]) == 48
    assert set(given["push_attacking"]) == {np.float32(0.4)}
    assert preset_settings(("smac", "smac_v0"))["chase"].tolist() == [1.0, 0.0]


def test_likelihood():
    """One map, 0 of 32 games there. Jeffreys' beta(1/2, 1/2) after 1 episode: 0 won is beta(1/2, 3/2), 1 is (3/2, 1/2).

    P(0 of 32) = B(1/2, 3/2 + 32) / B(1/2, 3/2), and B(3/2, 1/2 + 32) / B(3/2, 1/2) = 1 / 65 of it.
    """
    lost, won = np.exp(log_likelihood({"5m_vs_6m": np.array([0, 1])}, {"5m_vs_6m": 1}))

    def log_beta(a, b):
        return math.lgamma(a) + math.lgamma(b) - math.lgamma(a + b)

    assert lost == pytest.approx(math.exp(log_beta(0.5, 33.5) - log_beta(0.5, 1.5)), rel=1e-6)
    assert won / lost == pytest.approx(1 / 65, rel=1e-6)


def test_the_nearest_rates_are_the_likeliest():
    wins = {"2s3z": np.array([115, 90, 40]), "3s5z": np.array([54, 54, 54])}  # 0.90 and 0.42 on the real game
    score = log_likelihood(wins, {"2s3z": 128, "3s5z": 128})
    assert score[0] > score[1] > score[2] and score[0] - score[2] > 15


def test_it_goes_on_from_the_maps_it_has(tmp_path, monkeypatch):
    played = []

    def count(name, settings, episodes, seed):
        played.append(name)
        return np.full(len(settings["chase"]), episodes // 2)

    monkeypatch.setattr(calibration, "count_wins", count)
    path, settings = tmp_path / "wins.json", draw_settings(3, 0)
    play_stage(path, "screened", settings, ["2s3z"], 8, 0)
    wins, episodes = play_stage(path, "screened", settings, ["2s3z", "27m_vs_30m"], 32, 0)
    assert played == ["2s3z", "2s3z", "27m_vs_30m"]  # 8 episodes are not 32
    assert episodes == {"2s3z": 32, "27m_vs_30m": 8} and wins["2s3z"].tolist() == [16] * 3
    play_stage(path, "screened", settings, ["2s3z", "27m_vs_30m"], 32, 0)
    assert len(played) == 3
    play_stage(path, "screened", draw_settings(3, 1), ["2s3z"], 32, 0)
    assert played[3:] == ["2s3z"] and read_json(path)["screened"]["wins"] == {"2s3z": [16] * 3}


def test_wins_of_easy_and_hopeless_settings(monkeypatch):
    """2s3z: zealots that stick to the target behind a crowd lose, those that do not get past each other win."""
    monkeypatch.setattr(calibration, "CHUNK", 16)
    settings = {name: np.repeat(column[:1], 2) for name, column in calibration.preset_settings(("smac",)).items()}
    settings["switch"], settings["slide"] = np.float32([0.0, 1.0]), np.float32([0.9, 0.0])
    wins = calibration.count_wins("2s3z", settings, 12, 0)
    assert wins[0] == 12 and wins[1] < 8


def test_a_map_without_a_known_rate_is_refused(capsys):
    assert run_command(benchmark.command, ["calibration", "--maps", "2s3z", "8m"]) == 2
    assert "no win rate of the real game is known on 8m" in capsys.readouterr().err
