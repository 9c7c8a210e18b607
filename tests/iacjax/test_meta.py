"""The meta-gradient in float64, against differentiation through the whole look-ahead and finite differences."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from iacjax.algorithms.common.rnn import last_actions
from iacjax.algorithms.intrinsic import learner as intrinsic
from iacjax.losses.meta import lookahead_objective, meta_gradient
from tests.helpers.tiny_intrinsic import QUICK, make_batch, make_learner, make_networks

BETA = 0.05


def to_double(tree):
    return jax.tree.map(lambda x: x.astype(jnp.float64) if jnp.issubdtype(x.dtype, jnp.floating) else x, tree)


def flat(tree):
    return np.concatenate([np.asarray(x).ravel() for x in jax.tree.leaves(tree)])


def plain_normalise(x, weight):
    weight = jnp.broadcast_to(weight, x.shape)
    mean = (x * weight).sum() / weight.sum()
    variance = ((x - mean) ** 2 * weight).sum() / weight.sum()
    return (x - mean) / jnp.sqrt(variance + 1e-8)


def through_the_lookahead(log_prob_fn, advantage_fn, theta, advantage_ex, weight, mask, beta):
    """eta -> J_ex(theta + beta grad_theta mean(log pi A(eta))), for jax.grad to go through twice."""
    old = log_prob_fn(theta)

    def outer(eta):
        def inner(params):
            return (log_prob_fn(params) * advantage_fn(eta) * weight).sum() / weight.sum()

        ahead = jax.tree.map(lambda p, g: p + beta * g, theta, jax.grad(inner)(theta))
        ratio = jnp.prod(jnp.where(weight > 0, jnp.exp(log_prob_fn(ahead) - old), 1.0), -1)
        return (ratio * advantage_ex * mask).sum() / mask.sum()

    return outer


def toy():
    """A linear softmax policy, rewards linear in features: 6 steps, 2 environments, 3 agents; deaths and padding."""
    rng = np.random.default_rng(0)
    obs, features = rng.normal(size=(6, 2, 3, 4)), rng.normal(size=(6, 2, 3, 5))
    action, value = rng.integers(0, 3, (6, 2, 3)), rng.normal(size=(6, 2, 3))
    mask = (rng.random((6, 2)) < 0.8).astype(float)
    weight = mask[..., None] * (rng.random((6, 2, 3)) < 0.7)
    theta, eta = {"w": jnp.asarray(rng.normal(size=(4, 3)))}, {"r": jnp.asarray(rng.normal(size=5))}

    def log_prob(params):
        chosen = jax.nn.log_softmax(obs @ params["w"]) * (action[..., None] == np.arange(3))
        return chosen.sum(-1)

    def advantage(eta):
        return plain_normalise(jnp.tanh(features @ eta["r"]) - value, weight)

    return log_prob, advantage, theta, eta, *(jnp.asarray(x) for x in (rng.normal(size=(6, 2)), weight, mask))


def test_toy_is_exact_and_divided_by_beta():
    with jax.enable_x64(True):
        log_prob, advantage, theta, eta, advantage_ex, weight, mask = toy()

        @jax.jit
        def both(beta):
            ours, objective = meta_gradient(log_prob, advantage, theta, eta, advantage_ex, weight, mask, beta)
            outer = through_the_lookahead(log_prob, advantage, theta, advantage_ex, weight, mask, beta)
            value, direct = jax.value_and_grad(outer)(eta)
            return ours["r"], direct["r"] / beta, objective, value

        results = {beta: both(beta) for beta in (1.0, 1e-4, 1e-6)}
    for ours, direct, objective, value in results.values():
        np.testing.assert_allclose(ours, direct, rtol=1e-9, atol=1e-13)
        np.testing.assert_allclose(objective, value, rtol=1e-12)
    assert np.abs(results[1e-6][0]).max() > 1e-3
    np.testing.assert_allclose(results[1e-4][0], results[1e-6][0], rtol=1e-2, atol=1e-5)  # a limit as beta -> 0


def test_joint_ratio_by_hand():
    # ratios of two living agents 2 and 3, of a dead one 5, on A = 4: 2*3*4 = 24; a masked step counts nowhere
    log_prob = jnp.log(jnp.array([[[2.0, 3.0, 5.0]], [[7.0, 7.0, 7.0]]]))
    weight = jnp.array([[[1.0, 1.0, 0.0]], [[0.0, 0.0, 0.0]]])
    objective = lookahead_objective(
        log_prob, jnp.zeros_like(log_prob), jnp.array([[4.0], [9.0]]), weight, jnp.array([[1.0], [0.0]])
    )
    np.testing.assert_allclose(objective, 24.0, rtol=1e-6)


def plain_returns(nets, batch, r, v):
    """lambda-returns by a loop from the end; r, v [T, B, A]."""
    lam, gamma, successor = nets.config.td_lambda, nets.config.gamma, batch.next
    out, after = [], v[-1]
    for t in reversed(range(r.shape[0])):
        boundary = successor.boundary[t][:, None]
        mixed = jnp.where(boundary, v[t], (1 - lam) * v[t] + lam * after)
        after = r[t] + gamma * jnp.where(successor.terminated[t][:, None], 0.0, mixed)
        out.append(after)
    return jnp.stack(out[::-1])


def plain_log_prob(nets, actor, batch):
    """log[(1 - eps) softmax + eps / n] of the actions, over the legal ones (all, where none is)."""
    last = jnp.concatenate([batch.carry0.last_action[None], batch.action[:-1]])
    last = jnp.where(batch.first[:-1, :, None], -1, last)
    _, logits = nets.actor.apply(actor, batch.carry0.hidden, batch.ts.obs, last, batch.first[:-1])
    legal = batch.ts.avail | ~batch.ts.avail.any(-1, keepdims=True)
    exp, epsilon = jnp.exp(logits) * legal, batch.aux.epsilon[..., None, None]
    chance = (1 - epsilon) * exp / exp.sum(-1, keepdims=True) + epsilon * legal / legal.sum(-1, keepdims=True)
    return jnp.log((chance * jax.nn.one_hot(batch.action, chance.shape[-1])).sum(-1))


MEMBERS = {
    "aiir_mix": {},
    "rmix": {"reward_net": "mlp", "mix_activation": "elu"},
    "aiir": {"combine": "linear", "similarity": "mlp", "shared_actor": False},
    "liir": {"reward_net": "mlp", "combine": "sum"},
}


@pytest.mark.parametrize("member", MEMBERS)
def test_the_learners_meta_gradient(member):
    nets = make_networks(lookahead_lr=BETA, intrinsic_weight=0.5, critic_target_every=5, **MEMBERS[member])
    learner = make_learner(nets)
    batch = make_batch(nets)
    with jax.enable_x64(True):
        learner, batch = to_double(learner), to_double(batch)

        @jax.jit
        def ours():
            values = intrinsic.values_of(nets, learner, batch, batch.action[-1])
            r_total, _, _ = intrinsic.rewards(nets, learner.params["reward"], batch)
            seq, _ = intrinsic.intrinsic_data(nets, learner, batch, values, r_total)
            descent, metrics = intrinsic.reward_gradient(nets, learner, batch, seq, values)
            return descent, metrics, values, seq

        descent, metrics, values, seq = ours()
        alive = batch.mask[..., None] * batch.ts.alive
        r_ex = jnp.broadcast_to(batch.next.reward[..., None], alive.shape)
        ex_t = jnp.broadcast_to(values.ex_t[..., None], alive.shape)
        advantage_ex = plain_normalise(plain_returns(nets, batch, r_ex, ex_t)[..., 0] - values.ex_tm1, batch.mask)

        inputs = (batch.ts.obs, batch.action, batch.ts.alive)
        if nets.config.reward_net == "mlp":
            inputs += (batch.ts.state, last_actions(batch)[:-1])

        def advantage(eta):
            r_in, _ = nets.reward.apply(eta["net"], *inputs)
            r_total = nets.combine.apply(eta["combine"], batch.next.reward, r_in)
            return plain_normalise(plain_returns(nets, batch, r_total, values.total_t) - values.total_tm1, alive)

        def log_prob(actor):
            return plain_log_prob(nets, actor, batch)

        eta = learner.params["reward"]
        outer = through_the_lookahead(
            log_prob, advantage, learner.params["actor"], advantage_ex, alive, batch.mask, BETA
        )
        value_and_grad = jax.jit(jax.value_and_grad(outer), compiler_options=QUICK)
        value, direct = value_and_grad(eta)
        step = 1e-5
        rng = np.random.default_rng(0)
        numeric, along = [], []
        for _ in range(3):
            way = jax.tree.map(lambda x: jnp.asarray(rng.normal(size=x.shape)), eta)
            up, down = (value_and_grad(jax.tree.map(lambda x, d, s=s: x + s * step * d, eta, way))[0] for s in (1, -1))
            numeric.append(float(up - down) / (2 * step) / BETA)
            along.append(-float(flat(descent) @ flat(way)))
    np.testing.assert_allclose(metrics["meta_objective"], value, rtol=1e-9)
    size = np.abs(flat(direct)).max() / BETA
    assert size > 1e-3
    np.testing.assert_allclose(-flat(descent), flat(direct) / BETA, rtol=1e-9, atol=1e-9 * size)
    np.testing.assert_allclose(along, numeric, rtol=1e-5)
    np.testing.assert_allclose(metrics["meta_gradient_rms"], np.sqrt((flat(descent) ** 2).mean()), rtol=1e-9)
    for part in ("net", "combine") if nets.config.combine != "sum" else ("net",):  # a sum has no parameters
        assert np.abs(flat(descent[part])).max() > 1e-6
