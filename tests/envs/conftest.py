"""The script of the fake game, for all tests that use it."""

import pytest


@pytest.fixture
def plan(tmp_path, monkeypatch):
    """(fates) -> sets the fake game's script."""
    monkeypatch.setenv("FAKE_GAME_LOG", str(tmp_path / "log"))
    return lambda fates: monkeypatch.setenv("FAKE_GAME_PLAN", fates)
