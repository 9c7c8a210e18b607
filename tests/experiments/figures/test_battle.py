"""A battle in a notebook: what is read of an episode, what stands in its pictures, the slider."""

import base64
from types import SimpleNamespace

import numpy as np
import pytest

from envs.errors import ConfigError
from experiments.figures.aiir import battle, battle_browser, battle_views
from experiments.figures.aiir.episode import Observed
from experiments.figures.aiir.episode_drawing import EpisodeData

# Two marines against one, 3 steps: agent 2 falls at step 2, the enemy at step 3.
HEALTH = np.array([[45.0, 45, 45], [45, 20, 30], [45, 0, 10], [40, 0, 0]])
R_IN = np.array([[np.nan, np.nan], [0.5, -0.1], [0.25, 0.1], [0.75, np.nan]])
PAIR = [[0.6, 0.4], [0.45, 0.55]]
ATTENTION = np.array([np.full((2, 2), np.nan), PAIR, PAIR, [[1.0, 0.0], [np.nan, np.nan]]])
REWARD = np.array([np.nan, 1.0, 0.5, 3.0])
RECORD = {"algo": "aiir_mix", "env": "smax:test", "seed": 1, "env_steps": 2048, "won": True}


def make(attention=ATTENTION, record=RECORD):
    still = np.broadcast_to([10.0, 11.0, 14.0], HEALTH.shape)
    units = {"x": still, "y": still, "health": HEALTH, "shield": 0 * HEALTH, "energy": 0 * HEALTH}
    units["target"] = np.tile([2, 2, 0], (4, 1))
    return battle.RecordedBattle(EpisodeData(("marine",) * 3, 2, units, R_IN, attention), REWARD, record)


def test_attention_against_equal():
    """Of two living, 0.6 is 20 % above equal and 0.45 10 % below; the last one alive attends to itself alone."""
    fought = make()
    np.testing.assert_allclose(fought.weights[1], [[20.0, -20.0], [-10.0, 10.0]], atol=1e-9)
    np.testing.assert_allclose(fought.weights[3], [[0.0, np.nan], [np.nan, np.nan]], atol=1e-9)
    assert fought.steps == 3 and fought.has_attention
    assert fought.summary == "aiir_mix on smax:test, seed 1 after 2,048 steps: won in 3 steps"
    lost = make(record={**RECORD, "env_steps": None, "won": False})
    assert lost.summary == "aiir_mix on smax:test, seed 1: not won in 3 steps"


def test_rewards_of_the_agents_stand_above_that_of_the_team():
    top, bottom = battle_views.rewards_view(make()).axes
    first = next(line for line in top.lines if line.get_label() == "m1 (marine)")
    np.testing.assert_allclose(first.get_ydata(), R_IN[:, 0])
    assert [bar.get_height() for bar in bottom.patches][1:] == [1.0, 0.5, 3.0]
    crosses = [line for line in top.lines if line.get_marker() == "x" and len(line.get_xdata())]
    assert [(*line.get_xdata(), *line.get_ydata()) for line in crosses] == [(2, 0.1)]  # agent 2's last reward


def test_attention_over_time_is_a_panel_an_agent():
    figure = battle_views.attention_view(make())
    shown = figure.axes[0].images[0].get_array().filled(np.nan)  # [to whom, step]
    np.testing.assert_allclose(shown, [[np.nan, 20, 20, 0], [np.nan, -20, -20, np.nan]], atol=1e-9)
    assert [ax.get_title(loc="left") for ax in figure.axes[:2]] == [
        "attention of m1 (marine) to",
        "attention of m2 (marine) to",
    ]
    assert len(battle_views.attention_view(make(), [1]).axes) == 2  # one panel and its scale
    with pytest.raises(ConfigError, match="there are 2, counted from 0"):
        battle_views.attention_view(make(), [2])


def test_of_many_agents_the_first_of_each_type_is_shown():
    data = EpisodeData(("marauder", "marauder", *["marine"] * 7, "medivac", "marine"), 10, {}, None, None)
    assert battle_views.attending(data, ()) == [0, 2, 9]
    assert battle_views.attending(data, (3, 4)) == [3, 4]


def test_a_step_shows_rewards_and_attention_beside_the_battle():
    scene, bars, heat, below = battle_views.step_view(make(), 2).axes
    assert scene.get_title() == "step 2 of 3"
    assert [bar.get_width() for bar in bars.patches] == [0.25, 0.1] and not bars.texts
    assert sorted(text.get_text() for text in heat.texts) == ["+10.0", "+20.0", "-10.0", "-20.0"]
    assert below.lines[-1].get_xdata() == [2, 2]
    bars = battle_views.step_view(make(), 3).axes[1]
    assert [(text.get_text(), text.get_position()[1]) for text in bars.texts] == [("fallen", 1)]
    with pytest.raises(ConfigError, match="step 4: the battle has steps 0 to 3"):
        battle_views.step_view(make(), 4)


def test_moments_have_attention_below_them():
    figure = battle_views.moments_view(make())
    titles = [ax.get_title() for ax in figure.axes if ax.get_title()]
    assert [title.split("\n")[0] for title in titles] == ["(a) step 2", "(b) step 3"]
    assert len(figure.axes) == 5  # two battles, two maps, their scale


def test_reward_nets_without_attention():
    alone = make(np.where(np.isfinite(ATTENTION), np.eye(2), np.nan))
    assert not alone.has_attention
    assert len(battle_views.moments_view(alone).axes) == 2
    battle_views.step_view(alone, 1)
    with pytest.raises(ConfigError, match="the reward nets of aiir_mix have no attention"):
        battle_views.attention_view(alone)


def test_the_slider_shows_the_step_it_stands_at():
    browser = battle_browser.browse(make())
    assert browser.slider.value == 2 and browser.slider.max == 3  # the first fall
    first = browser.picture.value
    browser.slider.value = 3
    assert browser.picture.value[:4] == b"\x89PNG" and browser.picture.value != first
    shown = browser._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in shown
    assert base64.b64decode(shown["image/png"]) == browser.picture.value  # where there are no widgets
    browser.slider.value = 2
    assert browser.picture.value == first


class Picture:
    def savefig(self, file, dpi):
        file.write(b"a picture")


def test_an_idle_kernel_draws_the_pictures_to_come(monkeypatch):
    """From step 2 of 0 to 3: 3, then from the beginning; each once, and the loop is asked for time in between."""
    import asyncio

    drawn, waits = [], []
    monkeypatch.setattr(battle_browser, "step_view", lambda battle, step: drawn.append(step) or Picture())
    browser = battle_browser.browse(make(), 2)
    monkeypatch.setattr(battle_browser, "IDLE_SECONDS", 0.0)

    async def kernel():
        browser._repr_mimebundle_()
        browser._repr_mimebundle_()  # shown twice
        for _ in range(20):
            waits.append(len(drawn))
            await asyncio.sleep(0.0)

    asyncio.run(kernel())
    assert drawn == [2, 3, 0, 1] and max(b - a for a, b in zip(waits, waits[1:], strict=False)) == 1
    assert browser.draw_ahead() is False and drawn == [2, 3, 0, 1] and browser.play.interval == 300


def test_a_battle_of_a_run(monkeypatch, tmp_path):
    trained = SimpleNamespace(env=SimpleNamespace(spec=SimpleNamespace(name="smax:3m")))
    rows = [
        {"step": t, "unit": n + 1, "side": side, "type": "marine", "x": "1", "y": "2", "health": "45", "shield": "0",
         "energy": "0", "target": 0, "event": "", "r_in": "0.5" if t and not n else "", "attention_1": "1"}
        for t in range(2) for n, side in enumerate(("agent", "enemy"))
    ]  # fmt: skip
    monkeypatch.setattr(battle, "load_seed", lambda directory, seed_index: trained)
    monkeypatch.setattr(battle, "observe", lambda trained, directory: Observed(rows, RECORD, REWARD[:2]))
    fought = battle.battle(tmp_path)
    assert fought.data.num_agents == 1 and fought.data.units["target"].tolist() == [[-1, -1]] * 2
    np.testing.assert_allclose(fought.data.r_in, [[np.nan], [0.5]])
    assert fought.steps == 1
    trained.env.spec.name = "toy:coordination"
    with pytest.raises(ConfigError, match="is of toy:coordination: give a run of a StarCraft map"):
        battle.battle(tmp_path)
