"""QPLEX: its mixer with literal numbers, best joint actions by enumeration, targets, padding, the payoff matrix."""

import itertools
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_q_recurrent import SPEC, A, H, U, X, constant, hand_batch, long_batch
from test_qtran import GAME, trained

from envs.errors import ConfigError
from envs.toy.matrix_games import PAYOFF
from iacjax.algorithms.q_learning import qplex, recurrent
from iacjax.algorithms.q_learning.config import QplexConfig
from iacjax.networks.duplex_mixing import DuplexMixer
from tests.helpers.tiny_intrinsic import quick

SIZES = {"hidden_dim": H, "hyper_dim": 4, "kernels": 2, "gamma": 0.9}


def build(**fields):
    return qplex.build_networks(SPEC, QplexConfig(**{**SIZES, **fields}))


def made_of(params, w, b, keys, agent, action):
    """Parameters of a mixer of two-layer w and b and one-layer lambda that makes these numbers from any state."""
    zero = jax.tree.map(jnp.zeros_like, params)
    for name, value, last in (("w", w, 1), ("b", b, 1), ("key", keys, 0), ("agent", agent, 0), ("action", action, 0)):
        zero["params"][name][f"Dense_{last}"]["Dense_0"]["bias"] += jnp.array(value, jnp.float32)
    return zero


def hand_mixer(weight=1.5):
    """(mixer, parameters): w = 2, b = 0.5, keys |-1| + |3| = 4; lambda = 4 x sigmoid(agent) x 0.5 = `weight`."""
    mixer = DuplexMixer(U, kernels=2, hyper_dim=4)
    state, q = jnp.zeros((1, X)), jnp.zeros((1, A))
    params = quick(mixer.init, jax.random.key(0), q, q, q.astype(jnp.int32), state)
    share = weight / 2
    return mixer, made_of(params, -2.0, 0.5, [-1.0, 3.0], np.log(share / (1 - share)), 0.0)


def test_the_mixer_by_hand():
    mixer, params = hand_mixer()
    q, best = jnp.array([1.0, 4.0]), jnp.array([3.0, 4.0])

    def value(q, best):
        return mixer.apply(params, q, best, jnp.array([0, 1]), jnp.ones(X))

    # 2 x 1 + 0.5 + 2 x 4 + 0.5 = 11; A = (2 (1 - 3), 0) = (-4, 0); 11 + (1.5 - 1) x -4 = 9
    total, (of_q, of_best) = jax.value_and_grad(value, (0, 1))(q, best)
    assert float(total) == pytest.approx(9.0, rel=1e-5)
    # at the best actions sum_i (w V_i + b) = 6.5 + 8.5, whatever lambda is
    assert float(value(best, best)) == pytest.approx(15.0, rel=1e-5)
    # A is a constant: the agents learn through w alone
    np.testing.assert_allclose([of_q, of_best], [[2, 2], [0, 0]], rtol=1e-5)


def test_weights_start_to_learn_at_a_state_of_zeros():
    """There every weight starts at |0|, and lambda at 0. The state of the official code's matrix games is such."""
    mixer = DuplexMixer(U, kernels=2, hyper_dim=4)
    q, best, state = jnp.array([1.0, 4.0]), jnp.array([3.0, 4.0]), jnp.zeros(X)

    def value(params):
        return mixer.apply(params, q, best, jnp.array([0, 1]), state)

    params = quick(mixer.init, jax.random.key(0), q, best, jnp.array([0, 1]), state)
    slopes = jax.grad(value)(params)["params"]
    np.testing.assert_allclose(slopes["w"]["Dense_1"]["Dense_0"]["bias"], [1.0, 4.0], rtol=1e-5)  # Q_i
    # with w = 1: A = (1 - 3, 0), and each of the two keys has the slope sigmoid(0)^2 A = 0.25 x -2
    slopes = jax.grad(value)(made_of(params, 1.0, 0.0, 0.0, 0.0, 0.0))["params"]
    np.testing.assert_allclose(slopes["key"]["Dense_0"]["Dense_0"]["bias"], [-0.5, -0.5], rtol=1e-5)


def test_the_mixer_is_the_formula():
    """Of random weights, with two layers for lambda; w, b and lambda in numpy."""
    mixer = DuplexMixer(U, kernels=3, hyper_dim=4, advantage_dim=5, advantage_layers=2)
    keys = jax.random.split(jax.random.key(1), 5)
    q, state = jax.random.normal(keys[0], (6, A)), jax.random.normal(keys[1], (6, X))
    best, action = q + jax.random.uniform(keys[2], (6, A)), jax.random.randint(keys[3], (6, A), 0, U)
    params = quick(mixer.init, keys[4], q, best, action, state)
    joint = np.concatenate([state, np.eye(U)[np.asarray(action)].reshape(6, -1)], 1)

    def net(name, x):
        layers = [params["params"][name][f"Dense_{k}"]["Dense_0"] for k in (0, 1)]
        x = np.maximum(x @ np.asarray(layers[0]["kernel"]) + layers[0]["bias"], 0)
        return x @ np.asarray(layers[1]["kernel"]) + np.asarray(layers[1]["bias"])

    def sigmoid(x):
        return 1 / (1 + np.exp(-x))

    w, b, key = np.abs(net("w", state)), net("b", state), np.abs(net("key", state))
    weights = (
        key[..., None]
        * sigmoid(net("agent", state) * 1.0).reshape(6, 3, A)
        * sigmoid(net("action", joint)).reshape(6, 3, A)
    )
    due = (w * best + b).sum(-1) + (weights.sum(1) * w * (q - best)).sum(-1)  # sum V^T + sum lambda A
    np.testing.assert_allclose(mixer.apply(params, q, best, action, state), due, rtol=1e-4, atol=1e-5)


def test_the_best_joint_action_is_the_agents_best():
    """By enumeration of all joint actions, for random weights, values, states and masks (the IGM principle)."""
    agents, mixer = 3, DuplexMixer(U, kernels=4, hyper_dim=4)
    joint = jnp.array(list(itertools.product(range(U), repeat=agents)))
    q = jnp.zeros((1, agents))
    params = quick(mixer.init, jax.random.key(0), q, q, q.astype(jnp.int32), jnp.zeros((1, X)))

    @jax.jit
    @jax.vmap
    def compare(key):
        k_q, k_state, k_mask, k_params = jax.random.split(key, 4)
        leaves, tree = jax.tree.flatten(params)
        drawn = [2 * jax.random.normal(jax.random.fold_in(k_params, i), x.shape) for i, x in enumerate(leaves)]
        values, state = jax.random.normal(k_q, (agents, U)), jax.random.normal(k_state, (X,))
        legal = jax.random.bernoulli(k_mask, 0.7, (agents, U)).at[:, 0].set(True)
        own = jnp.where(legal, values, -jnp.inf)
        chosen = values[jnp.arange(agents), joint]
        best = jnp.broadcast_to(own.max(-1), chosen.shape)
        team = mixer.apply(tree.unflatten(drawn), chosen, best, joint, jnp.broadcast_to(state, (len(joint), X)))
        team = jnp.where(legal[jnp.arange(agents), joint].all(-1), team, -jnp.inf)
        return joint[team.argmax()], own.argmax(-1), jnp.sort(team)[-1] - jnp.sort(team)[-2]

    found, due, gap = compare(jax.random.split(jax.random.key(5), 200))
    clear = np.asarray(gap) > 1e-4
    assert clear.mean() > 0.8
    np.testing.assert_array_equal(np.asarray(found)[clear], np.asarray(due)[clear])


def learner_of(nets, weight):
    """Agents of values 1, 2 and 5, whose online nets prefer action 0; a mixer with w = 1, b = 0, lambda = `weight`."""
    learner = quick(partial(qplex.init, nets), jax.random.key(0))
    share = weight / 2
    mixer = made_of(learner.params["mixer"], 1.0, 0.0, [-1.0, 3.0], np.log(share / (1 - share)), 0.0)
    params = {**constant(nets, learner.params, [4.0, 0.0, 0.0]), "mixer": mixer}
    return learner._replace(params=params, target={**constant(nets, learner.params, [1.0, 2.0, 5.0]), "mixer": mixer})


def test_targets_by_hand():
    """Of two agents with values up to 5: 10. The double estimate is of action 0: 2 + (lambda - 1) x 2 x (1 - 5)."""
    batch = recurrent.with_carry(build(), hand_batch())

    def found(weight, **fields):
        nets = build(**fields)
        learner = learner_of(nets, weight)

        def targets(params, target, batch):
            return qplex.targets(nets, target, batch, recurrent.unroll(nets, params["agents"], batch)[0])

        return quick(targets, learner.params, learner.target, batch)

    # 1 + 0.9 x 10 = 10, and 2 at the end; 10, and 2 + 0.9 x 10 = 11 through the limit
    np.testing.assert_allclose(found(1.5, double_q=False), [[10, 10], [2, 11]], rtol=1e-5)
    # lambda 1: VDN's 1 + 0.9 x 2 = 2.8; lambda 1.5: 1 + 0.9 x (2 - 4) = -0.8, 2 - 1.8 = 0.2
    np.testing.assert_allclose(found(1.0), [[2.8, 2.8], [2, 3.8]], rtol=1e-5)
    np.testing.assert_allclose(found(1.5), [[-0.8, -0.8], [2, 0.2]], rtol=1e-4)


def test_the_loss_by_hand_and_illegal_actions():
    """Actions (0, 1) of values 4 and 0: 4 + (1.5 - 1) x (0 - 4) = 2. Targets 10, 10, 2, 11 without double Q."""
    nets = build(double_q=False)
    learner, batch = learner_of(nets, 1.5), recurrent.with_carry(nets, hand_batch())
    batch = batch._replace(action=jnp.broadcast_to(jnp.array([0, 1]), (2, 2, A)))
    loss = jax.jit(lambda batch: qplex.loss(nets, learner.params, learner.target, batch)[0])
    # (10 - 2)^2 = 64 twice, 0, (11 - 2)^2 = 81: 209 / 4; without the last: 128 / 3
    assert float(loss(batch)) == pytest.approx(52.25, rel=1e-5)
    assert float(loss(batch._replace(mask=batch.mask.at[1, 1].set(0.0)))) == pytest.approx(128 / 3, rel=1e-5)
    # action 0 is illegal for agent 1 in row 0: its V is 0, as is its A: Q_tot = 4 there: 36, 36, 0, 81
    avail = batch.rows.avail.at[0, :, 1, 0].set(False)
    assert float(loss(batch._replace(rows=batch.rows._replace(avail=avail)))) == pytest.approx(38.25, rel=1e-5)


def test_padding_changes_no_gradient():
    """Rows without an action, and the rewards after them, may hold anything; and so may a terminal observation."""
    nets, batch = build(td_lambda=0.6), recurrent.with_carry(build(), long_batch())
    learner = quick(partial(qplex.init, nets), jax.random.key(0))
    over, padding = batch.rows.terminated, batch.mask == 0.0
    reset = jnp.concatenate([jnp.zeros_like(batch.first[:1]), padding])
    rows = batch.rows._replace(
        obs=jnp.where(over[..., None, None], 50.0, batch.rows.obs),
        state=jnp.where(over[..., None], -50.0, batch.rows.state),
        avail=batch.rows.avail | over[..., None, None],
        reward=jnp.where(reset, 1e3, batch.rows.reward),
    )
    garbage = batch._replace(rows=rows, action=jnp.where(padding[..., None], 2, batch.action))

    @jax.jit
    def gradient(batch):
        return jax.value_and_grad(lambda p: qplex.loss(nets, p, learner.target, batch)[0])(learner.params)

    one, two = gradient(batch), gradient(garbage)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), one, two)
    assert all(float(jnp.abs(x).sum()) > 0 for x in jax.tree.leaves(one[1]["mixer"]))  # every network learns


def test_user_errors_are_one_line():
    with pytest.raises(ConfigError, match="use --recurrent"):
        qplex.make(SPEC, QplexConfig(recurrent=False))


@pytest.mark.slow
def test_qplex_finds_the_optimum_of_the_payoff_matrix():
    """On which monotone mixing fails (test_qtran): 25,600 updates, since lambda grows slowly where A is small. The
    team's value is the payoff, up to a fitting error."""
    fields = {**GAME, "updates_per_step": 1.0, "lr": 1e-3, "kernels": 10, "hyper_dim": 32}
    best, joint, individual = trained(qplex.make, QplexConfig(advantage_layers=3, advantage_dim=32, **fields))
    assert best == 8.0 and individual.sum(-1).argmax() == 0
    np.testing.assert_allclose(joint, PAYOFF, atol=2.5)
