"""Recurrent IQL, VDN and QMIX: losses and targets with literal numbers, TD(lambda), padding, the dead, acting."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.base import ActionSpec, EnvSpec, TimeStep
from envs.errors import ConfigError
from iacjax.algorithms.common.rnn import last_actions
from iacjax.algorithms.q_learning import feed_forward as q_mixing
from iacjax.algorithms.q_learning import recurrent as q_recurrent
from iacjax.algorithms.q_learning.blocks import used_rows
from iacjax.algorithms.q_learning.config import QmixConfig, QmixsConfig
from iacjax.algorithms.q_learning.learner import make
from iacjax.buffers.lanes import lay_out
from iacjax.networks.mixing import QMixer
from iacjax.types import Batch, Clock

A, U, OBS, X, H = 2, 3, 4, 5, 8
SPEC = EnvSpec("toy:x", A, OBS, X, ActionSpec(num_actions=U), horizon=6)


def build(**fields):
    config = QmixConfig(
        **{"hidden_dim": H, "mixer_dim": 4, "hyper_dim": 4, "gamma": 0.9, "optimizer": "adam", **fields}
    )
    return q_recurrent.build(SPEC, config, QMixer(config.mixer_dim, config.hyper_dim))


def learner_of(nets, seed=0):
    learner = q_recurrent.init(nets, jax.random.key(seed))
    other = q_recurrent.init(nets, jax.random.key(seed + 1)).params  # so that neither can stand for the other
    return learner._replace(target=other)


def constant(nets, params, row):
    """Agents that put out the values `row` [U] whatever they read and remember."""
    zero = jax.tree.map(jnp.zeros_like, params)
    layer = zero["agents"]["params"]["_AgentNet_0"]["Dense_1"]["Dense_0"]
    layer["bias"] = jnp.array(row)
    return zero


def batch_of(first, mask, terminated, truncated, reward, seed=0):
    """Rows [T + 1, B] with these flags and random observations; all actions are legal."""
    first = np.asarray(first, bool)
    rows, lanes = first.shape
    k_obs, k_state, k_action = jax.random.split(jax.random.key(seed), 3)
    ts = TimeStep(
        obs=jax.random.normal(k_obs, (rows, lanes, A, OBS)),
        state=jax.random.normal(k_state, (rows, lanes, X)),
        avail=jnp.ones((rows, lanes, A, U), bool),
        alive=jnp.ones((rows, lanes, A), bool),
        reward=jnp.asarray(reward, jnp.float32),
        terminated=jnp.asarray(terminated, bool),
        truncated=jnp.asarray(truncated, bool),
        info={},
    )
    action = jax.random.randint(k_action, (rows - 1, lanes, A), 0, U)
    return Batch(ts, jnp.asarray(first), action, (), jnp.asarray(mask, jnp.float32), ())


def hand_batch():
    """3 rows of two environments: 0 terminates after its second step, 1 is truncated there; rewards 1 and 2."""
    flags = np.zeros((3, 2), bool)
    end_0, end_1 = flags.copy(), flags.copy()
    end_0[2, 0], end_1[2, 1] = True, True
    return batch_of([[1, 1], [0, 0], [0, 0]], np.ones((2, 2)), end_0, end_1, [[0, 0], [1, 1], [2, 2]])


def targets(nets, learner, batch):
    batch = q_recurrent.with_carry(nets, batch)
    online = q_recurrent.unroll(nets, learner.params["agents"], batch)[0]
    return np.asarray(q_recurrent.td_targets(nets, learner.target, batch, online))


def fixed(nets):
    learner = learner_of(nets)
    return learner._replace(
        params=constant(nets, learner.params, [4.0, 0.0, 0.0]), target=constant(nets, learner.target, [1.0, 2.0, 5.0])
    )


def test_targets_of_vdn_by_hand():
    """Max Q' = 5 of each of two agents: 10. Double: the online nets choose action 0, worth 1 of each: 2."""
    nets, batch = build(mixer="vdn", double_q=False), hand_batch()
    # environment 0: 1 + 0.9 x 10 = 10, and 2 at the end; environment 1: 10, and 2 + 0.9 x 10 = 11 through the limit
    np.testing.assert_allclose(targets(nets, fixed(nets), batch)[..., 0], [[10, 10], [2, 11]], rtol=1e-6)
    cut = build(mixer="vdn", double_q=False, time_limit="terminate")
    np.testing.assert_allclose(targets(cut, fixed(cut), batch)[..., 0], [[10, 10], [2, 2]], rtol=1e-6)
    double = build(mixer="vdn")
    np.testing.assert_allclose(targets(double, fixed(double), batch)[..., 0], [[2.8, 2.8], [2, 3.8]], rtol=1e-6)
    # lambda 0.5: 1 + 0.9 (0.5 x 10 + 0.5 x 2) = 6.4, and 1 + 0.9 (5 + 5.5) = 10.45
    traced = build(mixer="vdn", double_q=False, td_lambda=0.5)
    np.testing.assert_allclose(targets(traced, fixed(traced), batch)[..., 0], [[6.4, 10.45], [2, 11]], rtol=1e-6)


@pytest.mark.parametrize("recurrent", [True, False])
def test_rewards_are_scaled_and_nothing_else(recurrent):
    """10 r + gamma v: of one batch, targets at a scale of 10 are higher by 9 r than at 1 (td_lambda 0)."""
    batch = hand_batch()
    if recurrent:
        plain, scaled = (targets(nets, learner_of(nets), batch) for nets in (build(), build(reward_scale=10.0)))
    else:
        both = [q_mixing.build(SPEC, QmixConfig(recurrent=False, reward_scale=s)) for s in (1.0, 10.0)]
        plain, scaled = (q_mixing.td_target(nets, q_mixing.init(nets, jax.random.key(0)), batch.next) for nets in both)
    np.testing.assert_allclose(scaled - plain, 9 * np.array([[1, 1], [2, 2]])[..., None], rtol=1e-4)


def test_targets_of_iql_are_an_agents_own_and_illegal_actions_are_not_chosen():
    nets, batch = build(mixer="iql", double_q=False), hand_batch()
    avail = batch.rows.avail.at[1, :, 1, 2].set(False)
    batch = batch._replace(rows=batch.rows._replace(avail=avail))
    # 1 + 0.9 x 5 = 5.5, and for agent 1, whose best is illegal at row 1, 1 + 0.9 x 2 = 2.8
    np.testing.assert_allclose(targets(nets, fixed(nets), batch)[0], [[5.5, 2.8], [5.5, 2.8]], rtol=1e-6)


def test_the_loss_of_vdn_by_hand():
    """Q_tot of actions (0, 1) is 4 + 0 = 4: squares (10 - 4)^2 = 36 twice, (2 - 4)^2 = 4, (11 - 4)^2 = 49: 125 / 4."""
    nets, batch = build(mixer="vdn", double_q=False), hand_batch()
    learner = fixed(nets)
    batch = batch._replace(action=jnp.broadcast_to(jnp.array([0, 1]), (2, 2, A)))

    def loss(batch):
        return float(q_recurrent.loss(nets, learner.params, learner.target, q_recurrent.with_carry(nets, batch))[0])

    assert loss(batch) == pytest.approx(31.25, rel=1e-6)
    # the last step of environment 1 masked: (36 + 36 + 4) / 3
    assert loss(batch._replace(mask=batch.mask.at[1, 1].set(0.0))) == pytest.approx(76 / 3, rel=1e-6)


def long_batch(rows=12, lanes=5, seed=3):
    """Episodes that end now and then, by task or by limit, each end's row followed by an opening."""
    rng = np.random.default_rng(seed)
    first, ended, cut = (np.zeros((rows, lanes), bool) for _ in range(3))
    first[0] = True
    for e in range(lanes):
        for t in range(1, rows):
            if ended[t - 1, e] or cut[t - 1, e]:
                first[t, e] = True
            elif not first[t, e] and rng.random() < 0.4:
                (ended if rng.random() < 0.5 else cut)[t, e] = True
    mask = ~(ended | cut)[:-1]
    reward = np.where(first, 0.0, rng.normal(size=(rows, lanes)))
    batch = batch_of(first, mask, ended, cut, reward)
    avail = rng.random((rows, lanes, A, U)) < 0.7
    avail[..., 0] |= ~avail.any(-1)
    return batch._replace(rows=batch.rows._replace(avail=jnp.asarray(avail)))


def slow_targets(nets, learner, batch, lam, terminate=False):
    """lambda-returns as weighted sums of n-step returns of one environment after the other."""
    batch = q_recurrent.with_carry(nets, batch)
    online, other = (
        np.asarray(q_recurrent.unroll(nets, p["agents"], batch)[0]) for p in (learner.params, learner.target)
    )
    best = np.where(np.asarray(batch.rows.avail), online, -np.inf).argmax(-1)
    chosen = np.take_along_axis(other, best[..., None], -1)[..., 0]
    value = np.asarray(q_recurrent.mix(nets, learner.target, jnp.asarray(chosen), batch.rows.state))[..., 0]
    ended, cut, reward = (np.asarray(getattr(batch.rows, n)) for n in ("terminated", "truncated", "reward"))
    out = np.zeros(batch.mask.shape)
    last = batch.mask.shape[0]
    for (t, e), alive in np.ndenumerate(np.asarray(batch.mask)):
        if not alive:
            continue
        total, weight, gained, n = 0.0, 1.0, 0.0, 0
        while True:
            at, n = t + n + 1, n + 1
            gained += nets.config.gamma ** (n - 1) * reward[at, e]
            stops = ended[at, e] or (terminate and cut[at, e])
            worth = gained + (0.0 if stops else nets.config.gamma**n * value[at, e])
            if ended[at, e] or cut[at, e] or at == last:
                out[t, e] = total + weight * worth
                break
            total, weight = total + weight * (1 - lam) * worth, weight * lam
    return out


@pytest.mark.parametrize(("lam", "limit"), [(0.0, "truncate"), (0.6, "truncate"), (0.6, "terminate")])
def test_td_lambda_is_a_slow_loops(lam, limit):
    nets, batch = build(td_lambda=lam, time_limit=limit), long_batch()
    assert (np.asarray(batch.mask) == 0).sum() > 3
    learner = learner_of(nets)
    due = slow_targets(nets, learner, batch, lam, limit == "terminate")
    mask = np.asarray(batch.mask)
    np.testing.assert_allclose(targets(nets, learner, batch)[..., 0] * mask, due, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("share_agents", [True, False])
def test_a_windows_memory_is_what_acting_remembered(share_agents):
    """The values that acting chose by, row by row through two episodes, are those of the unrolled sequence."""
    nets, batch = build(mixer="vdn", share_agents=share_agents), long_batch()
    batch = q_recurrent.with_carry(nets, batch)
    agents = learner_of(nets).params["agents"]
    q, hidden = q_recurrent.unroll(nets, agents, batch)
    last = last_actions(batch)
    assert (np.asarray(last)[np.asarray(batch.first)] == -1).all()
    carry = batch.carry0.hidden
    for t in range(batch.first.shape[0]):
        one = slice(t, t + 1)
        carry, row = nets.agents.apply(agents, carry, batch.rows.obs[one], last[one], batch.first[one])
        np.testing.assert_allclose(row[0], q[t], rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(carry, hidden[t], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("mixer", ["iql", "vdn", "qmix"])
def test_padding_and_illegal_values_of_the_dead_change_no_gradient(mixer):
    """Rows after the first episode, masked, may hold anything; so may the values of what the dead cannot do."""
    nets, batch = build(mixer=mixer, td_lambda=0.6), hand_batch()
    learner = learner_of(nets)
    pad = jax.tree.map(lambda x: jnp.concatenate([x, x[:2]]), batch.rows)
    opens = jnp.zeros((2, 2), bool).at[0].set(True)
    padded = batch._replace(
        rows=pad._replace(obs=pad.obs.at[3:].set(50.0), reward=pad.reward.at[3:].set(1e3)),
        first=jnp.concatenate([batch.first, opens]),
        action=jnp.concatenate([batch.action, batch.action]),
        mask=jnp.concatenate([batch.mask, jnp.zeros((2, 2))]),
    )

    @jax.jit
    def gradient(batch):
        batch = q_recurrent.with_carry(nets, batch)
        return jax.value_and_grad(lambda p: q_recurrent.loss(nets, p, learner.target, batch)[0])(learner.params)

    one, two = gradient(batch), gradient(padded)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), one, two)


@pytest.mark.parametrize("mixer", ["iql", "qmix"])
def test_episodes_in_lanes_have_the_loss_and_gradient_of_windows(mixer):
    nets, batch = build(mixer=mixer, td_lambda=0.6), long_batch(rows=12, lanes=5)
    learner = learner_of(nets)
    later = batch.first[1:].argmax(0) + 1
    lengths = jnp.where(batch.first[1:].any(0), later, 12)
    episodes = batch.mask * (jnp.arange(11)[:, None] < lengths)
    layout = lay_out(lengths, lanes=3, rows=24)
    valid = layout.used & (layout.row < 11)

    def lanes_of(x):
        return x[jnp.minimum(layout.row, len(x) - 1), layout.episode]

    lanes = Batch(
        rows=jax.tree.map(lanes_of, batch.rows),
        first=lanes_of(batch.first),
        action=lanes_of(batch.action)[:-1],
        aux=(),
        mask=(lanes_of(batch.mask) * valid)[:-1],
        carry0=(),
    )
    assert int(lanes.mask.sum()) == int(episodes.sum()) and int(used_rows(lanes.mask)) <= 16

    @jax.jit
    def gradient(batch):
        batch = q_recurrent.with_carry(nets, batch)
        return jax.value_and_grad(lambda p: q_recurrent.loss(nets, p, learner.target, batch)[0])(learner.params)

    one, two = gradient(batch._replace(mask=episodes)), gradient(lanes)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6), one, two)


def test_the_dead_take_part_with_their_only_action():
    """Agent 1 dead at row 1, with action 0 alone: the target of row 0 has 5 of agent 0 and 1 of agent 1."""
    nets, batch = build(mixer="vdn", double_q=False), hand_batch()
    avail = batch.rows.avail.at[1, :, 1, 1:].set(False)
    batch = batch._replace(rows=batch.rows._replace(avail=avail, alive=batch.rows.alive.at[1, :, 1].set(False)))
    # 1 + 0.9 x (5 + 1) = 6.4
    np.testing.assert_allclose(targets(nets, fixed(nets), batch)[0, :, 0], [6.4, 6.4], rtol=1e-6)


def test_acting_is_epsilon_greedy_and_remembers():
    lanes = 4000
    algorithm = make(SPEC, QmixConfig(hidden_dim=H, epsilon_start=1.0, epsilon_end=0.2, epsilon_steps=1000))
    policy = algorithm.policy(algorithm.init(jax.random.key(0)))
    assert set(policy) == {"agents"}
    batch = hand_batch()
    ts = jax.tree.map(lambda x: jnp.repeat(x[0, :1], lanes, 0), batch.rows)
    ts = ts._replace(avail=ts.avail.at[:, 0, 1].set(False))
    first, carry = jnp.ones(lanes, bool), algorithm.carry(lanes)

    @jax.jit
    def explore(key, steps):
        return algorithm.act(policy, carry, ts, first, key, Clock(steps, steps), explore=True)[1]

    after, greedy, _ = algorithm.act(policy, carry, ts, first, jax.random.key(0), Clock(0, 0), explore=False)
    assert not np.allclose(after.hidden, carry.hidden) and (after.last_action == greedy).all()
    # 2 of 3 actions are legal for agent 0: its best with 1 - eps / 2
    for steps, share in ((0, 0.5), (500, 0.7), (2000, 0.9)):
        action = explore(jax.random.key(steps), jnp.int32(steps))
        assert not (action[:, 0] == 1).any()
        assert float((action[:, 0] == greedy[0, 0]).mean()) == pytest.approx(share, abs=0.03)


def test_updates_begin_with_a_whole_window_and_user_errors_are_one_line():
    # 8 environments x 7 rows of a window before the first update, where less was asked for
    assert make(SPEC, QmixConfig(warmup=10)).plan.warmup == 56
    assert make(SPEC, QmixConfig(warmup=10, window=8)).plan.warmup == 64
    with pytest.raises(ConfigError, match="--window 6 cuts episodes of up to 6 steps: give 0, or more rows"):
        make(SPEC, QmixConfig(window=6))
    with pytest.raises(ConfigError, match="too small for windows of 7 rows: give at least 112"):
        make(SPEC, QmixConfig(buffer_size=60))
    with pytest.raises(ConfigError, match="use --no-recurrent"):
        make(SPEC, QmixsConfig(recurrent=True))
