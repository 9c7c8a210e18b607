"""The joint Gaussian against scipy's dense one: values, gradients, entropy, samples, and float32 at tiny variances."""

from functools import partial

import distrax
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import multivariate_normal

from iacjax.gaussian import squash_correction
from iacjax.low_rank_gaussian import LowRankGaussian, squashed_log_prob


def parameters(n, m, seed=0, diag=(0.2, 2.0), dtype=np.float64):
    """(loc, diag, factor), with the factor in [-1, 1] as IAC bounds it."""
    rng = np.random.default_rng(seed)
    drawn = rng.normal(size=n), rng.uniform(*diag, size=n), rng.uniform(-1, 1, size=(n, m))
    return tuple(x.astype(dtype) for x in drawn)


@jax.jit
def dense_log_prob(loc, diag, factor, value):
    """log N(value; loc, L L' + diag) by a dense matrix, differentiable."""
    covariance = factor @ factor.T + jnp.diag(diag)
    difference = value - loc
    square = difference @ jnp.linalg.solve(covariance, difference)
    return -0.5 * (square + jnp.linalg.slogdet(covariance)[1] + loc.size * jnp.log(2 * jnp.pi))


@jax.jit
def woodbury_log_prob(loc, diag, factor, value):
    """The same by Woodbury's identity as it is usually written."""
    difference = value - loc
    projected = factor.T @ (difference / diag)
    small = jnp.eye(factor.shape[1], dtype=loc.dtype) + factor.T @ (factor / diag[:, None])
    square = (difference**2 / diag).sum() - projected @ jnp.linalg.solve(small, projected)
    log_det = jnp.log(diag).sum() + jnp.linalg.slogdet(small)[1]
    return -0.5 * (square + log_det + loc.size * jnp.log(2 * jnp.pi))


@jax.jit
def log_density(loc, diag, factor, value, mask=None):
    return LowRankGaussian(loc, diag, factor).log_prob(value, mask)


@jax.jit
def from_noise(loc, diag, factor, own, shared, mask=None):
    return LowRankGaussian(loc, diag, factor).sample_from_noise(own, shared, mask)


def test_two_dimensions_by_hand():
    # L = (1, 1), D = I: Sigma = [[2, 1], [1, 2]], |Sigma| = 3, Sigma^-1 = [[2, -1], [-1, 2]] / 3; at (1, 1) the
    # quadratic form is 2/3, so log p = -log 2 pi - log(3) / 2 - 1/3 = -1.8378771 - 0.5493061 - 0.3333333 = -2.7205165.
    # The entropy is 1 + log 2 pi + log(3) / 2 = 3.3871832.
    joint = LowRankGaussian(jnp.zeros(2), jnp.ones(2), jnp.ones((2, 1)))
    np.testing.assert_allclose(joint.covariance(), [[2, 1], [1, 2]])
    np.testing.assert_allclose(joint.variance(), [2, 2])
    np.testing.assert_allclose(joint.log_prob(jnp.ones(2)), -2.7205165, rtol=1e-6)
    np.testing.assert_allclose(joint.entropy(), 3.3871832, rtol=1e-6)
    np.testing.assert_allclose(joint.mode(), joint.mean())
    # noise (1, 0) and 2: x = (1, 0) + 2 (1, 1) = (3, 2); the quadratic form is (2 9 - 2 6 + 2 4) / 3 = 14/3
    x, log_prob = joint.sample_from_noise(jnp.array([1.0, 0.0]), jnp.array([2.0]))
    np.testing.assert_allclose(x, [3, 2])
    np.testing.assert_allclose(log_prob, -1.8378771 - 0.5493061 - 7 / 3, rtol=1e-6)


@pytest.mark.parametrize("m", [1, 3])
@pytest.mark.parametrize(("dtype", "atol"), [(np.float32, 1e-5), (np.float64, 1e-10)])
def test_value_and_entropy_are_the_dense_ones(m, dtype, atol):
    loc, diag, factor = parameters(6, m)
    values = np.random.default_rng(1).normal(size=(20, 6))
    dense = multivariate_normal(loc, factor @ factor.T + np.diag(diag))
    with jax.enable_x64(dtype == np.float64):
        joint = LowRankGaussian(*(jnp.asarray(x, dtype) for x in (loc, diag, factor)))
        log_prob = log_density(joint.loc, joint.diag, joint.factor, jnp.asarray(values, dtype))
        assert log_prob.dtype == dtype and log_prob.shape == (20,)
        np.testing.assert_allclose(log_prob, dense.logpdf(values), atol=atol, rtol=atol)
        np.testing.assert_allclose(jax.jit(LowRankGaussian.entropy)(joint), dense.entropy(), atol=atol, rtol=atol)
        np.testing.assert_allclose(joint.covariance(), dense.cov, atol=atol)


@pytest.mark.parametrize("m", [1, 3])
def test_the_gradient_is_the_dense_one(m):
    with jax.enable_x64(True):
        arguments = *parameters(5, m), np.random.default_rng(2).normal(size=5)
        ours, dense = (jax.jit(jax.grad(f, argnums=(0, 1, 2, 3)))(*arguments) for f in (log_density, dense_log_prob))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-11), ours, dense)


def test_samples_have_the_mean_the_covariance_and_the_entropy():
    # 200 000 samples: standard errors are below 0.008 for an entry of the covariance, 0.004 for the entropy
    joint = LowRankGaussian(*(jnp.asarray(x, jnp.float32) for x in parameters(4, 2)))
    draw = jax.jit(lambda joint, key: joint.sample_and_log_prob(seed=key, sample_shape=200_000))
    x, log_prob = draw(joint, jax.random.key(0))
    np.testing.assert_allclose(x.mean(0), joint.mean(), atol=0.02)
    np.testing.assert_allclose(np.cov(np.asarray(x).T), joint.covariance(), atol=0.04)
    np.testing.assert_allclose(-log_prob.mean(), joint.entropy(), atol=0.02)
    np.testing.assert_allclose(log_prob, log_density(joint.loc, joint.diag, joint.factor, x), atol=1e-4)


@pytest.mark.parametrize("m", [1, 2])
def test_float32_is_exact_at_a_variance_of_a_millionth(m):
    """D = 1e-6 is the paper's constant diagonal. Errors of log p beside float64, over 200 samples."""
    loc, diag, factor = parameters(6, m, diag=(1e-6, 1.0001e-6))
    rng = np.random.default_rng(3)
    over_values = partial(jax.vmap, in_axes=(None, None, None, 0))
    own, shared = rng.normal(size=(200, 6)), rng.normal(size=(200, m))
    with jax.enable_x64(True):
        x, exact = from_noise(loc, diag, factor, own, shared)
        np.testing.assert_allclose(exact, log_density(loc, diag, factor, x), rtol=1e-8)
        np.testing.assert_allclose(exact, over_values(dense_log_prob)(loc, diag, factor, x), atol=1e-5)
        exact = np.asarray(exact)
    single = [jnp.asarray(a, jnp.float32) for a in (loc, diag, factor)]
    x32, log_prob = from_noise(*single, own.astype(np.float32), shared.astype(np.float32))

    def error(values):
        return np.abs(np.asarray(values) - exact).max()

    assert error(log_prob) < 2e-5
    assert error(log_density(*single, x32)) < 2e-3  # x32 itself is rounded, by up to 1e-4 standard deviations
    assert error(over_values(woodbury_log_prob)(*single, x32)) > 0.5


@pytest.mark.parametrize("m", [1, 2])
def test_the_derivative_of_a_sample_is_the_total_one(m):
    """Of the log density through the sample and through the parameters, as finite differences see it."""
    rng = np.random.default_rng(4)
    own, shared = rng.normal(size=4), rng.normal(size=m)
    point = parameters(4, m, diag=(0.05, 0.5))

    def ours(*theta):
        return from_noise(*theta, own, shared)[1]

    @jax.jit
    def dense(loc, diag, factor):
        return dense_log_prob(loc, diag, factor, loc + jnp.sqrt(diag) * own + factor @ shared)

    with jax.enable_x64(True):
        gradient, total = (jax.jit(jax.grad(f, argnums=(0, 1, 2)))(*point) for f in (ours, dense))
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-8, atol=1e-10), gradient, total)
        gradient = jax.tree.map(np.asarray, gradient)
        for k, part in enumerate(point):
            step = 1e-6 * rng.normal(size=part.shape)
            up, down = (list(point) for _ in range(2))
            up[k], down[k] = part + step, part - step
            np.testing.assert_allclose(dense(*up) - dense(*down), 2 * (gradient[k] * step).sum(), rtol=1e-5, atol=1e-13)
    assert np.all(gradient[0] == 0)  # moving the whole density moves no probability


def test_masked_dimensions_are_integrated_out():
    keep = np.array([True, False, True, True, False])
    loc, diag, factor = parameters(5, 2)
    values = np.random.default_rng(5).normal(size=(7, 5))
    covariance = (factor @ factor.T + np.diag(diag))[np.ix_(keep, keep)]
    dense = multivariate_normal(loc[keep], covariance)
    with jax.enable_x64(True):
        log_prob = log_density(loc, diag, factor, values, keep)
        np.testing.assert_allclose(log_prob, dense.logpdf(values[:, keep]), rtol=1e-10)
        np.testing.assert_allclose(LowRankGaussian(loc, diag, factor).entropy(keep), dense.entropy(), rtol=1e-10)
        noise = np.random.default_rng(6)
        x, log_prob = from_noise(loc, diag, factor, noise.normal(size=(7, 5)), noise.normal(size=(7, 2)), keep)
        np.testing.assert_allclose(log_prob, dense.logpdf(np.asarray(x)[:, keep]), rtol=1e-10)
        squashed = squashed_log_prob(x, log_prob, keep)
        np.testing.assert_allclose(squashed, log_prob - np.log(1 - np.tanh(x[:, keep]) ** 2).sum(-1), rtol=1e-10)


def test_the_squashed_density_integrates_to_one():
    # one dimension: variance 0.3 + 0.6^2 = 0.66
    with jax.enable_x64(True):
        joint = LowRankGaussian(jnp.array([0.4]), jnp.array([0.3]), jnp.array([[0.6]]))

        @jax.jit
        def density(u):
            x = jnp.arctanh(jnp.array([u]))
            return jnp.exp(squashed_log_prob(x, joint.log_prob(x)))

        np.testing.assert_allclose(quad(density, -1, 1)[0], 1.0, atol=1e-7)


def test_the_slope_of_tanh_is_known_where_tanh_rounds_to_one():
    # 1 - tanh(x)^2 = 4 / (e^x + e^-x)^2, at 20: log 4 - 40 = -38.613706; at 1: log 0.41997434 = -0.86756164
    x = jnp.array([0.0, 1.0, -20.0, 20.0])
    np.testing.assert_allclose(squash_correction(x), [0, -0.86756164, -38.613706, -38.613706], rtol=1e-6, atol=1e-6)
    assert jnp.tanh(x[3]) == 1
    np.testing.assert_allclose(jax.grad(squash_correction)(jnp.float32(20)), -2.0, rtol=1e-6)  # -2 tanh(x)


def test_it_goes_through_jit_vmap_and_grad_and_broadcasts():
    loc, diag, factor = (jnp.asarray(x, jnp.float32) for x in parameters(3, 2))
    batch = LowRankGaussian(loc, diag, jnp.stack([factor, 0.5 * factor]))
    assert batch.event_shape == (3,) and batch.batch_shape == (2,) and batch.loc.shape == (2, 3)
    samples, log_prob = batch.sample_and_log_prob(seed=jax.random.key(1), sample_shape=(5, 4))
    assert samples.shape == (5, 4, 2, 3) and log_prob.shape == (5, 4, 2)
    assert batch.sample(seed=jax.random.key(1)).shape == (2, 3)
    # a distribution is an argument of a compiled function, and what vmap makes of it is what broadcasting makes
    np.testing.assert_allclose(jax.jit(lambda d, x: d.log_prob(x))(batch, samples), log_prob, atol=1e-5)
    one = jax.vmap(lambda f, x: LowRankGaussian(loc, diag, f).log_prob(x))(batch.factor, samples[0, 0])
    np.testing.assert_allclose(one, log_prob[0, 0], atol=1e-5)
    gradient = jax.jit(jax.grad(lambda f: LowRankGaussian(loc, diag, f).entropy()))(factor)
    assert np.isfinite(gradient).all() and np.abs(gradient).max() > 0


def test_no_factor_leaves_independent_normals():
    # all-zero columns: log p is the sum of n normal densities; at the mean with d = 0.25: -log(2 pi) / 2 + log 2 each
    joint = LowRankGaussian(jnp.zeros(3), jnp.full(3, 0.25), jnp.zeros((3, 1)))
    np.testing.assert_allclose(joint.log_prob(jnp.zeros(3)), 3 * (-0.9189385 + 0.6931472), rtol=1e-5)


def test_distrax_low_rank_is_another_distribution():
    # its scale is D + U U' = [[2, 1], [1, 2]], its covariance that squared: [[5, 4], [4, 5]]; IAC's is [[2, 1], [1, 2]]
    theirs = distrax.MultivariateNormalDiagPlusLowRank(jnp.zeros(2), jnp.ones(2), jnp.ones((2, 1)))
    np.testing.assert_allclose(theirs.covariance(), [[5, 4], [4, 5]], rtol=1e-5)
