"""PQN-VDN: returns and loss with literal numbers, Q(lambda) against a slow loop, padding, the dead, normalisation."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_q_recurrent import OBS, SPEC, A, H, U, hand_batch, long_batch

from envs.errors import ConfigError
from iacjax.algorithms.common.rnn import RnnCarry, last_actions, start_carry
from iacjax.algorithms.q_learning import pqn
from iacjax.algorithms.q_learning.pqn_config import PqnVdnConfig
from iacjax.networks.pqn_agent import Norm, PqnAgent
from iacjax.types import Clock
from tests.helpers.tiny_intrinsic import check_shapes_stay, quick

SIZES = {"hidden_dim": H, "agent_layers": 1, "gamma": 0.9, "num_envs": 2, "minibatches": 1, "td_lambda": 0.0}
ROW = jnp.array([1.0, 2.0, 5.0])


def build(**fields):
    return pqn.build(SPEC, PqnVdnConfig(**{**SIZES, **fields}))


def with_carry(batch):
    return batch._replace(carry0=start_carry(batch.mask.shape[1], A, H))


def constant(nets):
    """Agents that put out ROW whatever they read and remember."""
    zero = jax.tree.map(jnp.zeros_like, quick(partial(pqn.init, nets), jax.random.key(0)).agents)
    zero["params"]["net"]["values"]["Dense_0"]["bias"] += ROW
    return zero


def targets(batch, q=None, **fields):
    rows = batch.rows.avail.shape
    return np.asarray(pqn.targets(build(**fields), jnp.broadcast_to(ROW, rows) if q is None else q, batch))


def test_targets_by_hand():
    """The greedy values of two agents are 5 each: 10. Environment 0 terminates, 1 is cut by the time limit."""
    batch = hand_batch()
    # 1 + 0.9 x 10 = 10, and 2 at the end; 10, and 2 + 0.9 x 10 = 11 through the limit
    np.testing.assert_allclose(targets(batch)[..., 0], [[10, 10], [2, 11]], rtol=1e-6)
    np.testing.assert_allclose(targets(batch, time_limit="terminate")[..., 0], [[10, 10], [2, 2]], rtol=1e-6)
    # lambda 0.5: 1 + 0.9 (0.5 x 10 + 0.5 x 2) = 6.4, and 1 + 0.9 (5 + 5.5) = 10.45
    np.testing.assert_allclose(targets(batch, td_lambda=0.5)[..., 0], [[6.4, 10.45], [2, 11]], rtol=1e-6)
    # rewards times 10: 10 + 9 = 19, 20; 19, 20 + 9 = 29
    np.testing.assert_allclose(targets(batch, reward_scale=10.0)[..., 0], [[19, 19], [20, 29]], rtol=1e-6)


def test_the_dead_and_illegal_actions_are_not_in_the_sum():
    """At row 1 agent 1 is dead in environment 0, and cannot take action 2 in environment 1."""
    batch = hand_batch()
    alive, avail = batch.rows.alive.at[1, 0, 1].set(False), batch.rows.avail.at[1, 1, 1, 2].set(False)
    batch = batch._replace(rows=batch.rows._replace(alive=alive, avail=avail))
    # 1 + 0.9 x 5 = 5.5, and 1 + 0.9 x (5 + 2) = 7.3
    np.testing.assert_allclose(targets(batch)[0, :, 0], [5.5, 7.3], rtol=1e-6)
    # each its own: 5.5 of agents with 5 to come, the dead one's too; 1 + 0.9 x 2 = 2.8
    np.testing.assert_allclose(targets(batch, mixer="none")[0], [[5.5, 5.5], [5.5, 2.8]], rtol=1e-6)


@pytest.mark.parametrize("mixer", ["vdn", "none"])
def test_the_loss_by_hand(mixer):
    """Actions (0, 1): values 1 and 2, in sum 3. Targets 10, 10, 2, 11; of each agent 5.5, 5.5, 2, 2 + 0.9 x 5 = 6.5."""
    nets, batch = build(mixer=mixer), with_carry(hand_batch())
    batch = batch._replace(action=jnp.broadcast_to(jnp.array([0, 1]), (2, 2, A)))
    variables = constant(nets)

    def loss(batch):
        return float(pqn.loss(nets, variables["params"], {}, batch)[0])

    if mixer == "vdn":
        # (10 - 3)^2 = 49 twice, (2 - 3)^2 = 1, (11 - 3)^2 = 64: 163 / 4; without the last: 99 / 3
        due, masked = 40.75, 33.0
    else:
        # (5.5 - 1)^2 + (5.5 - 2)^2 = 32.5 twice, 1 + 0, 5.5^2 + 4.5^2 = 50.5: 116.5 / 8; without the last: 66 / 6
        due, masked = 14.5625, 11.0
    assert loss(batch) == pytest.approx(due, rel=1e-6)
    assert loss(batch._replace(mask=batch.mask.at[1, 1].set(0.0))) == pytest.approx(masked, rel=1e-6)


def with_deaths(batch, seed=0):
    """The batch with agent 1 dead from the second row of each episode on; it can only take action 0 then."""
    first = np.asarray(batch.first)
    alive = np.ones((*first.shape, A), bool)
    alive[..., 1] = first
    avail = np.where(alive[..., None], np.asarray(batch.rows.avail), np.arange(U) == 0)
    action = np.where(alive[:-1], np.asarray(batch.action), 0)
    rows = batch.rows._replace(alive=jnp.asarray(alive), avail=jnp.asarray(avail))
    return batch._replace(rows=rows, action=jnp.asarray(action, jnp.int32))


def slow_targets(q, batch, gamma, lam, terminate):
    """Weighted sums of n-step returns of one environment and step after the other."""
    rows = jax.tree.map(np.asarray, batch.rows)
    value = (np.where(rows.avail, q, -np.inf).max(-1) * rows.alive).sum(-1)
    out, last = np.zeros(batch.mask.shape), batch.mask.shape[0]
    for (t, e), acted in np.ndenumerate(np.asarray(batch.mask)):
        total, weight, gained, n = 0.0, 1.0, 0.0, 0
        while acted:
            at, n = t + n + 1, n + 1
            gained += gamma ** (n - 1) * rows.reward[at, e]
            stops = rows.terminated[at, e] or (terminate and rows.truncated[at, e])
            worth = gained + (0.0 if stops else gamma**n * value[at, e])
            if rows.terminated[at, e] or rows.truncated[at, e] or at == last:
                out[t, e] = total + weight * worth
                break
            total, weight = total + weight * (1 - lam) * worth, weight * lam
    return out


@pytest.mark.parametrize(
    ("lam", "limit"), [(0.0, "truncate"), (0.85, "truncate"), (0.85, "terminate"), (1.0, "truncate")]
)
def test_returns_are_a_slow_loops(lam, limit):
    batch = with_deaths(long_batch())
    assert bool(batch.rows.terminated.any()) and bool(batch.rows.truncated.any())
    q = jax.random.normal(jax.random.key(1), batch.rows.avail.shape)
    due = slow_targets(np.asarray(q), batch, 0.9, lam, limit == "terminate")
    found = targets(batch, q, td_lambda=lam, time_limit=limit)[..., 0] * np.asarray(batch.mask)
    np.testing.assert_allclose(found, due, rtol=2e-5, atol=2e-5)


def test_the_targets_are_constants():
    """d/dQ (G - Q)^2 = -2 (G - Q): the gradient of the values' bias is that of the chosen actions alone."""
    nets, batch = build(), with_carry(hand_batch())
    batch = batch._replace(action=jnp.broadcast_to(jnp.array([0, 1]), (2, 2, A)))
    grads = quick(jax.grad(lambda p: pqn.loss(nets, p, {}, batch)[0]), constant(nets)["params"])
    # errors 7, 7, -1, 8: -2 x 21 / 4 = -10.5 for actions 0 and 1, nothing for 2, by which the targets were chosen
    np.testing.assert_allclose(grads["net"]["values"]["Dense_0"]["bias"], [-10.5, -10.5, 0], rtol=1e-5)


@pytest.mark.parametrize("norm", ["layer", "batch"])
def test_padding_and_the_dead_change_nothing(norm):
    """Whatever stands in rows without an action and after the end, and whatever the dead see, do and could do."""
    nets, batch = build(norm=norm, norm_input=True, td_lambda=0.85), with_carry(with_deaths(long_batch()))
    learner = quick(partial(pqn.init, nets), jax.random.key(0))
    rows, dead, over = batch.rows, ~batch.rows.alive, batch.rows.terminated
    padding = batch.mask == 0.0
    reset = jnp.concatenate([jnp.zeros_like(batch.first[:1]), padding])
    garbage = batch._replace(
        rows=rows._replace(
            obs=jnp.where((dead | over[..., None])[..., None], 50.0, rows.obs),
            avail=rows.avail | dead[..., None],
            alive=jnp.where(over[..., None], dead, rows.alive),
            reward=jnp.where(reset, 1e3, rows.reward),
        ),
        action=jnp.where(dead[:-1] | padding[..., None], 2, batch.action),
        carry0=RnnCarry(batch.carry0.hidden + 9.0, batch.carry0.last_action),  # row 0 opens episodes
    )

    @jax.jit
    def gradient(batch):
        fixed = {name: x for name, x in learner.agents.items() if name != "params"}
        value = jax.value_and_grad(partial(pqn.loss, nets), has_aux=True)
        return value(learner.agents["params"], fixed, batch)

    one, two = gradient(batch), gradient(garbage)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5), one, two)
    felt = gradient(batch._replace(rows=rows._replace(obs=jnp.where(dead[..., None], rows.obs, 50.0))))
    assert abs(float(felt[0][0]) - float(one[0][0])) > 1e-3


def test_batch_norm_by_hand():
    """Of 1, 3 and 100 the last does not count: mean 2, variance 1; running 0.99 x 0 + 0.01 x 2, 0.99 x 1 + 0.01 x 1."""
    net, x = Norm("batch"), jnp.array([[1.0], [3.0], [100.0]])
    start = net.init(jax.random.key(0), x, None)
    y, moved = net.apply(start, x, jnp.array([True, True, False]), mutable=["batch_stats"])
    np.testing.assert_allclose(y[:, 0], [-1, 1, 98], rtol=1e-4)
    stats = moved["batch_stats"]["batch"]
    np.testing.assert_allclose([stats["mean"][0], stats["var"][0]], [0.02, 1.0], rtol=1e-5)
    y = net.apply({**start, **moved}, x, None)  # acting
    np.testing.assert_allclose(y[:, 0], [0.98, 2.98, 99.98], rtol=1e-4)
    alone, _ = net.apply(start, x, jnp.zeros(3, bool), mutable=["batch_stats"])  # nothing counts: all do
    assert bool(jnp.isfinite(alone).all())


@pytest.mark.parametrize("norm", ["layer", "none"])
def test_normalised_layers_have_no_scale(norm):
    """Weights ten times as large before a norm change no value; without one they do."""
    net = PqnAgent(H, U, layers=1, norm=norm)
    k_obs, k_init = jax.random.split(jax.random.key(0))
    inputs = (
        jnp.zeros((2, A, H)),
        10 * jax.random.normal(k_obs, (3, 2, A, OBS)),
        jnp.full((3, 2, A), -1),
        jnp.ones((3, 2), bool),
    )
    params = net.init(k_init, *inputs)
    larger = jax.tree.map(lambda x: x, params)
    larger["params"]["net"]["layer_0"] = jax.tree.map(lambda x: 10 * x, larger["params"]["net"]["layer_0"])
    one, two = (net.apply(p, *inputs)[1] for p in (params, larger))
    assert np.allclose(one, two, atol=1e-4) == (norm == "layer")


def test_the_memory_starts_with_an_orthogonal_matrix_for_each_gate():
    """As flax's GRUCell in the official code: W^T W = I for each of the three, not for the three side by side."""
    gru = quick(partial(pqn.init, build()), jax.random.key(0)).agents["params"]["net"]["gru"]
    for gate in np.split(np.asarray(gru["recurrent"]), 3, axis=1):
        np.testing.assert_allclose(gate.T @ gate, np.eye(H), atol=1e-5)


@pytest.mark.parametrize("fields", [{"share_agents": False, "norm": "batch"}, {"norm_input": True}])
def test_unrolled_values_are_those_of_acting(fields):
    nets, batch = build(**fields), with_carry(long_batch())
    agents = quick(partial(pqn.init, nets), jax.random.key(0)).agents

    def both(agents, batch):
        last, carry, rows = last_actions(batch), batch.carry0.hidden, []
        for t in range(batch.first.shape[0]):
            one = slice(t, t + 1)
            carry, q = nets.agents.apply(agents, carry, batch.rows.obs[one], last[one], batch.first[one])
            rows.append(q[0])
        return pqn.unroll(nets, agents, batch, train=False)[0], jnp.stack(rows)

    whole, rows = quick(both, agents, batch)
    np.testing.assert_allclose(whole, rows, rtol=1e-4, atol=1e-5)


def test_an_update_is_epochs_of_minibatches_and_keeps_every_shape():
    nets = build(norm="batch", minibatches=2, epochs=3, anneal_steps=100)
    batch = with_carry(hand_batch())
    check_shapes_stay(partial(pqn.init, nets), partial(pqn.update, nets), batch)
    learner = quick(partial(pqn.init, nets), jax.random.key(0))

    def update(steps):
        return pqn.update(nets, learner, batch, jax.random.key(1), Clock(jnp.int32(0), steps))[0]

    update = jax.jit(update, compiler_options={"xla_backend_optimization_level": 0})
    start, end = update(jnp.int32(0)), update(jnp.int32(100))
    counts = [int(x) for x in jax.tree.leaves(start.opt) if x.dtype == jnp.int32]
    assert counts == [6]
    same = jax.tree.map(lambda a, b: bool((a == b).all()), learner.agents["params"], end.agents["params"])
    assert all(jax.tree.leaves(same))  # the learning rate has fallen to 0
    changed = jax.tree.map(lambda a, b: bool((a != b).any()), learner.agents["params"], start.agents["params"])
    assert any(jax.tree.leaves(changed))


def test_minibatches_must_divide_the_environments():
    with pytest.raises(ConfigError, match="--minibatches must divide --num-envs 2, which 3 does not"):
        build(minibatches=3)
