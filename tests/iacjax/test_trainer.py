"""The one training loop: chunks, seeds, donation, compiles, warm-up and the buffer, by an algorithm that counts."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.toy.probes import TOYS
from iacjax.trainer import init_state, make_trainer
from iacjax.types import ReplayBuffer
from tests.helpers.scripted import make_scripted

SEEDS = jax.random.split(jax.random.key(7), 3)
ENV = TOYS["variable"]()


def make(num_envs=2, length=5, chunk_size=10, **plan):
    return make_trainer(ENV, make_scripted(ENV.spec, num_envs, length, **plan), chunk_size, eval_episodes=4)


def assert_equal(a, b):
    def data(x):
        return np.asarray(jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x)

    jax.tree.map(lambda x, y: np.testing.assert_array_equal(data(x), data(y)), a, b)


@pytest.fixture(scope="module")
def trainer():
    return make()


def test_two_chunks_of_five_are_one_of_ten_bitwise(trainer):
    whole, metrics, stats = trainer.chunk(trainer.init(SEEDS), 0, 10)
    half, *first = trainer.chunk(trainer.init(SEEDS), 0, 5)
    both, *second = trainer.chunk(half, 5, 5)
    assert_equal(both, whole)
    joined = jax.tree.map(lambda a, b: np.concatenate([a[:5], b[:5]]), tuple(first), tuple(second))
    assert_equal(joined, (metrics, stats))


def test_rows_past_n_stay_zero_and_the_clock_runs(trainer):
    # 2 environments of 5 rows: at most 10 env steps per iteration; the metric is the clock before the iteration
    states, metrics, stats = trainer.chunk(trainer.init(SEEDS), 3, 4)
    made = np.cumsum(stats.env_steps[:4], 0)
    np.testing.assert_array_equal(metrics["env_steps"], [[0] * 3, *made[:3], *[[0] * 3] * 6])
    np.testing.assert_array_equal(states.env_steps, made[-1])
    assert metrics["updates"].tolist() == [[s] * 3 for s in (0, 1, 2, 3, 0, 0, 0, 0, 0, 0)]
    assert (stats.episodes[:4].sum(0) > 0).all() and (stats.episodes[4:] == 0).all()


def test_a_seed_alone_is_that_seed_among_others(trainer):
    together, metrics, _ = trainer.chunk(trainer.init(SEEDS), 0, 5)
    for k in range(3):
        alone, lone_metrics, _ = trainer.chunk(trainer.init(SEEDS[k : k + 1]), 0, 5)
        np.testing.assert_allclose(alone.learner.rewards[0], together.learner.rewards[k], rtol=1e-6)
        np.testing.assert_allclose(lone_metrics["reward"][:, 0], metrics["reward"][:, k], rtol=1e-6)
        assert_equal(alone.runner.env_state, jax.tree.map(lambda x, k=k: x[k : k + 1], together.runner.env_state))
    assert len(set(np.asarray(together.learner.rewards))) == 3


def test_iterations_draw_other_numbers(trainer):
    _, metrics, _ = trainer.chunk(trainer.init(SEEDS), 0, 10)
    assert len(np.unique(metrics["reward"][:, 0])) > 5


def test_the_state_is_donated_and_the_second_chunk_compiles_nothing():
    algorithm, traced = make_scripted(ENV.spec, 2, 5), []
    counted = algorithm._replace(update=lambda *args: traced.append(args) or algorithm.update(*args))
    trainer = make_trainer(ENV, counted, 10, eval_episodes=4)
    states = trainer.init(SEEDS)
    later, _, _ = trainer.chunk(states, 0, 5)
    assert all(leaf.is_deleted() for leaf in jax.tree.leaves(states))
    traced.clear()
    trainer.chunk(later, 5, 3)
    assert not traced


def test_the_evaluation_leaves_the_state_alone(trainer):
    states = trainer.init(SEEDS)
    episodes = trainer.evaluate(states, jax.random.split(jax.random.key(1), 3))
    assert episodes.returns.shape == (3, 4)
    # greedy is action 1 throughout: the return is the length
    np.testing.assert_array_equal(episodes.returns, episodes.length)
    assert not any(leaf.is_deleted() for leaf in jax.tree.leaves(states))


def counting_buffer() -> ReplayBuffer:
    """Counts what is added, and hands back the newest rollout with the count for a reward."""

    def sample(state, batch, key, clock):
        return batch._replace(rows=batch.rows._replace(reward=jnp.full_like(batch.rows.reward, state)))

    return ReplayBuffer(init=lambda batch: jnp.float32(0), add=lambda state, batch, clock: state + 1, sample=sample)


def test_only_steps_in_which_the_agents_acted_are_counted():
    """Every second row of one-step games is an end: of 2 environments x 5 rows 6 are steps, then 4, and so on."""
    env = TOYS["constant"]()
    trainer = make_trainer(env, make_scripted(env.spec, 2, 5), 10, eval_episodes=4)
    states, metrics, stats = trainer.chunk(trainer.init(SEEDS), 0, 4)
    assert stats.env_steps[:4].tolist() == [[6] * 3, [4] * 3, [6] * 3, [4] * 3]
    assert metrics["env_steps"][:4].tolist() == [[0] * 3, [6] * 3, [10] * 3, [16] * 3]
    assert states.env_steps.tolist() == [20] * 3


def test_each_seed_is_warm_after_env_steps_of_its_own(trainer):
    """Warm-up 30: a seed whose episodes were shorter has made fewer env steps in as many rows, and learns later; alone
    it does so at the same iteration."""
    some = jax.random.split(jax.random.key(1), 16)
    warm = make(warmup=30)
    states, _, stats = warm.chunk(warm.init(some), 0, 6)
    learned = (np.cumsum(stats.env_steps[:6], 0) >= 30).sum(0)
    np.testing.assert_array_equal(states.learner.updates, learned)
    assert len(set(learned.tolist())) > 1
    k = int(np.argmin(learned))
    assert warm.chunk(warm.init(some[k : k + 1]), 0, 6)[0].learner.updates.tolist() == [learned[k]]


def test_warmup_fills_the_store_and_then_updates_several_times():
    # 10 rows per iteration, seven or more of them env steps, warm-up 14: iteration 0 only fills the buffer, the four
    # after it make 3 updates each, on what was added first (2, 3, 4, 5): 3 x (2 + 3 + 4 + 5) = 42.
    trainer = make(buffer=counting_buffer(), updates=3, warmup=14)
    states = trainer.init(SEEDS)
    drawn = np.asarray(states.learner.rewards)
    states, metrics, stats = trainer.chunk(states, 0, 5)
    assert (stats.env_steps[0] < 14).all() and (stats.env_steps[:2].sum(0) >= 14).all()
    assert states.store.tolist() == [5, 5, 5]
    assert states.learner.updates.tolist() == [12, 12, 12]
    np.testing.assert_allclose(states.learner.rewards, drawn + 42, rtol=1e-6)
    # metrics are means over an iteration's updates: (0 + 1 + 2) / 3 = 1, then 4, 7 and 10
    assert metrics["updates"][:5, 0].tolist() == [0, 1, 4, 7, 10]
    assert metrics["reward"][:5, 0].tolist() == [0, 2, 3, 4, 5]


def conditions(jaxpr) -> list[tuple[int, ...]]:
    """The shape of each loop's condition at the top level: () where the environments share it."""
    loops = [equation for equation in jaxpr.eqns if equation.primitive.name == "while"]
    return [loop.params["cond_jaxpr"].out_avals[0].shape for loop in loops]


def test_the_updates_of_a_warmup_are_left_out_under_vmap_over_seeds_too():
    trainer = make(warmup=25)
    states = trainer.init(SEEDS)
    shared = jax.make_jaxpr(jax.vmap(trainer.step, in_axes=(0, None)))(states, jnp.int32(0))
    assert conditions(shared.jaxpr) == [()]
    # with a clock of each seed's own, all seeds would be updated as long as one is
    own = jax.make_jaxpr(jax.vmap(trainer.step))(states, jnp.zeros(3, jnp.int32))
    assert conditions(own.jaxpr) == [(3,)]


def test_the_initial_state_has_strong_dtypes_and_no_shared_buffer():
    algorithm = make_scripted(ENV.spec, 2, 5)
    shapes = jax.eval_shape(lambda key: init_state(ENV, algorithm, key), SEEDS[0])
    assert not any(leaf.weak_type for leaf in jax.tree.leaves(shapes))
    states = make().init(SEEDS)
    leaves = [jax.random.key_data(x) if x is states.key else x for x in jax.tree.leaves(states)]
    buffers = [leaf.unsafe_buffer_pointer() for leaf in leaves if leaf.size]
    assert len(set(buffers)) == len(buffers)
