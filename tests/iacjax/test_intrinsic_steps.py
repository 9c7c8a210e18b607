"""Schedules, minibatches, per-time-index critics and acting of the AIIR-MIX family's learner."""

from functools import partial
from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.base import ConfigError
from iacjax.algorithms.common.actor_critic import log_probs_of, over_minibatches
from iacjax.algorithms.common.exploration import epsilon_at
from iacjax.algorithms.intrinsic import learner as intrinsic
from iacjax.algorithms.intrinsic.config import IntrinsicConfig
from iacjax.types import Clock
from tests.helpers.tiny_intrinsic import (
    KEY,
    PAPER,
    QUICK,
    check_shapes_stay,
    make_batch,
    make_learner,
    make_networks,
    prepared,
    quick,
)


def test_per_time_index_steps_from_the_last_and_copies_every_third():
    nets = make_networks(**PAPER)
    learner, batch = make_learner(nets), make_batch(nets)
    seq, _ = quick(lambda: prepared(nets, learner, batch))
    trained, _ = quick(lambda seq: intrinsic.train_critics_per_time_index(nets, learner, seq, jnp.float32(1.0)), seq)

    @partial(jax.jit, compiler_options=QUICK)
    def step(params, opt, row):
        grads = jax.grad(lambda p: intrinsic.critic_losses(nets, p, row)[0])(params)
        out = {name: nets.optimizers[name].update(grads[name], opt[name], params[name]) for name in params}
        params = {name: jax.tree.map(jnp.add, params[name], out[name][0]) for name in params}
        return params, {name: out[name][1] for name in params}

    params = {name: learner.params[name] for name in ("total", "ex")}
    opt = {name: learner.opt[name] for name in params}
    for count, t in enumerate(reversed(range(7)), start=1):
        params, opt = step(params, opt, jax.tree.map(lambda x, t=t: x[t], seq))
        if count == 6:  # copies after the 3rd and the 6th of seven steps
            target = params
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6)
    assert int(trained.critic_steps) == 7
    jax.tree.map(close, {name: trained.params[name] for name in params}, params)
    jax.tree.map(close, trained.target, target)


def test_minibatches_partition_the_environments():
    """Environment b is worth 10^b: an epoch's minibatches sum to 1111 however it is split, and splits differ by key."""
    config = SimpleNamespace(num_envs=4, epochs=3, minibatches=2)
    worth = jnp.tile(10.0 ** jnp.arange(4.0), (7, 1))

    def step(learner, start, data):
        envs = data[0].sum()
        return learner, {"envs": envs, "square": envs**2}

    train = jax.jit(lambda key: over_minibatches(step, (), (), worth, key, config)[1])
    out = [train(jax.random.key(k)) for k in range(6)]
    np.testing.assert_allclose([x["envs"] for x in out], 1111 / 2)  # the mean of 2 minibatches
    assert len({float(x["square"]) for x in out}) > 1
    halves = {101.0, 1010.0, 11.0, 1100.0, 110.0, 1001.0}  # two environments each: any epoch's squares are of these
    pairs = {a**2 + (1111 - a) ** 2 for a in halves}
    means = {round((a + b + c) / 6, 3) for a in pairs for b in pairs for c in pairs}
    assert all(min(abs(float(x["square"]) - mean) / mean for mean in means) < 1e-5 for x in out)


def test_minibatches_must_divide_the_environments():
    with pytest.raises(ConfigError, match="--minibatches must divide --num-envs 4"):
        make_networks(num_envs=4, minibatches=3)


def test_learning_rates_anneal():
    # to .1 over 100 steps: at 50 they are 1 - .9 * .5 = .55 of themselves, from 100 on .1
    nets = make_networks(anneal_steps=100, anneal_to=0.1, epochs=1, reward_net="none")
    learner, batch = make_learner(nets), make_batch(nets)
    update = jax.jit(partial(intrinsic.update, nets), compiler_options=QUICK)
    after = [update(learner, batch, KEY, Clock(jnp.int32(0), jnp.int32(t)))[0].params for t in (0, 50, 100, 10_000)]
    for name in ("actor", "total", "ex"):
        kernel = max(jax.tree.leaves(learner.params[name]), key=lambda x: x.size)
        where = [x.shape for x in jax.tree.leaves(learner.params[name])].index(kernel.shape)
        full, half, end, later = (np.abs(np.asarray(jax.tree.leaves(p[name])[where] - kernel)).sum() for p in after)
        np.testing.assert_allclose([half / full, end / full, later / full], [0.55, 0.1, 0.1], rtol=2e-3)


def test_epsilon_schedule():
    # LIIR: .5 to .01 over 50 k; half way .255
    config = IntrinsicConfig(epsilon_start=0.5, epsilon_end=0.01, epsilon_steps=50_000)
    at = [float(epsilon_at(config, Clock(jnp.int32(0), jnp.int32(t)))) for t in (0, 25_000, 50_000, 10**6)]
    np.testing.assert_allclose(at, [0.5, 0.255, 0.01, 0.01], rtol=1e-5)


# ---- acting


def acted(nets, learner, batch, explore):
    """Acts through the rows of `batch` afresh: (actions [T, B, A], aux), each with its own key, epsilon .255."""
    clock = Clock(jnp.int32(0), jnp.int32(25_000))
    act = jax.jit(partial(intrinsic.make(nets.spec, nets.config).act, explore=explore), compiler_options=QUICK)
    carry, out = batch.carry0, []
    for t in range(7):
        ts = jax.tree.map(lambda x, t=t: x[t], batch.rows)
        carry, action, aux = act(learner.params["actor"], carry, ts, batch.first[t], jax.random.fold_in(KEY, t), clock)
        out.append((action, aux))
    return jax.tree.map(lambda *x: jnp.stack(x), *out)


@pytest.mark.parametrize("shared", [True, False])
def test_replay_has_the_log_probabilities_of_acting(shared):
    nets = make_networks(shared_actor=shared, epsilon_start=0.5, epsilon_end=0.01)
    learner, batch = make_learner(nets), make_batch(nets)
    action, aux = acted(nets, learner, batch, explore=True)
    batch = batch._replace(action=action, aux=aux)
    legal = batch.ts.avail | ~batch.ts.avail.any(-1, keepdims=True)
    assert np.take_along_axis(np.asarray(legal), np.asarray(action)[..., None], -1).all()
    np.testing.assert_allclose(aux.epsilon, 0.255, rtol=1e-5)
    seq, _ = quick(lambda batch: prepared(nets, learner, batch), batch)
    log_probs = quick(lambda: log_probs_of(nets.actor, learner.params["actor"], batch.carry0.hidden, seq))
    replayed = np.take_along_axis(np.asarray(log_probs), np.asarray(action)[..., None], -1)[..., 0]
    np.testing.assert_allclose(replayed, aux.log_prob, atol=1e-5)
    assert np.asarray(aux.log_prob).std() > 0.3


def test_greedy_acting_reads_observations_masks_and_life_alone():
    nets = make_networks(epsilon_start=0.5)
    learner, batch = make_learner(nets), make_batch(nets)
    action, aux = acted(nets, learner, batch, explore=False)
    rows = batch.rows._replace(
        state=batch.rows.state + 5.0, reward=-batch.rows.reward, terminated=~batch.rows.terminated,
        truncated=~batch.rows.truncated,
    )  # fmt: skip
    other, _ = acted(nets, learner, batch._replace(rows=rows), explore=False)
    assert aux == () and action.dtype == jnp.int32
    np.testing.assert_array_equal(action, other)
    # greedy: the most likely action of the softmax without exploration
    seq, _ = quick(lambda batch: prepared(nets, learner, batch), batch._replace(action=action))
    seq = seq._replace(epsilon=jnp.zeros_like(seq.epsilon))
    log_probs = quick(lambda: log_probs_of(nets.actor, learner.params["actor"], batch.carry0.hidden, seq))
    np.testing.assert_array_equal(action, log_probs.argmax(-1))


MEMBERS = [
    {},
    {**PAPER},
    {"reward_net": "mlp", "combine": "linear", "optimizer": "rmsprop", "anneal_steps": 9},
    {"reward_net": "none", "shared_actor": False},
    {"combine": "sum", "similarity": "mlp", "epochs": 2, "minibatches": 4},
]


@pytest.mark.parametrize("fields", MEMBERS, ids=str)
def test_an_update_keeps_every_shape_and_strong_type(fields):
    nets = make_networks(**fields)
    check_shapes_stay(partial(intrinsic.init, nets), partial(intrinsic.update, nets), make_batch(nets))


def test_the_targets_start_as_copies_with_their_own_buffers():
    nets = make_networks(critic_target_every=5, reward_net="none", hidden_dim=1, critic_dim=1)
    learner = quick(partial(intrinsic.init, nets), KEY)
    jax.tree.map(np.testing.assert_array_equal, learner.target, {k: learner.params[k] for k in ("total", "ex")})
    buffers = [x.unsafe_buffer_pointer() for x in jax.tree.leaves(learner) if x.size]
    assert len(set(buffers)) == len(buffers)
