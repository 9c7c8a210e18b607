"""The run command in this process, with a fake learner, a compile cache of its own, and directories that go away."""

import os

import fake_algorithm
import pytest

FAST = ["--algo", "fake", "--env", "toy:coordination", "--no-pictures", "--num-envs", "2", "--rollout-length", "4"]


@pytest.fixture(scope="module", autouse=True)
def _fake_algorithm():
    fake_algorithm.register()
    yield
    del fake_algorithm.ALGORITHMS["fake"]


@pytest.fixture(scope="session", autouse=True)
def _cache(tmp_path_factory):
    import jax

    names = ("jax_compilation_cache_dir", "jax_persistent_cache_min_compile_time_secs")
    before = {name: getattr(jax.config, name) for name in names}
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        patch.delenv("JAX_COMPILATION_CACHE_DIR", raising=False)
        yield
    for name, value in before.items():
        jax.config.update(name, value)


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
    import pathlib
    import sys

    here = pathlib.Path(__file__).parent
    paths = os.pathsep.join([str(here), str(here.parent.parent)])
    return [sys.executable, str(here / "fake_algorithm.py"), *FAST], {**os.environ, "PYTHONPATH": paths}
