"""MASAC and HASAC: targets, temperatures, the policies' gradients at once and in turn, steps, by literal numbers."""

import math
from functools import cache

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.base import ActionSpec
from iacjax.algorithms.masac import learner as masac
from iacjax.algorithms.masac.config import HasacConfig, MasacConfig
from tests.helpers.continuous_batch import PADDED, SMALL, SPEC, WARM, A, B, agent_changed, make_batch, timestep
from tests.helpers.tiny_intrinsic import QUICK, quick

PAIR = SPEC._replace(num_agents=2, obs_dim=1, state_dim=1, action=ActionSpec(dim=1, low=-1.0, high=1.0))


@cache
def build(kind=MasacConfig, spec=SPEC, seed=0, **fields):
    """(networks, algorithm, learner whose target is another critic than its own)."""
    config = kind(**{**SMALL, "critic_layers": 2, **fields})
    algorithm = masac.make(spec, config)
    init = jax.jit(algorithm.init, compiler_options=QUICK)
    learner, target = init(jax.random.key(seed)), init(jax.random.key(seed + 1)).params["critic"]
    return masac.build(spec, config), algorithm, learner._replace(target=target)


def twins(kernels, biases):
    """A critic of these layers, each [2, F, out] and [2, 1, out]."""
    layers = {f"kernel_{k}": jnp.array(x, jnp.float32) for k, x in enumerate(kernels)}
    return {"params": {"layers": layers | {f"bias_{k}": jnp.array(x, jnp.float32) for k, x in enumerate(biases)}}}


def certain(biases):
    """Policies without hidden layers of two agents: mean b_i whatever they see, log sigma -99, which is clipped."""
    kernel = jnp.zeros((2, 1, 2))
    return {"params": {"layers": {"kernel_0": kernel, "bias_0": jnp.array([[[b, -99.0]] for b in biases])}}}


def seen_by_two(obs):
    """Steps of PAIR in which both living agents observe `obs` f32[B]."""
    alive = jnp.ones((B, 2), bool)
    return timestep(0)._replace(obs=obs[:, None, None].repeat(2, 1), state=jnp.ones((B, 1)), alive=alive)


def test_the_target_is_literal_and_goes_through_time_limits():
    """Unit Gaussians: log pi = sum over D of -e^2 / 2 - log(2 pi) / 2 - log(1 - tanh(e)^2), e the noise drawn."""
    nets, _, learner = build(gamma=0.9, sigma_min=1.0, sigma_max=1.0)
    constant = jax.tree.map(jnp.zeros_like, learner.target)
    constant["params"]["layers"]["bias_2"] = jnp.array([[[3.0]], [[2.0]]])  # the lower is 2
    actor = jax.tree.map(jnp.zeros_like, learner.params["actor"])
    params = {"actor": actor, "temperature": jnp.log(jnp.array([0.5, 1.0, 2.0]))}
    key, after = jax.random.key(3), timestep(3)._replace(reward=jnp.full(B, 0.5))
    noise = np.asarray(jax.random.normal(key, (B, A, 2)), np.float64)
    log_prob = (-0.5 * noise**2 - 0.5 * math.log(2 * math.pi) - np.log(1 - np.tanh(noise) ** 2)).sum(-1)
    soft = 2.0 - log_prob @ [0.5, 1.0, 2.0]
    value = jax.jit(lambda rows: masac.td_target(nets, params, constant, rows, key), compiler_options=QUICK)
    for flags, due in (
        ({}, 0.5 + 0.9 * soft),
        ({"truncated": True}, 0.5 + 0.9 * soft),
        ({"terminated": True}, np.full(B, 0.5)),
    ):
        y = value(after._replace(**{name: jnp.full(B, flag) for name, flag in flags.items()}))
        np.testing.assert_allclose(y, due, rtol=1e-4)
    mask = jnp.ones(B).at[-1].set(0.0)
    target = jnp.full(B, 2.5).at[-1].set(99.0)  # (2.5 - 3)^2 + (2.5 - 2)^2
    loss, q = quick(lambda critic: masac.critic_loss(nets, critic, after, jnp.zeros((B, A, 2)), target, mask), constant)
    np.testing.assert_allclose(loss, 0.5, rtol=1e-6)
    np.testing.assert_allclose(q, [[3.0] * B, [2.0] * B])


def test_the_policies_gradient_goes_through_the_lower_critic_and_the_entropy():
    """Q_1 = 3 u_0 + 2 u_1 + 10, Q_2 far above. At u = 0.5 and sigma near 0 the slopes of
    sum_i alpha_i log pi_i - Q_1 are alpha_i 2 tanh(b_i) - (3, 2) (1 - 0.25) = alpha_i - (2.25, 1.5)."""
    sizes = {"hidden_dim": 1, "policy_layers": 0, "critic_layers": 1}
    nets, _, _ = build(spec=PAIR, sigma_min=1e-4, **sizes)
    first = [[[0.0], [3.0], [2.0]], [[0.0]] * 3]
    critic = twins([first, [[[1.0]], [[1.0]]]], [[[[10.0]], [[0.0]]], [[[0.0]], [[100.0]]]])
    actor, ts = certain([math.atanh(0.5)] * 2), seen_by_two(jnp.ones(B))
    alpha, key = jnp.array([0.2, 0.4]), jax.random.key(0)
    loss = lambda actor: masac.actor_loss(nets, actor, critic, alpha, ts, key, jnp.ones(B))[0]  # noqa: E731
    slopes = quick(jax.grad(loss), actor)["params"]["layers"]["bias_0"][:, 0, 0]
    np.testing.assert_allclose(slopes, [0.2 - 2.25, 0.4 - 1.5], atol=2e-3)


@pytest.mark.parametrize("kind", [MasacConfig, HasacConfig])
def test_steps_of_dead_agents_weigh_nothing_in_their_policies(kind):
    """Q of the test above, over observations 1 to 6 with means b_i + k_i o. Agent 1 lives in rows 0 and 1, so the
    slope of k_1 is (0.4 - 1.5) times their mean 1.5; agent 0 lives in all but the last row, which is padding: its
    slope is (0.2 - 2.25) times the mean 3."""
    sizes = {"hidden_dim": 1, "policy_layers": 0, "critic_layers": 1, "lr": 1e-6}
    nets, _, learner = build(kind, spec=PAIR, sigma_min=1e-4, **sizes)
    actor = certain([math.atanh(0.5)] * 2)
    critic = twins([[[[0.0], [3.0], [2.0]], [[0.0]] * 3], [[[1.0]]] * 2], [[[[10.0]], [[0.0]]], [[[0.0]], [[100.0]]]])
    params = {"actor": actor, "critic": critic, "temperature": jnp.log(jnp.array([0.2, 0.4]))}
    opt = {**learner.opt, "actor": nets.optimizers["actor"].init(actor)}
    alive = jnp.ones((B, 2), bool).at[2:, 1].set(False)
    learner, ts = learner._replace(params=params, opt=opt), seen_by_two(jnp.arange(1.0, B + 1))._replace(alive=alive)
    mask = jnp.ones(B).at[-1].set(0.0)
    find = masac.sequential_grads if kind is HasacConfig else masac.simultaneous_grads
    slopes = quick(lambda: find(nets, learner, ts, jax.random.key(0), mask)[0])
    np.testing.assert_allclose(slopes["params"]["layers"]["kernel_0"][:, 0, 0], [-2.05 * 3, -1.1 * 1.5], atol=5e-3)


def in_turn(keys, **fields):
    """Gradients of the two means, f32[N, 2], for N keys, where Q = relu(u_0 + 5) - 4 relu(u_0 + u_1 - 0.1).

    Both policies begin at u = 0: agent 0 is led upwards with slope 1, agent 1 has slope 0. Once agent 0 has moved, to
    tanh(1) = 0.76, agent 1's slope is -4. A first step of Adam is as long as the learning rate.
    """
    sizes = {"hidden_dim": 2, "policy_layers": 0, "critic_layers": 1, "lr": 1.0, "temperature": 1e-6}
    nets, algorithm, learner = build(spec=PAIR, sigma_min=1e-4, **sizes, **fields)
    kernel = [[0.0, 0.0], [1.0, 1.0], [0.0, 1.0]]
    critic = twins([[kernel] * 2, [[[1.0], [-4.0]]] * 2], [[[[5.0, -0.1]]] * 2, [[[0.0]]] * 2])
    actor = certain([0.0, 0.0])
    learner = learner._replace(
        params={**learner.params, "actor": actor, "critic": critic},
        opt={**learner.opt, "actor": nets.optimizers["actor"].init(actor)},
    )
    ts = seen_by_two(jnp.ones(B))
    sequential = nets.config.actor_update == "sequential"
    find = masac.sequential_grads if sequential else masac.simultaneous_grads
    grads = quick(jax.vmap(lambda key: find(nets, learner, ts, key, jnp.ones(B))[0]), keys)
    return grads["params"]["layers"]["bias_0"][..., 0, 0]


def test_in_turn_an_agent_learns_at_the_others_newest_actions():
    keys = jax.random.split(jax.random.key(0), 8)
    np.testing.assert_allclose(in_turn(keys), np.tile([-1.0, 0.0], (8, 1)), atol=2e-3)
    fixed = in_turn(keys, kind=HasacConfig, order="fixed")
    np.testing.assert_allclose(fixed, np.tile([-1.0, 4.0], (8, 1)), atol=2e-3)
    drawn = np.asarray(in_turn(keys, kind=HasacConfig))
    np.testing.assert_allclose(drawn[:, 0], -1.0, atol=2e-3)
    second = drawn[:, 1] > 2.0  # agent 1 had its turn after agent 0
    assert 0 < second.sum() < 8
    np.testing.assert_allclose(drawn[:, 1], np.where(second, 4.0, 0.0), atol=2e-3)


def test_temperatures_grow_while_the_entropy_is_below_its_target():
    """With H = -0.5 for each dimension, of which agent 2 has one, log pi + H is 1 - 1, 3 - 1 and -2 - 0.5. The slopes
    of -log alpha_i (log pi_i + H_i) are their negatives."""
    nets, _, _ = build(spec=PADDED, target_entropy=-0.5)
    log_prob, mask = jnp.tile(jnp.array([1.0, 3.0, -2.0]), (B, 1)), jnp.ones(B).at[0].set(0.0)
    log_alpha = jnp.log(jnp.array([0.1, 0.2, 0.3]))
    slopes = jax.grad(lambda x: masac.temperature_loss(nets, x, log_prob.at[0].set(9.0), mask))(log_alpha)
    np.testing.assert_allclose(slopes, [0.0, -2.0, 2.5], atol=1e-6)


@pytest.mark.parametrize("kind, auto, step", [(MasacConfig, False, 0.0), (HasacConfig, True, 3e-4)])
def test_an_update_moves_everything_and_is_blind_to_what_has_no_action(kind, auto, step):
    _, algorithm, learner = build(kind, tau=0.25, auto_temperature=auto, temperature=0.5)
    batch, update = make_batch(), jax.jit(algorithm.update, compiler_options=QUICK)
    one, metrics = update(learner, batch, jax.random.key(0), WARM)
    assert set(metrics) == {"critic_loss", "actor_loss", "q", "entropy", "temperature"}
    assert agent_changed(learner.params["actor"], one.params["actor"]) == [True] * A
    moved = np.asarray(one.params["temperature"]) - math.log(0.5)
    np.testing.assert_allclose(np.abs(moved), step, atol=1e-6)  # Adam's first step, or none
    due = jax.tree.map(lambda old, new: 0.75 * old + 0.25 * new, learner.target, one.params["critic"])
    chex.assert_trees_all_close(one.target, due, rtol=1e-5, atol=1e-6)
    rows = batch.rows._replace(obs=batch.rows.obs.at[:, -1].set(9.0), state=batch.rows.state.at[:, -1].set(9.0))
    other, _ = update(learner, batch._replace(rows=rows), jax.random.key(0), WARM)
    chex.assert_trees_all_equal(other.params, one.params)
