"""The run command in this process, with a fake learner, programs compiled once a file, directories that go away."""

import os

import fake_algorithm
import pytest

UNOPTIMISED = "jax_disable_most_optimizations"
FAST = ["--algo", "fake", "--env", "toy:coordination", "--no-pictures", "--num-envs", "2", "--rollout-length", "4"]


@pytest.fixture(scope="module", autouse=True)
def _fake_algorithm():
    fake_algorithm.register()
    yield
    del fake_algorithm.ALGORITHMS["fake"]


@pytest.fixture(scope="module", autouse=True)
def _unoptimised(_nothing_is_left):
    """Programs that run for a moment are compiled without optimisation."""
    import jax

    jax.config.update(UNOPTIMISED, True)


@pytest.fixture(scope="module", autouse=True)
def _compiled_once():
    """Runs of one configuration in a file share their programs (tracing them takes as long as running them): the same
    env and algorithm, built once, and what they are traced and compiled to for so many seeds and episodes."""
    from envs.custom import is_custom_name
    from experiments import run
    from experiments.training import startup

    build, trace, compile_ = run.build, startup.trace_programs, startup.compile_programs

    def what_is_built(settings):
        if is_custom_name(settings.run.env):  # a test may edit it from one run to the next
            return object()
        return repr((settings.run.env, settings.run.env_options, settings.run.algo, settings.algorithm))

    def what_is_traced(env, algorithm, *args, **kwargs):
        return id(env), id(algorithm), args, tuple(sorted(kwargs.items()))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "build", once(build, what_is_built))
        patch.setattr(startup, "trace_programs", once(trace, what_is_traced))
        patch.setattr(startup, "compile_programs", once(compile_, id))
        yield


def once(function, key):
    """`function`, called once for arguments of one key; the arguments are kept, so that no id comes again."""
    known = {}

    def call(*args, **kwargs):
        k = key(*args, **kwargs)
        if k not in known:
            known[k] = args, function(*args, **kwargs)
        return known[k][1]

    return call


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
    environment = {**os.environ, "PYTHONPATH": paths, UNOPTIMISED.upper(): "1"}
    return [sys.executable, str(here / "fake_algorithm.py"), *FAST], environment
