"""The rollout and the evaluator, proved by numbers on environments whose episodes are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.base import select_envs
from envs.toy.probes import TOYS
from iacjax.evaluation import evaluate
from iacjax.rollout import rollout, start
from iacjax.types import Clock, masked_mean
from tests.helpers.scripted import make_scripted
from tests.helpers.tiny_intrinsic import quick

KEY = jax.random.key(0)
CLOCK = Clock(jnp.int32(0), jnp.int32(0))


def rollouts(env, num_envs, length, times=1, key=KEY):
    """Consecutive rollouts of one runner, as [(batch, stats)], and the runner after the last: one program."""
    algorithm = make_scripted(env.spec, num_envs, length)

    def play(key):
        def act(runner, k):
            runner, batch, stats = rollout(env, algorithm, (), runner, jax.random.fold_in(key, k), CLOCK)
            return runner, (batch, stats)

        return jax.lax.scan(act, start(env, algorithm, key), jnp.arange(times))

    runner, out = quick(play, key)
    return [jax.tree.map(lambda x, k=k: np.asarray(x[k]), out) for k in range(times)], runner


class Chancy:
    """The variable-length probe with a winner: episodes of an odd length are won at their last step.

    Past the end it misbehaves as the contract allows: it goes on paying rewards and says that all is won.
    """

    def __init__(self):
        self.world = TOYS["variable"]()
        self.spec = self.world.spec

    def _judge(self, state, timestep):
        won = timestep.terminated & (state.hidden % 2 == 1)
        return state, timestep._replace(info={"won": won})

    def reset(self, key, num_envs):
        return self._judge(*self.world.reset(key, num_envs))

    def step(self, key, state, action):
        over = state.t == state.hidden
        state, timestep = self._judge(*self.world.step(key, state, action))
        return state, timestep._replace(
            reward=timestep.reward + 100.0 * over, info={"won": timestep.info["won"] | over}
        )

    def restart(self, key, state, timestep, where):
        return select_envs(where, self.reset(key, where.shape[0]), (state, timestep))


def test_one_step_episodes_take_two_rows():
    # Reward 1 for the only step: act, stand at the end, act, ... The second rollout begins at an end.
    ((batch, stats), (later, later_stats)), _ = rollouts(TOYS["constant"](), 2, 5, times=2)
    for e in range(2):
        assert batch.mask[:, e].tolist() == [1, 0, 1, 0, 1]
        assert batch.first[:, e].tolist() == [True, False, True, False, True, False]
        assert batch.rows.terminated[:, e].tolist() == [False, True, False, True, False, True]
        assert batch.rows.reward[:, e].tolist() == [0, 1, 0, 1, 0, 1]
        assert later.mask[:, e].tolist() == [0, 1, 0, 1, 0]
        assert later.first[:, e].tolist() == [False, True, False, True, False, True]
    # three actions per environment in the first rollout, two in the second, each an episode of length 1 and return 1
    assert [float(x) for x in stats] == [6, 6, 6, 0, 6]
    assert [float(x) for x in later_stats] == [4, 4, 4, 0, 4]


def test_fixed_length_episodes_take_length_plus_one_rows():
    # Four steps, the second feature is t / 3; ten rows: 0 1 2 3 end 0 1 2 3 end, then row 10 opens the third episode.
    ((batch, stats),), _ = rollouts(TOYS["memory"](), 3, 10)
    steps = np.round(3 * batch.rows.obs[:, :, 0, 1]).astype(int)
    for e in range(3):
        assert steps[:, e].tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4, 0]
        assert batch.mask[:, e].tolist() == [1, 1, 1, 1, 0, 1, 1, 1, 1, 0]
        assert batch.first[:, e].tolist() == [True] + [False] * 4 + [True] + [False] * 4 + [True]
        assert batch.aux[:, e].tolist() == [0, 1, 2, 3, 4, 0, 1, 2, 3, 4]
    assert float(stats.episodes) == 6 and float(stats.length_sum) == 24
    np.testing.assert_allclose(stats.return_sum, batch.rows.reward.sum())


def test_a_time_limit_has_its_final_observation_and_is_no_termination():
    ((batch, stats),), _ = rollouts(TOYS["time_limit"](), 1, 6)
    assert batch.next.truncated[:, 0].tolist() == [False] * 4 + [True, False]
    assert batch.next.boundary[:, 0].tolist() == [False] * 4 + [True, False]
    assert not batch.rows.terminated.any()
    assert batch.mask[:, 0].tolist() == [1, 1, 1, 1, 1, 0]
    assert [float(x) for x in stats] == [1, 5, 5, 0, 5]


def episodes_of(batch):
    """Slow oracle: (lengths, returns) of the episodes that open and end inside a batch, environment by environment."""
    lengths, returns = [], []
    for e in range(batch.mask.shape[1]):
        length, total = None, 0.0
        for t in range(batch.rows.reward.shape[0]):
            if batch.first[t, e]:
                length, total = 0, 0.0
            elif length is not None:
                length, total = length + 1, total + batch.rows.reward[t, e]
                if batch.rows.terminated[t, e]:
                    lengths.append(length)
                    returns.append(total)
                    length = None
    return lengths, returns


def test_variable_length_rows_are_true_successors():
    # The observation is (steps left) / 5 and the episode ends at 0: a step takes 1 off, and nothing else can.
    ((batch, stats),), _ = rollouts(Chancy(), 16, 40)
    left = np.round(5 * batch.rows.obs[:, :, 0, 0]).astype(int)
    acted = batch.mask == 1
    assert (left[1:][acted] == left[:-1][acted] - 1).all()
    assert (left[:-1][~acted] == 0).all() and (left[:-1][acted] > 0).all()
    # the row after a final one opens an episode, no other does, and no start has a final observation or a reward
    np.testing.assert_array_equal(batch.first[1:], ~acted)
    assert not (batch.first & batch.rows.boundary).any()
    assert (batch.rows.reward[batch.first] == 0).all()
    np.testing.assert_array_equal(batch.mask == 0, batch.ts.boundary)
    lengths, returns = episodes_of(batch)
    assert set(lengths) == {1, 2, 3, 4, 5}
    odd = sum(length % 2 for length in lengths)
    np.testing.assert_allclose([*stats], [len(lengths), sum(returns), sum(lengths), odd, acted.sum()], rtol=1e-6)


def test_the_carry_restarts_with_the_episode_and_replays_from_carry0():
    out, runner = rollouts(TOYS["variable"](), 8, 7, times=3)
    for batch, _ in out:
        carry = batch.carry0
        for t in range(7):
            carry = np.where(batch.first[t], 0, carry)
            np.testing.assert_array_equal(batch.aux[t], carry)
            carry = carry + 1
    np.testing.assert_array_equal(runner.carry, carry)
    np.testing.assert_array_equal(out[0][0].carry0, np.zeros(8))


def test_consecutive_rollouts_join_without_losing_a_row():
    # Nothing is drawn in this environment but actions, which it ignores: two rollouts of 3 are one of 6.
    env = TOYS["discounting"]()
    ((one, one_stats), (two, two_stats)), _ = rollouts(env, 2, 3, times=2)
    ((whole, stats),), _ = rollouts(env, 2, 6)
    for part in ("obs", "reward", "terminated"):
        a, b, c = (getattr(batch.rows, part) for batch in (one, two, whole))
        np.testing.assert_array_equal(np.concatenate([a, b[1:]]), c)
        np.testing.assert_array_equal(a[-1], b[0])
    for part in ("mask", "aux"):
        a, b, c = (getattr(batch, part) for batch in (one, two, whole))
        np.testing.assert_array_equal(np.concatenate([a, b]), c)
    np.testing.assert_array_equal(np.concatenate([one.first, two.first[1:]]), whole.first)
    np.testing.assert_array_equal(one.first[-1], two.first[0])
    np.testing.assert_array_equal(np.add(one_stats, two_stats), stats)


def test_an_episode_over_two_rollouts_is_counted_whole_when_it_ends():
    # Five steps of reward 1; rollouts of 3: none ends in the first, one of return 5 and length 5 in the second,
    # which spends row 5 at the end, so the second episode (rows 6 to 10, end 11) ends in the fourth; row 12 opens one.
    out, runner = rollouts(TOYS["time_limit"](), 1, 3, times=4)
    assert [[float(x) for x in stats] for _, stats in out] == [
        [0, 0, 0, 0, 3], [1, 5, 5, 0, 2], [0, 0, 0, 0, 3], [1, 5, 5, 0, 2]
    ]  # fmt: skip
    assert runner.first.tolist() == [True] and runner.episode_length.tolist() == [0]


def test_the_dead_keep_acting_legally():
    ((batch, _),), _ = rollouts(TOYS["death"](), 16, 30)
    dead = ~batch.ts.alive
    assert dead.any() and (batch.action[dead] == 0).all() and (batch.action[~dead] > 0).all()


def evaluated(env, num_episodes, key=KEY):
    algorithm = make_scripted(env.spec, 1, 1)
    return jax.tree.map(np.asarray, quick(lambda key: evaluate(env, algorithm, (), key, num_episodes), key))


def test_the_evaluator_plays_each_environment_to_its_end_and_no_further():
    # Greedy chooses action 1 of {0, 1}, so return = length, which is drawn at reset. Past the end Chancy pays 100 and
    # claims a win: neither may count.
    env = Chancy()
    episodes = evaluated(env, 500)
    drawn = env.reset(jax.random.split(KEY)[0], 500)[0].hidden
    np.testing.assert_array_equal(episodes.length, drawn)
    np.testing.assert_array_equal(episodes.returns, drawn)
    np.testing.assert_array_equal(episodes.won, np.asarray(drawn) % 2 == 1)


def test_the_evaluator_is_unbiased_where_the_first_to_finish_are_short():
    # Lengths are uniform on 1..5: mean 3, standard error sqrt(2 / 2000) = 0.03.
    assert abs(evaluated(TOYS["variable"](), 2000).returns.mean() - 3) < 0.15
    # Of 1000 environments, the first 1000 episodes to finish: rows 1, 2, 3, 4 end 0.2, 0.2, 0.24 and 0.28 of them, with
    # lengths 1; 2; 3 (and 0.04 of 1); 4 (and 0.04 each of 1 and 2), then 0.08 of row 5 with mean 1.248 / 0.328:
    # 0.2 + 0.4 + 0.64 + 0.92 + 0.30 = 2.46.
    ((batch, _),), _ = rollouts(TOYS["variable"](), 1000, 8)
    ends = np.argwhere(batch.rows.terminated)[:1000]
    opened = [np.flatnonzero(batch.first[: t + 1, e])[-1] for t, e in ends]
    assert abs(np.mean(ends[:, 0] - opened) - 2.46) < 0.15


@pytest.mark.parametrize(("name", "length", "value"), [("constant", 1, 1), ("time_limit", 5, 5), ("death", None, None)])
def test_the_evaluator_on_known_episodes(name, length, value):
    episodes = evaluated(TOYS[name](), 6)
    assert not episodes.won.any()
    if length is None:
        # the highest legal action is the wrong one for the living: every reward is 0, the lengths are 3, 4 or 5
        assert (episodes.returns == 0).all() and set(episodes.length) <= {3, 4, 5}
    else:
        assert episodes.length.tolist() == [length] * 6 and episodes.returns.tolist() == [value] * 6


def test_masked_mean():
    # (1 + 2 + 4) / 3; nothing chosen gives 0; a [T] mask is broadcast over the last axis
    x = jnp.array([1.0, 2.0, 3.0, 4.0])
    assert float(masked_mean(x, jnp.array([1.0, 1.0, 0.0, 1.0]))) == pytest.approx(7 / 3)
    assert float(masked_mean(x, jnp.zeros(4))) == 0.0
    assert float(masked_mean(x.reshape(2, 2), jnp.array([[1.0], [0.0]]))) == 1.5
