"""How r_total comes of r_ex and r_in (eq. 13 and 14)."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from iacjax.networks.reward_mixing import LinearCombination, RewardMixing

RNG = np.random.default_rng(0)
R_EX = RNG.normal(size=(40, 5)).astype(np.float32)
R_IN = RNG.normal(size=(40, 5, 3)).astype(np.float32) * 3
ACTIVATIONS = {
    "none": lambda x: x,
    "elu": lambda x: np.where(x > 0, x, np.expm1(x)),
    "relu": lambda x: np.maximum(x, 0.0),
}


def randomised(net):
    """Parameters with every leaf random."""
    rng = np.random.default_rng(1)
    shapes = jax.eval_shape(net.init, jax.random.key(0), R_EX, R_IN)
    return jax.tree.map(lambda x: rng.normal(size=x.shape).astype(np.float32), shapes)


def identity_start(seed, weight):
    """r_total f32[40, 5, 3] of fresh parameters."""
    net = RewardMixing(32, "none", "identity", weight)
    return np.asarray(jax.jit(lambda key: net.apply(net.init(key, R_EX, R_IN), R_EX, R_IN))(jax.random.key(seed)))


@pytest.mark.parametrize("activation, start", [("none", "identity"), ("elu", "identity"), ("relu", "random")])
def test_equation_14(activation, start):
    net = RewardMixing(4, activation, start)
    variables = randomised(net)
    p = variables["params"]
    out = jax.jit(net.apply)(variables, R_EX, R_IN)
    for e in np.ndindex(R_IN[:3].shape):
        r_ex, r_in = R_EX[e[:2]], R_IN[e]
        w1, b1, w2, b2 = (r_ex * p[name]["kernel"][0] + p[name]["bias"] for name in ("w1", "b1", "w2", "b2"))
        expected = (ACTIVATIONS[activation](r_in * w1 + b1) * w2).sum() + b2[0]
        np.testing.assert_allclose(out[e], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(3))
def test_identity_start(seed):
    """r_total is r_ex + weight r_in but for small change, so it rises with r_ex."""
    weight = 0.1
    out = identity_start(seed, weight)
    r_ex = np.repeat(R_EX[..., None], 3, -1)
    slope, offset = np.polyfit(R_IN.ravel(), (out - r_ex).ravel(), 1)
    np.testing.assert_allclose(slope, weight, rtol=0.03)
    assert abs(offset) < 0.01
    assert np.abs(out - r_ex - weight * R_IN).max() < 0.1 * weight * np.abs(R_IN).max()


def test_identity_start_at_the_default_weight_follows_r_ex():
    out = identity_start(seed=0, weight=0.01)
    assert np.corrcoef(out.ravel(), np.repeat(R_EX.ravel(), 3))[0, 1] > 0.99


def slopes(start, r_ex, weight=0.01):
    """f32[500]: d r_total / d r_in of as many fresh networks at this r_ex."""
    net = RewardMixing(32, "none", start, weight)

    def slope(key):
        variables = net.init(key, jnp.zeros(()), jnp.zeros(1))
        return jax.grad(lambda r_in: net.apply(variables, jnp.float32(r_ex), r_in[None])[0])(1.0)

    return np.asarray(jax.jit(jax.vmap(slope))(jax.random.split(jax.random.key(0), 500)))


@pytest.mark.parametrize("r_ex", [0.0, 1.0])
def test_random_start_is_that_of_a_linear_layer_of_one_input_in_pytorch(r_ex):
    """The slope is sum_k W1_k W2_k, W = r_ex kernel + bias, both from U(-1, 1) of variance 1/3.

    Its variance is 32 ((r_ex^2 + 1) / 3)^2: standard deviation 1.8856 at r_ex = 0, 3.7712 at 1. Of 500 networks its
    estimate is within 15 % (over four of its own standard errors).
    """
    found = slopes("random", r_ex)
    np.testing.assert_allclose(found.std(), 32**0.5 * (r_ex**2 + 1) / 3, rtol=0.15)
    assert np.abs(found).min() > 0
    net = RewardMixing(32, "none", "random")
    params = net.init(jax.random.key(0), R_EX, R_IN)["params"]
    for name in ("w1", "b1", "w2", "b2"):
        for leaf in params[name].values():
            assert np.abs(leaf).max() <= 1.0 and (leaf.size == 1 or np.abs(leaf).max() > 0.8)


def test_identity_start_passes_the_intrinsic_reward_where_the_team_earns_nothing():
    """With sparse rewards r_ex is 0 nearly always: there the slope in r_in is the weight."""
    found = slopes("identity", 0.0, weight=0.1)
    np.testing.assert_allclose(found.mean(), 0.1, rtol=0.01)
    np.testing.assert_allclose(found, 0.1, rtol=0.05)


def test_mixing_permutes_with_the_agents_and_reads_each_alone():
    net = RewardMixing(4, "elu")
    apply, variables = jax.jit(net.apply), randomised(net)
    out = apply(variables, R_EX, R_IN)
    order = [2, 0, 1]
    np.testing.assert_allclose(apply(variables, R_EX, R_IN[..., order]), out[..., order], rtol=1e-5, atol=1e-5)
    changed = apply(variables, R_EX, R_IN + np.array([0.0, 1.0, 0.0], np.float32))
    np.testing.assert_array_equal(changed[..., [0, 2]], out[..., [0, 2]])
    assert np.abs(changed[..., 1] - out[..., 1]).max() > 1e-2


def test_linear_combination():
    # a r_ex + b r_in with a = 2, b = .5: 2*3 + .5*4 = 8, 2*3 - .5*2 = 5; a fixed sum: 3 + .01*4 = 3.04, 3 - .02 = 2.98
    r_ex, r_in = jnp.array(3.0), jnp.array([4.0, -2.0])
    learned = {"params": {"extrinsic": jnp.array(2.0), "intrinsic": jnp.array(0.5)}}
    np.testing.assert_allclose(LinearCombination(0.01).apply(learned, r_ex, r_in), [8.0, 5.0])
    start = LinearCombination(0.01).init(jax.random.key(0), r_ex, r_in)
    np.testing.assert_allclose(LinearCombination(0.01).apply(start, r_ex, r_in), [3.04, 2.98], rtol=1e-6)
    fixed = LinearCombination(0.01, learned=False)
    assert fixed.init(jax.random.key(0), r_ex, r_in) == {}
    np.testing.assert_allclose(fixed.apply({}, r_ex, r_in), [3.04, 2.98], rtol=1e-6)
