"""MAAC: its attention, its targets, both of its policy gradients, and its observations' statistics."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from envs.errors import ConfigError
from iacjax.algorithms.maac import learner as maac
from iacjax.algorithms.maac.config import MaacConfig
from iacjax.gaussian import Gaussian
from iacjax.networks.maac import SHARED, scale_shared
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
    make_batch,
    timestep,
    zeros_but,
)
from tests.helpers.tiny_intrinsic import QUICK, quick


@cache
def build(spec=SPEC, seed=0, **fields):
    """(networks, algorithm, learner whose targets are other networks than its own)."""
    config = MaacConfig(**{**SMALL, "heads": 2, **fields})
    algorithm = maac.make(spec, config)
    init = jax.jit(algorithm.init, compiler_options=QUICK)  # compiled once: quicker than twice step by step
    learner, target = init(jax.random.key(seed)), init(jax.random.key(seed + 1)).params
    return maac.build(spec, config), algorithm, learner._replace(target=target)


def obs_and_action(seed=0):
    k_obs, k_action = jax.random.split(jax.random.key(seed))
    return jax.random.normal(k_obs, (B, A, OBS)), jax.random.uniform(k_action, (B, A, D), minval=-1.0)


def leaky(x):
    return np.where(x > 0, x, 0.01 * x)


def test_attention_against_a_slow_pass():
    nets, _, learner = build()
    obs, action = obs_and_action()
    values = maac.values_of(nets, learner.params["critic"], obs, action)
    net = learner.params["critic"]["params"]

    def linear(name, i, x):
        """Agent i's layer, or the layer that all agents share."""
        flat = [np.asarray(w, np.float64) for w in jax.tree.leaves(net[name])]  # bias first, where there is one
        if flat[0].ndim == 3:  # [A, ...]
            return x @ flat[1][i] + flat[0][i, 0]
        return x @ flat[-1] + (flat[0] if len(flat) == 2 else 0.0)

    for b in range(B):
        s = [leaky(linear("state_encoder", i, obs[b, i])) for i in range(A)]
        e = [leaky(linear("encoder", i, np.concatenate([obs[b, i], action[b, i]]))) for i in range(A)]
        for i in range(A):
            x, others = [], [j for j in range(A) if j != i]
            for h in (slice(0, 4), slice(4, 8)):  # two heads of four
                scores = np.array([linear("selector", i, s[i])[h] @ linear("key", j, e[j])[h] for j in others])
                weights = np.exp(scores / 2) / np.exp(scores / 2).sum()  # root of 4
                x.append(sum(w * leaky(linear("value", j, e[j]))[h] for w, j in zip(weights, others, strict=True)))
                np.testing.assert_allclose(values.scores[b, h.start // 4, i, others], scores, rtol=1e-3, atol=1e-5)
                np.testing.assert_allclose(values.weights[b, h.start // 4, i, others], weights, rtol=1e-3)
            inner = [np.asarray(w, np.float64) for w in jax.tree.leaves(net["head"])]
            hidden = leaky(np.concatenate([e[i], *x]) @ inner[1][i] + inner[0][i, 0])
            np.testing.assert_allclose(
                values.q[b, i], hidden @ inner[3][i, :, 0] + inner[2][i, 0, 0], rtol=1e-3, atol=1e-5
            )


def test_attention_leaves_oneself_out_and_permutes_with_the_agents():
    nets, _, learner = build()
    critic, (obs, action) = learner.params["critic"], obs_and_action()
    values = maac.values_of(nets, critic, obs, action)
    np.testing.assert_array_equal(jnp.diagonal(values.weights, axis1=-2, axis2=-1), 0.0)
    np.testing.assert_allclose(values.weights.sum(-1), 1.0, rtol=1e-5)
    # One's own action moves neither one's attention nor, given `own`, anybody's value.
    moved = action.at[:, 1].add(0.5)
    np.testing.assert_array_equal(maac.values_of(nets, critic, obs, moved).weights[:, :, 1], values.weights[:, :, 1])
    other = maac.values_of(nets, critic, obs, action, own=moved)
    np.testing.assert_array_equal(other.q[:, [0, 2]], values.q[:, [0, 2]])
    np.testing.assert_allclose(other.q[:, 1], maac.values_of(nets, critic, obs, moved).q[:, 1], rtol=1e-5)
    # Agents in another order, their own parameters with them (the shared ones have no axis of agents).
    order = jnp.array([2, 0, 1])
    own = {
        name: jax.tree.map(lambda x: x[order], tree) if name in ("encoder", "state_encoder", "head") else tree
        for name, tree in critic["params"].items()
    }
    permuted = maac.values_of(nets, {"params": own}, obs[:, order], action[:, order])
    np.testing.assert_allclose(permuted.q, values.q[:, order], rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(permuted.weights, values.weights[:, :, order][..., order], rtol=1e-4, atol=1e-6)


def test_a_team_of_one_attends_to_nobody():
    nets, _, learner = build(SPEC._replace(num_agents=1))
    values = maac.values_of(nets, learner.params["critic"], jnp.ones((B, 1, OBS)), jnp.ones((B, 1, D)))
    assert bool(jnp.isfinite(values.q).all()) and float(jnp.abs(values.weights).sum()) == 0.0


def test_log_prob_is_that_of_tanh_of_a_gaussian_over_real_dimensions():
    nets, _, learner = build(PADDED)
    obs, _ = obs_and_action()
    policies, _ = maac.policies_at(nets, learner.params["actor"], obs)
    x = np.asarray(policies.sample(jax.random.key(1)), np.float64)
    each = stats.norm.logpdf(x, np.asarray(policies.mean), np.exp(np.asarray(policies.log_std))) - np.log(
        1 - np.tanh(x) ** 2
    )
    np.testing.assert_allclose(
        policies.squashed_log_prob(jnp.asarray(x, jnp.float32), nets.mask),
        (each * np.asarray(nets.mask)).sum(-1),
        rtol=1e-3,
        atol=1e-3,
    )


@pytest.mark.parametrize("kind", ["discounted", "undiscounted", "none"])
def test_the_target_is_literal_and_goes_through_time_limits(kind):
    """Critics that say (1, 2, -3); policies N(0, 1) before tanh."""
    nets, _, learner = build(gamma=0.9, temperature=0.5, entropy_in_target=kind)
    actor = jax.tree.map(jnp.zeros_like, learner.target["actor"])
    target = {"actor": actor, "critic": zeros_but(learner.target["critic"], [1.0, 2.0, -3.0], "head", "out", "bias_0")}
    key, after = jax.random.key(0), timestep(3)._replace(reward=jnp.full(B, 0.5))
    x = np.asarray(Gaussian(jnp.zeros((B, A, D)), jnp.zeros((B, A, D))).sample(key), np.float64)
    log_prob = (stats.norm.logpdf(x) - np.log(1 - np.tanh(x) ** 2)).sum(-1)
    for flag, ends in ((None, 0.0), ("truncated", 0.0), ("terminated", 1.0)):
        rows = after if flag is None else after._replace(**{flag: jnp.ones(B, bool)})
        value = np.tile([1.0, 2.0, -3.0], (B, 1)) - (0.5 * log_prob if kind == "discounted" else 0.0)
        due = 0.5 + 0.9 * (1 - ends) * value - (0.5 * log_prob if kind == "undiscounted" else 0.0)
        np.testing.assert_allclose(maac.td_target(nets, target, after.obs, rows, key), due, rtol=1e-3, atol=1e-3)


def policy_gradient(nets, learner, key, critic):
    mask = jnp.ones(B)
    obs = obs_and_action()[0]
    return jax.grad(lambda actor: maac.actor_loss(nets, actor, critic, obs, key, mask)[0])(learner.params["actor"])


@pytest.mark.parametrize("kind", ["reparameterised", "score"])
def test_a_policy_learns_through_its_own_action_alone(kind):
    """Where only agent 1's value is alive, no other policy has a gradient, though Q_1 depends on their actions."""
    nets, _, learner = build(policy_gradient=kind, regularisation=0.0, temperature=0.0)
    critic = learner.params["critic"]["params"]
    head = jax.tree.map(lambda x: x * (jnp.arange(A) == 1).reshape(A, 1, 1), critic["head"])
    grads = quick(partial(policy_gradient, nets), learner, jax.random.key(3), {"params": {**critic, "head": head}})
    assert agent_changed(jax.tree.map(jnp.zeros_like, grads), grads) == [False, True, False]


def test_both_policy_gradients_have_the_same_mean():
    """Over 3000 draws, within five standard errors."""
    means, errors = [], []
    for kind in ("reparameterised", "score"):
        nets, _, learner = build(policy_gradient=kind, temperature=0.1, hidden_dim=4, policy_layers=0)
        keys = jax.random.split(jax.random.key(4), 3000)
        draw = jax.vmap(partial(policy_gradient, nets), in_axes=(None, 0, None))
        drawn = jax.tree.leaves(quick(draw, learner, keys, learner.params["critic"]))
        grads = np.concatenate([np.asarray(x).reshape(len(keys), -1) for x in drawn], 1)
        means.append(grads.mean(0))
        errors.append(grads.std(0) / len(keys) ** 0.5)
    error = np.hypot(*errors)
    assert (np.abs(means[0]) > 5 * error).mean() > 0.3  # the test can tell something from nothing
    np.testing.assert_array_less(np.abs(means[0] - means[1]), 5 * error + 1e-6)


def test_shared_parts_have_their_gradient_divided():
    _, _, learner = build()
    ones = jax.tree.map(jnp.ones_like, learner.params["critic"])
    scaled = scale_shared(ones, 1 / 3)["params"]
    assert set(scaled) == {*SHARED, "state_encoder", "head"}
    for name, tree in scaled.items():
        for x in jax.tree.leaves(tree):
            np.testing.assert_allclose(x, 1 / 3 if name in SHARED else 1.0, rtol=1e-6)


def test_the_critics_loss_keeps_scores_small():
    """Zero critics: the loss is the mean square of targets, summed over agents; the rest is the regulariser."""
    nets, _, learner = build(attention_regularisation=0.0)
    g, _, _ = build(attention_regularisation=2.0)
    obs, action = obs_and_action()
    target, mask = jnp.full((B, A), 2.0), jnp.ones(B).at[-1].set(0.0)
    zero = jax.tree.map(jnp.zeros_like, learner.params["critic"])
    assert float(maac.critic_loss(nets, zero, obs, action, target, mask)[0]) == 12.0  # 3 agents x 2^2
    critic = learner.params["critic"]
    scores = np.asarray(maac.values_of(nets, critic, obs, action).scores)[:-1]
    slow = 0.0
    for i in range(A):
        for h in range(2):
            slow += np.mean([scores[:, h, i, j] ** 2 for j in range(A) if j != i])
    ours = (
        maac.critic_loss(g, critic, obs, action, target, mask)[0]
        - maac.critic_loss(nets, critic, obs, action, target, mask)[0]
    )
    np.testing.assert_allclose(ours, 2.0 * slow, rtol=1e-3)


def test_observations_are_normalised_by_running_statistics():
    nets, _, learner = build()
    obs = jnp.zeros((2, A, OBS)).at[0, 1, 2].set(4.0)
    stats_ = maac.track(nets, learner.stats, obs, jnp.ones(2))
    # mean 0 + 0.1 (2 - 0), variance 1 + 0.1 (4 - 1); elsewhere mean 0 and variance 1 + 0.1 (0 - 1)
    np.testing.assert_allclose(
        [stats_.mean[1, 2], stats_.var[1, 2], stats_.mean[0, 0], stats_.var[0, 0]], [0.2, 1.3, 0, 0.9], rtol=1e-6
    )
    np.testing.assert_allclose(maac.normalise_obs(nets, stats_, obs)[0, 1, 2], 3.8 / 1.30001**0.5, rtol=1e-5)
    first = maac.track(nets, learner.stats, obs, jnp.array([1.0, 0.0]))  # the second environment is padding
    np.testing.assert_allclose([first.mean[1, 2], first.var[1, 2]], [0.4, 0.9], rtol=1e-6)
    none = maac.track(nets, learner.stats, obs, jnp.zeros(2))
    jax.tree.map(np.testing.assert_array_equal, none, learner.stats)
    g, _, _ = build(normalise_obs=False)
    np.testing.assert_array_equal(maac.normalise_obs(g, maac.track(g, learner.stats, obs, jnp.ones(2)), obs), obs)


def test_an_update_moves_everything_and_ignores_padding():
    _, algorithm, learner = build(target_every=2)
    update, batch = jax.jit(algorithm.update, compiler_options=QUICK), make_batch()
    one, metrics = update(learner, batch, jax.random.key(0), WARM)
    assert set(metrics) == {"critic_loss", "actor_loss", "q", "entropy"}
    assert agent_changed(learner.params["actor"], one.params["actor"]) == [True] * A
    jax.tree.map(np.testing.assert_array_equal, one.target, learner.target)
    rows = batch.rows._replace(obs=batch.rows.obs.at[:, -1].set(9.0), reward=batch.rows.reward.at[:, -1].set(9.0))
    again, _ = update(learner, batch._replace(rows=rows), jax.random.key(0), WARM)
    jax.tree.map(np.testing.assert_array_equal, again.params, one.params)
    two, _ = update(one, make_batch(7), jax.random.key(1), WARM)
    jax.tree.map(np.testing.assert_array_equal, two.target, two.params)


def test_greedy_acting_reads_observations_alone():
    nets, algorithm, learner = build(PADDED)
    policy, ts = algorithm.policy(learner), timestep(0)

    def act(ts, key, explore=False):
        return algorithm.act(policy, (), ts, jnp.ones(B, bool), jax.random.key(key), WARM, explore=explore)[1]

    action = act(ts, 0)
    np.testing.assert_array_equal(action, act(ts._replace(state=ts.state + 5.0, reward=ts.reward + 1.0), 1))
    changed = act(ts._replace(obs=ts.obs.at[:, 1].add(1.0)), 0)
    np.testing.assert_array_equal(changed[:, [0, 2]], action[:, [0, 2]])
    assert (changed[:, 1] != action[:, 1]).all()
    np.testing.assert_allclose(action[:, 2, 1], 1.0)  # a padded dimension stays in the middle of [-2, 4]
    np.testing.assert_allclose(act(ts, 0, explore=True)[:, 2, 1], 1.0)
    mean = maac.policies_at(nets, policy.actor, maac.normalise_obs(nets, policy.stats, ts.obs))[0].mean
    np.testing.assert_allclose(nets.range.from_env(action), np.tanh(mean) * nets.mask, atol=1e-6)


def test_inspection_and_sizes():
    nets, algorithm, learner = build()
    seen = algorithm.inspect(learner, make_batch())
    shapes = {name: x.shape for name, x in seen.items()}
    assert shapes == {"q": (1, B), "mean": (1, B, A, D), "attention": (1, B, 2, A, A)}
    with pytest.raises(ConfigError, match="--hidden-dim 10 does not divide into 4"):
        build(hidden_dim=10, heads=4)
