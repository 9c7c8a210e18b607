"""The run command in this process, with a fake learner, programs compiled once a file, directories that go away."""

import sys

import pytest

from tests.helpers.processes import child_environment
from tests.helpers.run_fixtures import FAST, compiled_once, fake_learner, unoptimised  # noqa: F401 (fixtures)


@pytest.fixture
def run(tmp_path, capsys):
    """(*options, into=name) -> (exit code, run directory or None, stdout, stderr) of the run command, with FAST."""
    from experiments.run import main

    def call(*options, into="runs", fast=True):
        parent = tmp_path / into
        argv = [*(FAST if fast else []), "--run-dir", str(parent), *options]
        capsys.readouterr()
        code = main(argv)
        out, err = capsys.readouterr()
        directories = sorted(path.parent for path in parent.glob("*/*/*/config.json"))
        return code, directories[-1] if directories else None, out, err

    return call


@pytest.fixture
def fake_process():
    """Command line and environment that run `experiments.run`, knowing the fake learner, in another process."""
    return [sys.executable, "-m", "tests.helpers.fake_algorithm", *FAST], child_environment()
