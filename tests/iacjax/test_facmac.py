"""FACMAC: its targets, its mixers, its policy gradient through all agents' actions, its steps, by literal numbers."""

import math
from functools import cache, partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from envs.base import ActionSpec
from iacjax.algorithms.common.continuous_actors import greedy
from iacjax.algorithms.common.mixed_critic import critic_loss
from iacjax.algorithms.facmac import learner as facmac
from iacjax.algorithms.facmac.config import FacmacConfig
from iacjax.networks.mixing import QMixer
from tests.helpers.continuous_batch import (
    OBS,
    SMALL,
    SPEC,
    WARM,
    A,
    B,
    agent_changed,
    leaf,
    make_batch,
    timestep,
    zeros_but,
)
from tests.helpers.tiny_intrinsic import QUICK, quick

TINY = {**SMALL, "critic_layers": 2, "mixer_dim": 4, "hyper_dim": 4, "tau": 0.25, "adam_eps": 0.01, "noise_scale": 0.05}


def build(spec=SPEC, **fields):
    """Networks."""
    return facmac.build(spec, FacmacConfig(**{**TINY, **fields}))


@cache
def trained():
    """(networks, algorithm, learner whose targets are other networks than its own), compiled once."""
    algorithm = facmac.make(SPEC, FacmacConfig(**TINY))
    init = jax.jit(algorithm.init, compiler_options=QUICK)
    learner, target = init(jax.random.key(0)), init(jax.random.key(1)).params
    return build(), algorithm, learner._replace(target=target)


def zeros(nets):
    """All parameters 0."""
    shapes = jax.eval_shape(partial(facmac.init, nets), jax.random.key(0)).params
    return jax.tree.map(lambda x: jnp.zeros(x.shape, x.dtype), shapes)


def only(params, *leaves):
    """`params` all 0, but for `leaves`: (value, *names in its path)."""
    return jax.tree.map(lambda *x: sum(x), *(zeros_but(params, value, *names) for value, *names in leaves))


def test_the_target_is_literal_and_goes_through_time_limits():
    nets = build(mixer="vdn", gamma=0.9)
    target = zeros(nets)
    target["critic"]["agents"] = zeros_but(target["critic"]["agents"], [1.0, 2.0, -0.5], "bias_2")
    after = timestep(3)._replace(reward=jnp.full(B, 0.5))
    for flags, due in (
        ({}, 2.75),  # 0.5 + 0.9 (1 + 2 - 0.5)
        ({"truncated": True}, 2.75),
        ({"terminated": True}, 0.5),
    ):
        rows = after._replace(**{name: jnp.full(B, flag) for name, flag in flags.items()})
        y = quick(lambda target, rows: facmac.td_target(nets, target, rows), target, rows)
        np.testing.assert_allclose(y, np.full(B, due), rtol=1e-6)
    mask = jnp.array([1.0, 1.0, 1.0, 1.0, 1.0, 0.0])
    errors = jnp.array([2.0, 0.0, 1.0, 0.0, 0.0, 9.0])  # (4 + 1) / 5
    loss, q_tot = quick(
        lambda c: critic_loss(nets, c, after, jnp.zeros((B, A, 2)), 2.5 + errors, mask), target["critic"]
    )
    np.testing.assert_allclose([loss, *q_tot], [1.0, *[2.5] * B], rtol=1e-6)


def test_the_target_is_that_of_the_target_policies_actions():
    """Other policies, or another state, make another target."""
    nets, _, learner = trained()
    after = timestep(3)
    value = jax.jit(lambda target, rows: facmac.td_target(nets, target, rows), compiler_options=QUICK)
    y = value(learner.target, after)
    for target, rows in (
        ({**learner.target, "actor": learner.params["actor"]}, after),
        (learner.target, after._replace(state=after.state + 1.0)),
    ):
        assert (np.abs(value(target, rows) - y) > 1e-6).all()


@pytest.mark.parametrize("monotone, due", [(True, 18.5), (False, 6.5)])
def test_a_mixer_whose_weights_keep_their_signs(monotone, due):
    """w_1 = (-2, 1), w_2 = 3, b_2 = 0.5 at q = (1, 4): 3 (|-2| 1 + 4) + 0.5, or 3 (-2 + 4) + 0.5."""
    mixer = QMixer(1, 1, 1, monotone=monotone)
    q, state = jnp.array([1.0, 4.0]), jnp.zeros(2)
    params = mixer.init(jax.random.key(0), q, state)
    biases = {"w_1": [-2.0, 1.0], "w_2": [3.0]}
    params = only(params, *((v, name, "Dense_0", "bias") for name, v in biases.items()))
    params["params"]["b_2"]["Dense_1"]["Dense_0"]["bias"] = jnp.array([0.5])
    np.testing.assert_allclose(mixer.apply(params, q, state), due, rtol=1e-6)


def coupled():
    """Two agents, u_i = tanh(b_i), Q_i = relu(u_i + 1), Q_tot = 3 ELU(Q_0 + 2 Q_1 - 4)."""
    spec = SPEC._replace(num_agents=2, obs_dim=1, action=ActionSpec(dim=1, low=-1.0, high=1.0))
    sizes = {"hidden_dim": 1, "policy_layers": 0, "critic_layers": 1, "mixer_dim": 1, "hyper_dim": 1, "mixer_layers": 1}
    nets = build(spec, mixer="nonmonotonic", regularisation=0.1, **sizes)
    params = zeros(nets)
    agents, mixer = params["critic"]["agents"], params["critic"]["mixer"]
    ones = [[1.0], [1.0]]
    agents = only(agents, ([[0.0, 1.0]] * 2, "kernel_0"), (ones, "bias_0"), (ones, "kernel_1"))
    mixer = only(mixer, ([1.0, 2.0], "w_1", "bias"), ([-4.0], "b_1", "bias"), ([3.0], "w_2", "bias"))
    ts = timestep(0)._replace(obs=jnp.ones((B, 2, 1)))
    return nets, params["actor"], {"agents": agents, "mixer": mixer}, ts


def test_the_policy_gradient_passes_through_all_agents_actions():
    """Q_tot's slope in u_0 is 3 exp(Q_0 + 2 Q_1 - 4) where that is negative: it depends on what agent 1 would do NOW.

    u = (0, 0): Q_0 + 2 Q_1 - 4 = -1, Q_tot = 3 (e^-1 - 1), slopes of -Q_tot -3 e^-1 (1, 2), tanh' = 1.
    u = (0, -0.5): 1 + 2 x 0.5 - 4 = -2, slopes -3 e^-2 (1, 2 tanh'), tanh' = 1 - 0.25; the regularisation of u_1,
    0.1 (0 + 0.25) / 2, has the slope 0.1 (-0.5) 0.75.
    """
    nets, actor, critic, ts = coupled()
    descend = jax.jit(
        jax.value_and_grad(lambda p: facmac.actor_loss(nets, p, critic, ts, jnp.ones(B))), compiler_options=QUICK
    )
    e_1, e_2 = math.exp(-1), math.exp(-2)
    for bias, loss, slopes in (
        ((0.0, 0.0), 3 * (1 - e_1), (-3 * e_1, -6 * e_1)),
        ((0.0, math.atanh(-0.5)), 3 * (1 - e_2) + 0.0125, (-3 * e_2, -4.5 * e_2 - 0.0375)),
    ):
        found, grads = descend(zeros_but(actor, bias, "bias_0"))
        np.testing.assert_allclose(found, loss, rtol=1e-5)
        np.testing.assert_allclose(leaf(grads, "bias_0").ravel(), slopes, rtol=1e-5)


def test_an_update_moves_the_policies_by_the_new_critic_and_then_the_targets():
    nets, algorithm, learner = trained()
    batch = make_batch()
    update = jax.jit(algorithm.update, compiler_options=QUICK)
    one, metrics = update(learner, batch, jax.random.key(0), WARM)
    assert set(metrics) == {"critic_loss", "actor_loss", "q_tot"}
    assert agent_changed(learner.params["actor"], one.params["actor"]) == [True] * A
    ts = jax.tree.map(lambda x: x[0], batch.ts)

    def step(critic):
        actor = learner.params["actor"]
        grads = jax.grad(lambda actor: facmac.actor_loss(nets, actor, critic, ts, batch.mask[0]))(actor)
        changes, _ = nets.optimizers["actor"].update(grads, learner.opt["actor"])
        return optax.apply_updates(actor, changes)

    chex.assert_trees_all_close(quick(step, one.params["critic"]), one.params["actor"], rtol=1e-4, atol=1e-6)
    due = jax.tree.map(lambda old, new: 0.75 * old + 0.25 * new, learner.target, one.params)
    chex.assert_trees_all_close(one.target, due, rtol=1e-5, atol=1e-6)
    # The last environment has no action: what it holds changes nothing.
    rows = batch.rows._replace(obs=batch.rows.obs.at[:, -1].set(9.0))
    other, _ = update(learner, batch._replace(rows=rows), jax.random.key(0), WARM)
    chex.assert_trees_all_equal(other.params, one.params)


def test_clipping_over_all_agents_and_adams_epsilon():
    """A first step is lr g / (|g| + eps): gradients of norm 5 become (0.3, 0.4), those of norm 0.05 stay."""
    optimizer = build(lr=0.1).optimizers["actor"]
    for grads, due in (([3.0, 4.0], [-0.03 / 0.31, -0.04 / 0.41]), ([0.03, 0.04], [-0.003 / 0.04, -0.004 / 0.05])):
        changes, _ = optimizer.update(jnp.array(grads), optimizer.init(jnp.zeros(2)))
        np.testing.assert_allclose(changes, due, rtol=1e-5)


def test_one_network_for_all_agents_reads_the_agents_id():
    params = zeros(build(share_networks=True))
    assert leaf(params["actor"], "kernel_0").shape == (1, OBS + A, 8)
    assert leaf(params["critic"]["agents"], "kernel_0").shape == (1, OBS + 2 + A, 8)


def test_exploration_is_noise_around_the_policy_within_the_range():
    nets, _, learner = trained()
    actor = zeros_but(learner.params["actor"], [[0.0, 9.0]] * A, "bias_2")  # tanh: 0 and 1
    action = quick(lambda actor: facmac.explore(nets, actor, jnp.zeros((2000, A, OBS)), jax.random.key(0)), actor)
    np.testing.assert_allclose([action[..., 0].mean(), action[..., 0].std()], [0.0, 0.05], atol=0.003)
    assert action.max() == 1.0 and (action[..., 1] == 1.0).mean() == pytest.approx(0.5, abs=0.03)


def test_inspection():
    nets, algorithm, learner = trained()
    batch = make_batch()
    seen = quick(algorithm.inspect, learner, batch)
    assert seen["q"].shape == (1, B)
    due = quick(lambda actor: nets.range.to_env(greedy(nets, actor, batch.ts.obs)), learner.params["actor"])
    np.testing.assert_allclose(seen["mean"], due, rtol=1e-6)
