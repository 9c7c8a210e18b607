"""The replay buffer against a slow list of what happened, on environments of 1-step, fixed and variable episodes."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from envs.base import ConfigError
from envs.toy.probes import TOYS
from iacjax.buffers import packing, transition_buffer
from iacjax.rollout import rollout, start
from iacjax.trainer import make_trainer
from iacjax.types import Clock, masked_mean
from tests.helpers.scripted import make_scripted

ENVS, LENGTH, BLOCKS = 3, 5, 4  # 20 rows per environment are kept
BATCH, DRAWS = 60, 100  # a batch is at most the capacity, so 6000 samples are 100 of them
FIELDS = ("obs", "state", "avail", "alive", "reward", "terminated", "truncated")


def clock_of(iteration):
    return Clock(jnp.int32(iteration), jnp.int32(iteration * ENVS * LENGTH))


@functools.cache
def play(world):
    """Eleven rollouts of the environment, as NumPy, `aux` naming each row: (its number, its environment)."""
    env = TOYS[world]()
    algorithm = make_scripted(env.spec, ENVS, LENGTH)
    act = jax.jit(lambda runner, key: rollout(env, algorithm, (), runner, key, clock_of(0))[:2])
    runner, batches = jax.jit(lambda key: start(env, algorithm, key))(jax.random.key(0)), []
    for k in range(11):
        runner, batch = act(runner, jax.random.key(k))
        row = np.arange(k * LENGTH, (k + 1) * LENGTH, dtype=np.int32)
        names = {"row": np.tile(row[:, None], ENVS), "env": np.tile(np.arange(ENVS, dtype=np.float32), (LENGTH, 1))}
        batches.append(jax.tree.map(np.asarray, batch._replace(aux=names)))
    return batches


def transitions(batches):
    """{(row, environment): (timestep, first, action, next timestep)} of every action taken, one by one."""
    out = {}
    for k, batch in enumerate(batches):
        for t in range(LENGTH):
            for e in range(ENVS):
                if batch.mask[t, e] == 1:
                    here = jax.tree.map(lambda x, at=(t, e): x[at], batch.rows)
                    after = jax.tree.map(lambda x, at=(t + 1, e): x[at], batch.rows)
                    out[k * LENGTH + t, e] = here, batch.first[t, e], batch.action[t, e], after
    return out


def kept(events, iterations):
    """Those among the newest 20 rows per environment. The head replaces the 20th, unless it is in the extra row."""
    rows = iterations * LENGTH
    oldest = rows - LENGTH * BLOCKS + (1 if rows % (LENGTH * BLOCKS) else 0)
    return {name: event for name, event in events.items() if name[0] >= oldest}


def filled(store, batches):
    state, add = store.init(batches[0]), jax.jit(store.add)
    for k, batch in enumerate(batches):
        state = add(state, batch, clock_of(k))
    return state


def make_buffer(state_is_obs=False):
    return transition_buffer(ENVS * LENGTH * BLOCKS, BATCH, ENVS, LENGTH, state_is_obs)


def draw_many(store):
    """A compiled (state, newest, key, clock) -> the valid ones of 6000 samples, and their share."""

    @jax.jit
    def draw(state, newest, key, clock):
        keys = jax.random.split(key, DRAWS)
        out = jax.vmap(lambda key: store.sample(state, newest, key, clock), out_axes=1)(keys)
        return jax.tree.map(lambda x: x.reshape(x.shape[0], DRAWS * BATCH, *x.shape[3:]), out)

    def valid_ones(*args):
        drawn = jax.tree.map(np.asarray, draw(*args))
        valid = drawn.mask[0] == 1
        return jax.tree.map(lambda x: x[:, valid], drawn), valid.mean()

    return valid_ones


def assert_happened(sample, events):
    """Every sampled transition is one of `events`, field by field, and none starts at a boundary."""
    names = zip(sample.aux["row"][0], sample.aux["env"][0], strict=True)
    here, first, action, after = zip(*(events[int(row), int(e)] for row, e in names), strict=True)
    for field in FIELDS:
        for k, expected in enumerate((here, after)):
            expected = np.stack([getattr(timestep, field) for timestep in expected])
            np.testing.assert_array_equal(getattr(sample.rows, field)[k], expected, err_msg=field)
    np.testing.assert_array_equal(sample.action[0], np.stack(action))
    np.testing.assert_array_equal(sample.first[0], np.stack(first))
    assert not sample.rows.boundary[0].any()


@pytest.mark.parametrize("world", ["constant", "time_limit", "death"])
def test_samples_are_what_happened_and_uniform(world):
    """Episodes of 1, of 5, and of 3 to 5 steps; before the buffer is full (3 rollouts), just full (4, 8), wrapped."""
    batches, store = play(world), make_buffer()
    events, draw = transitions(batches), draw_many(store)
    for iterations in (3, 4, 5, 7, 8, 11):
        state = filled(store, batches[:iterations])
        newest = batches[iterations - 1]
        drawn, share = draw(state, newest, jax.random.key(iterations), clock_of(iterations - 1))
        possible = kept(transitions(batches[:iterations]), iterations)
        assert_happened(drawn, {name: events[name] for name in possible})
        names, counts = np.unique(np.stack([drawn.aux["row"][0], drawn.aux["env"][0]]), axis=1, return_counts=True)
        assert {(int(row), int(e)) for row, e in names.T} == set(possible)  # all of them, and nothing else
        assert chisquare(counts).pvalue > 1e-4
        # constant: half of the rows are boundaries, and a slot in 2^4 finds nothing, 0.9375 (sd 0.003) are valid; just
        # wrapped, the head is one more such row of 20: 11 of 20, 0.908
        assert share > (0.89 if world == "constant" else 0.98)


def test_shapes_and_the_final_observation():
    # the second feature is t / 3, and t = 4 is shown by the final observation only, which no action follows
    batches = play("memory")[:8]
    store = make_buffer()
    drawn = jax.jit(store.sample)(filled(store, batches), batches[-1], jax.random.key(3), clock_of(7))
    assert drawn.rows.obs.shape == (2, 60, 2, 2) and drawn.rows.info == {} and drawn.carry0 == ()
    assert drawn.first.shape == (2, 60) and drawn.action.shape == (1, 60, 2) and drawn.mask.shape == (1, 60)
    assert drawn.aux["row"].dtype == jnp.int32 and drawn.action.dtype == jnp.int32 and drawn.mask.dtype == jnp.float32
    step = np.round(3 * np.asarray(drawn.rows.obs[:, :, 0, 1]))[:, np.asarray(drawn.mask[0]) == 1]
    assert sorted(set(step[0])) == [0, 1, 2, 3]
    np.testing.assert_array_equal(step[1], step[0] + 1)
    np.testing.assert_array_equal(drawn.rows.terminated[1, drawn.mask[0] == 1], step[1] == 4)


def test_a_state_of_observations_is_not_kept_but_made_again():
    batches = play("memory")[:5]
    whole, lean = make_buffer(), make_buffer(state_is_obs=True)
    states = filled(whole, batches), filled(lean, batches)
    # obs 2 x 2 and state 4 floats, reward, action 2, names 2; 11 bools and the 4 legal actions in one word
    assert [x.shape for x in states] == [(21, 3, 14), (21, 3, 10)]
    args = batches[-1], jax.random.key(1), clock_of(4)
    drawn = [jax.jit(store.sample)(state, *args) for store, state in zip((whole, lean), states, strict=True)]
    jax.tree.map(np.testing.assert_array_equal, *drawn)


def test_a_start_that_finds_nothing_is_masked():
    batches, store = play("constant")[:4], make_buffer()
    idle = [batch._replace(mask=np.zeros_like(batch.mask)) for batch in batches]
    drawn = jax.jit(store.sample)(filled(store, idle), idle[-1], jax.random.key(0), clock_of(3))
    assert (drawn.mask == 0).all()


@pytest.mark.parametrize(("capacity", "batch_size"), [(31, 32), (14, 8), (0, 0)])
def test_a_capacity_below_a_batch_or_a_rollout_is_refused(capacity, batch_size):
    with pytest.raises(ConfigError, match=f"capacity of {capacity} is too small: give at least"):
        transition_buffer(capacity, batch_size, ENVS, LENGTH)


def test_the_capacity_is_rounded_up_to_whole_rollouts():
    # 3 environments x 5 rows an iteration: 31 rows take 3 iterations, 15 rows per environment and the head's
    batch = play("constant")[0]
    assert transition_buffer(31, 8, ENVS, LENGTH).init(batch).shape[:2] == (16, 3)
    assert transition_buffer(30, 8, ENVS, LENGTH).init(batch).shape[:2] == (11, 3)


def test_packing_gives_everything_back_bit_for_bit():
    rng = np.random.default_rng(0)
    tree = {
        "flag": rng.random((3, 2)) < 0.5,
        "many": rng.random((3, 2, 5, 8)) < 0.5,
        "float": jnp.asarray(rng.normal(size=(3, 2, 4)), jnp.float32).at[0, 0, 0].set(jnp.nan).at[0, 0, 1].set(-0.0),
        "int": jnp.asarray(rng.integers(-(2**31), 2**31, size=(3, 2)), jnp.int32),
        "none": jnp.zeros((3, 2, 0)),
    }
    # 41 bools are 2 words, and there are 4 floats and an int
    words = packing.pack(tree, 2)
    assert packing.num_words(tree, 2) == 7 and words.shape == (3, 2, 7) and words.dtype == jnp.uint32
    back = packing.unpack(words, tree, 2)
    for name, x in tree.items():
        assert back[name].dtype == x.dtype and back[name].tobytes() == np.asarray(x).tobytes()
    np.testing.assert_array_equal(words[..., 0] & 1, tree["flag"])


ENV = TOYS["variable"]()
SEEDS = jax.random.split(jax.random.key(7), 3)


def make_run(capacity=40, **plan):
    """The scripted algorithm on a buffer of 40 rows: 2 environments x 5 rows per iteration, so 4 iterations."""
    return make_trainer(
        ENV, make_scripted(ENV.spec, 2, 5, transition_buffer(capacity, 16, 2, 5), **plan), 10, eval_episodes=2
    )


@pytest.fixture(scope="module")
def run():
    return make_run(updates=2, warmup=25)


def test_seeds_together_are_each_alone_and_two_chunks_are_one(run):
    whole, metrics, stats = run.chunk(run.init(SEEDS), 0, 10)
    half, *_ = run.chunk(run.init(SEEDS), 0, 5)
    both, *_ = run.chunk(half, 5, 5)
    np.testing.assert_array_equal(both.store, whole.store)
    np.testing.assert_array_equal(both.learner.rewards, whole.learner.rewards)
    # warm-up 25: two updates in each iteration from that on which makes the 25th env step
    warm = (np.cumsum(stats.env_steps, 0) >= 25).sum(0)
    assert whole.learner.updates.tolist() == (2 * warm).tolist()
    lone = make_run(updates=2, warmup=25)
    for k in range(3):
        alone, lone_metrics, _ = lone.chunk(run.init(SEEDS[k : k + 1]), 0, 10)
        np.testing.assert_array_equal(alone.store[0], whole.store[k])
        np.testing.assert_allclose(lone_metrics["reward"][:, 0], metrics["reward"][:, k], rtol=1e-6)
    assert len(np.unique(np.asarray(whole.store), axis=0)) == 3


def test_what_the_loop_learns_from_is_what_it_did():
    """After one iteration the buffer's samples have the mean reward of that rollout's actions."""
    algorithm = make_scripted(ENV.spec, 2, 5, transition_buffer(4096, 4096, 2, 5))
    trainer = make_trainer(ENV, algorithm, 3, eval_episodes=2)
    states = trainer.init(SEEDS[:1])
    one = jax.tree.map(lambda x: x[0], states)
    _, metrics, _ = jax.jit(trainer.step)(one, jnp.int32(0))
    k_rollout, _ = jax.random.split(jax.random.fold_in(one.key, 0))
    _, batch, _ = rollout(ENV, algorithm, (), one.runner, k_rollout, Clock(jnp.int32(0), jnp.int32(0)))
    # a reward has a standard deviation below 0.5: 0.5 / 64 = 0.008 for the mean of 4096
    np.testing.assert_allclose(metrics["reward"], masked_mean(batch.next.reward, batch.mask), atol=0.04)


def test_writing_copies_and_scatters_nothing(run):
    """The compiled chunk updates the donated buffer where it lies, under vmap over seeds, inside the loop."""
    big = make_run(capacity=4000, updates=2, warmup=25)
    states = jax.eval_shape(big.init, SEEDS)
    assert states.store.shape == (3, 2001, 2, states.store.shape[-1])
    compiled = big.chunk.lower(states, jnp.int32(0), jnp.int32(1)).compile()
    buffer = rf"u32\[3,2001,2,{states.store.shape[-1]}\]"
    made = re.findall(rf"= {buffer}\S* (\w[\w-]*)\(", compiled.as_text())
    assert "dynamic-update-slice" in made
    assert not {"copy", "scatter", "select", "concatenate", "transpose"} & set(made), set(made)
    bytes_ = 4 * np.prod(states.store.shape)
    assert compiled.memory_analysis().temp_size_in_bytes < bytes_
