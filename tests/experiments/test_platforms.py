"""A machine on which the commands cannot work is refused in one line, before anything is imported."""

import subprocess
import sys

import pytest

AS_IF = """
import importlib.util, platform, sys
sys.platform, platform.system, platform.machine = {name!r}, lambda: {name!r}, lambda: {machine!r}
find = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == "jaxlib" and {bare} else find(name)
try:
    import experiments.common.cli
finally:
    assert not {{"jax", "fcntl", "numpy"}} & set(sys.modules)
"""


@pytest.mark.parametrize(
    "name, machine, bare, said",
    [
        ("win32", "AMD64", True, "this runs on Linux and macOS, not on win32: on Windows use WSL 2"),
        ("darwin", "x86_64", True, "jax has no builds for Macs with an Intel processor"),
        ("darwin", "x86_64", False, ""),  # with a jaxlib that somebody has built
        ("darwin", "arm64", True, ""),
        ("linux", "x86_64", True, ""),
    ],
)
def test_platforms(name, machine, bare, said):
    code = AS_IF.format(name=name, machine=machine, bare=bare)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == (2 if said else 0), done.stderr
    assert done.stderr.count("\n") == bool(said) and said in done.stderr
