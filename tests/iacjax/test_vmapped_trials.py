"""Trials: an algorithm for each, rebuilt from floats inside the mapped function, and which floats allow it."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from envs.toy.probes import TOYS
from iacjax.algorithms.registry import get_entry
from iacjax.trainer import make_trainer
from iacjax.vmapped_trials import can_be_traced, make_trial_trainer
from tests.helpers.scripted import Counter, make_scripted

ENV = TOYS["variable"]()


def make(floats):
    """The scripted algorithm, whose sum of rewards grows by `floats["step"]` times the reward."""
    algorithm = make_scripted(ENV.spec, 2, 5)

    def update(learner, batch, key, clock):
        after, metrics = algorithm.update(learner, batch, key, clock)
        return Counter(after.updates, learner.rewards + floats["step"] * metrics["reward"]), metrics

    return algorithm._replace(update=update)


def test_each_trial_is_the_algorithm_of_its_floats():
    keys = jax.random.split(jax.random.key(7), 3)
    steps = np.array([1.0, -2.0, 0.5], np.float32)
    trainer = make_trial_trainer(ENV, make, 10, eval_episodes=4)
    trials, metrics, _ = trainer.chunk(trainer.init((keys, {"step": steps})), 0, 5)
    assert trials.floats["step"].tolist() == steps.tolist()
    assert trials.learner.updates.tolist() == [5, 5, 5]
    for k, step in enumerate(steps.tolist()):
        alone = make_trainer(ENV, make({"step": step}), 10, eval_episodes=4)
        own, own_metrics, _ = alone.chunk(alone.init(keys[k : k + 1]), 0, 5)
        np.testing.assert_allclose(own.learner.rewards[0], trials.learner.rewards[k], rtol=1e-5)
        np.testing.assert_array_equal(own_metrics["reward"][:, 0], metrics["reward"][:, k])
    episodes = trainer.evaluate(trials, keys)
    assert episodes.returns.shape == (3, 4)


def test_the_same_seed_in_trials_of_other_floats_differs_by_them_alone():
    keys = jnp.stack([jax.random.key(3)] * 2)
    trainer = make_trial_trainer(ENV, make, 4, eval_episodes=1)
    start = trainer.init((keys, {"step": np.array([1.0, 3.0], np.float32)}))
    first = np.asarray(start.learner.rewards)
    trials, metrics, _ = trainer.chunk(start, 0, 4)
    total = metrics["reward"][:, 0].sum()
    assert first[0] == first[1] and total != 0
    np.testing.assert_allclose(trials.learner.rewards - first, [total, 3 * total], rtol=1e-5)


def test_floats_that_a_factory_branches_on_cannot_be_lanes():
    """IQL's learning rate and discount only enter arithmetic; its updates per step become a number of updates."""
    entry = get_entry("iql")
    config = dataclasses.replace(entry.config(), num_envs=2, rollout_length=4, hidden_dim=8, updates_per_step=0.125)

    def maker(floats):
        return entry.make(ENV.spec, dataclasses.replace(config, **floats))

    assert can_be_traced(ENV, maker, ("lr", "gamma"))
    assert not can_be_traced(ENV, maker, ("updates_per_step",))
    assert not can_be_traced(ENV, maker, ("lr", "updates_per_step"))
