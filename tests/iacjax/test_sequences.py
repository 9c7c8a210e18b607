"""The replay of sequences against a slow list of what happened, and packing of numbers of fewer than 32 bits."""

import functools
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.stats import chisquare

from envs.base import ConfigError
from envs.toy.probes import TOYS
from iacjax.buffers import packing, sequence_buffer
from iacjax.rollout import rollout, start
from iacjax.trainer import make_trainer
from iacjax.types import Clock
from tests.helpers.scripted import make_scripted

ENVS, LENGTH, BLOCKS, BATCH = 3, 5, 4, 2000  # 20 rows per environment are kept
HORIZON, WINDOW = 5, 6  # of the environments "death" and "variable"; their episodes fill 4 to 6 rows
FIELDS = ("obs", "state", "avail", "alive", "reward", "terminated", "truncated")


def clock_of(iteration):
    return Clock(jnp.int32(iteration), jnp.int32(iteration * ENVS * LENGTH))


@functools.cache
def play():
    """Eleven rollouts of episodes of 3 to 5 steps, as NumPy, `aux` the number of each row in its environment."""
    env = TOYS["death"]()
    algorithm = make_scripted(env.spec, ENVS, LENGTH)
    act = jax.jit(lambda runner, key: rollout(env, algorithm, (), runner, key, clock_of(0))[:2])
    runner, batches = jax.jit(lambda key: start(env, algorithm, key))(jax.random.key(0)), []
    for k in range(11):
        runner, batch = act(runner, jax.random.key(k))
        aux = {
            "row": np.tile(np.arange(k * LENGTH, (k + 1) * LENGTH, dtype=np.int32)[:, None], ENVS),
            "env": np.tile(np.arange(ENVS, dtype=np.int32), (LENGTH, 1)),
        }
        batches.append(jax.tree.map(np.asarray, batch._replace(aux=aux)))
    return batches


def make_buffer(**fields):
    return sequence_buffer(
        ENVS * LENGTH * BLOCKS, BATCH, WINDOW, ENVS, LENGTH, HORIZON, **{"storage": "float32", **fields}
    )


def stream(batches):
    """All rows so far, the head last: rows [N + 1, E, ...], first, action and mask [N, E, ...]."""
    rows = jax.tree.map(lambda *xs: np.concatenate([*(x[:-1] for x in xs), xs[-1][-1:]]), *(b.rows for b in batches))
    first = np.concatenate([*(b.first[:-1] for b in batches), batches[-1].first[-1:]])
    return rows, first, np.concatenate([b.action for b in batches]), np.concatenate([b.mask for b in batches])


def whole_openings(batches):
    """(row, environment) of every opening whose window is kept. After the last block the head has a row of its own."""
    _, first, _, _ = stream(batches)
    newest = len(first) - 1
    oldest = max(0, newest - LENGTH * BLOCKS + (newest % (LENGTH * BLOCKS) != 0))
    rows = range(oldest, newest - WINDOW + 2)
    return {(n, e) for n in rows for e in range(ENVS) if first[n, e]}


@functools.cache
def compiled(whole_episodes):
    buffer = make_buffer(whole_episodes=whole_episodes)
    return buffer, jax.jit(buffer.add), jax.jit(buffer.sample)


@pytest.mark.parametrize("whole_episodes", [True, False])
def test_windows_are_what_happened_and_uniform(whole_episodes):
    """Before the buffer is full (2, 3 rollouts), just full (4, 8) and wrapped (5, 7, 11)."""
    batches = play()
    buffer, add, sample = compiled(whole_episodes)
    state = buffer.init(batches[0])
    for k, batch in enumerate(batches):
        state = add(state, batch, clock_of(k))
        if k + 1 not in (2, 3, 4, 5, 7, 8, 11):
            continue
        drawn = jax.tree.map(np.asarray, sample(state, batch, jax.random.key(k), clock_of(k)))
        rows, first, action, mask = stream(batches[: k + 1])
        start, e = drawn.aux["row"][0], drawn.aux["env"][0]
        names, counts = np.unique(np.stack([start, e]), axis=1, return_counts=True)
        assert set(map(tuple, names.T.tolist())) == whole_openings(batches[: k + 1])
        assert chisquare(counts).pvalue > 1e-4
        at = start + np.arange(WINDOW)[:, None]
        for field in FIELDS:
            np.testing.assert_array_equal(getattr(drawn.rows, field), getattr(rows, field)[at, e], err_msg=field)
        np.testing.assert_array_equal(drawn.first, first[at, e])
        np.testing.assert_array_equal(drawn.action, action[at[:-1], e])
        due = mask[at[:-1], e]
        if whole_episodes:
            due = due * (np.cumsum(first[at[:-1], e], 0) == 1)
        np.testing.assert_array_equal(drawn.mask, due)


def test_a_window_of_the_horizon_and_one_holds_its_first_episode():
    batches = play()
    buffer, add, sample = compiled(True)
    state = buffer.init(batches[0])
    for k, batch in enumerate(batches[:6]):
        state = add(state, batch, clock_of(k))
    drawn = sample(state, batches[5], jax.random.key(0), clock_of(5))
    ends = np.asarray(drawn.rows.boundary[1:]) * np.asarray(drawn.mask)
    assert (ends.sum(0) == 1).all() and drawn.first[0].all()
    assert drawn.rows.obs.dtype == jnp.float32 and drawn.action.dtype == jnp.int32 and drawn.carry0 == ()


def test_lanes_hold_the_same_episodes_one_after_the_other():
    batches, drawn = play(), []
    for fields in ({}, {"lanes": 4, "lane_block": 8}):
        buffer = sequence_buffer(ENVS * LENGTH * BLOCKS, 7, WINDOW, ENVS, LENGTH, HORIZON, **fields)
        state = buffer.init(batches[0])
        for k, batch in enumerate(batches[:6]):
            state = buffer.add(state, batch, clock_of(k))
        drawn.append(jax.tree.map(np.asarray, buffer.sample(state, batches[5], jax.random.key(0), clock_of(5))))

    def episodes(batch):
        """The rows of each episode, its last included: where they are from, what they hold."""
        found = []
        for lane in range(batch.mask.shape[1]):
            for opening in np.flatnonzero(batch.first[:-1, lane] * batch.mask[:, lane]):
                end = opening + np.argmin([*batch.mask[opening:, lane], 0.0])
                parts = [batch.aux["row"], batch.aux["env"], batch.action, batch.rows.reward[1:], batch.rows.obs[:-1]]
                parts = [x[opening:end, lane].ravel() for x in parts] + [batch.rows.obs[end, lane].ravel()]
                ended = [batch.rows.terminated[end, lane], batch.rows.truncated[end, lane]]
                found.append(tuple(np.concatenate([*parts, ended]).tolist()))
        return sorted(found)

    windows, lanes = drawn
    assert lanes.rows.obs.shape[:2] == (16, 4)  # two windows of 6 rows in each, rounded up
    assert len(episodes(windows)) == 7 and episodes(windows) == episodes(lanes)
    with pytest.raises(ValueError, match="whole episodes"):
        make_buffer(lanes=4, whole_episodes=False)


def test_where_no_window_is_whole_yet_everything_is_masked():
    batches = play()
    buffer, add, sample = compiled(True)  # after one rollout, 5 rows and the head: one window of 6 in each environment
    state = add(buffer.init(batches[0]), batches[0], clock_of(0))
    assert set(np.asarray(sample(state, batches[0], jax.random.key(0), clock_of(0)).aux["row"][0])) == {0}
    longer = sequence_buffer(ENVS * LENGTH * BLOCKS, 4, 7, ENVS, LENGTH, HORIZON)
    drawn = longer.sample(longer.add(longer.init(batches[0]), batches[0], clock_of(0)), batches[0], jax.random.key(0),
                          clock_of(0))  # fmt: skip
    assert drawn.mask.shape == (6, 4) and (drawn.mask == 0).all()


def test_storage_in_16_bits_rounds_by_less_than_a_thousandth_and_halves_the_bytes():
    batch = play()[0]
    batch = batch._replace(
        rows=batch.rows._replace(
            obs=np.random.default_rng(0).uniform(-1, 1, (6, 3, 2, 40)),
        )
    )
    batch = jax.tree.map(lambda x: x.astype(np.float32) if x.dtype == np.float64 else x, batch)
    widths = {}
    for storage in ("float16", "float32"):
        buffer = make_buffer(storage=storage)
        state = buffer.add(buffer.init(batch), batch, clock_of(0))
        widths[storage] = state.words.shape[-1]
        drawn = buffer.sample(state, batch, jax.random.key(0), clock_of(0))
        due = batch.rows.obs[:, drawn.aux["env"][0]]
        error = np.abs(np.asarray(drawn.rows.obs) - due).max()
        assert error < (2.0**-12 * 1.001 if storage == "float16" else 1e-12)  # half a unit in the last of 11 bits
    # 2 x 40 observations and 2 states: 40 + 1 words against 82; flags, reward, actions and aux are the same
    assert widths["float32"] - widths["float16"] == 41


def test_numbers_too_large_for_16_bits_stay_finite():
    batch = play()[0]
    batch = batch._replace(rows=batch.rows._replace(obs=batch.rows.obs + np.float32(1e6)))
    buffer = make_buffer(storage="float16")
    state = buffer.add(buffer.init(batch), batch, clock_of(0))
    drawn = buffer.sample(state, batch, jax.random.key(0), clock_of(0))
    assert (np.asarray(drawn.rows.obs) == 65504.0).all()


@pytest.mark.parametrize(("capacity", "length"), [(30, 6), (60, 1)])
def test_a_capacity_that_might_hold_no_window_is_refused(capacity, length):
    # 3 environments x (6 + 6) rows = 36
    with pytest.raises(ConfigError, match="too small for windows of .* rows: give at least"):
        sequence_buffer(capacity, 4, length, ENVS, LENGTH, HORIZON)


def test_packing_of_fewer_bits_gives_everything_back():
    rng = np.random.default_rng(0)
    tree = {
        "half": jnp.asarray(rng.normal(size=(3, 2, 5)), jnp.float16),
        "brain": jnp.asarray(rng.normal(size=(3, 2, 4)), jnp.bfloat16),
        "byte": jnp.asarray(rng.integers(-128, 128, size=(3, 2, 6)), jnp.int8),
        "flag": rng.random((3, 2)) < 0.5,
        "float": jnp.asarray(rng.normal(size=(3, 2, 2)), jnp.float32),
    }
    # words: 1 of flags, 5 halves in 3, 4 in 2, 6 bytes in 2, 2 floats
    words = packing.pack(tree, 2)
    assert packing.num_words(tree, 2) == 10 and words.shape == (3, 2, 10)
    back = packing.unpack(words, tree, 2)
    for name, x in tree.items():
        assert back[name].dtype == x.dtype
        assert np.asarray(back[name]).tobytes() == np.asarray(x).tobytes()


def test_writing_copies_and_scatters_nothing():
    """The compiled chunk updates the donated words where they lie, under vmap over seeds, inside the loop."""
    env = TOYS["variable"]()
    buffer = sequence_buffer(4000, 8, 6, 2, 5, HORIZON)
    trainer = make_trainer(env, make_scripted(env.spec, 2, 5, buffer, updates=2, warmup=25), 10, eval_episodes=2)
    states = jax.eval_shape(trainer.init, jax.random.split(jax.random.key(7), 3))
    words = states.store.words
    assert words.shape[:3] == (3, 2001, 2)
    compiled = trainer.chunk.lower(states, jnp.int32(0), jnp.int32(1)).compile()
    made = re.findall(rf"= u32\[3,2001,2,{words.shape[-1]}\]\S* (\w[\w-]*)\(", compiled.as_text())
    assert "dynamic-update-slice" in made
    assert not {"copy", "scatter", "select", "concatenate", "transpose"} & set(made), set(made)
