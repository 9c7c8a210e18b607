"""The two ways to differentiate the GRU: the same numbers, forward and backward, with resets, over seeds."""

from functools import partial

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from iacjax.algorithms.intrinsic import learner as intrinsic
from iacjax.networks.recurrent import FORMS, gru, gru_form, use_gru_form
from tests.helpers.tiny_intrinsic import make_batch, make_learner, make_networks, prepared, quick

T, L, H = 6, 3, 4


def inputs(seeds: tuple[int, ...] = ()):
    """(h0, gates, kernel, bias), and `first`: sequence 0 begins an episode at row 0, 1 at row 3, 2 never."""
    rng = np.random.default_rng(0)

    def normal(*shape):
        return jnp.asarray(rng.normal(size=(*seeds, *shape)), jnp.float32)

    first = np.zeros((T, L), bool)
    first[0, 0] = first[3, 1] = True
    gates = tuple(normal(T, L, H) for _ in range(3))
    return (normal(L, H), gates, normal(H, 3 * H), normal(H)), jnp.asarray(first)


def memories(form, first, h0, gates, kernel, bias):
    return gru(h0, gates, first, kernel, bias, form)


def weighted_sum(form, first, *parts):
    """A loss in which every memory counts differently."""
    hidden = memories(form, first, *parts)
    return (hidden * jnp.sin(jnp.arange(hidden.size, dtype=jnp.float32)).reshape(hidden.shape)).sum()


@pytest.mark.parametrize("form", FORMS)
def test_derivatives_of_first_and_second_order_against_finite_differences(form):
    parts, first = inputs()
    parts = jax.tree.map(lambda x: 0.3 * x, parts)  # away from saturation, where differences are noise
    check_grads(partial(memories, form, first), parts, order=1, modes=("fwd", "rev"), atol=2e-2, rtol=2e-2, eps=1e-2)
    check_grads(partial(weighted_sum, form, first), parts, order=2, modes=("rev",), atol=5e-2, rtol=5e-2, eps=1e-2)


def test_both_forms_agree_for_every_seed_of_a_batch():
    parts, first = inputs(seeds=(2,))
    results = {
        form: jax.vmap(jax.value_and_grad(partial(weighted_sum, form, first), argnums=(0, 1, 2, 3)))(*parts)
        for form in FORMS
    }
    values, grads = results["saved"]
    np.testing.assert_array_equal(results["batched"][0], values)  # one forward pass, so not a bit apart
    for ours, theirs in zip(jax.tree.leaves(results["batched"][1]), jax.tree.leaves(grads), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)
        assert np.abs(theirs).max() > 0.1


@pytest.mark.parametrize("form", FORMS)
def test_nothing_flows_back_over_the_opening_of_an_episode(form):
    """Row 2 of sequence 1 reaches nothing after row 3 begins an episode; in sequence 2 it reaches the last memory."""
    parts, first = inputs()
    last_row = jax.grad(lambda gates: memories(form, first, parts[0], gates, *parts[2:])[-1].sum())(parts[1])
    of_row_2 = np.abs(last_row[2][2])  # the candidate gate's inputs
    assert of_row_2[1].max() == 0 and of_row_2[2].max() > 1e-4


def test_the_meta_gradient_of_aiir_mix_is_the_same_by_both_forms():
    """It takes the actor forward and backward: linearised, transposed, and along a direction."""
    nets = make_networks()
    learner, batch = make_learner(nets), make_batch(nets)

    def gradients():
        seq, values = prepared(nets, learner, batch)
        return intrinsic.reward_gradient(nets, learner, batch, seq, values)[0]

    results = {}
    for form in FORMS:
        with use_gru_form(form):
            results[form] = quick(lambda: gradients())  # a function of its own: what is jitted keeps its form
    chex.assert_trees_all_close(results["batched"], results["saved"], rtol=1e-4, atol=1e-7)
    assert max(np.abs(leaf).max() for leaf in jax.tree.leaves(results["saved"])) > 1e-3


def test_what_a_gru_does_where_nothing_is_said():
    assert gru_form() == "saved"  # the tests run on a CPU
    with use_gru_form("batched"):
        assert gru_form() == "batched"
    assert gru_form() == "saved"
    with pytest.raises(ValueError, match="there are saved, batched"), use_gru_form("fast"):
        pass
