"""Each way in which SMAC or StarCraft II can be missing is one clear line. The last test needs SMAC, no StarCraft."""

import importlib.util
import os
import pathlib
import sys
import tomllib

import pytest

from envs.errors import ConfigError
from envs.smac_backend import starcraft
from envs.smac_backend.host import ProcessClient
from envs.smac_backend.starcraft import BACKEND, explain

SPEC = importlib.util.find_spec("smac")
needs_smac = pytest.mark.skipif(SPEC is None, reason="oxwhirl/smac is not installed: its own errors are not provoked")


def _loaded():
    return {name: module for name, module in sys.modules.items() if name.split(".")[0] == "smac"}


@pytest.fixture(autouse=True)
def forget_the_doubles():
    """Other files ask whether SMAC is installed."""
    before = _loaded()
    yield
    for name in _loaded():
        del sys.modules[name]
    sys.modules.update(before)


def package(folder, monkeypatch, files):
    """A package `smac` of these files alone, importable from `folder`."""
    for name in [name for name in sys.modules if name.split(".")[0] == "smac"]:
        monkeypatch.delitem(sys.modules, name)
    for name, text in files.items():
        file = folder / "smac" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.setenv(starcraft.PROTOBUF, "python")  # set by the loader otherwise: undone after the test


def refusal():
    with pytest.raises(ConfigError) as error:
        starcraft.load_environment()
    text = str(error.value)
    assert "\n" not in text
    return text


def test_no_smac(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert "SMAC is not installed: pip install 'git+https://github.com/oxwhirl/smac.git'" in refusal()


def test_the_other_smac_is_named(tmp_path, monkeypatch):
    package(tmp_path, monkeypatch, {"__init__.py": "raise ImportError('must not be imported')"})
    text = refusal()
    assert "hyper-parameter optimiser" in text and "pip uninstall smac, then pip install 'git+https" in text


@pytest.mark.parametrize(
    "source, message",
    [
        ("raise TypeError('Descriptors cannot be created directly.')", "export PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"),
        ("import pysc2_is_not_here", "SMAC cannot be imported (No module named 'pysc2_is_not_here')"),
        ("", "cannot import name 'StarCraft2Env'"),
    ],
)
def test_a_smac_that_cannot_be_imported(tmp_path, monkeypatch, source, message):
    files = {"__init__.py": "", "env/__init__.py": source, "env/starcraft2/__init__.py": ""}
    package(tmp_path, monkeypatch, files)
    assert message in refusal()


def test_the_extra_names_the_repository_never_the_bare_package():
    project = tomllib.loads((pathlib.Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = [*project["dependencies"], *(line for lines in extras.values() for line in lines)]
    found = [line for line in wanted if line.lower().startswith("smac")]
    assert len(found) == 1 and found[0] in extras["smac"] and found[0].startswith(f"SMAC @ {starcraft.SOURCE}@")


class SC2LaunchError(Exception):
    """PySC2's, by name."""


class ConnectError(Exception):
    """PySC2's, by name."""


class NoMapError(Exception):
    """PySC2's, by name."""


@pytest.mark.parametrize(
    "error, message",
    [
        (FileNotFoundError(2, "No such file", "/opt/sc2/Versions"), "there is no /opt/sc2/Versions): set SC2PATH to"),
        (SC2LaunchError("No SC2 Versions found in /opt/sc2/Versions"), "no version of StarCraft II in /opt/sc2/Versi"),
        (SC2LaunchError("No SC2 binary found at: /opt/sc2/Versions/Base1/SC2_x64"), "StarCraft II has no binary"),
        (RuntimeError("Trying to run '/opt/sc2/x', but it isn't executable."), "StarCraft II did not start"),
        (ConnectError("Failed to connect to the SC2 websocket. Is it up?"), "StarCraft II did not start (Failed to"),
        (ValueError("Unknown game version: 4.6.2. Known versions: ['latest']."), "Unknown game version: 4.6.2. Known"),
        (ValueError("Map SMAC_Maps/3m.SC2Map not found in /opt/sc2/Maps."), "SMAC_Maps.zip into /opt/sc2/Maps"),
        (NoMapError("Map doesn't exist: 4m"), "PySC2 does not know this map"),
    ],
)
def test_what_a_launch_raises_is_advice(error, message, monkeypatch):
    monkeypatch.setenv("SC2PATH", "/opt/sc2")
    text = explain(error)
    assert message in text and "\n" not in text
    assert "SC2PATH is /opt/sc2" in text or isinstance(error, NoMapError)


def test_what_is_no_matter_of_installation_gets_no_advice(monkeypatch):
    monkeypatch.delenv("SC2PATH", raising=False)
    of_the_game = (ValueError("a broken message"), RuntimeError("no units"), KeyError(0))
    assert [explain(error) for error in of_the_game] == ["", "", ""]
    assert explain(FileNotFoundError(2, "No such file", "/elsewhere/file")) == ""
    home = starcraft.game_folder()
    assert home.name == "StarCraftII" and "SC2PATH is not set, so" in explain(SC2LaunchError("No SC2 Versions found"))


@needs_smac
@pytest.mark.parametrize(
    "files, map_name, message",
    [
        ([], "3m", "no StarCraft II (SC2PATH is"),
        (["Versions/"], "3m", "no version of StarCraft II in"),
        (["Versions/Base75689/"], "3m", "StarCraft II has no binary"),
        (["Versions/Base75689/SC2_x64"], "3m", "StarCraft II did not start (Failed to connect"),
        ([], "4m", "SMAC has no map '4m'"),
    ],
)
def test_the_real_smac_without_a_game(files, map_name, message, tmp_path, monkeypatch):
    """A binary that exits at once stands for one that cannot run."""
    monkeypatch.setenv("SC2PATH", str(tmp_path))
    for name in files:
        path = tmp_path / name
        if name.endswith("/"):
            path.mkdir(parents=True)
        else:
            path.parent.mkdir(parents=True)
            path.write_text("#!/bin/sh\nexit 1\n")
            os.chmod(path, 0o755)
    client = ProcessClient(BACKEND, map_name, {})
    try:
        client.send("reset")
        with pytest.raises(ConfigError) as error:
            client.receive(120.0)
    finally:
        client.close(10.0)
    assert message in str(error.value) and "\n" not in str(error.value)
