"""QMIX's mixer: monotone in every agent's value, made of the state, and the formula that it says it is."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from iacjax.networks.mixing import QMixer

AGENTS, STATE, BATCH = 3, 5, 40


@pytest.fixture(scope="module")
def made():
    mixer = QMixer(mixer_dim=16, hyper_dim=8)
    k_params, k_q, k_state = jax.random.split(jax.random.key(0), 3)
    q = jax.random.normal(k_q, (BATCH, AGENTS))
    state = jax.random.normal(k_state, (BATCH, STATE))
    params = mixer.init(k_params, q, state)
    params = jax.tree.map(lambda x: x + 0.3 if x.ndim == 1 else x, params)  # biases that are not 0
    return mixer, params, q, state


def test_no_agents_value_lowers_the_teams(made):
    """Finite differences both ways in each Q_i, and the exact derivatives."""
    mixer, params, q, state = made
    here = mixer.apply(params, q, state)
    for agent in range(AGENTS):
        step = 0.5 * jnp.eye(AGENTS)[agent]
        assert (mixer.apply(params, q + step, state) > here).all()
        assert (mixer.apply(params, q - step, state) < here).all()
    slope = jax.grad(lambda q: mixer.apply(params, q, state).sum())(q)
    assert slope.shape == q.shape and (slope >= 0).all()


def test_it_is_the_formula(made):
    """A loop in NumPy: |W_2| ELU(|W_1| q + b_1) + b_2, each made from the state by its own network."""
    mixer, params, q, state = made
    p = jax.tree.map(np.asarray, params["params"])

    def dense(layer, x):
        return x @ layer["Dense_0"]["kernel"] + layer["Dense_0"]["bias"]

    def hyper(net, x):
        return dense(net["Dense_1"], np.maximum(dense(net["Dense_0"], x), 0))

    due = []
    for values, x in zip(np.asarray(q), np.asarray(state), strict=True):
        before = values @ np.abs(hyper(p["w_1"], x)).reshape(AGENTS, 16) + dense(p["b_1"], x)
        hidden = np.where(before > 0, before, np.expm1(before))
        due.append(hidden @ np.abs(hyper(p["w_2"], x)) + hyper(p["b_2"], x)[0])
    np.testing.assert_allclose(mixer.apply(params, q, state), due, rtol=2e-5, atol=2e-5)


def test_many_values_of_one_state_are_mixed_alike(made):
    """q [J, B, A] on state [B, X]: the state's networks need not run J times."""
    mixer, params, q, state = made
    many = jnp.stack([q, q + 1.0, -q])
    together = mixer.apply(params, many, state)
    for k in range(3):
        np.testing.assert_allclose(together[k], mixer.apply(params, many[k], state), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("agents", [2, 8])
def test_its_slopes_start_near_one(agents):
    """Mean over agents, states and networks: neither a critic nor an actor starts with huge gradients."""
    mixer = QMixer()
    q, state = jnp.zeros((64, agents)), jax.random.normal(jax.random.key(1), (64, 10))

    def slope(key):
        params = mixer.init(key, q, state)
        return jax.grad(lambda q: mixer.apply(params, q, state).sum())(q).mean()

    mean = float(jax.vmap(slope)(jax.random.split(jax.random.key(2), 8)).mean())
    assert 0.3 < mean < 3  # 1.4 with two agents, 0.7 with eight


def test_a_small_start_keeps_large_states_out_of_the_value():
    """All that the state makes is 100 times smaller: biases by 100, a product of two weights by 100 x 100."""
    q, state = jnp.full((64, 3), 5.0), 30.0 * jax.random.normal(jax.random.key(1), (64, 10))

    def start(scale):
        mixer = QMixer(init_scale=scale)
        params = mixer.init(jax.random.key(2), q, state)
        slope = jax.grad(lambda q: mixer.apply(params, q, state).sum())(q)
        return float(jnp.abs(mixer.apply(params, q, state)).mean()), float(slope.mean())

    (large, steep), (small, flat) = start(1.0), start(0.01)
    assert large > 100 and small < 0.02 * large and flat == pytest.approx(1e-4 * steep, rel=0.5)
