"""The Q-learners with mixed values: targets with literal numbers, masks, what QMIXs' agents read, joint choices."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.base import ActionSpec, EnvSpec, TimeStep
from envs.errors import ConfigError
from iacjax.algorithms.q_learning import feed_forward as q_mixing
from iacjax.algorithms.q_learning.config import QmixConfig, QmixsConfig
from iacjax.types import Batch, Clock

A, U, OBS, X, B = 2, 3, 4, 5, 6
SPEC = EnvSpec("toy:x", A, OBS, X, ActionSpec(num_actions=U), horizon=10)


def build(config=QmixConfig, spec=SPEC, **fields):
    small = {"hidden_dim": 8, "mixer_dim": 8, "hyper_dim": 8, "buffer_size": 512, "batch_size": B, "gamma": 0.9}
    small |= {"recurrent": False, "optimizer": "adam", "lr": 1e-3}
    return q_mixing.build(spec, config(**{**small, **fields}))


def learner_of(nets, seed=0):
    learner = q_mixing.init(nets, jax.random.key(seed))
    other = q_mixing.init(nets, jax.random.key(seed + 1)).params  # so that neither can stand for the other
    return learner._replace(target=other)


def timestep(seed=0, lanes=B, **given):
    k_obs, k_state = jax.random.split(jax.random.key(seed))
    ts = TimeStep(
        obs=jax.random.normal(k_obs, (lanes, A, OBS)),
        state=jax.random.normal(k_state, (lanes, X)),
        avail=jnp.ones((lanes, A, U), bool),
        alive=jnp.ones((lanes, A), bool),
        reward=jnp.ones(lanes),
        terminated=jnp.zeros(lanes, bool),
        truncated=jnp.zeros(lanes, bool),
        info={},
    )
    return ts._replace(**given)


def constant_values(nets, learner, online, target):
    """The learner with agents' networks that put out these rows of Q [U] whatever they read."""

    def fixed(params, row):
        layers = jax.tree.map(jnp.zeros_like, params)
        layers["agents"]["params"]["layers"][f"bias_{nets.config.agent_layers}"] += jnp.array(row)
        return layers

    return learner._replace(params=fixed(learner.params, online), target=fixed(learner.target, target))


def target_of(nets, learner, after):
    return np.asarray(q_mixing.td_target(nets, learner, after))


def test_the_target_of_vdn_by_hand():
    """r + 0.9 x sum of Q'(argmax): an end is not bootstrapped, a time limit is."""
    nets = build(mixer="vdn", double_q=False)
    learner = constant_values(nets, learner_of(nets), online=[9.0, 0.0, 0.0], target=[1.0, 2.0, 5.0])
    # max Q' = 5 of each of two agents: 1 + 0.9 x 10 = 10
    np.testing.assert_allclose(target_of(nets, learner, timestep()), np.full((B, 1), 10.0), rtol=1e-6)
    over = jnp.array([True, False, False, False, False, False])
    after = timestep(terminated=over, truncated=jnp.roll(over, 1))
    np.testing.assert_allclose(target_of(nets, learner, after)[:3, 0], [1.0, 10.0, 10.0], rtol=1e-6)
    ends = nets._replace(config=dataclasses.replace(nets.config, time_limit="terminate"))
    np.testing.assert_allclose(target_of(ends, learner, after)[:3, 0], [1.0, 1.0, 10.0], rtol=1e-6)
    # action 2 is illegal for agent 1: 1 + 0.9 x (5 + 2) = 7.3
    after = timestep(avail=jnp.ones((B, A, U), bool).at[:, 1, 2].set(False))
    np.testing.assert_allclose(target_of(nets, learner, after), np.full((B, 1), 7.3), rtol=1e-6)
    # double Q-learning: the online networks choose action 0, worth 1 to the targets: 1 + 0.9 x 2 = 2.8
    double = nets._replace(config=dataclasses.replace(nets.config, double_q=True))
    np.testing.assert_allclose(target_of(double, learner, timestep()), np.full((B, 1), 2.8), rtol=1e-6)


def test_the_target_of_iql_is_an_agents_own():
    nets = build(mixer="iql", double_q=False)
    learner = constant_values(nets, learner_of(nets), online=[9.0, 0.0, 0.0], target=[1.0, 2.0, 5.0])
    after = timestep(avail=jnp.ones((B, A, U), bool).at[:, 1, 2].set(False))
    # 1 + 0.9 x 5 = 5.5, and for agent 1, whose best is illegal, 1 + 0.9 x 2 = 2.8
    np.testing.assert_allclose(target_of(nets, learner, after), np.tile([5.5, 2.8], (B, 1)), rtol=1e-6)


def joint_values(nets, params, ts):
    """Q_tot of all 3 x 3 joint actions, f32[U, U, B], -inf where one is illegal; by a loop."""
    avail = np.asarray(ts.avail | ~ts.avail.any(-1, keepdims=True))
    team = jax.jit(lambda action: q_mixing.team_value(nets, params, ts, action)[:, 0])
    values = np.full((U, U, B), -np.inf)
    for u, v in np.ndindex(U, U):
        values[u, v] = np.where(avail[:, 0, u] & avail[:, 1, v], team(jnp.tile(jnp.array([u, v]), (B, 1))), -np.inf)
    return values


@pytest.mark.parametrize("config", [QmixConfig, QmixsConfig])
def test_what_is_greedy_is_the_best_legal_joint_action(config):
    """QMIX's agents choose by themselves, which a monotone mixer is for; QMIXs tries all."""
    nets = build(config)
    params, ts = learner_of(nets).params, timestep(avail=jax.random.bernoulli(jax.random.key(3), 0.6, (B, A, U)))
    assert not bool(ts.avail.all())
    values = joint_values(nets, params, ts)
    chosen = np.asarray(q_mixing.best_actions(nets, params, ts))
    assert [values[u, v, e] for e, (u, v) in enumerate(chosen)] == list(values.max((0, 1)))


def test_qmixs_values_read_the_others_actions_and_not_the_own_one_twice():
    """Q_0's input is its observation and u_1 in one-hot; u_0 only picks among the outputs."""
    nets, ts = build(QmixsConfig), timestep(lanes=1)
    inputs = np.asarray(q_mixing.agent_inputs(nets, ts.obs, jnp.array([[1, 2]])))
    np.testing.assert_array_equal(inputs[0, 0], [*np.asarray(ts.obs)[0, 0], 0, 0, 0, 0, 0, 1])
    np.testing.assert_array_equal(inputs[0, 1], [*np.asarray(ts.obs)[0, 1], 0, 1, 0, 0, 0, 0])
    params = learner_of(nets).params
    value = {
        (u, v): q_mixing.individual_values(nets, params, ts, jnp.array([[u, v]]))[0] for u in range(U) for v in range(U)
    }
    assert abs(float(value[0, 0][0] - value[0, 1][0])) > 1e-4  # Q_0 depends on u_1
    plain = build()
    params = learner_of(plain).params
    alone = {v: q_mixing.individual_values(plain, params, ts, jnp.array([[0, v]]))[0, 0] for v in range(U)}
    assert alone[0] == alone[1] == alone[2]  # QMIX's does not


def batch_of(mask):
    rows = jax.tree.map(lambda a, b: jnp.stack([a, b]), timestep(1), timestep(2))
    action = jax.random.randint(jax.random.key(4), (1, B, A), 0, U)
    return Batch(rows, jnp.zeros((2, B), bool), action, (), jnp.asarray(mask, jnp.float32)[None], ())


@pytest.mark.parametrize("config", [QmixConfig, QmixsConfig])
def test_an_update_lowers_the_loss_and_ignores_what_is_masked(config):
    nets = build(config, target_every=3)
    mask = np.array([1, 1, 1, 1, 1, 0])
    batch = batch_of(mask)
    update = jax.jit(lambda learner, batch: q_mixing.update(nets, learner, batch, jax.random.key(0), clock()))
    learner, losses = q_mixing.init(nets, jax.random.key(0)), []
    one, _ = update(learner, batch)
    spoilt = batch.rows._replace(reward=batch.rows.reward.at[1, 5].set(1e6), obs=batch.rows.obs.at[:, 5].set(1e3))
    two, _ = update(learner, batch._replace(rows=spoilt))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), one.params, two.params)
    first_target = jax.tree.leaves(learner.target)
    for count in range(1, 101):
        learner, metrics = update(learner, batch)
        losses.append(float(metrics["loss"]))
        same = all(np.array_equal(a, b) for a, b in zip(first_target, jax.tree.leaves(learner.target), strict=True))
        assert same == (count < 3)  # the third update copies
    assert losses[-1] < 0.2 * losses[0]


def clock(steps=0):
    return Clock(jnp.int32(steps), jnp.int32(steps))


def test_exploration_is_epsilon_greedy_over_legal_actions():
    """Epsilon falls from 1 to 0.2 over 1000 steps. In 4000 environments two of agent 0's three actions are legal; half
    choose the best one at the start, 1 - 0.2 / 2 = 0.9 at the end."""
    lanes = 4000
    nets = build(epsilon_start=1.0, epsilon_end=0.2, epsilon_steps=1000)
    policy = learner_of(nets).params
    one = timestep(lanes=1, avail=jnp.ones((1, A, U), bool).at[:, 0, 1].set(False))
    ts = jax.tree.map(lambda x: jnp.repeat(x, lanes, 0), one)
    best = int(q_mixing.best_actions(nets, policy, one)[0, 0])
    for steps, share in ((0, 0.5), (500, 0.7), (1000, 0.9), (9999, 0.9)):
        first = jnp.ones(lanes, bool)
        action = q_mixing.act(nets, policy, (), ts, first, jax.random.key(steps), clock(steps), explore=True)[1]
        assert not (action[:, 0] == 1).any()
        assert float((action[:, 0] == best).mean()) == pytest.approx(share, abs=0.03)


def test_what_acting_reads_is_all_that_a_policy_holds():
    assert set(q_mixing.make(SPEC, QmixConfig(recurrent=False)).policy(learner_of(build()))) == {"agents"}
    nets = build(QmixsConfig)
    algorithm = q_mixing.make(SPEC, nets.config)
    assert set(algorithm.policy(learner_of(nets))) == {"agents", "mixer"}


def test_user_errors_are_one_line():
    many = SPEC._replace(num_agents=8)  # 3^8 = 6561 joint actions
    for spec, fields, text in (
        (many, {"others_actions": True}, "6561 joint actions.* 4096 is the most"),
        (SPEC, {"others_actions": True, "mixer": "iql"}, "no team value"),
        (SPEC, {"updates_per_step": 0.001}, "less than one update"),
        (SPEC, {"td_lambda": 0.5}, "--td-lambda needs sequences"),
    ):
        with pytest.raises(ConfigError, match=text):
            q_mixing.make(spec, QmixConfig(recurrent=False, **fields))
    q_mixing.make(many, QmixConfig(recurrent=False))
