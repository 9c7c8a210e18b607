"""Episodes laid into lanes, and loops that leave out the blocks of rows that are not used."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from iacjax.algorithms.q_learning.blocks import BLOCK, scan_used, used_rows
from iacjax.buffers.lanes import lane_rows, lay_out


def test_the_longest_first_into_the_emptiest_lane():
    layout = jax.tree.map(np.asarray, lay_out(jnp.array([3, 5, 2, 4]), lanes=2, rows=8))
    # lane 0: the episode of 5 rows, then that of 2; lane 1: 4, then 3
    assert layout.episode.T.tolist() == [[1, 1, 1, 1, 1, 2, 2, 0], [3, 3, 3, 3, 0, 0, 0, 0]]
    assert layout.row.T.tolist() == [[0, 1, 2, 3, 4, 0, 1, 0], [0, 1, 2, 3, 0, 1, 2, 0]]
    assert layout.used.T.tolist() == [[True] * 7 + [False]] * 2


@pytest.mark.parametrize(("episodes", "lanes"), [(1, 1), (7, 4), (32, 16), (9, 3)])
def test_every_row_has_one_place(episodes, lanes):
    rows = lane_rows(20, episodes, lanes)
    place = jax.jit(lambda lengths: lay_out(lengths, lanes, rows))
    for seed in range(20):
        lengths = np.random.default_rng(seed).integers(1 if seed else 20, 21, episodes)
        layout = jax.tree.map(np.asarray, place(jnp.asarray(lengths)))
        pairs = sorted(zip(layout.episode[layout.used], layout.row[layout.used], strict=True))
        assert pairs == [(k, row) for k, length in enumerate(lengths) for row in range(length)]
        for lane in range(lanes):  # in order, and without a gap
            used = layout.used[:, lane]
            assert used[: used.sum()].all()
            follows = np.diff(layout.row[used, lane]) == 1
            assert (follows | (layout.row[used, lane][1:] == 0)).all()


def test_used_rows_end_one_after_the_last_action():
    mask = jnp.zeros((6, 2)).at[3, 1].set(1.0)
    assert (
        int(used_rows(mask)) == 5 and int(used_rows(jnp.ones((6, 2)))) == 7 and int(used_rows(jnp.zeros((6, 2)))) == 0
    )


def decayed(weight, rows, used):
    def block(carry, rows):
        return jax.lax.scan(lambda h, x: (weight * h + jnp.sin(x),) * 2, carry, rows)

    return scan_used(block, jnp.zeros(()), rows, used)[1]


def test_used_blocks_are_computed_and_differentiated_and_others_are_0():
    rows = jnp.arange(4.0 * BLOCK)
    whole, part = decayed(0.5, rows, None), decayed(0.5, rows, jnp.int32(BLOCK + 1))
    np.testing.assert_allclose(part[: 2 * BLOCK], whole[: 2 * BLOCK], rtol=1e-6)
    assert (part[2 * BLOCK :] == 0).all() and (whole[2 * BLOCK :] != 0).any()
    gradient = jax.grad(lambda w, used: decayed(w, rows, used)[: BLOCK + 1].sum())
    assert float(gradient(0.5, jnp.int32(BLOCK + 1))) == pytest.approx(float(gradient(0.5, None)), rel=1e-5)


def test_over_seeds_a_block_is_left_out_where_none_uses_it():
    rows, used = jnp.arange(4.0 * BLOCK), jnp.array([1, BLOCK + 1])
    seeds = jax.vmap(lambda weight, used: decayed(weight, rows, used))
    each = seeds(jnp.array([0.5, 0.6]), used)
    assert (each[:, BLOCK : 2 * BLOCK] != 0).all() and (each[:, 2 * BLOCK :] == 0).all()
    text = jax.jit(seeds).lower(jnp.array([0.5, 0.6]), used).as_text()
    assert "stablehlo.case" in text  # a branch, not both sides and a choice
