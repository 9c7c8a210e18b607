"""MAT: the decoder's masks, acting agent by agent against all agents at once, the dead, conditioned coordination."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from envs.errors import ConfigError
from envs.toy.matrix_games import matrix_game
from iacjax.algorithms.ppo import mat
from iacjax.algorithms.ppo.config import MatConfig
from iacjax.networks.transformer import Attention, Transformer, shifted
from iacjax.trainer import init_state, train_step
from iacjax.types import Batch
from tests.helpers import continuous_batch, tiny_intrinsic
from tests.helpers.tiny_intrinsic import CLOCK, KEY, QUICK, check_shapes_stay, drawn, equal, quick, with_garbage

A, T = 3, 3
SMALL = {
    "hidden_dim": 4,
    "heads": 2,
    "rollout_length": T,
    "minibatches": 1,
    "epochs": 2,
    "lr": 0.01,
    "entropy": 0.1,
    "value_weight": 0.5,
}
KINDS = {"discrete": {"num_envs": 4}, "none": {"num_envs": continuous_batch.B, "sigma_init": 0.5}}
KINDS["tanh"] = KINDS["none"] | {"squash": "tanh", "last_action": False, "blocks": 2}


@cache
def make(kind):
    """(networks, learner of random parameters, a batch of T rows that its policy has acted on)."""
    spec = tiny_intrinsic.SPEC if kind == "discrete" else continuous_batch.PADDED
    nets = mat.build(spec, MatConfig(**SMALL, **KINDS[kind]))
    learner = drawn(partial(mat.init, nets), "params")
    return nets, learner, quick(partial(make_batch, nets, kind == "discrete"), learner)


def make_batch(nets, discrete, learner) -> Batch:
    """Agent 0 of environment 0 is dead, the last environment is padding at row 1; some actions are illegal."""
    num_envs = nets.config.num_envs
    rows = [continuous_batch.timestep(seed) for seed in range(T + 1)]
    rows = jax.tree.map(lambda *x: jnp.stack(x)[:, :num_envs], *rows)
    if discrete:
        obs = jnp.concatenate([rows.obs, rows.obs[..., :1] ** 2], -1)
        rows = rows._replace(
            obs=obs, avail=jnp.concatenate([obs[..., :3] > 0, jnp.ones((*obs.shape[:-1], 1), bool)], -1)
        )
    rows = rows._replace(alive=rows.alive.at[:, 0, 0].set(False), terminated=rows.terminated.at[1, -1].set(True))
    first = jnp.zeros((T + 1, num_envs), bool).at[0].set(True).at[2, -1].set(True)

    def step(carry, row):
        ts, first, key = row
        carry, *acted = nets.policies.act(learner.params["actor"], carry, ts, first, key, CLOCK, True)
        return carry, acted

    carry0 = nets.policies.carry(num_envs)
    acting = jax.tree.map(lambda x: x[:-1], (rows, first))
    _, (action, aux) = jax.lax.scan(step, carry0, (*acting, jax.random.split(KEY, T)))
    return Batch(rows, first, action, aux, (~rows.boundary[:-1]).astype(jnp.float32), carry0)


def data_of(nets, learner, batch):
    raw = nets.policies.values(learner.params["actor"], batch)
    return mat.ppo_data(nets, learner, batch, raw)[0]


SLOW = pytest.mark.slow  # what takes long to compile, of parts that the others test


@pytest.fixture(params=["discrete", *(pytest.param(kind, marks=SLOW) for kind in ("none", "tanh"))])
def kind(request):
    return request.param


def test_attention_by_hand():
    attention, x = Attention(1, 1), jnp.array([[1.0], [2.0]])
    attend = lambda attention, x, seen: attention(x, attention.sources(x), seen)  # noqa: E731
    shapes = jax.eval_shape(partial(attention.init, method=attend), KEY, x, None)
    # weights 1 and biases 0: every projection is x itself
    params = jax.tree.map(lambda w: jnp.full(w.shape, float(w.ndim == 2)), shapes)

    def found(seen):
        return attention.apply(params, x, seen, method=attend)[:, 0]

    # scores of agent 0: 1 and 2, of agent 1: 2 and 4. 1 + e / (1 + e) = 1.7311, 1 + e^2 / (1 + e^2) = 1.8808
    np.testing.assert_allclose(found(None), [1.7311, 1.8808], atol=1e-4)
    np.testing.assert_allclose(found(jnp.tril(jnp.ones((2, 2), bool))), [1.0, 1.8808], atol=1e-4)


def test_agents_read_the_action_before_and_the_first_a_start_token():
    actions = jnp.array([[0.1, 0.2], [0.3, 0.4], [0.5, 0.6]])
    np.testing.assert_allclose(shifted(actions), [[1, 0, 0], [0, 0.1, 0.2], [0, 0.3, 0.4]])


@cache
def decoder():
    """(actions f32[A, 2] -> outputs f32[A, 3], representations) of random parameters, two blocks and two heads."""
    net = Transformer(4, 2, 2, 3)
    obs, actions = jax.random.normal(KEY, (A, 5)), jnp.zeros((A, 2))
    shapes = jax.eval_shape(net.init, KEY, obs, actions)
    keys = iter(jax.random.split(KEY, len(jax.tree.leaves(shapes))))
    params = jax.tree.map(lambda x: jax.random.normal(next(keys), x.shape), shapes)
    return jax.jit(lambda obs, actions: net.apply(params, obs, actions), compiler_options=QUICK), obs


def test_an_agent_reads_the_actions_of_those_before_it_and_no_others():
    """Both masks: each of the decoder's two attentions would show an agent what comes after it."""
    net, obs = decoder()
    actions = jax.random.normal(jax.random.key(1), (A, 2))
    values, out = net(obs, actions)
    for i in range(A):
        new_values, new = net(obs, actions.at[i].add(1.0))
        assert (new != out).any(-1).tolist() == [j > i for j in range(A)]
        assert equal(new_values, values)
    _, new = net(obs.at[-1].multiply(jnp.arange(5.0)), actions)
    assert (new != out).any(-1).all()  # observations are everyone's


@cache
def found(kind):
    """Of a batch: (its data, log-probabilities at once, greedy actions one by one and at once, loss, metrics)."""
    nets, learner, batch = make(kind)
    policies, params = nets.policies, learner.params["actor"]

    def all_of_it():
        data = data_of(nets, learner, batch)
        _, log_prob, _ = policies.evaluate(params, data)
        legal, inputs = policies.head.legal(data.avail[0]), policies.inputs(data.obs[0], data.last_action[0])
        greedy, _ = policies.decode(params, inputs, jnp.zeros(legal.shape), legal)
        _, out = policies.net.apply(params, inputs, policies.head.features(greedy, legal))
        best = policies.head.draw(out, jnp.zeros(legal.shape), legal)
        return data, log_prob, greedy, best, *mat.loss_of(nets, params, data)

    return quick(all_of_it)


def test_all_agents_at_once_are_the_agents_one_by_one(kind):
    """What acting stores, over deaths, illegal actions, the beginning of an episode and missing dimensions; and each
    agent's greedy action is the best one given those of the agents before it."""
    batch, (_, log_prob, greedy, best, _, _) = make(kind)[2], found(kind)
    np.testing.assert_allclose(log_prob, batch.aux.log_prob, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(greedy, best, rtol=1e-5, atol=1e-5)
    assert np.asarray(log_prob).std() > 0.1
    if kind == "discrete":
        assert np.take_along_axis(np.asarray(batch.ts.avail), np.asarray(batch.action)[..., None], -1).all()


def test_the_loss_is_the_policys_and_the_weighted_loss_of_the_values():
    data, *_, loss, metrics = found("discrete")
    due = metrics["actor_loss"] - 0.1 * metrics["entropy"] + 0.5 * metrics["critic_loss"]
    assert float(loss) == pytest.approx(float(due), rel=1e-5)
    # values are learned of the dead too: 4 x 3 steps less one of padding, 3 agents each, (R - V)^2 / 2
    error = np.asarray(data.returns - data.value) ** 2 / 2 * np.asarray(data.mask)[..., None]
    assert float(metrics["critic_loss"]) == pytest.approx(error.sum() / (11 * 3), rel=1e-4)


@cache
def updater(kind):
    return jax.jit(partial(mat.update, make(kind)[0]), compiler_options=QUICK)


@SLOW
def test_what_is_no_step_and_what_the_dead_do_is_not_learned(kind):
    """Garbage where nobody acted changes nothing; a dead agent's probability does not, a living one's does."""
    nets, learner, batch = make(kind)
    update = updater(kind)
    clean = update(learner, batch, KEY, CLOCK)
    assert not equal(clean[0].params, learner.params)
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(clean))
    nowhere = batch._replace(aux=batch.aux._replace(log_prob=batch.aux.log_prob.at[1, -1].set(-1.0)))
    assert equal(update(learner, nowhere, KEY, CLOCK), clean)

    def odder(env):
        return batch._replace(aux=batch.aux._replace(log_prob=batch.aux.log_prob.at[:, env, 0].add(1.0)))

    assert equal(update(learner, odder(0), KEY, CLOCK), clean)
    assert not equal(update(learner, odder(1), KEY, CLOCK)[0].params, clean[0].params)


@SLOW
def test_rows_that_the_contract_leaves_unread_are_not_read():
    nets = mat.build(tiny_intrinsic.SPEC, MatConfig(**SMALL | {"num_envs": 4, "rollout_length": 7}))
    learner, batch = drawn(partial(mat.init, nets), "params"), tiny_intrinsic.make_batch(nets)
    batch = batch._replace(aux=batch.aux._replace(epsilon=None))
    garbage = with_garbage(
        batch._replace(aux=batch.aux._replace(epsilon=batch.mask)), batch.rows.terminated.at[-1].set(False)
    )
    garbage = garbage._replace(aux=garbage.aux._replace(epsilon=None))
    update = jax.jit(partial(mat.update, nets), compiler_options=QUICK)
    assert not equal(garbage, batch)
    assert equal(update(learner, garbage, KEY, CLOCK), update(learner, batch, KEY, CLOCK))


def test_an_update_keeps_every_shape_and_strong_type(kind):
    nets, _, batch = make(kind)
    check_shapes_stay(partial(mat.init, nets), partial(mat.update, nets), batch)


@SLOW
def test_mixed_coordination():
    """Both agents the same action: 1, else -1. The entropy bonus keeps the first agent undecided; the second one knows.

    Agents that draw independently, the first with a probability p for action 0, reach at most |2 p - 1|.
    """
    env = matrix_game(payoff=((1.0, -1.0), (-1.0, 1.0)))
    config = MatConfig(num_envs=32, rollout_length=8, minibatches=1, hidden_dim=8, lr=0.01, entropy=0.2)
    algorithm, nets = mat.make(env.spec, config), mat.build(env.spec, config)

    def train(key):
        state = init_state(env, algorithm, key)
        step = lambda state, t: (train_step(env, algorithm, state, t)[0], None)  # noqa: E731
        state = jax.lax.scan(step, state, jnp.arange(60))[0]
        ones, none = jnp.ones((2, 2, 1)), jnp.full((2, 2), -1)
        features = jax.nn.one_hot(jnp.array([[0, 0], [1, 1]]), 2)
        _, out = nets.policies.net.apply(state.learner.params["actor"], nets.policies.inputs(ones, none), features)
        return jax.nn.softmax(out)  # [what agent 0 did, agent, action]

    probabilities = quick(train, KEY)
    undecided, knows = float(probabilities[0, 0, 0]), [float(probabilities[k, 1, k]) for k in (0, 1)]
    assert 0.2 < undecided < 0.8 and min(knows) > 0.95


def test_wrong_numbers_are_one_line():
    with pytest.raises(ConfigError, match="--hidden-dim 6 does not divide into 4 attention --heads"):
        mat.build(tiny_intrinsic.SPEC, MatConfig(hidden_dim=6, heads=4))
