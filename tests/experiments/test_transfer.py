"""experiments.transfer: worlds, the pooled interval, rows of other runs kept, and what is refused."""

import numpy as np
import pytest

from experiments.common.files import read_csv
from experiments.common.stats import wilson
from experiments.smac.transfer import merge, rate_text
from experiments.transfer import main
from tests.helpers.untrained import save_untrained

DOUBLE = "tests.helpers.fake_game:make_game"


@pytest.fixture
def run_dir(tmp_path, monkeypatch):
    """An untrained policy of 3m, seeds 3 and 8; the double's battles: one won, one lost, then all won."""
    monkeypatch.setenv("FAKE_GAME_LOG", str(tmp_path / "log"))
    monkeypatch.setenv("FAKE_GAME_PLAN", "win:4 lose:5 win:4")
    rng = np.random.default_rng(0)
    return save_untrained(tmp_path / "run", (3, 8), lambda shape: rng.normal(size=shape), ("randomise=0.2",))


def test_plays_in_every_world(run_dir, tmp_path, capsys):
    """The double: seed 3 wins one of two, seed 8 both. A second call replaces its own rows only."""
    out = tmp_path / "kept" / "t.csv"
    options = ["--episodes", "2", "--games", "0", "--out", str(out)]
    assert main([str(run_dir), "--backends", "smax", DOUBLE, *options]) == 0
    rows = read_csv(out)
    told = [(r["world"], r["seed"], r["win_rate"]) for r in rows if r["world"] == DOUBLE]
    assert told == [(DOUBLE, "3", "0.5"), (DOUBLE, "8", "1")]
    assert [r["seed"] for r in rows if r["world"] == "smax"] == ["3", "8"]
    keys = {(r["run"], r["algo"], r["map"], r["trained_with"]) for r in rows}
    assert keys == {("run", "ippo", "3m", "randomise=0.2")}
    assert "0.750 [0.301, 0.954]" in capsys.readouterr().out  # Wilson at 3 of 4
    assert main([str(run_dir), "--backends", DOUBLE, *options]) == 0
    assert len(read_csv(out)) == 4


def test_pooled_rate():
    """9 of 10 and 12 of 20 are 21 of 30."""
    rows = [{"episodes": "10", "win_rate": "0.9"}, {"episodes": "20", "win_rate": "0.6"}]
    low, high = wilson(21, 30)
    assert rate_text(rows) == f"0.700 [{low:.3f}, {high:.3f}]\n(0.90 0.60)"


def test_merge():
    old = [{"run": "a", "world": "smax", "n": "1"}, {"run": "a", "world": "x", "n": "2"}]
    new = [{"run": "a", "world": "x", "n": "3"}]
    assert merge(old, new) == [old[0], new[0]]


def test_what_is_refused(run_dir, tmp_path, capsys):
    for words, says in (
        ([str(tmp_path / "none")], "no run directory"),
        ([str(run_dir), "--episodes", "0"], "at least 1"),
        ([str(run_dir), "--backends", "smaclight"], "smaclight"),
    ):
        assert main([*words, "--out", str(tmp_path / "t.csv")]) == 2
        assert says in capsys.readouterr().err
