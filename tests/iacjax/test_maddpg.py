"""MADDPG: its critics' targets, its policies' gradients, its clipping and its targets, against literal numbers."""

from functools import cache

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from iacjax.algorithms.common import continuous_actors
from iacjax.algorithms.common.targets import move_every
from iacjax.algorithms.maddpg import learner as maddpg
from iacjax.algorithms.maddpg.config import MaddpgConfig
from iacjax.types import Clock
from tests.helpers.continuous_batch import (
    OBS,
    PADDED,
    SMALL,
    SPEC,
    WARM,
    A,
    B,
    D,
    agent_changed,
    leaf,
    make_batch,
    timestep,
    zeros_but,
)
from tests.helpers.tiny_intrinsic import QUICK, quick


@cache
def build(spec=SPEC, seed=0, **fields):
    """(networks, algorithm, learner whose targets are other networks than its own)."""
    config = MaddpgConfig(**{**SMALL, "critic_layers": 2, **fields})
    algorithm = maddpg.make(spec, config)
    init = jax.jit(algorithm.init, compiler_options=QUICK)  # compiled once: quicker than twice step by step
    learner, target = init(jax.random.key(seed)), init(jax.random.key(seed + 1)).params
    return maddpg.build(spec, config), algorithm, learner._replace(target=target)


def constant_critic(learner, values):
    """The learner's target critics replaced by ones that say `values` whatever they see."""
    return {**learner.target, "critic": zeros_but(learner.target["critic"], values, "bias_2")}


def test_the_target_of_every_agent_is_literal_and_goes_through_time_limits():
    nets, _, learner = build(gamma=0.9)
    target = constant_critic(learner, [1.0, 2.0, -3.0])
    after = timestep(3)._replace(reward=jnp.full(B, 0.5))
    for flags, due in (
        ({}, [1.4, 2.3, -2.2]),  # 0.5 + 0.9 x (1, 2, -3)
        ({"truncated": True}, [1.4, 2.3, -2.2]),
        ({"terminated": True}, [0.5, 0.5, 0.5]),
    ):
        rows = after._replace(**{name: jnp.full(B, flag) for name, flag in flags.items()})
        y = maddpg.td_target(nets, target, rows, jax.random.key(0))
        np.testing.assert_allclose(y, np.tile(due, (B, 1)), rtol=1e-6)


def test_critics_against_a_slow_pass():
    """Each critic reads all observations and actions through its own weights."""
    nets, _, learner = build()
    batch, critic = make_batch(), learner.params["critic"]
    action = (np.asarray(batch.action[0]) - 1.0) / 3.0  # [-2, 4] -> [-1, 1]
    q = maddpg.q_values(nets, critic, batch.ts.obs[0], jnp.asarray(action)[:, None])
    for b in range(B):
        for i in range(A):
            x = np.concatenate([np.asarray(batch.ts.obs[0, b]).ravel(), action[b].ravel()])
            for k in range(3):
                x = x @ np.asarray(leaf(critic, f"kernel_{k}")[i]) + np.asarray(leaf(critic, f"bias_{k}")[i, 0])
                x = np.maximum(x, 0) if k < 2 else x
            np.testing.assert_allclose(q[b, i], x[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("policy", ["deterministic", "gaussian"])
def test_a_policy_learns_from_its_own_critic_and_its_own_action(policy):
    """With only critic 1 alive, only policy 1 has a gradient: that of Q_1(o, u_0, mu_1(o_1), u_2) at replayed u."""
    nets, _, learner = build(policy=policy, regularisation=0.0)
    batch, key = make_batch(), jax.random.key(5)
    ts, action, mask = jax.tree.map(lambda x: x[0], batch.ts), nets.range.from_env(batch.action[0]), batch.mask[0]
    critic = jax.tree.map(lambda x: x * (jnp.arange(A) == 1).reshape(A, 1, 1), learner.params["critic"])
    own = jax.grad(lambda actor: maddpg.actor_loss(nets, actor, critic, ts, action, key, mask))
    grads = quick(own, learner.params["actor"])
    zeros = jax.tree.map(jnp.zeros_like, grads)
    assert agent_changed(zeros, grads) == [False, True, False]

    def slow(actor):
        """Minus the mean of Q_1 over the five real environments."""
        new, _ = maddpg.sample(nets, actor, ts.obs, key)
        joint = jnp.stack([action[:, 0], new[:, 1], action[:, 2]], 1)
        x = jnp.concatenate([ts.obs.reshape(B, -1), joint.reshape(B, -1)], -1)
        inputs = jnp.zeros((B, A, x.shape[-1])).at[:, 1].set(x)
        return -nets.critic.apply(critic, inputs)[:5, 1, 0].mean()

    due = quick(jax.grad(slow), learner.params["actor"])
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-7), grads, due)


def test_a_rare_environment_without_an_action_changes_nothing():
    _, algorithm, learner = build(target_every=2)
    batch = make_batch()
    rows = batch.rows._replace(obs=batch.rows.obs.at[:, -1].set(9.0))
    other = batch._replace(action=batch.action.at[0, -1].set(3.0), rows=rows)
    update = jax.jit(algorithm.update, compiler_options=QUICK)
    a, b = (update(learner, x, jax.random.key(0), WARM)[0].params for x in (batch, other))
    chex.assert_trees_all_equal(a, b)


def test_regularisation_is_the_mean_square_of_what_policies_put_out():
    nets, _, learner = build(policy="deterministic", regularisation=0.5)
    critic = jax.tree.map(jnp.zeros_like, learner.params["critic"])
    actor = zeros_but(learner.params["actor"], [[1.0, 2.0], [0.0, 0.0], [3.0, 1.0]], "bias_2")
    ts, action = timestep(0), jnp.zeros((B, A, D))
    # 0.5 x (mean(1, 4) + 0 + mean(9, 1)) = 0.5 x 7.5
    loss = maddpg.actor_loss(nets, actor, critic, ts, action, jax.random.key(0), jnp.ones(B))
    np.testing.assert_allclose(loss, 3.75, rtol=1e-6)


def test_clipping_by_variable_and_by_agent():
    grads = {"a": jnp.array([[3.0, 4.0], [0.3, 0.4]]), "b": jnp.array([[12.0], [0.0]])}
    clip = continuous_actors.clip_each_agent(0.5, per_variable=True)
    clipped, _ = clip.update(grads, optax.EmptyState())
    np.testing.assert_allclose(clipped["a"], [[0.3, 0.4], [0.3, 0.4]], rtol=1e-6)  # norms 5 and 0.5
    np.testing.assert_allclose(clipped["b"], [[0.5], [0.0]], rtol=1e-6)
    clip = continuous_actors.clip_each_agent(6.5, per_variable=False)
    clipped, _ = clip.update(grads, optax.EmptyState())
    np.testing.assert_allclose(clipped["a"], [[1.5, 2.0], [0.3, 0.4]], rtol=1e-6)  # norms 13 and 0.5
    np.testing.assert_allclose(clipped["b"], [[6.0], [0.0]], rtol=1e-6)


@pytest.mark.parametrize("every, tau, first, second", [(2, 1.0, 0.0, 1.0), (1, 0.25, 0.25, 0.4375)])
def test_targets_are_copied_or_follow(every, tau, first, second):
    """A target at 0, parameters at 1: tau 0.25 gives 0.25, then 0.25 + 0.75 x 0.25."""
    config = MaddpgConfig(target_every=every, tau=tau)
    params, target = {"w": jnp.ones(2)}, {"w": jnp.zeros(2)}
    for count, due in ((1, first), (2, second)):
        target = move_every(config.target_every, config.tau, jnp.int32(count), params, target)
        np.testing.assert_allclose(target["w"], [due, due])


def test_an_update_moves_actors_critics_and_targets():
    _, algorithm, learner = build(target_every=2)
    update = jax.jit(algorithm.update, compiler_options=QUICK)
    one, metrics = update(learner, make_batch(), jax.random.key(0), WARM)
    assert set(metrics) == {"critic_loss", "actor_loss", "q"}
    for name in ("actor", "critic"):
        assert agent_changed(learner.params[name], one.params[name]) == [True] * A
    jax.tree.map(np.testing.assert_array_equal, one.target, learner.target)
    two, _ = update(one, make_batch(7), jax.random.key(1), WARM)
    jax.tree.map(np.testing.assert_array_equal, two.target, two.params)


def test_greedy_acting_reads_observations_alone():
    nets, algorithm, learner = build(PADDED)
    policy, ts = algorithm.policy(learner), timestep(0)
    _, action, _ = algorithm.act(policy, (), ts, jnp.ones(B, bool), jax.random.key(0), WARM, explore=False)
    other = ts._replace(state=ts.state + 5.0, reward=ts.reward + 1.0)
    cold = Clock(jnp.int32(0), jnp.int32(0))
    _, same, _ = algorithm.act(policy, (), other, jnp.zeros(B, bool), jax.random.key(1), cold, explore=False)
    np.testing.assert_array_equal(action, same)
    moved = ts._replace(obs=ts.obs.at[:, 1].add(1.0))
    _, changed, _ = algorithm.act(policy, (), moved, jnp.ones(B, bool), jax.random.key(0), WARM, explore=False)
    np.testing.assert_array_equal(changed[:, [0, 2]], action[:, [0, 2]])
    assert (changed[:, 1] != action[:, 1]).all()
    np.testing.assert_allclose(action[:, 2, 1], 1.0)  # a padded dimension stays in the middle of [-2, 4]
    mean = nets.policy.apply(policy, ts.obs)[..., :D]
    np.testing.assert_allclose(nets.range.from_env(action), np.tanh(mean) * nets.mask, atol=1e-6)


def test_exploration():
    """Uniform until warm, unless the policy is to act; then noise of the asked scale around the greedy action."""
    spec, envs = SPEC._replace(num_agents=2, obs_dim=1), 2000
    obs = jnp.zeros((envs, 2, 1))

    def act(steps, **fields):
        noise = {"policy": "deterministic", "warmup": 100, "noise_scale": 0.05}
        algorithm = maddpg.make(spec, MaddpgConfig(**{**SMALL, **noise, **fields}))

        @jax.jit
        def call(key, clock):
            ts, first = timestep(0)._replace(obs=obs), jnp.ones(envs, bool)
            return algorithm.act(algorithm.policy(algorithm.init(key)), (), ts, first, key, clock, explore=True)[1]

        return [np.asarray(call(jax.random.key(1), Clock(jnp.int32(t), jnp.int32(t)))) for t in steps]

    uniform, noisy = act((99, 100))
    assert uniform.min() >= -2.0 and uniform.max() <= 4.0
    np.testing.assert_allclose([uniform.mean(), uniform.std()], [1.0, 6 / 12**0.5], atol=0.1)
    # At observation 0 all biases are 0: the middle, 1, with noise of 0.05 x half the range.
    np.testing.assert_allclose(noisy.mean((0, 1)), 1.0, atol=0.02)
    np.testing.assert_allclose(noisy.std(), 0.15, rtol=0.05)
    np.testing.assert_array_equal(act((0,), warmup_actions="policy")[0], noisy)
    # A Gaussian policy starts with a standard deviation of 1 before tanh: E tanh(x)^2 = 0.394.
    np.testing.assert_allclose(act((100,), policy="gaussian")[0].std(), 3 * 0.394**0.5, rtol=0.05)


def test_inspection():
    nets, algorithm, learner = build()
    batch = make_batch()
    seen = algorithm.inspect(learner, batch)
    assert seen["q"].shape == (1, B) and seen["mean"].shape == (1, B, A, D)
    q = maddpg.q_values(
        nets, learner.params["critic"], batch.ts.obs, nets.range.from_env(batch.action)[..., None, :, :]
    )
    np.testing.assert_allclose(seen["q"], q.mean(-1), rtol=1e-6)


def test_sizes():
    _, algorithm, learner = build()
    assert leaf(learner.params["critic"], "kernel_0").shape == (A, A * (OBS + D), 8)
    assert (algorithm.plan.updates, algorithm.plan.warmup) == (1, 256)
