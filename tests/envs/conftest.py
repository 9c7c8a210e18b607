"""The script of a game double, for all that play on it."""

import pytest


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """(fates) -> sets the double's script."""
    monkeypatch.setenv("FAKE_GAME_LOG", str(tmp_path / "log"))
    return lambda fates: monkeypatch.setenv("FAKE_GAME_PLAN", fates)
