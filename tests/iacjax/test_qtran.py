"""QTRAN: its three losses with literal numbers, what they train, and the payoff matrix on which QMIX fails."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_q_recurrent import SPEC, H, hand_batch

from envs.errors import ConfigError
from envs.toy.matrix_games import PAYOFF, matrix_game
from iacjax.algorithms.q_learning import feed_forward as q_mixing
from iacjax.algorithms.q_learning import qtran
from iacjax.algorithms.q_learning.config import QmixConfig, QtranConfig
from iacjax.algorithms.q_learning.recurrent import with_carry
from iacjax.trainer import make_trainer
from iacjax.types import Batch

SIZES = {"hidden_dim": H, "mixer_dim": 4, "gamma": 0.9}


def test_the_three_losses_by_hand():
    """Three steps: joint 3, targets 5, best 6, V 1; greedy sums 4, 5, 7; chosen sums 2, 1, 4."""
    three = jnp.ones(3)
    losses = qtran.losses_of(
        joint=3 * three, target=5 * three, best=6 * three, value=three,
        chosen=jnp.array([2.0, 1.0, 4.0]), greedy=jnp.array([4.0, 5.0, 7.0]),
    )  # fmt: skip
    np.testing.assert_allclose(losses.td, [4, 4, 4])  # (3 - 5)^2
    np.testing.assert_allclose(losses.opt, [1, 0, 4])  # (4 - 6 + 1)^2, (5 - 6 + 1)^2, (7 - 6 + 1)^2
    np.testing.assert_allclose(losses.nopt, [0, 1, 0])  # 2 - 3 + 1 = 0, 1 - 3 + 1 = -1, 4 - 3 + 1 = 2 is allowed


def test_what_each_loss_trains():
    """Q_jt is a constant in L_opt and L_nopt, the targets in L_td."""

    def gradients(name):
        ones = [jnp.float32(x) for x in (3.0, 5.0, 6.0, 0.5, 1.0, 4.0)]
        loss = lambda args: getattr(qtran.losses_of(*args), name)  # noqa: E731
        return [float(g) for g in jax.grad(loss)(ones)]

    # order: joint, target, best, value, chosen, greedy; 2 (3 - 5) = -4
    assert gradients("td") == [-4, 0, 0, 0, 0, 0]
    assert gradients("opt") == [0, 0, 0, -3, 0, -3]  # 2 (4 - 6 + 0.5) = -3
    assert gradients("nopt") == [0, 0, 0, -3, -3, 0]  # 2 (1 - 3 + 0.5) = -3


def constant_joint(params, q, v):
    """Parameters of a joint value that is q, and v beside it, whatever it reads."""
    zero = jax.tree.map(jnp.zeros_like, params)
    for name, x in (("q", q), ("v", v)):
        zero["params"][name]["Dense_2"]["Dense_0"]["bias"] += x
    return zero


def test_the_target_is_the_target_nets_joint_value():
    """Q_jt' = 10: 1 + 0.9 x 10 = 10; 2 at the end; 2 + 9 = 11 through the time limit. Q_jt = 3, V = 0.5."""
    nets = qtran.build_networks(SPEC, QtranConfig(**SIZES))
    learner = qtran.init(nets, jax.random.key(0))
    params = {**learner.params, "mixer": constant_joint(learner.params["mixer"], 3.0, 0.5)}
    target = {**learner.params, "mixer": constant_joint(learner.params["mixer"], 10.0, 7.0)}
    losses, joint = qtran.losses(nets, params, target, with_carry(nets, hand_batch()))
    np.testing.assert_allclose(joint, np.full((2, 2), 3.0))
    np.testing.assert_allclose(losses.td, [[49, 49], [1, 64]], rtol=1e-6)  # (3 - 10)^2, (3 - 2)^2, (3 - 11)^2
    # the agents' greedy values sum to what they are: L_opt = (greedy - 3 + 0.5)^2, at least L_nopt of other actions
    assert (np.asarray(losses.opt) > 0).all() and (np.asarray(losses.nopt) >= np.asarray(losses.opt) - 1e-6).all()


def test_masked_steps_change_nothing():
    nets = qtran.build_networks(SPEC, QtranConfig(**SIZES))
    learner = qtran.init(nets, jax.random.key(0))
    whole = hand_batch()
    batch = whole._replace(mask=whole.mask.at[1, 1].set(0.0))
    rows = batch.rows._replace(reward=batch.rows.reward.at[2, 1].set(1e6))

    @jax.jit
    def gradient(batch):
        loss = lambda p: qtran.loss(nets, p, learner.target, with_carry(nets, batch))[0]  # noqa: E731
        return jax.grad(loss)(learner.params)

    def same(tree, other):
        return all(jax.tree.leaves(jax.tree.map(lambda x, y: bool((x == y).all()), tree, other)))

    assert same(gradient(batch), gradient(batch._replace(rows=rows)))
    assert not same(gradient(whole), gradient(whole._replace(rows=rows)))  # where it counts, that reward is felt


def test_user_errors_are_one_line():
    with pytest.raises(ConfigError, match="use --recurrent"):
        qtran.make(SPEC, QtranConfig(recurrent=False))


GAME = {
    "hidden_dim": 16, "num_envs": 32, "rollout_length": 8, "updates_per_step": 1 / 16, "buffer_size": 4096,
    "batch_size": 64, "warmup": 2048, "epsilon_end": 1.0, "optimizer": "adam", "lr": 3e-3, "target_every": 10,
}  # fmt: skip


def all_joint_actions(env):
    """One step of the game in 9 environments, each with a joint action of its own."""
    action = jnp.stack(jnp.meshgrid(jnp.arange(3), jnp.arange(3), indexing="ij"), -1).reshape(-1, 2)
    state, before = env.reset(jax.random.key(0), 9)
    after = env.step(jax.random.key(1), state, action)[1]
    rows = jax.tree.map(lambda a, b: jnp.stack([a, b]), before, after)
    return Batch(rows, jnp.stack([jnp.ones(9, bool), jnp.zeros(9, bool)]), action[None], (), jnp.ones((1, 9)), ())


def trained(make, config):
    """(greedy return, Q of all joint actions [3, 3], agents' values [3, 3, 2]) after 100 iterations, 1600 updates."""
    env = matrix_game()
    algorithm = make(env.spec, config)
    trainer = make_trainer(env, algorithm, 100, 4)
    states = trainer.chunk(trainer.init(jax.random.split(jax.random.key(0), 1)), 0, 100)[0]
    returns = trainer.evaluate(states, jax.random.split(jax.random.key(1), 1)).returns
    shown = jax.jit(algorithm.inspect)(jax.tree.map(lambda x: x[0], states.learner), all_joint_actions(env))
    return float(returns.mean()), np.asarray(shown["q"]).reshape(3, 3), np.asarray(shown["individual"]).reshape(3, 3, 2)


@pytest.mark.slow
def test_qtran_finds_the_optimum_of_the_payoff_matrix():
    """The joint value is the payoff, the best joint action is that of the agents, 8, and no other of their sums lies
    below the payoff less V = Q_jt(best) - sum of Q_i (the conditions of theorem 1), up to a fitting error."""
    best, joint, individual = trained(qtran.make, QtranConfig(mixer_dim=32, nopt_weight=1.0, **GAME))
    assert best == 8.0
    np.testing.assert_allclose(joint, PAYOFF, atol=1.5)
    total = individual.sum(-1)
    gap = total - total[0, 0] - (joint - joint[0, 0])  # sum_i Q_i - Q_jt + V, with V from the best joint action
    assert gap.min() > -1.5 and total.argmax() == 0


@pytest.mark.slow
def test_qmix_does_not():
    """Monotone in both: the penalties beside the optimum hide it, and the safe corner, worth 0, is chosen."""
    best, joint, _ = trained(q_mixing.make, QmixConfig(mixer_dim=32, hyper_dim=32, **GAME))
    assert best == 0.0
    assert joint[0, 0] < 0.0
