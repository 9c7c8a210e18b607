"""The probes against numbers computed by hand."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.base import ConfigError
from envs.check import check_env
from envs.toy.probes import PROBES, TOYS, death, memory, variable

KEY = jax.random.key(0)


def play(env, choose, num_envs=1, key=KEY):
    """Rows [T + 1, E, ...] of one episode per environment; `choose(timestep)` gives int32[E, A]."""

    def body(carry, key):
        state, timestep = carry
        new = env.step(key, state, choose(timestep))
        return new, new[1]

    state, opened = env.reset(key, num_envs)
    rows = jax.lax.scan(body, (state, opened), jax.random.split(key, env.spec.horizon))[1]
    return jax.tree.map(lambda x, xs: np.concatenate([x[None], xs]), opened, rows)


def always(*actions):
    return lambda timestep: jnp.tile(jnp.array(actions, jnp.int32), (timestep.reward.shape[0], 1))


@pytest.mark.parametrize("name", TOYS)
def test_every_toy_keeps_the_contract(name):
    env = TOYS[name]()
    assert env.spec.name == f"toy:{name}"
    assert env.spec.action.num_actions >= 2
    check_env(env)


def test_every_probe_is_a_toy():
    assert set(PROBES) == set(TOYS)


def test_constant_and_discounting_rewards():
    assert play(TOYS["constant"](), always(0, 1)).reward[:, 0].tolist() == [0, 1]
    rows = play(TOYS["discounting"](), always(0, 1))
    assert rows.reward[:, 0].tolist() == [0, 0, 1]
    assert rows.terminated[:, 0].tolist() == [False, False, True]
    assert rows.obs[:2, 0, :, 0].tolist() == [[0, 0], [1, 1]]


def test_the_observation_is_the_reward_and_both_signs_come():
    rows = play(TOYS["observation"](), always(0, 0), num_envs=256)
    np.testing.assert_array_equal(rows.reward[1], rows.obs[0, :, 1, 0])
    # half of 256 draws, 5 standard deviations of 8
    assert abs((rows.reward[1] > 0).sum() - 128) < 40


def test_actions_are_paid_by_the_share_that_is_right():
    # 0 of 2, 1 of 2, 2 of 2
    env = TOYS["action"]()
    assert [float(play(env, always(*pair)).reward[1, 0]) for pair in [(0, 0), (0, 1), (1, 1)]] == [0, 0.5, 1]


def test_coordination_pays_one_joint_action_of_nine():
    env = TOYS["coordination"]()
    paid = [[float(play(env, always(a, b)).reward[1, 0]) for b in range(3)] for a in range(3)]
    assert paid == [[0, 0, 0], [0, 0, 0], [0, 0, 1]]


def test_the_time_limit_truncates_after_five():
    rows = play(TOYS["time_limit"](), always(0, 0))
    assert rows.truncated[:, 0].tolist() == [False] * 5 + [True]
    assert not rows.terminated.any()
    assert rows.reward[:, 0].tolist() == [0, 1, 1, 1, 1, 1]
    assert np.unique(rows.obs).size == 1


def test_memory_shows_the_cue_once_and_asks_for_it_at_the_end():
    env = memory()
    rows = play(env, always(0, 1), num_envs=8)
    cue = rows.obs[0, :, :, 0]
    assert set(np.unique(cue)) == {-1, 1}
    assert (rows.obs[1:, :, :, 0] == 0).all()
    np.testing.assert_allclose(rows.obs[:4, 0, 0, 1], [0, 1 / 3, 2 / 3, 1], rtol=1e-6)
    assert (rows.reward[:4] == 0).all()
    assert (rows.reward[4] == 0.5).all()  # one of the two is right, whichever the cue
    right = np.where(cue[:, 0] > 0, 1, 0)
    rows = play(env, lambda ts: jnp.asarray(np.stack([right, right], 1), jnp.int32), num_envs=8)
    assert (rows.reward[4] == 1).all()
    assert memory(num_agents=1, length=3).spec.horizon == 3
    with pytest.raises(ConfigError, match="at least 1 agent"):
        memory(length=1)


def test_death_masks_the_dead_and_pays_the_living():
    env = death()
    rows = play(env, always(1, 2), num_envs=300)  # agent 0 right, agent 1 wrong
    lengths = rows.terminated.argmax(0)
    assert set(lengths) == {3, 4, 5}
    lived = rows.alive[..., 1].sum(0)
    np.testing.assert_array_equal(lived, lengths - 2)
    assert rows.alive[..., 0].all()
    assert (rows.avail[rows.alive] == [False, True, True]).all()
    assert (rows.avail[~rows.alive] == [True, False, False]).all()
    assert (rows.obs[~rows.alive] == 0).all()
    # half a point while both live, one point for each of the two steps after
    np.testing.assert_allclose(rows.reward.sum(0), 0.5 * lived + 2)
    # a dead agent's no-op costs nothing
    best = play(env, lambda ts: jnp.where(ts.alive, 1, 0).astype(jnp.int32), num_envs=300)
    np.testing.assert_allclose(best.reward.sum(0), best.terminated.argmax(0))


def test_variable_lengths_are_uniform():
    rows = play(variable(), always(1, 1), num_envs=1000)
    lengths = rows.terminated.argmax(0)
    # 200 each, 5 standard deviations of 12.6
    assert (abs(np.bincount(lengths, minlength=6)[1:] - 200) < 64).all()
    np.testing.assert_array_equal(rows.reward.sum(0), lengths)


BEST = {  # a best action from a row of the episode and the cue seen at step 0
    "memory": lambda ts, cue: jnp.broadcast_to(cue, ts.alive.shape),
    "coordination": lambda ts, cue: jnp.full_like(ts.alive, 2, jnp.int32),
    "death": lambda ts, cue: ts.alive.astype(jnp.int32),
}


@pytest.mark.parametrize("name", PROBES)
def test_the_best_policy_reaches_the_known_return_and_value(name):
    """Plays the best policy and sums its discounted rewards, against the table of known values."""
    env, gamma, num_envs = TOYS[name](), 0.9, 600
    cue = (env.reset(KEY, num_envs)[1].obs[:, :1, 0] > 0).astype(jnp.int32)
    choose = BEST.get(name, lambda ts, cue: jnp.ones_like(ts.alive, jnp.int32))
    rows = play(env, lambda ts: choose(ts, cue), num_envs)
    # standard deviations of the mean return: observation 1 / sqrt(600) = 0.04, variable 1.41 / sqrt(600) = 0.06
    np.testing.assert_allclose(rows.reward.sum(0).mean(), PROBES[name].best_return, atol=0.2)
    value = np.asarray(PROBES[name].value(gamma, jnp.asarray(rows.obs)))
    later = np.where(rows.truncated[-1], 1 / (1 - gamma), 0.0)  # the truncated probe gives reward 1 forever
    for t in reversed(range(env.spec.horizon)):
        later = np.where(rows.terminated[t], 0.0, rows.reward[t + 1] + gamma * later)
        acted_on = ~(rows.terminated | rows.truncated)[t]
        np.testing.assert_allclose(later[acted_on], value[t][acted_on], rtol=1e-5)
