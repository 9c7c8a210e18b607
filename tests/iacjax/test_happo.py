"""HAPPO: the factor against a slow calculation, who learns with which, what may not reach the gradients."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from iacjax.algorithms.ppo import happo
from iacjax.algorithms.ppo import learner as ppo
from iacjax.algorithms.ppo.config import HappoConfig
from tests.helpers.tiny_intrinsic import (
    CLOCK,
    KEY,
    QUICK,
    SPEC,
    A,
    check_shapes_stay,
    drawn,
    equal,
    make_batch,
    quick,
    with_garbage,
)

SMALL = {"hidden_dim": 4, "critic_dim": 4, "num_envs": 4, "rollout_length": 7, "minibatches": 1, "epochs": 2}
SMALL |= {"lr": 0.05, "critic_lr": 0.01, "max_grad_norm": 10.0, "entropy": 0.01, "agent_order": "fixed"}
ONE = jnp.ones((), jnp.float32)


@cache
def make(**fields):
    """(networks, learner of random parameters, batch, the data of its gradient steps)."""
    nets = ppo.build(SPEC, HappoConfig(**{**SMALL, **fields}))
    learner, batch = drawn(partial(happo.init, nets), "params", "critic_hidden"), make_batch(nets)

    def data():
        raw, _ = ppo.values_of(nets, learner, batch, learner.critic_hidden)
        return ppo.ppo_data(nets, learner, batch, raw)[0]

    return nets, learner, batch, quick(data)


@cache
def trained(**fields):
    """What `train_actors` returns, and the actor it began with."""
    nets, learner, batch, data = make(**fields)
    actor = happo.Actor(learner.params["actor"], learner.opt["actor"])
    return actor, quick(lambda: happo.train_actors(nets, actor, batch.carry0.hidden, data, KEY, ONE))


def test_a_ratio_by_hand_is_one_where_nobody_acts():
    log_prob, old, weight = (
        jnp.log(jnp.array([0.6, 0.1, 0.5])),
        jnp.log(jnp.array([0.4, 0.2, 0.9])),
        jnp.array([1, 1, 0]),
    )
    np.testing.assert_allclose(happo.ratio_of(log_prob, old, weight), [1.5, 0.5, 1.0], rtol=1e-6)


@pytest.mark.parametrize("shared", [False, True])
def test_each_agent_learns_with_the_ratios_of_those_before_it(shared):
    """Agent by agent from outside: a slow product of probabilities, step by step, times the advantage."""
    nets, _, batch, data = make(shared_actor=shared)
    actor, (after, factor, _) = trained(shared_actor=shared)
    keys = jax.random.split(jax.random.split(KEY)[1], A)
    probabilities = jax.jit(
        lambda p: jnp.exp(nets.policies.evaluate(p, batch.carry0.hidden, data)[0]), compiler_options=QUICK
    )

    @partial(jax.jit, compiler_options=QUICK)
    def learn(own, factor, i):
        mine = happo.of_agent(data, i)
        mine = mine._replace(advantage=mine.advantage * factor[..., None])
        memory = jax.lax.dynamic_slice_in_dim(batch.carry0.hidden, i, 1, 1)
        return happo.train_agent(nets, own, memory, mine, i, keys[i], ONE)[0]

    slow, now = np.ones(data.mask.shape), actor
    for i in range(A):
        own = now if shared else jax.tree.map(lambda x, i=i: x[i : i + 1], now)
        new = learn(own, jnp.asarray(slow, jnp.float32), jnp.int32(i))
        before = np.asarray(probabilities(now.params))
        now = new if shared else jax.tree.map(lambda x, y, i=i: x.at[i].set(y[0]), now, new)
        then = np.asarray(probabilities(now.params))
        for t, b in np.ndindex(slow.shape):
            if data.weight[t, b, i] > 0:
                slow[t, b] *= then[t, b, i] / before[t, b, i]
    assert np.abs(slow - 1.0).max() > 0.1
    np.testing.assert_allclose(factor[..., 0], slow, rtol=1e-4)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-5), after, now)


def test_an_agent_has_its_own_parameters_and_knows_only_those_before_it():
    nets, _, batch, data = make()
    actor, (after, *_) = trained()
    moved = data._replace(obs=data.obs.at[:, :, 1].add(1.0))
    other, *_ = quick(lambda: happo.train_actors(nets, actor, batch.carry0.hidden, moved, KEY, ONE))

    def same(i):
        return equal(*(jax.tree.map(lambda x: x[i], tree.params) for tree in (after, other)))

    assert [same(i) for i in range(A)] == [True, False, False]  # agent 2 through the factor alone


def test_the_random_order_is_drawn_anew():
    nets, _, batch, data = make(agent_order="random")
    actor, (_, fixed, _) = trained()
    train = partial(happo.train_actors, nets, actor, batch.carry0.hidden, data)
    factor_of = jax.jit(lambda key: train(key, ONE)[1], compiler_options=QUICK)
    keys = [jax.random.key(k) for k in range(20)]
    sorted_ones = [bool((jax.random.permutation(jax.random.split(key)[0], A) == jnp.arange(A)).all()) for key in keys]
    assert {True, False} == set(sorted_ones)
    for in_order in (True, False):  # one minibatch: the key draws the order alone
        factor = factor_of(keys[sorted_ones.index(in_order)])
        assert np.allclose(factor, fixed, rtol=1e-4) == in_order


def test_padding_and_what_the_dead_see_change_nothing():
    nets, learner, batch, _ = make()
    update = jax.jit(partial(happo.update, nets), compiler_options=QUICK)
    clean = update(learner, batch, KEY, CLOCK)
    garbage = with_garbage(batch, batch.rows.terminated.at[-1].set(False))
    reset = batch.first[0] | batch.rows.boundary[0]
    memory = jnp.where(reset[:, None, None], 5.0, learner.critic_hidden)
    assert not equal(garbage, batch)
    assert equal(update(learner._replace(critic_hidden=memory), garbage, KEY, CLOCK), clean)
    dead = jnp.zeros((8, 4, 3), bool).at[:4, 0, 1].set(True)
    rows = batch.rows._replace(obs=jnp.where(dead[..., None], 3.0, batch.rows.obs))
    of_dead = update(learner, batch._replace(rows=rows), KEY, CLOCK)
    assert equal(of_dead[0].params["actor"], clean[0].params["actor"])
    assert not equal(clean[0].params["actor"], learner.params["actor"])
    assert not equal(clean[0].params["critic"], learner.params["critic"])


@pytest.mark.parametrize("fields", [{"minibatches": 2, "actor_memory": False}, {"shared_actor": True}], ids=str)
def test_an_update_keeps_every_shape_and_strong_type(fields):
    nets, _, batch, _ = make()
    nets = ppo.build(SPEC, HappoConfig(**{**SMALL, **fields}))
    if not nets.config.actor_memory:
        batch = batch._replace(carry0=batch.carry0._replace(hidden=jnp.zeros((4, A, 0))))
    check_shapes_stay(partial(happo.init, nets), partial(happo.update, nets), batch)
