"""Trials of a sweep in one program: each has a seed and some floats of the configuration, which are traced.

The algorithm of a trial is rebuilt from its floats inside the mapped function.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from jax.sharding import Mesh

from envs.base import ConfigError, Environment
from iacjax.device_mesh import SplitResets
from iacjax.evaluation import evaluate
from iacjax.trainer import Trainer, assemble_trainer, init_state, train_step
from iacjax.types import Algorithm, TrainState

Floats = dict[str, jax.Array]  # f32[] by the config's field


class TrialState(NamedTuple):
    """The training of one trial, and the floats of its algorithm, so that both are saved and resumed together."""

    train: TrainState
    floats: Floats

    @property
    def learner(self) -> Any:
        return self.train.learner

    @property
    def runner(self) -> Any:
        return self.train.runner

    @property
    def env_steps(self) -> jax.Array:
        return self.train.env_steps


def make_trial_trainer(
    env: Environment,
    make: Callable[[Floats], Algorithm],
    chunk_size: int,
    eval_episodes: int,
    mesh: Mesh | None = None,
) -> Trainer:
    """As `iacjax.trainer.make_trainer`, with an algorithm for each trial; its `init` takes (keys [S], floats [S] each).

    Args:
      make: builds the algorithm from a trial's floats, which are tracers: it must not branch on them (`can_be_traced`).
    """

    def init_one(key_and_floats, times=1):
        key, floats = key_and_floats
        return TrialState(init_state(env, make(floats), key, times), floats)

    def step(trial, iteration):
        state, metrics, stats = train_step(env, make(trial.floats), trial.train, iteration)
        return TrialState(state, trial.floats), metrics, stats

    def evaluate_one(trial, key):
        algorithm = make(trial.floats)
        return evaluate(SplitResets(env), algorithm, algorithm.policy(trial.learner), key, eval_episodes)

    return assemble_trainer(
        init_one, step, evaluate_one, chunk_size, mesh, lambda trial: (trial.train.key, trial.floats)
    )


def can_be_traced(env: Environment, make: Callable[[Floats], Algorithm], names: tuple[str, ...]) -> bool:
    """Whether an algorithm can be built and trained with tracers for the config's floats `names`.

    A factory that branches on one of them in Python, or makes a shape of it, cannot. An initial state and an iteration
    are traced to find out; nothing is compiled.

    Raises:
      ConfigError: the algorithm cannot be built at all.
    """
    floats = {name: jax.ShapeDtypeStruct((), "float32") for name in names}
    key = jax.eval_shape(lambda: jax.random.key(0))

    def one_iteration(key, floats):
        algorithm = make(floats)
        return train_step(env, algorithm, init_state(env, algorithm, key), jax.numpy.int32(0))

    try:
        jax.eval_shape(one_iteration, key, floats)
    except ConfigError:  # a ValueError too, but the user's
        raise
    except (TypeError, ValueError, jax.errors.JAXTypeError, jax.errors.JAXIndexError):
        return False
    return True
