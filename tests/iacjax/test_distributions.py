"""The behaviour policy: (1 - eps) softmax + eps uniform over what is legal, as log-probabilities."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from iacjax.algorithms.common.exploration import may_explore
from iacjax.algorithms.intrinsic.config import LiirConfig
from iacjax.distributions import ILLEGAL, behaviour_log_probs, entropy, mask_logits, take_action

RNG = np.random.default_rng(0)
LOGITS = RNG.normal(size=(6, 5)).astype(np.float32) * 2
AVAIL = RNG.random((6, 5)) < 0.6
AVAIL[:, 2] = True


def direct(logits, avail, eps):
    weight = np.exp(logits.astype(np.float64)) * avail
    return (1 - eps) * weight / weight.sum(-1, keepdims=True) + eps * avail / avail.sum(-1, keepdims=True)


def test_literal():
    # softmax(0, log 3, masked) = 1/4, 3/4, 0; eps .2 over two legal: .8*.25 + .1 = .3, .8*.75 + .1 = .7
    logits, avail = jnp.array([0.0, np.log(3.0), 9.0]), jnp.array([True, True, False])
    out = behaviour_log_probs(logits, avail, jnp.float32(0.2))
    np.testing.assert_allclose(jnp.exp(out), [0.3, 0.7, 0.0], atol=1e-6)
    assert out[2] == ILLEGAL


@pytest.mark.parametrize("eps", [0.0, 0.01, 0.5, 0.999])
def test_against_the_direct_formula(eps):
    out = behaviour_log_probs(jnp.asarray(LOGITS), jnp.asarray(AVAIL), jnp.full(6, eps))
    np.testing.assert_allclose(np.exp(out), direct(LOGITS, AVAIL, eps), atol=1e-6)
    np.testing.assert_allclose(np.exp(out).sum(-1), 1.0, atol=1e-6)


@pytest.mark.parametrize("eps", [0.0, 0.3])
def test_gradient(eps):
    """d log p(a) / d logit_k = (1 - eps) pi_a ([a = k] - pi_k) / p_a; finite without exploration too."""
    action = AVAIL.argmax(-1)

    def total(logits):
        return take_action(behaviour_log_probs(logits, jnp.asarray(AVAIL), jnp.full(6, eps)), jnp.asarray(action)).sum()

    pi, p, rows = direct(LOGITS, AVAIL, 0.0), direct(LOGITS, AVAIL, eps), np.arange(6)
    expected = ((1 - eps) * pi[rows, action] / p[rows, action])[:, None] * (np.eye(5)[action] - pi)
    np.testing.assert_allclose(jax.grad(total)(jnp.asarray(LOGITS)), expected, atol=1e-6)


def test_nothing_legal_is_everything_legal():
    none = jnp.zeros((1, 5), bool)
    out = behaviour_log_probs(jnp.asarray(LOGITS[:1]), none, jnp.full(1, 0.1))
    np.testing.assert_allclose(np.exp(out), direct(LOGITS[:1], np.ones((1, 5)), 0.1), atol=1e-6)
    np.testing.assert_array_equal(mask_logits(jnp.asarray(LOGITS[:1]), none), LOGITS[:1])


def test_no_epsilon_is_an_epsilon_of_zero():
    def of(logits, epsilon):
        log_probs = behaviour_log_probs(logits, jnp.asarray(AVAIL), epsilon)
        return (jnp.where(jnp.asarray(AVAIL), log_probs, 0.0) * jnp.arange(5.0)).sum(), log_probs

    logits = jnp.asarray(LOGITS, jnp.float32)
    (_, never), slope = jax.value_and_grad(of, has_aux=True)(logits, None)
    (_, zero), of_zero = jax.value_and_grad(of, has_aux=True)(logits, jnp.zeros(6))
    np.testing.assert_allclose(never, zero, rtol=1e-6)
    np.testing.assert_allclose(slope, of_zero, rtol=1e-5, atol=1e-6)
    assert np.abs(slope).max() > 0.1


def test_epsilon_is_left_out_only_where_it_is_known_to_stay_zero():
    start, end = LiirConfig(), LiirConfig(epsilon_end=0.1)
    assert (start.epsilon_start, start.epsilon_end) == (0.0, 0.0)
    assert not may_explore(start) and may_explore(end)
    traced = []
    jax.eval_shape(lambda x: traced.append(may_explore(dataclasses.replace(start, epsilon_start=x))), jnp.float32(0.0))
    assert traced == [True]


def test_against_distrax():
    import distrax

    peer = distrax.Categorical(probs=jnp.asarray(direct(LOGITS, AVAIL, 0.25), jnp.float32))
    ours = behaviour_log_probs(jnp.asarray(LOGITS), jnp.asarray(AVAIL), jnp.full(6, 0.25))
    action = jnp.asarray(AVAIL.argmax(-1))
    np.testing.assert_allclose(take_action(ours, action), peer.log_prob(action), atol=1e-5)
    np.testing.assert_allclose(entropy(ours), peer.entropy(), atol=1e-5)


def test_entropy_literal_and_its_gradient():
    # two legal actions of equal chance: log 2 = 0.693147; at the maximum the gradient is 0, and finite where illegal
    def of(logits):
        avail = jnp.array([True, True, False])
        return entropy(behaviour_log_probs(logits, avail, jnp.float32(0.0)))

    value, grad = jax.value_and_grad(of)(jnp.array([1.0, 1.0, 5.0]))
    np.testing.assert_allclose(value, 0.693147, atol=1e-6)
    np.testing.assert_allclose(grad, [0.0, 0.0, 0.0], atol=1e-6)


def test_sampling_frequencies():
    log_probs = behaviour_log_probs(jnp.asarray(LOGITS[:1]), jnp.asarray(AVAIL[:1]), jnp.full(1, 0.2))
    drawn = jax.random.categorical(jax.random.key(0), log_probs, shape=(40_000, 1))
    frequency = np.bincount(np.asarray(drawn[:, 0]), minlength=5) / 40_000
    # four standard errors of a frequency are at most 4 * .5 / 200 = 0.01
    np.testing.assert_allclose(frequency, direct(LOGITS[:1], AVAIL[:1], 0.2)[0], atol=0.01)
    assert (frequency[~AVAIL[0]] == 0).all()


def test_take_action():
    log_probs = jnp.log(jnp.array([[0.1, 0.2, 0.7], [0.5, 0.25, 0.25]]))
    np.testing.assert_allclose(jnp.exp(take_action(log_probs, jnp.array([2, 0]))), [0.7, 0.5], rtol=1e-6)
    assert take_action(log_probs, jnp.array([-1, -1])).tolist() == [0.0, 0.0]  # no action: no log-probability
