"""The figure of SMAC's hard maps: drawn from its kept numbers, without training."""

import pytest

from experiments.figures.smac import maps
from experiments.reproduce import main

ENVS = ("smax:MMM2", "smax:5m_vs_6m")


@pytest.fixture
def picture(tmp_path):
    rows = ["budget,algo,env,seed,env_steps,win_rate,return_mean"]
    rows += [
        f"small,{algo},{env},{seed},{steps},{steps / 2000},1"
        for algo in maps.METHODS
        for env in ENVS
        for seed in (0, 1, 2)
        for steps in (500, 1000)
    ]
    (tmp_path / "maps.csv").write_text("\n".join([*rows, ""]))
    return tmp_path / "maps.png"


def test_it_draws_a_panel_for_each_map_with_the_published_numbers(picture, monkeypatch):
    figures = []
    monkeypatch.setattr(maps.style, "save", lambda figure, path: figures.append((figure, path)))
    assert main(["smac/maps", "--redraw", "--out", str(picture)]) == 0
    (figure, path), *_ = figures
    assert path == picture
    drawn = {ax.get_title(): ax for ax in figure.axes if ax.get_visible()}
    assert list(drawn) == ["5m_vs_6m", "MMM2"]  # in the figure's order
    for env in ENVS:
        dotted = [line.get_ydata()[0] for line in drawn[env.split(":")[1]].lines if line.get_linestyle() == ":"]
        assert dotted == [100 * value for value in maps.PANELS.published[env].values()]
    table = picture.with_suffix(".md").read_text()
    assert "| MAPPO | 0.38 [0.38, 0.38] | 0.38 [0.38, 0.38] |" in table  # the mean of 0.25 and 0.5
    assert "| QMIX, published | 0.77 | 0.88 |" in table


def test_a_map_of_which_nothing_is_kept_is_one_line(picture, capsys):
    assert main(["smac/maps", "--redraw", "--envs", "smax:corridor", "--out", str(picture)]) == 2
    assert "none of these methods and maps" in capsys.readouterr().err


def test_the_open_loop_policy_is_mappo_that_sees_the_time_alone():
    """Ellis et al. 2023, section 4; on the maps of SMACv2, and on 2s3z to compare."""
    training = maps.training(["smac/maps"])
    runs = [run for run in training.runs if run.method == maps.OPEN_LOOP]
    assert [run.env for run in runs] == [env for env in maps.MAPS if env.startswith("smacv2:") or env == "smax:2s3z"]
    assert {(run.algo, run.settings.run.env_options) for run in runs} == {("mappo", ("open_loop=True",))}
    others = {run.method for run in training.runs if run.env == "smax:corridor"}
    assert others == {"mappo", "qmix"}
