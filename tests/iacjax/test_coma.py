"""COMA: its baseline by enumeration, its targets by a slow loop, its losses by numbers, what reaches its gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.base import ConfigError
from iacjax.algorithms.coma import learner as coma
from iacjax.algorithms.coma.config import ComaConfig
from iacjax.algorithms.common.actor_critic import actor_inputs, log_probs_of
from iacjax.algorithms.common.optimizer_step import apply_gradients
from iacjax.distributions import behaviour_log_probs
from iacjax.networks.counterfactual_critic import CounterfactualCritic
from tests.helpers.tiny_intrinsic import (
    CLOCK,
    KEY,
    QUICK,
    SPEC,
    check_shapes_stay,
    drawn,
    equal,
    make_batch,
    quick,
    with_garbage,
)

SMALL = {"hidden_dim": 8, "critic_dim": 8, "num_envs": 4, "rollout_length": 7, "minibatches": 2, "epochs": 2}
SMALL |= {"lr": 0.01, "critic_lr": 0.01, "target_every": 3, "optimizer": "adam"}


def make_networks(**fields):
    return coma.build(SPEC, ComaConfig(**{**SMALL, **fields}))


def make_learner(nets):
    """Random parameters and a target unlike the critic."""
    return drawn(partial(coma.init, nets), "params", "target")


def prepared(nets, learner, batch, next_action):
    """(the actor's inputs, the critic's data, log-probabilities of the policy on all rows)."""
    inputs = actor_inputs(batch, jnp.float32(0.2))
    log_probs = log_probs_of(nets.actor, learner.params["actor"], batch.carry0.hidden, inputs)
    return inputs, coma.critic_data(nets, learner, batch, inputs, next_action), log_probs


# ---- the counterfactual baseline


def test_advantage_by_hand():
    # pi = (.5, .5, 0), the third action illegal; q = (2, 4, 100), action 1 taken: 4 - (1 + 2 + 0) = 1
    log_probs = behaviour_log_probs(jnp.zeros(3), jnp.array([True, True, False]), jnp.float32(0.3))
    advantage = coma.counterfactual_advantage(jnp.array([2.0, 4.0, 100.0]), log_probs, jnp.int32(1))
    np.testing.assert_allclose(advantage, 1.0, rtol=1e-6)


def test_baseline_by_enumeration():
    """2 agents, 3 actions: the critic asked joint action by joint action, the agent's own varied, the other's held."""
    rng = np.random.default_rng(0)
    net = CounterfactualCritic(hidden_dim=8, num_actions=3)
    state, obs = jnp.asarray(rng.normal(size=(5, 4)), jnp.float32), jnp.asarray(rng.normal(size=(5, 2, 3)), jnp.float32)
    last, action = (jnp.asarray(rng.integers(0, 3, (5, 2)), jnp.int32) for _ in range(2))
    avail = np.array([[True, True, False], [True, False, True]])
    action = jnp.where(jnp.asarray(avail)[jnp.arange(2), action], action, 0)  # agent 0 may do 0, 1, agent 1 0, 2
    params = net.init(KEY, state, obs, last, action)
    params = jax.tree.map(lambda x: jnp.asarray(0.5 * rng.normal(size=x.shape), jnp.float32), params)
    logits, epsilon = jnp.asarray(rng.normal(size=(5, 2, 3)), jnp.float32), jnp.full((5, 2), 0.1)
    log_probs = behaviour_log_probs(logits, jnp.broadcast_to(avail, logits.shape), epsilon)
    ask = jax.jit(lambda action: net.apply(params, state, obs, last, action))
    ours = coma.counterfactual_advantage(ask(action), log_probs, action)
    chance = np.exp(np.asarray(log_probs))
    assert not chance[:, 0, 2].any() and not chance[:, 1, 1].any()
    for i in range(2):
        worth = [ask(action.at[:, i].set(a))[:, i, a] for a in range(3)]  # Q(s, (u_-i, a))
        taken = np.choose(np.asarray(action[:, i]), worth)
        expected = taken - sum(chance[:, i, a] * worth[a] for a in range(3))
        np.testing.assert_allclose(ours[:, i], expected, rtol=1e-4, atol=1e-6)
    assert np.abs(np.asarray(ours)).min() > 1e-4
    # the others' actions matter, its own does not
    other, own = ask(action.at[:, 1].add(1)), ask(action.at[:, 0].add(1))
    assert not np.allclose(other[:, 0], ask(action)[:, 0]) and np.array_equal(own[:, 0], ask(action)[:, 0])


def test_the_baseline_moves_no_expected_gradient():
    """sum_a pi(a) A(a) = 0 for every agent, so what is subtracted biases nothing."""
    rng = np.random.default_rng(3)
    q, logits = (jnp.asarray(rng.normal(size=(6, 4)), jnp.float32) for _ in range(2))
    log_probs = jax.nn.log_softmax(logits)
    every = jnp.broadcast_to(jnp.arange(4), (6, 4))
    of_all = [jnp.broadcast_to(x[:, None], (6, 4, 4)) for x in (q, log_probs)]
    advantage = coma.counterfactual_advantage(*of_all, every)
    np.testing.assert_allclose((jnp.exp(log_probs) * advantage).sum(-1), 0.0, atol=1e-6)


# ---- losses and targets


def test_policy_loss_by_hand():
    # 1 step, 1 environment, 2 agents, the second dead: pi = (.25, .75), q = (2, 6), action 0: A = 2 - (.5 + 4.5) = -3;
    # loss = 3 log .25 = -4.158883, entropy = .25 log 4 + .75 log(4/3) = .562335; gradient in log pi(0): 3
    log_probs = jnp.log(jnp.array([0.25, 0.75])) * jnp.ones((1, 1, 2, 1))
    q = jnp.array([[[[2.0, 6.0], [50.0, -50.0]]]])
    batch = make_batch(make_networks())
    rows = jax.tree.map(lambda x: x[:2, :1], batch.rows)
    rows = rows._replace(alive=jnp.array([[[True, False]], [[True, False]]]))
    batch = batch._replace(rows=rows, action=jnp.zeros((1, 1, 2), jnp.int32), mask=jnp.ones((1, 1)))
    (loss, metrics), slope = jax.value_and_grad(
        lambda x: coma.policy_loss(x, q, batch, entropy_weight=0.0), has_aux=True
    )(log_probs)  # fmt: skip
    np.testing.assert_allclose(loss, -4.158883, rtol=1e-6)
    np.testing.assert_allclose(metrics["entropy"], 0.562335, rtol=1e-5)
    np.testing.assert_allclose(metrics["advantage_rms"], 3.0, rtol=1e-6)
    np.testing.assert_allclose(slope[0, 0], [[3.0, 0.0], [0.0, 0.0]], rtol=1e-6)


@pytest.mark.parametrize("time_limit", ["truncate", "terminate"])
def test_targets_against_a_slow_loop(time_limit):
    """(1 - l) sum_n l^(n-1) of n-step returns of the target's Q(s', u'), u' as acted, or given on the last row."""
    nets = make_networks(time_limit=time_limit, gamma=0.9, td_lambda=0.7)
    learner, batch = make_learner(nets), make_batch(nets)
    next_action = jnp.asarray(np.random.default_rng(5).integers(0, 4, (4, 3)), jnp.int32)
    rows, seq, _ = quick(lambda: prepared(nets, learner, batch, next_action))
    action = np.concatenate([batch.action, next_action[None]])
    q = nets.critic.apply(learner.target["critic"], batch.rows.state, rows.obs, rows.last_action, action)
    q = np.take_along_axis(np.asarray(q), action[..., None], -1)[..., 0]
    world = jax.tree.map(np.asarray, batch.rows)
    ends = world.terminated | (world.truncated if time_limit == "terminate" else False)
    for t, b, i in np.argwhere(np.asarray(batch.mask)[..., None] * np.ones(3) > 0):
        reward, factor, weight, expected = 0.0, 1.0, 1.0, 0.0
        for k in range(t, 7):
            reward += factor * world.reward[k + 1, b]
            factor *= 0.9 * (not ends[k + 1, b])
            last = k == 6 or world.terminated[k + 1, b] or world.truncated[k + 1, b]
            expected += weight * (1.0 if last else 0.3) * (reward + factor * q[k + 1, b, i])
            weight *= 0.7
            if last:
                break
        np.testing.assert_allclose(seq.target[t, b, i], expected, rtol=1e-4, atol=1e-5)


def test_critic_loss_counts_the_dead_and_no_padding():
    nets = make_networks()
    learner, batch = make_learner(nets), make_batch(nets)
    _, seq, _ = quick(lambda: prepared(nets, learner, batch, batch.action[0]))
    loss = jax.jit(lambda seq: coma.critic_loss(nets.critic, learner.params["critic"], seq), compiler_options=QUICK)
    value, (_, q) = loss(seq)
    taken = np.take_along_axis(np.asarray(q), np.asarray(seq.action)[..., None], -1)[..., 0]
    steps = float(batch.mask.sum())
    expected = ((seq.target - taken) ** 2 * batch.mask[..., None]).sum() / (3 * steps)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    taken = jnp.asarray(taken)
    dead = seq._replace(target=taken.at[1, 0, 1].add(6.0))  # one dead entry is off by 6
    np.testing.assert_allclose(loss(dead)[0], 36.0 / (3 * steps), rtol=1e-4)
    padding = seq._replace(target=taken.at[3, 0, 1].add(6.0))
    np.testing.assert_allclose(loss(padding)[0], 0.0, atol=1e-10)


# ---- the order of an update


def test_per_time_index_steps_from_the_last_and_keeps_the_values_before_each():
    nets = make_networks()
    learner, batch = make_learner(nets), make_batch(nets)
    one = jnp.float32(1.0)

    def both():
        _, seq, _ = prepared(nets, learner, batch, batch.action[0])
        return seq, coma.train_critic(nets, learner, seq, KEY, one)[:2]

    seq, (trained, q) = quick(both)

    @partial(jax.jit, compiler_options=QUICK)
    def step(learner, row):
        grads, (_, q) = jax.grad(partial(coma.critic_loss, nets.critic), has_aux=True)(learner.params["critic"], row)
        return apply_gradients(nets.optimizers, learner, {"critic": grads}, one), q

    slow = learner
    for count, t in enumerate(reversed(range(7)), start=1):
        slow, before = step(slow, jax.tree.map(lambda x, t=t: x[t], seq))
        np.testing.assert_allclose(q[t], before, rtol=1e-3, atol=1e-5)
        if count == 6:  # copies after the 3rd and the 6th of seven steps
            target = slow.params["critic"]
    assert int(trained.critic_steps) == 7
    close = partial(np.testing.assert_allclose, rtol=1e-3, atol=1e-5)
    jax.tree.map(close, trained.params["critic"], slow.params["critic"])
    jax.tree.map(close, trained.target["critic"], target)


# ---- what may not reach the gradients


@pytest.fixture(scope="module", params=["per_time_index", "epochs"])
def member(request):
    """(networks, learner, batch, jitted update)."""
    nets = make_networks(critic_update=request.param)
    return nets, make_learner(nets), make_batch(nets), jax.jit(partial(coma.update, nets), compiler_options=QUICK)


def test_padding_changes_nothing(member):
    """Garbage wherever the contract says that nothing is read: bitwise the same learner and metrics."""
    nets, learner, batch, update = member
    ended = batch.rows.terminated  # what was done on a truncated row is u'
    garbage = with_garbage(batch, ended, ended)
    garbage = garbage._replace(aux=garbage.aux._replace(log_prob=garbage.aux.log_prob + 1.0))
    assert not equal(garbage, batch)
    clean, dirty = update(learner, batch, KEY, CLOCK), update(learner, garbage, KEY, CLOCK)
    assert equal(clean, dirty)
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(clean))
    assert not equal(clean[0].params["actor"], learner.params["actor"])


def test_a_dead_agents_values_move_no_actor():
    """Whatever the critic says of the dead and of padding: the same policy gradient."""
    nets = make_networks()
    learner, batch = make_learner(nets), make_batch(nets)
    _, _, log_probs = quick(lambda: prepared(nets, learner, batch, batch.action[0]))
    q = jnp.asarray(np.random.default_rng(2).normal(size=(7, 4, 3, 4)), jnp.float32)
    counted = (batch.mask[..., None] * batch.ts.alive)[..., None] > 0
    slope = jax.jit(jax.grad(lambda x, q: coma.policy_loss(x, q, batch, 0.1)[0]), compiler_options=QUICK)
    one, other = slope(log_probs[:-1], q), slope(log_probs[:-1], jnp.where(counted, q, 77.0))
    np.testing.assert_array_equal(one, other)
    assert not np.asarray(one)[~np.broadcast_to(counted, one.shape)].any() and np.asarray(one).any()


# ---- the learner as a value


@pytest.mark.parametrize("fields", [{}, {"critic_update": "epochs", "shared_actor": False, "anneal_steps": 9}], ids=str)
def test_an_update_keeps_every_shape_and_strong_type(fields):
    nets = make_networks(**fields)
    check_shapes_stay(partial(coma.init, nets), partial(coma.update, nets), make_batch(nets))


def test_minibatches_must_divide_the_environments():
    with pytest.raises(ConfigError, match="--minibatches must divide --num-envs 4"):
        make_networks(critic_update="epochs", minibatches=3)
