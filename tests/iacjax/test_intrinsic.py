"""The learner of the AIIR-MIX family: what may and what may not reach its gradients, its schedules and its order."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from iacjax.algorithms.common.actor_critic import actor_inputs, actor_loss, log_probs_of
from iacjax.algorithms.common.optimizer_step import apply_gradients
from iacjax.algorithms.common.returns import batch_returns
from iacjax.algorithms.common.rnn import last_actions
from iacjax.algorithms.intrinsic import learner as intrinsic
from iacjax.algorithms.intrinsic.model import action_on_last_row
from tests.helpers.tiny_intrinsic import (
    CLOCK,
    KEY,
    LAST_ROW_ACTION,
    PAPER,
    QUICK,
    equal,
    make_batch,
    make_learner,
    make_networks,
    prepared,
    quick,
    with_garbage,
)

DEFAULT = {"epochs": 2, "minibatches": 2, "intrinsic_weight": 0.5, "critic_others_actions": True}


@pytest.fixture(scope="module", params=["default", "paper"])
def member(request):
    """(networks, learner, batch, jitted update)."""
    nets = make_networks(**{"default": DEFAULT, "paper": {**PAPER, "reward_net": "mlp"}}[request.param])
    update = jax.jit(partial(intrinsic.update, nets), compiler_options=QUICK)
    return nets, make_learner(nets), make_batch(nets), update


# ---- what may not reach the gradients


def test_padding_changes_nothing(member):
    """Garbage wherever the contract says that nothing is read: bitwise the same learner and metrics."""
    nets, learner, batch, update = member
    ended = batch.rows.boundary if nets.config.time_limit == "terminate" else batch.rows.terminated
    garbage = with_garbage(batch, ended, ended)  # what the policy did on a truncated row is what V_total reads there
    assert not equal(garbage, batch)
    clean, dirty = update(learner, batch, KEY, CLOCK), update(learner, garbage, KEY, CLOCK)
    assert equal(clean, dirty)
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(clean))
    assert not equal(clean[0].params["actor"], learner.params["actor"])
    assert not equal(clean[0].params["reward"], learner.params["reward"])


def test_an_agent_that_is_dead_all_episode_trains_the_critics_alone(member):
    nets, learner, batch, update = member
    dead = jnp.zeros((8, 4, 3), bool).at[:4, 0, 1].set(True)
    rows = batch.rows._replace(obs=jnp.where(dead[..., None], 3.0, batch.rows.obs))
    (one, _), (other, _) = (update(learner, batch._replace(rows=r), KEY, CLOCK) for r in (batch.rows, rows))
    assert equal(one.params["actor"], other.params["actor"])
    assert equal(one.params["reward"], other.params["reward"])
    assert equal(one.params["ex"], other.params["ex"])
    assert not equal(one.params["total"], other.params["total"])


def test_dead_observations_and_the_gradients():
    """With the values held, the observation of any dead agent moves no gradient of actor, reward net or mixing."""
    nets = make_networks(**DEFAULT)
    learner, batch = make_learner(nets), make_batch(nets)

    def gradients(batch, values):
        seq, _ = prepared(nets, learner, batch)
        r_total, _, _ = intrinsic.rewards(nets, learner.params["reward"], batch)
        seq = intrinsic.intrinsic_data(nets, learner, batch, values, r_total)[0]

        def loss(params):
            log_probs = log_probs_of(nets.actor, params, batch.carry0.hidden, seq)
            return actor_loss(log_probs, seq, nets.config.clip, nets.config.entropy)[0]

        actor = jax.grad(loss)(learner.params["actor"])
        reward, _ = intrinsic.reward_gradient(nets, learner, batch, seq, values)
        return actor, reward["net"], reward["combine"]

    gradients = jax.jit(gradients, compiler_options=QUICK)
    values = quick(lambda: intrinsic.values_of(nets, learner, batch, LAST_ROW_ACTION))
    rows, before = batch.rows, gradients(batch, values)
    for alive, same in ((False, True), (True, False)):
        obs = jnp.where((rows.alive == alive)[..., None], rows.obs + 1.0, rows.obs)
        after = gradients(batch._replace(rows=rows._replace(obs=obs)), values)
        assert [equal(a, b) for a, b in zip(before, after, strict=True)] == [same] * 3


# ---- losses


def test_actor_loss_against_a_loop():
    nets = make_networks(entropy=0.3, clip=0.1)
    learner, batch = make_learner(nets), make_batch(nets)

    def compute():
        seq, _ = prepared(nets, learner, batch)
        log_probs = log_probs_of(nets.actor, learner.params["actor"], batch.carry0.hidden, seq)
        return seq, log_probs, actor_loss(log_probs, seq, nets.config.clip, nets.config.entropy)

    seq, log_probs, (loss, metrics) = jax.tree.map(np.asarray, quick(compute))
    policy, entropy, kl, clipped, count = np.zeros(5)
    for t, b, i in np.argwhere(np.asarray(batch.ts.alive) & (np.asarray(batch.mask)[..., None] > 0)):
        p, advantage = np.exp(log_probs[t, b, i].astype(float)), seq.advantage[t, b, i]
        ratio = p[seq.action[t, b, i]] / np.exp(seq.log_prob[t, b, i])
        policy -= min(ratio * advantage, min(max(ratio, 0.9), 1.1) * advantage)
        entropy -= sum(x * np.log(x) for x in p if x > 0)
        kl, clipped, count = kl + ratio - 1 - np.log(ratio), clipped + (abs(ratio - 1) > 0.1), count + 1
    assert 0 < clipped < count == seq.weight.sum()
    np.testing.assert_allclose(loss, policy / count - 0.3 * entropy / count, rtol=1e-4)
    found = [metrics[name] for name in ("actor_loss", "entropy", "kl", "clip_fraction")]
    np.testing.assert_allclose(found, np.array([policy, entropy, kl, clipped]) / count, rtol=1e-4)


def test_critics_train_on_the_dead_and_not_on_padding():
    nets = make_networks(value_norm=False)
    learner, batch = make_learner(nets), make_batch(nets)
    seq, values = quick(lambda: prepared(nets, learner, batch))
    losses = jax.jit(lambda seq: intrinsic.critic_losses(nets, learner.params, seq)[1], compiler_options=QUICK)
    steps = float(batch.mask.sum())
    assert steps == 25  # 28 rows less environment 0's row 3, environment 1's row 2 and environment 3's row 0
    expected = (((seq.returns_total - values.total_tm1) ** 2).sum(-1) * batch.mask).sum() / (3 * steps)
    np.testing.assert_allclose(losses(seq)["critic_loss"], expected, rtol=1e-5)
    expected = ((seq.returns_ex - values.ex_tm1) ** 2 * batch.mask).sum() / steps
    np.testing.assert_allclose(losses(seq)["critic_ex_loss"], expected, rtol=1e-5)
    dead = seq._replace(returns_total=values.total_tm1.at[1, 0, 1].add(6.0))  # one dead entry is off by 6
    np.testing.assert_allclose(losses(dead)["critic_loss"], 36.0 / (3 * steps), rtol=1e-4)
    padding = seq._replace(returns_total=values.total_tm1.at[3, 0, 1].add(6.0))
    np.testing.assert_allclose(losses(padding)["critic_loss"], 0.0, atol=1e-10)


def test_successors_are_valued_by_the_targets():
    nets = make_networks(critic_target_every=5, value_norm=True)
    learner, batch = make_learner(nets), make_batch(nets)
    moments = jnp.array(4.0), jnp.array(9.0), jnp.array(1.0)  # mean 4, std 3
    learner = learner._replace(norm={**learner.norm, "ex": type(learner.norm["ex"])(*moments)})

    def plain(params):
        return nets.ex.apply(params["ex"], batch.rows.state)

    values, online, target = quick(
        lambda: (
            intrinsic.values_of(nets, learner, batch, LAST_ROW_ACTION),
            plain(learner.params),
            plain(learner.target),
        )
    )
    np.testing.assert_allclose(values.ex_tm1, 4 + 3 * online[:-1], rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(values.ex_t, 4 + 3 * target[1:], rtol=1e-4, atol=1e-5)


def test_every_row_that_bootstraps_is_valued_with_actions():
    """V_total reads the others' actions: on each row the batch's own, on the last one those drawn in the update."""
    nets = make_networks(critic_others_actions=True, value_norm=False, critic_target_every=5)
    learner, batch = make_learner(nets), make_batch(nets)
    rows, action = batch.rows, jnp.concatenate([batch.action, LAST_ROW_ACTION[None]])
    assert bool((action >= 0).all()) and bool(rows.truncated[3, 0])  # a row without an action that bootstraps

    def compute():
        net = nets.total.apply(learner.target["total"], rows.state, rows.obs, last_actions(batch), action)
        return intrinsic.values_of(nets, learner, batch, LAST_ROW_ACTION), net

    values, expected = quick(compute)
    np.testing.assert_allclose(values.total_t, expected[1:], rtol=1e-5, atol=1e-6)
    other = quick(lambda: intrinsic.values_of(nets, learner, batch, (LAST_ROW_ACTION + 1) % 4))
    assert (np.abs(np.asarray(other.total_t - values.total_t)).max((1, 2)) > 1e-6).tolist() == [False] * 6 + [True]


def test_the_last_rows_actions_are_the_policys():
    """Frequencies of 4000 draws on row T against its behaviour policy; nobody is given an illegal action."""
    nets = make_networks(critic_others_actions=True)
    learner, batch = make_learner(nets), make_batch(nets)
    inputs = actor_inputs(batch, jnp.float32(0.3))

    def compute():
        def draw(key):
            return action_on_last_row(nets, learner.params["actor"], batch, key, jnp.float32(0.3))

        drawn = jax.vmap(draw)(jax.random.split(KEY, 4000))
        log_probs = log_probs_of(nets.actor, learner.params["actor"], batch.carry0.hidden, inputs)
        return jax.nn.one_hot(drawn, 4).mean(0), jnp.exp(log_probs[-1])

    found, expected = quick(compute)
    np.testing.assert_allclose(found, expected, atol=0.04)  # five standard errors of p = 1/2
    assert np.asarray(expected).std() > 0.1


# ---- rewards


def test_without_intrinsic_rewards_r_total_is_r_ex():
    nets = make_networks(reward_net="none", value_norm=False)
    learner, batch = make_learner(nets), make_batch(nets)
    assert learner.params["reward"] == {}
    r_total, r_in, attention = intrinsic.rewards(nets, {}, batch)
    np.testing.assert_array_equal(r_total, np.repeat(np.asarray(batch.next.reward)[..., None], 3, -1))
    assert r_in.shape == (7, 4, 3) and attention.shape == (7, 4, 3, 3) and not r_in.any() and not attention.any()
    seq, values = quick(lambda: prepared(nets, learner, batch))
    expected = batch_returns(nets.config, batch, r_total, values.total_t)
    np.testing.assert_allclose(seq.returns_total, expected, rtol=1e-5)


@pytest.mark.parametrize("reward_action", ["taken", "last"])
def test_which_action_the_reward_reads(reward_action):
    nets = make_networks(reward_action=reward_action)
    learner, batch = make_learner(nets), make_batch(nets)
    rewards = jax.jit(lambda batch: intrinsic.rewards(nets, learner.params["reward"], batch)[1], compiler_options=QUICK)
    changed = batch._replace(action=batch.action.at[4].set((batch.action[4] + 1) % 4))
    moved = np.abs(np.asarray(rewards(changed) - rewards(batch))).max((1, 2)) > 1e-6
    assert np.flatnonzero(moved).tolist() == [4 if reward_action == "taken" else 5]


def test_inspect():
    nets = make_networks()
    learner, batch = make_learner(nets), make_batch(nets)
    seen = quick(lambda: intrinsic.inspect(nets, learner, batch))
    assert seen["attention"].shape == (7, 4, 3, 3) and seen["intrinsic_reward"].shape == (7, 4, 3)
    np.testing.assert_allclose(seen["attention"].sum(-1), batch.ts.alive, atol=1e-6)
    assert not np.asarray(seen["intrinsic_reward"])[~np.asarray(batch.ts.alive)].any()


# ---- the order of an update, its counts


def test_reward_nets_step_along_the_gradient_at_the_actor_that_acted(member):
    nets, learner, batch, update = member

    def alone():
        k_action, _ = jax.random.split(KEY)
        action = action_on_last_row(nets, learner.params["actor"], batch, k_action, jnp.float32(0.0))
        seq, values = prepared(nets, learner, batch, action)
        grads, _ = intrinsic.reward_gradient(nets, learner, batch, seq, values)
        return apply_gradients(nets.optimizers, learner, {"reward": grads}, jnp.float32(1.0)).params["reward"]

    after, _ = update(learner, batch, KEY, CLOCK)
    chex.assert_trees_all_close(quick(alone), after.params["reward"], rtol=1e-4, atol=1e-6)


def test_critic_steps_are_counted(member):
    nets, learner, batch, update = member
    steps = {"epochs": 2 * 2, "per_time_index": 7}[nets.config.critic_update]
    first, _ = update(learner, batch, KEY, CLOCK)
    second, _ = update(first, batch, KEY, CLOCK)
    assert (int(first.critic_steps), int(second.critic_steps)) == (steps, 2 * steps)
