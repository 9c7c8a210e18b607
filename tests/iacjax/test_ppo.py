"""IPPO and MAPPO: their losses by numbers, GAE by a slow loop, what may and what may not reach the gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.base import ConfigError
from iacjax.algorithms.common.actor_critic import actor_loss, log_probs_of
from iacjax.algorithms.intrinsic.model import IntrinsicData
from iacjax.algorithms.ppo import learner as ppo
from iacjax.algorithms.ppo.config import PpoConfig
from iacjax.distributions import entropy, take_action
from iacjax.losses.value import clipped_value_loss, huber
from iacjax.losses.value_norm import RunningNorm
from iacjax.types import masked_mean
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

SMALL = {"hidden_dim": 8, "critic_dim": 8, "num_envs": 4, "rollout_length": 7, "minibatches": 1, "epochs": 2}
SMALL |= {"lr": 0.01, "critic_lr": 0.01, "critic_input": "state_and_obs", "max_grad_norm": 10.0}


def make_networks(**fields):
    return ppo.build(SPEC, PpoConfig(**{**SMALL, **fields}))


def make_learner(nets):
    """Random parameters and critic's memory, a normaliser of mean 4 and standard deviation 3."""
    norm = RunningNorm(jnp.float32(4.0), jnp.float32(9.0), jnp.float32(1.0))
    return drawn(partial(ppo.init, nets), "params", "critic_hidden")._replace(norm=norm)


def prepared(nets, learner, batch):
    """(PpoData, values f32[T + 1, B, A] in units of reward, the learner of the update's epochs)."""
    raw, _ = ppo.values_of(nets, learner, batch, learner.critic_hidden)
    seq, after = ppo.ppo_data(nets, learner, batch, raw)
    return seq, ppo.in_reward_units(nets, learner, raw), after


# ---- losses


def test_huber():
    # delta 2: 1 -> 1/2; -2 -> 2; 5 -> 2 (5 - 1) = 8; delta 0: squares: 1/2, 2, 12.5
    error = jnp.array([1.0, -2.0, 5.0])
    np.testing.assert_allclose(huber(error, 2.0), [0.5, 2.0, 8.0])
    np.testing.assert_allclose(huber(error, 0.0), [0.5, 2.0, 12.5])
    np.testing.assert_allclose(jax.vmap(jax.grad(huber), (0, None))(error, 2.0), [1.0, -2.0, 2.0])


def test_clipped_value_loss():
    # old value 1, target 3, clip .5. Value 2: (3-2)^2/2 = .5, clipped 1.5: 1.5^2/2 = 1.125, the larger, flat in value.
    # Value 1.2: within: 1.8^2/2 = 1.62. Value 0 (clipped .5): 4.5 against 3.125: 4.5, whose slope leads back.
    value = jnp.array([2.0, 1.2, 0.0])

    def loss(value, clip):
        return clipped_value_loss(value, jnp.ones_like(value), jnp.full_like(value, 3.0), clip, 0.0)

    np.testing.assert_allclose(loss(value, 0.5), [1.125, 1.62, 4.5], rtol=1e-6)
    np.testing.assert_allclose(jax.vmap(jax.grad(loss), (0, None))(value, 0.5), [0.0, -1.8, -3.0], rtol=1e-6)
    np.testing.assert_allclose(loss(value, 0.0), [0.5, 1.62, 4.5], rtol=1e-6)


def test_critic_loss_counts_the_dead_and_no_padding():
    nets = make_networks(value_norm=False, value_clip=0.0)
    learner, batch = make_learner(nets), make_batch(nets)
    seq, values, _ = quick(lambda: prepared(nets, learner, batch))
    hidden, critic = learner.critic_hidden, learner.params["critic"]
    loss = jax.jit(lambda seq: ppo.critic_loss(nets, critic, hidden, seq)[0], compiler_options=QUICK)
    steps = float(batch.mask.sum())
    expected = (0.5 * (seq.returns - values[:-1]) ** 2 * batch.mask[..., None]).sum() / (3 * steps)
    np.testing.assert_allclose(loss(seq), expected, rtol=1e-5)
    dead = seq._replace(returns=values[:-1].at[1, 0, 1].add(6.0))  # one dead entry is off by 6: 36 / 2
    np.testing.assert_allclose(loss(dead), 18.0 / (3 * steps), rtol=1e-4)
    padding = seq._replace(returns=values[:-1].at[3, 0, 1].add(6.0))
    np.testing.assert_allclose(loss(padding), 0.0, atol=1e-10)


def slow_gae(nets, batch, values):
    """A_t = delta_t + gamma lambda A_{t+1}, environment by environment, agent by agent, each episode by itself."""
    rows = jax.tree.map(np.asarray, batch.rows)
    ends = rows.terminated | (rows.truncated if nets.config.time_limit == "terminate" else False)
    out = np.zeros(batch.action.shape)
    for t, b, i in np.ndindex(out.shape):
        factor = 1.0
        for k in range(t, len(out)):
            bootstrap = 0.0 if ends[k + 1, b] else values[k + 1, b, i]
            out[t, b, i] += factor * (rows.reward[k + 1, b] + nets.config.gamma * bootstrap - values[k, b, i])
            factor *= nets.config.gamma * nets.config.td_lambda
            if rows.terminated[k + 1, b] or rows.truncated[k + 1, b]:
                break
    return out


@pytest.mark.parametrize("time_limit", ["truncate", "terminate"])
def test_gae_against_a_slow_loop(time_limit):
    nets = make_networks(time_limit=time_limit, gamma=0.9, td_lambda=0.8)
    learner, batch = make_learner(nets), make_batch(nets)
    seq, values, after = quick(lambda: prepared(nets, learner, batch))
    gae = slow_gae(nets, batch, np.asarray(values))
    counted = np.asarray(seq.weight) > 0
    expected = (gae - gae[counted].mean()) / gae[counted].std()
    np.testing.assert_allclose(np.asarray(seq.advantage)[counted], expected[counted], rtol=1e-4, atol=1e-5)
    # the critic's targets are advantages plus values, in the units of the normaliser that has taken them in
    lived = np.asarray(batch.mask) > 0
    mean = after.norm.mean / after.norm.weight
    std = np.sqrt(after.norm.square / after.norm.weight)
    expected = (gae + np.asarray(values[:-1]) - mean) / std
    np.testing.assert_allclose(np.asarray(seq.returns)[lived], expected[lived], rtol=1e-4, atol=1e-5)


def test_at_ratio_one_the_gradient_is_the_policy_gradient():
    nets = make_networks(entropy=0.1)
    learner, batch = make_learner(nets), make_batch(nets)
    actor, hidden = learner.params["actor"], batch.carry0.hidden

    def both():
        seq, _, _ = prepared(nets, learner, batch)
        seq = seq._replace(log_prob=take_action(log_probs_of(nets.policies.actor, actor, hidden, seq), seq.action))

        def plain(params):
            log_probs = log_probs_of(nets.policies.actor, params, hidden, seq)
            gain = masked_mean(take_action(log_probs, seq.action) * seq.advantage, seq.weight)
            return -gain - 0.1 * masked_mean(entropy(log_probs), seq.weight)

        def clipped(params):
            return actor_loss(log_probs_of(nets.policies.actor, params, hidden, seq), seq, nets.config.clip, 0.1)[0]

        return jax.grad(clipped)(actor), jax.grad(plain)(actor)

    ours, plain = quick(both)
    jax.tree.map(partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-6), ours, plain)
    assert max(float(jnp.abs(x).max()) for x in jax.tree.leaves(ours)) > 1e-2


def test_the_actor_loss_reads_what_every_learner_of_the_kind_has():
    read = {"obs", "avail", "first", "last_action", "epsilon", "action", "log_prob", "advantage", "weight"}
    assert read <= set(ppo.PpoData._fields) and read <= set(IntrinsicData._fields)


# ---- what may not reach the gradients


@pytest.fixture(scope="module", params=["default", "paper"])
def member(request):
    """(networks, learner, batch, jitted update)."""
    fields = {"paper": {"time_limit": "terminate", "huber_delta": 10.0, "critic_memory": False}, "default": {}}
    nets = make_networks(**fields[request.param])
    return nets, make_learner(nets), make_batch(nets), jax.jit(partial(ppo.update, nets), compiler_options=QUICK)


def test_padding_changes_nothing(member):
    """Garbage wherever the contract says that nothing is read: bitwise the same parameters and metrics."""
    nets, learner, batch, update = member
    boundary = batch.rows.boundary
    ended = boundary if nets.config.time_limit == "terminate" else batch.rows.terminated
    garbage = with_garbage(batch, ended.at[-1].set(False))  # what the last row shows stays in the critic's memory
    reset = batch.first[0] | boundary[0]
    memory = jax.tree.map(lambda x: jnp.where(reset[:, None, None], 5.0, x), learner.critic_hidden)
    assert not equal(garbage, batch)
    clean = update(learner, batch, KEY, CLOCK)
    dirty = update(learner._replace(critic_hidden=memory), garbage, KEY, CLOCK)
    assert equal(clean, dirty)
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(clean))
    assert not equal(clean[0].params["actor"], learner.params["actor"])


def test_an_agent_that_is_dead_all_episode_trains_the_critic_alone(member):
    nets, learner, batch, update = member
    dead = jnp.zeros((8, 4, 3), bool).at[:4, 0, 1].set(True)
    rows = batch.rows._replace(obs=jnp.where(dead[..., None], 3.0, batch.rows.obs))
    (one, _), (other, _) = (update(learner, batch._replace(rows=r), KEY, CLOCK) for r in (batch.rows, rows))
    assert equal(one.params["actor"], other.params["actor"])
    assert not equal(one.params["critic"], other.params["critic"])


# ---- the critic


@pytest.mark.parametrize("critic_input", ["obs", "state", "state_and_obs"])
def test_what_the_critic_reads(critic_input):
    nets = make_networks(critic_input=critic_input)
    learner, batch = make_learner(nets), make_batch(nets)
    values = jax.jit(lambda b: ppo.values_of(nets, learner, b, learner.critic_hidden)[0], compiler_options=QUICK)
    before, rows = values(batch), batch.rows
    moved = {
        "state": rows._replace(state=rows.state + 1.0), "obs": rows._replace(obs=rows.obs + 1.0)
    }  # fmt: skip
    for name, changed in moved.items():
        same = equal(values(batch._replace(rows=changed)), before)
        assert same == (name not in critic_input)
    of_one = rows._replace(obs=rows.obs.at[:, :, 0].add(1.0))  # no agent's value reads another's observations
    np.testing.assert_array_equal(values(batch._replace(rows=of_one))[..., 1:], before[..., 1:])


def test_the_critics_memory_goes_on_across_batches():
    """A rollout of 7 rows, or its 3 and then its 4: the same values."""
    nets = make_networks()
    learner, batch = make_learner(nets), make_batch(nets)

    def part(start, stop, last_action):
        return batch._replace(
            rows=jax.tree.map(lambda x: x[start : stop + 1], batch.rows), first=batch.first[start : stop + 1],
            action=batch.action[start:stop], carry0=batch.carry0._replace(last_action=last_action),
        )  # fmt: skip

    def both():
        one, two = part(0, 3, batch.carry0.last_action), part(3, 7, batch.action[2])
        head, hidden = ppo.values_of(nets, learner, one, learner.critic_hidden)
        tail, end = ppo.values_of(nets, learner, two, hidden)
        return (head, tail, end), ppo.values_of(nets, learner, batch, learner.critic_hidden)

    (head, tail, end), (whole, whole_end) = quick(both)
    np.testing.assert_allclose(np.concatenate([head[:-1], tail]), whole, atol=1e-6)
    np.testing.assert_allclose(head[-1], tail[0], atol=1e-6)
    np.testing.assert_allclose(end, whole_end, atol=1e-6)


# ---- the learner as a value


@pytest.mark.parametrize(
    "fields", [{}, {"critic_memory": False, "shared_actor": False, "minibatches": 2}, {"anneal_steps": 9}], ids=str
)
def test_an_update_keeps_every_shape_and_strong_type(fields):
    nets = make_networks(**fields)
    check_shapes_stay(partial(ppo.init, nets), partial(ppo.update, nets), make_batch(nets))


def test_minibatches_must_divide_the_environments():
    with pytest.raises(ConfigError, match="--minibatches must divide --num-envs 4"):
        make_networks(minibatches=3)
