"""Rewards normalised over all that the replay holds: literal numbers, and a slow list of what happened."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_transitions import BATCH, BLOCKS, ENVS, LENGTH, clock_of, filled, kept, make_buffer, play, transitions

from envs.base import TimeStep
from iacjax.buffers import normalise_rewards, transition_buffer
from iacjax.buffers.reward_moments import moments, together
from iacjax.types import Batch, Clock


def batch_of(rewards, mask, before=0.0):
    """A rollout of two rows, one environment: `rewards` and `mask` of its actions, `before` the reward of the last."""
    rows = TimeStep(
        obs=jnp.zeros((3, 1, 1, 1)),
        state=jnp.zeros((3, 1, 1)),
        avail=jnp.zeros((3, 1, 1, 0), bool),
        alive=jnp.ones((3, 1, 1), bool),
        reward=jnp.array([[before], [rewards[0]], [rewards[1]]], jnp.float32),
        terminated=jnp.zeros((3, 1), bool),
        truncated=jnp.zeros((3, 1), bool),
        info={},
    )
    mask = jnp.array(mask, jnp.float32)[:, None]
    return Batch(rows, jnp.zeros((3, 1), bool), jnp.zeros((2, 1, 1, 1)), (), mask, ())


def chain(*rollouts):
    """One after the other: row 0 of each is what the last action of the one before led to."""
    last = [rewards[-1] for rewards, _ in rollouts]
    return [batch_of(*rollout, before) for rollout, before in zip(rollouts, [99.0, *last], strict=False)]


def small_buffer(capacity=4):
    return normalise_rewards(transition_buffer(capacity, 4, 1, 2), capacity, 1, 2)


def after(buffer, rollouts):
    state = buffer.init(rollouts[0])
    for k, rollout in enumerate(rollouts):
        state = buffer.add(state, rollout, Clock(jnp.int32(k), jnp.int32(2 * k)))
    return state


def sampled(buffer, rollouts):
    """The rewards of the valid transitions of one batch."""
    clock = Clock(jnp.int32(len(rollouts) - 1), jnp.int32(0))
    batch = buffer.sample(after(buffer, rollouts), rollouts[-1], jax.random.key(0), clock)
    return {round(float(reward), 4) for reward in batch.rows.reward[1][batch.mask[0] > 0]}


@pytest.mark.parametrize(
    "rollouts, mean, std",
    [
        ([((1, 3), (1, 1))], 2.0, 1.0),
        ([((1, 9), (1, 0))], 1.0, 0.0),  # no action earned the 9
        ([((9, 9), (0, 0))], 0.0, 0.0),
        ([((1, 3), (1, 1)), ((5, 7), (1, 1))], 4.0, 5.0**0.5),  # deviations 3, 1, 1, 3
        # Two rollouts are kept: the third takes the first one's place and its head that of the second one's first row,
        # so that 7, 9 and 11 are left: mean 9, variance (4 + 0 + 4) / 3.
        ([((1, 3), (1, 1)), ((5, 7), (1, 1)), ((9, 11), (1, 1))], 9.0, (8 / 3) ** 0.5),
        # The fourth ends at the last row, where the head has a row of its own: 9, 11, 13, 15.
        ([((1, 3), (1, 1)), ((5, 7), (1, 1)), ((9, 11), (1, 1)), ((13, 15), (1, 1))], 12.0, 5.0**0.5),
    ],
)
def test_moments_are_those_of_what_is_kept(rollouts, mean, std):
    buffer = small_buffer()
    state = after(buffer, chain(*rollouts))
    np.testing.assert_allclose(together(state.chunks), (mean, std), rtol=1e-6, atol=1e-7)


def test_batches_have_normalised_rewards():
    """1, 3, 5, 7: mean 4, standard deviation 5^0.5; rewards that are all alike become 0, as does one alone."""
    found = sampled(small_buffer(), chain(((1, 3), (1, 1)), ((5, 7), (1, 1))))
    assert found <= {-1.3416, -0.4472, 0.4472, 1.3416} and len(found) > 1
    assert sampled(small_buffer(), chain(((0.1, 0.1), (1, 1)), ((0.1, 0.1), (1, 1)))) == {0.0}
    assert sampled(small_buffer(), chain(((5, 9), (1, 0)))) == {0.0}


def test_another_unit_of_the_rewards_changes_nothing():
    one = chain(((1, 2), (1, 1)), ((3, 8), (1, 1)))
    other = chain(((1010, 1020), (1, 1)), ((1030, 1080), (1, 1)))
    np.testing.assert_allclose(sorted(sampled(small_buffer(), one)), sorted(sampled(small_buffer(), other)), atol=2e-4)


@pytest.mark.parametrize(
    "world", ["variable", *(pytest.param(name, marks=pytest.mark.slow) for name in ("constant", "death"))]
)
def test_the_moments_are_those_of_a_slow_list(world):
    """Episodes of 1, of 1 to 8 and of 3 to 5 steps; before the buffer is full, just full, and wrapped twice."""
    batches, capacity = play(world), ENVS * LENGTH * BLOCKS
    buffer = normalise_rewards(make_buffer(), capacity, ENVS, LENGTH)
    for iterations in (1, 3, 4, 5, 8, 11):
        batches_ = [b._replace(rows=b.rows._replace(reward=b.rows.reward + 0.01 * b.rows.obs.sum((-1, -2))))
                    for b in batches[:iterations]]  # fmt: skip
        rewards = [event[3].reward for event in kept(transitions(batches_), iterations).values()]
        state = filled(buffer, batches_)
        np.testing.assert_allclose(together(state.chunks), (np.mean(rewards), np.std(rewards)), rtol=1e-4, atol=1e-6)
        assert int(state.chunks.count.sum()) == len(rewards)
        plain = jax.jit(make_buffer().sample)(state.ring, batches_[-1], jax.random.key(1), clock_of(iterations - 1))
        ours = jax.jit(buffer.sample)(state, batches_[-1], jax.random.key(1), clock_of(iterations - 1))
        mean, std = np.mean(rewards), np.std(rewards)
        due = (plain.rows.reward[1] - mean) / std if std > 1e-6 else np.zeros(BATCH)
        valid = plain.mask[0] > 0
        np.testing.assert_allclose(ours.rows.reward[1][valid], due[valid], rtol=1e-3, atol=1e-4)
        np.testing.assert_array_equal(ours.rows.obs, plain.rows.obs)  # and nothing else is another


def test_rewards_far_from_zero_keep_their_digits():
    """300 000 rewards of mean 10 000 and standard deviation 1, in 500 chunks; and as many that are all 0.1."""
    reward = np.random.default_rng(0).normal(1e4, 1.0, (500, 600)).astype(np.float32)
    everything = np.ones(reward.shape, bool)
    compiled = jax.jit(lambda reward, acted: together(moments(reward, acted)))
    exact = reward.astype(np.float64)
    np.testing.assert_allclose(compiled(reward, everything), (exact.mean(), exact.std()), rtol=1e-4)
    mean, std = compiled(np.full_like(reward, 0.1), everything)
    assert float(mean) == pytest.approx(0.1, rel=1e-6) and float(std) < 1e-7
