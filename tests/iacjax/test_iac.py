"""IAC's learner: densities, losses and targets against slow or literal ones, and what execution may read."""

import dataclasses
from functools import cache

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from envs.base import ActionSpec, EnvSpec, TimeStep
from envs.errors import ConfigError
from iacjax.algorithms.iac import learner as iac
from iacjax.algorithms.iac import policy as iac_policy
from iacjax.algorithms.registry import get_entry
from iacjax.types import Batch, Clock
from tests.helpers.tiny_intrinsic import QUICK

A, D, OBS, X, B = 3, 2, 4, 5, 6
SPEC = EnvSpec("toy:x", A, OBS, X, ActionSpec(dim=D, low=-2.0, high=4.0), horizon=10)
FAMILY = ["iac", "siaq", "ddpg_mix"]  # each choice of each kind; the others are made of the same parts
FAMILY += [pytest.param(name, marks=pytest.mark.slow) for name in ("sq", "attn_qmix", "siq")]


@cache
def build(name, **fields):
    """(networks, algorithm): one a configuration, so that tests share what they have compiled."""
    config = dataclasses.replace(get_entry(name).config(), hidden_dim=8, buffer_size=512, batch_size=B, **fields)
    return iac.build(SPEC, config), iac.make(SPEC, config)


def timestep(key, lanes=B, terminated=False, truncated=False):
    k_obs, k_state, k_reward = jax.random.split(key, 3)
    return TimeStep(
        obs=jax.random.normal(k_obs, (lanes, A, OBS)),
        state=jax.random.normal(k_state, (lanes, X)),
        avail=jnp.zeros((lanes, A, 0), bool),
        alive=jnp.ones((lanes, A), bool),
        reward=jax.random.normal(k_reward, (lanes,)),
        terminated=jnp.full(lanes, terminated),
        truncated=jnp.full(lanes, truncated),
        info={},
    )


def batch_of(key, **flags):
    keys = jax.random.split(key, 3)
    rows = jax.tree.map(lambda a, b: jnp.stack([a, b]), timestep(keys[0]), timestep(keys[1], **flags))
    action = jax.random.uniform(keys[2], (1, B, A, D), minval=-2.0, maxval=4.0)
    return Batch(rows, jnp.zeros((2, B), bool), action, (), jnp.ones((1, B)), ())


def clock(steps=10_000):
    return Clock(jnp.int32(steps), jnp.int32(steps))


@cache
def learner_of(name, seed=0, **fields):
    nets, algorithm = build(name, **fields)
    learner = algorithm.init(jax.random.key(seed))
    target = algorithm.init(jax.random.key(seed + 1)).params  # other networks, so that none can stand for another
    return nets, algorithm, learner._replace(target=target)


@pytest.mark.parametrize("name", ["iac", "sq"])
def test_the_joint_density_is_that_of_a_dense_gaussian_after_tanh(name):
    nets, _, learner = learner_of(name, rank=2)
    ts, noise = timestep(jax.random.key(2)), iac_policy.draw_noise(nets.policy, jax.random.key(3), (B,))
    joint = iac_policy.sample(nets.policy, learner.params["actor"], ts.obs, ts.state, noise)
    gaussian = iac_policy.gaussian(nets.policy, learner.params["actor"], ts.obs, ts.state)
    for k in range(B):
        mean, covariance = np.asarray(gaussian.loc[k], np.float64), np.asarray(gaussian.covariance()[k], np.float64)
        factor = np.asarray(gaussian.factor[k], np.float64)
        x = mean + np.sqrt(np.asarray(gaussian.diag[k], np.float64)) * np.asarray(noise.own[k], np.float64).ravel()
        x = x + factor @ np.asarray(noise.shared[k], np.float64)
        np.testing.assert_allclose(covariance, factor @ factor.T + np.diag(gaussian.diag[k]), rtol=1e-5, atol=1e-6)
        due = stats.multivariate_normal(mean, covariance).logpdf(x) - np.log(1 - np.tanh(x) ** 2).sum()
        np.testing.assert_allclose(joint.log_prob[k], due, rtol=1e-4, atol=1e-3)
        np.testing.assert_allclose(joint.action[k].ravel(), np.tanh(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["siq", "siaq"])
def test_individual_densities_are_those_of_independent_gaussians(name):
    nets, _, learner = learner_of(name, squash="none")
    ts, noise = timestep(jax.random.key(2)), iac_policy.draw_noise(nets.policy, jax.random.key(3), (B,))
    joint = iac_policy.sample(nets.policy, learner.params["actor"], ts.obs, ts.state, noise)
    gaussian = iac_policy.gaussian(nets.policy, learner.params["actor"], ts.obs, ts.state)
    scale, loc = np.sqrt(gaussian.diag).reshape(B, A, D), np.asarray(gaussian.loc).reshape(B, A, D)
    x = loc + scale * np.asarray(noise.own)
    due = stats.norm.logpdf(x, loc, scale).sum(-1)
    assert joint.log_prob.shape == (B, A)
    np.testing.assert_allclose(joint.log_prob, due, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(joint.action, np.clip(x, -1, 1), rtol=1e-4, atol=1e-5)


def test_sigma_of_one_reading_is_no_part_of_the_other():
    """D of eq. 12: sigma^2 + 1e-6, or 1e-6 alone."""
    ts = timestep(jax.random.key(2))
    for diagonal, low, high in (("sigma", 1e-3, 1e3), ("constant", 1e-6, 1e-6)):
        nets, _, learner = learner_of("iac", diagonal=diagonal)
        diag = iac_policy.gaussian(nets.policy, learner.params["actor"], ts.obs, ts.state).diag
        assert low * 0.999 <= diag.min() <= diag.max() <= high * 1.001


@pytest.mark.parametrize("name", FAMILY)
def test_targets_bootstrap_through_time_limits_alone(name):
    nets, _, learner = learner_of(name)
    noise = iac_policy.draw_noise(nets.policy, jax.random.key(4), (B,))
    ts = timestep(jax.random.key(5))
    going, cut, over = (
        iac.td_target(
            nets, learner.target, ts._replace(terminated=ts.terminated | t, truncated=ts.truncated | c), noise
        )
        for t, c in ((False, False), (False, True), (True, False))
    )
    np.testing.assert_array_equal(going, cut)
    np.testing.assert_array_equal(over, ts.reward)
    if nets.config.exploration == "deterministic":
        action = iac_policy.mean_action(nets.policy, learner.target["actor"], ts.obs)
    else:
        joint = iac_policy.sample(nets.policy, learner.target["actor"], ts.obs, ts.state, noise)
        action = joint.action
    q = nets.critic.apply(learner.target["critic"]["agents"], ts.obs, action)[0]
    if nets.config.entropy == "individual":
        q = q - 0.01 * joint.log_prob  # inside the mixer (eq. 25, 26)
    value = nets.mixer.apply(learner.target["critic"]["mixer"], q, ts.state)
    np.testing.assert_allclose(going, ts.reward + 0.95 * value, rtol=1e-5)


def test_the_joint_entropy_enters_the_target_if_asked():
    noise, ts = None, timestep(jax.random.key(5))
    targets = []
    for entropy_in_target in (False, True):
        nets, _, learner = learner_of("iac", entropy_in_target=entropy_in_target)
        noise = iac_policy.draw_noise(nets.policy, jax.random.key(4), (B,))
        targets.append(iac.td_target(nets, learner.target, ts, noise))
    joint = iac_policy.sample(nets.policy, learner.target["actor"], ts.obs, ts.state, noise)
    np.testing.assert_allclose(targets[1] - targets[0], -0.95 * 0.01 * joint.log_prob, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", FAMILY)
def test_the_actors_loss_is_eq_15_or_26(name):
    nets, _, learner = learner_of(name)
    ts, noise = timestep(jax.random.key(5)), iac_policy.draw_noise(nets.policy, jax.random.key(4), (B,))
    actor, critic = learner.params["actor"], learner.params["critic"]
    mask = jnp.array([1.0, 1.0, 1.0, 1.0, 0.0, 0.0])
    loss, log_prob = iac.actor_loss(nets, actor, critic, ts, noise, mask)
    if nets.config.exploration == "deterministic":
        action, cost = iac_policy.mean_action(nets.policy, actor, ts.obs), 0.0
    else:
        action, cost = iac_policy.sample(nets.policy, actor, ts.obs, ts.state, noise).action, 0.01 * log_prob
    q = nets.critic.apply(critic["agents"], ts.obs, action)[0]
    if nets.config.entropy == "individual":
        soft = nets.mixer.apply(critic["mixer"], q - cost, ts.state)
    else:
        soft = nets.mixer.apply(critic["mixer"], q, ts.state) - cost
    np.testing.assert_allclose(loss, -np.asarray(soft)[:4].mean(), rtol=1e-5)  # masked rows count for nothing


@pytest.mark.parametrize("name", FAMILY)
def test_one_update_moves_what_it_should(name):
    """Every parameter of actors and critics moves (masked rows but one would do), targets only at the copy."""
    _, algorithm, learner = learner_of(name, target_every=2)
    update = jax.jit(algorithm.update, compiler_options=QUICK)
    batch = batch_of(jax.random.key(6))
    one, metrics = update(learner, batch, jax.random.key(7), clock())
    moved = jax.tree.map(lambda a, b: bool(np.abs(a - b).max() > 0), one.params, learner.params)
    assert all(jax.tree.leaves(moved))
    jax.tree.map(np.testing.assert_array_equal, one.target, learner.target)
    two, _ = update(one, batch, jax.random.key(8), clock())
    jax.tree.map(np.testing.assert_array_equal, two.target, two.params)
    assert np.isfinite(list(metrics.values())).all()


@pytest.mark.parametrize("name", FAMILY)
def test_padding_changes_nothing(name):
    _, algorithm, learner = learner_of(name, target_every=2)
    update = jax.jit(algorithm.update, compiler_options=QUICK)
    batch = batch_of(jax.random.key(6))
    batch = batch._replace(mask=batch.mask.at[0, 3:].set(0.0))
    rows = batch.rows._replace(reward=batch.rows.reward.at[:, 3:].set(1e3), obs=batch.rows.obs.at[:, 3:].set(7.0))
    one, _ = update(learner, batch, jax.random.key(7), clock())
    two, _ = update(learner, batch._replace(rows=rows), jax.random.key(7), clock())
    chex.assert_trees_all_equal(one.params, two.params)


@pytest.mark.parametrize("name", FAMILY)
def test_execution_reads_an_agents_own_observation_alone(name):
    """No state, no reward, no other agent's observation, no key, no exploration module."""
    _, algorithm, learner = learner_of(name)
    policy, ts = algorithm.policy(learner), timestep(jax.random.key(5))
    first = jnp.ones(B, bool)

    def act(policy, ts, key, now):
        return algorithm.act(policy, algorithm.carry(B), ts, first, key, now, explore=False)[1]

    action = act(policy, ts, jax.random.key(0), clock(0))
    blind = ts._replace(state=ts.state * jnp.nan, reward=ts.reward * jnp.nan, obs=ts.obs.at[:, 1:].set(jnp.nan))
    without = {**policy, "explore": jax.tree.map(lambda p: p * jnp.nan, policy["explore"])}
    again = act(without, blind, jax.random.key(1), clock(9))
    np.testing.assert_array_equal(again[:, 0], action[:, 0])
    assert np.isnan(again[:, 1:]).all()
    assert action.shape == (B, A, D)
    assert -2 <= action.min() <= action.max() <= 4


def test_the_mean_is_scaled_to_the_bounds():
    """tanh(mu) in [-1, 1] becomes 1 + 3 tanh(mu) in [-2, 4]."""
    nets, algorithm, learner = learner_of("iac")
    ts = timestep(jax.random.key(5))
    policy, first = algorithm.policy(learner), jnp.ones(B, bool)
    action = algorithm.act(policy, algorithm.carry(B), ts, first, None, clock(), False)[1]
    mean = iac_policy.gaussian(nets.policy, learner.params["actor"], ts.obs, ts.state).loc.reshape(B, A, D)
    np.testing.assert_allclose(action, 1 + 3 * np.tanh(mean), rtol=1e-4, atol=1e-5)


def test_agents_explore_together_by_the_shared_factor():
    """Sampled actions of different agents correlate as L L' + D says, not at all where there is no factor."""
    for name, related in (("iac", True), ("siaq", False)):
        nets, _, learner = learner_of(name, squash="none", factor_scale=3.0, sigma_init=0.3)
        one = timestep(jax.random.key(5), lanes=1)
        many = jax.tree.map(lambda x: jnp.repeat(x, 20_000, 0), (one.obs, one.state))
        noise = iac_policy.draw_noise(nets.policy, jax.random.key(4), (20_000,))
        gaussian = iac_policy.gaussian(nets.policy, learner.params["actor"], *many)
        x, _ = gaussian.sample_from_noise(noise.own.reshape(20_000, A * D), noise.shared)
        action = iac_policy.sample(nets.policy, learner.params["actor"], *many, noise).action.reshape(20_000, A * D)
        np.testing.assert_allclose(action, np.clip(x, -1, 1), rtol=1e-5, atol=1e-5)
        covariance = gaussian.covariance()[0]
        np.testing.assert_allclose(np.cov(np.asarray(x).T), covariance, atol=0.03 * covariance.max())
        apart = np.abs(np.asarray(covariance) * (1 - np.eye(A * D))).max()
        assert (apart > 0.1) == related


def test_only_the_gradient_that_leads_back_in_passes_the_bounds():
    """Inside everything passes. A loss that falls with x (gradient -3) drives x = 2 further out: nothing passes, but
    from -2 it leads back in; and the other way round."""
    x = jnp.array([-2.0, -1.0, 0.5, 1.0, 2.0])
    for slope, due in ((-3.0, [-3.0, -3.0, -3.0, -3.0, 0.0]), (3.0, [0.0, 3.0, 3.0, 3.0, 3.0])):
        value, gradient = jax.jit(jax.value_and_grad(lambda x, s=slope: (s * iac_policy.bounded(x)).sum()))(x)
        assert float(value) == slope * 0.5
        np.testing.assert_array_equal(gradient, due)


@pytest.mark.parametrize("name", ["iac", "siaq", "ddpg_mix"])
def test_an_unsquashed_policys_critic_sees_the_action_that_is_executed(name):
    """Policies whose mean is 3, three times the bound: Q sees the executed 1, in loss and target."""
    narrow = {"sigma_init": 1e-3, "factor_scale": 0.0, "noise_scale": 1e-6}
    nets, algorithm, learner = learner_of(name, squash="none", temperature=0.0, policy_layers=0, **narrow)
    actor = jax.tree.map(jnp.zeros_like, learner.params["actor"])
    layers = actor["policy"]["params"]["layers"]
    bias = layers["bias_0"].at[..., :D].set(3.0)
    actor = {**actor, "policy": {"params": {"layers": {**layers, "bias_0": bias}}}}
    ts, mask = timestep(jax.random.key(5)), jnp.ones(B)
    noise = iac_policy.draw_noise(nets.policy, jax.random.key(4), (B,))
    action = algorithm.act(actor, algorithm.carry(B), ts, jnp.ones(B, bool), jax.random.key(0), clock(), True)[1]
    np.testing.assert_allclose(action, 4.0, atol=1e-4)  # the upper bound of [-2, 4]
    executed = jnp.ones((B, A, D))
    critic = learner.params["critic"]
    loss, _ = iac.actor_loss(nets, actor, critic, ts, noise, mask)
    np.testing.assert_allclose(loss, -iac.q_tot_of(nets, critic, ts.obs, ts.state, executed).mean(), rtol=1e-5)
    target = iac.td_target(nets, {"actor": actor, "critic": critic}, ts, noise)
    due = ts.reward + 0.95 * iac.q_tot_of(nets, critic, ts.obs, ts.state, executed)
    np.testing.assert_allclose(target, due, rtol=1e-5)


def test_noise_goes_on_in_time_at_the_correlation_asked_for():
    """x' = 0.8 x + 0.6 fresh: variance 1, correlation 0.8 from step to step, drawn anew where an episode opens."""
    nets, _, _ = learner_of("iac", noise_correlation=0.8)
    lanes = 20_000
    keys = jax.random.split(jax.random.key(0), 2)
    old, fresh = (iac_policy.draw_noise(nets.policy, key, (lanes,)) for key in keys)
    new = iac_policy.next_noise(nets.policy, old, fresh, jnp.zeros(lanes, bool))
    np.testing.assert_allclose(new.shared, 0.8 * old.shared + 0.6 * fresh.shared, rtol=1e-5, atol=1e-6)
    assert float(new.own.std()) == pytest.approx(1.0, abs=0.01)
    assert np.corrcoef(old.own.ravel(), new.own.ravel())[0, 1] == pytest.approx(0.8, abs=0.01)
    opened = iac_policy.next_noise(nets.policy, old, fresh, jnp.ones(lanes, bool))
    jax.tree.map(np.testing.assert_array_equal, opened, fresh)


def test_warm_up_acts_uniformly_over_the_bounds():
    _, algorithm, learner = learner_of("iac", warmup=100)
    ts, lanes = timestep(jax.random.key(5), lanes=5_000), 5_000
    policy, carry, first = algorithm.policy(learner), algorithm.carry(lanes), jnp.ones(lanes, bool)
    acts = [
        np.asarray(algorithm.act(policy, carry, ts, first, jax.random.key(1), clock(t), True)[1]) for t in (99, 100)
    ]
    assert stats.kstest(acts[0].ravel(), stats.uniform(-2, 6).cdf).pvalue > 0.01
    assert stats.kstest(acts[1].ravel(), stats.uniform(-2, 6).cdf).pvalue < 1e-6


def test_the_warm_up_may_act_by_the_policy():
    """As algorithm 1 of the paper does from the first step on."""
    _, algorithm, learner = learner_of("iac", warmup=100, warmup_actions="policy")
    ts, policy, carry = timestep(jax.random.key(5)), algorithm.policy(learner), algorithm.carry(B)
    acts = [algorithm.act(policy, carry, ts, jnp.ones(B, bool), jax.random.key(1), clock(t), True)[1] for t in (0, 100)]
    np.testing.assert_array_equal(*acts)


def test_with_one_other_agent_the_number_of_heads_changes_nothing():
    """Simple World's 10 units do not divide into table 5's 4 heads; with two agents there is nothing to weigh."""
    spec, learned = SPEC._replace(num_agents=2), []
    for heads in (2, 5):
        config = dataclasses.replace(get_entry("iac").config(), hidden_dim=10, heads=heads, buffer_size=512)
        critic = iac.build(spec, config).critic
        obs, action = jnp.ones((1, 2, OBS)), jnp.ones((1, 2, D))
        params = critic.init(jax.random.key(0), obs, action)
        learned.append((params, critic.apply(params, obs, action)[0]))
    chex.assert_trees_all_equal(*learned)


def test_padded_dimensions_are_silent():
    mask = ((True, True), (True, False), (True, True))
    spec = SPEC._replace(action=ActionSpec(dim=D, low=-1.0, high=1.0, mask=mask))
    config = dataclasses.replace(get_entry("iac").config(), hidden_dim=8, buffer_size=512, batch_size=B)
    nets, algorithm = iac.build(spec, config), iac.make(spec, config)
    learner = algorithm.init(jax.random.key(0))
    ts, noise = timestep(jax.random.key(5)), iac_policy.draw_noise(nets.policy, jax.random.key(4), (B,))
    joint = iac_policy.sample(nets.policy, learner.params["actor"], ts.obs, ts.state, noise)
    np.testing.assert_array_equal(joint.action[:, 1, 1], 0.0)
    louder = noise._replace(own=noise.own.at[:, 1, 1].mul(5.0))
    again = iac_policy.sample(nets.policy, learner.params["actor"], ts.obs, ts.state, louder)
    np.testing.assert_allclose(again.log_prob, joint.log_prob, rtol=1e-6)


@pytest.mark.parametrize(
    "fields", [{"entropy": "individual"}, {"exploration": "deterministic"}, {"updates_per_step": 0.1}, {"heads": 3}]
)
def test_choices_that_make_no_sense_are_refused(fields):
    with pytest.raises(ConfigError):
        build("iac", **fields)
