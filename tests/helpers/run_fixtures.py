"""Fixtures for the run and sweep commands in this process: a fake learner, programs compiled once per file."""

import pytest

from tests.helpers import fake_algorithm

UNOPTIMISED = "jax_disable_most_optimizations"
FAST = ["--algo", "fake", "--env", "toy:coordination", "--no-pictures", "--num-envs", "2", "--rollout-length", "4"]


@pytest.fixture(scope="module", autouse=True)
def fake_learner():
    """The algorithm `fake` is in the registry."""
    fake_algorithm.register()
    yield
    del fake_algorithm.ALGORITHMS["fake"]


@pytest.fixture(scope="module", autouse=True)
def unoptimised(_nothing_is_left):
    """Programs that run for a moment are compiled without optimisation."""
    import jax

    jax.config.update(UNOPTIMISED, True)


@pytest.fixture(scope="module", autouse=True)
def compiled_once():
    """Runs of one configuration in a file share their programs (tracing them takes as long as running them): the same
    environment and algorithm, built once, and what they are traced and compiled to for so many seeds and episodes."""
    from envs.custom import is_custom_name
    from experiments.training import seed_batches, train

    def what_is_built(settings):
        if is_custom_name(settings.run.env):  # a test may edit it from one run to the next
            return object()
        return repr((settings.run.env, settings.run.env_options, settings.run.algo, settings.algorithm))

    def what_is_lowered(env, algorithm, *args, **kwargs):
        return env, algorithm, args, tuple(sorted(kwargs.items()))

    def what_is_compiled(lowered):  # the trainer holds the functions themselves
        return lowered.trainer, lowered.num_seeds, lowered.layout

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "build", once(train.build, what_is_built))
        patch.setattr(train, "lower_run", once(train.lower_run, what_is_lowered))
        patch.setattr(seed_batches, "compile_lowered", once(seed_batches.compile_lowered, what_is_compiled))
        yield


def once(function, key):
    """`function`, called once for arguments of one key."""
    known = {}

    def call(*args, **kwargs):
        k = key(*args, **kwargs)
        if k not in known:
            known[k] = function(*args, **kwargs)
        return known[k]

    return call
