"""IPPO and MAPPO with continuous actions: what acting stores, ratios, entropies, padded dimensions, the dead."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy import stats

from iacjax.algorithms.common.rnn import RnnCarry
from iacjax.algorithms.ppo import learner as ppo
from iacjax.algorithms.ppo.config import PpoConfig
from iacjax.algorithms.ppo.policy import GaussianAux
from iacjax.types import Batch
from tests.helpers.continuous_batch import PADDED, B, D, timestep
from tests.helpers.tiny_intrinsic import CLOCK, KEY, QUICK, check_shapes_stay, drawn, equal, quick

T = 3
SMALL = {"hidden_dim": 4, "critic_dim": 4, "num_envs": B, "rollout_length": T, "minibatches": 1, "epochs": 2}
SMALL |= {"lr": 0.01, "critic_lr": 0.01, "critic_input": "state_and_obs", "entropy": 0.1, "sigma_init": 0.5}
KINDS = {"none": {}, "tanh": {"squash": "tanh", "state_std": True, "actor_memory": False, "critic_memory": False}}


@cache
def make(kind, **fields):
    """(networks, learner of random parameters, a batch of T rows that its policy has acted on); range -2 to 4."""
    nets = ppo.build(PADDED, PpoConfig(**{**SMALL, **KINDS[kind], **fields}))
    learner = drawn(partial(ppo.init, nets), "params", "critic_hidden")
    return nets, learner, quick(partial(make_batch, nets), learner)


def make_batch(nets, learner) -> Batch:
    """The last environment is padding at row 1; agent 0 of environment 0 is dead."""
    rows = [timestep(seed) for seed in range(T + 1)]
    rows = jax.tree.map(lambda *x: jnp.stack(x), *rows)
    rows = rows._replace(alive=rows.alive.at[:, 0, 0].set(False), terminated=rows.terminated.at[1, -1].set(True))
    first = jnp.zeros((T + 1, B), bool).at[0].set(True).at[2, -1].set(True)
    carry0 = carry = nets.policies.carry(B)
    steps = []
    for t in range(T):
        ts = jax.tree.map(lambda x, t=t: x[t], rows)
        key = jax.random.fold_in(KEY, t)
        carry, *step = nets.policies.act(learner.params["actor"], carry, ts, first[t], key, CLOCK, True)
        steps.append(step)
    action, aux = jax.tree.map(lambda *x: jnp.stack(x), *steps)
    return Batch(rows, first, action, aux, (~rows.boundary[:-1]).astype(jnp.float32), carry0)


@pytest.fixture(params=KINDS)
def kind(request):
    return request.param


def test_evaluating_gives_the_log_probability_of_acting(kind):
    """Over memory, the beginning of an episode, and the last actions as networks read them: ratios are 1."""
    nets, learner, batch = make(kind)
    log_prob, _ = quick(lambda: nets.policies.evaluate(
        learner.params["actor"], batch.carry0.hidden, data_of(nets, learner, batch)))  # fmt: skip
    np.testing.assert_allclose(log_prob, batch.aux.log_prob, atol=1e-5)


def data_of(nets, learner, batch):
    raw, _ = ppo.values_of(nets, learner, batch, learner.critic_hidden)
    return ppo.ppo_data(nets, learner, batch, raw)[0]


def test_actions_log_probabilities_and_entropies_by_numbers(kind):
    """Networks of zeros but for the free outputs: N(0, 0.5 e^c)."""
    nets, learner, _ = make(kind)
    actor = jax.tree.map(jnp.zeros_like, learner.params["actor"])
    change = 0.3 if kind == "none" else 0.0
    if kind == "none":
        net = actor["params"]["_AgentNet_0"]
        actor = {"params": {"_AgentNet_0": {**net, "free": jnp.full(D, change)}}}
    learner = learner._replace(params={**learner.params, "actor": actor})
    batch = quick(partial(make_batch, nets), learner)
    noise, mask = np.asarray(batch.aux.noise), np.asarray(nets.policies.head.mask)
    assert (noise[..., ~mask] == 0).all() and np.abs(noise[..., mask]).min() > 0
    x = 0.5 * np.exp(change) * noise
    np.testing.assert_allclose(batch.aux.drawn, x, rtol=1e-5)
    bounded = np.tanh(x) if kind == "tanh" else np.clip(x, -1, 1)
    np.testing.assert_allclose(batch.action, 1.0 + 3.0 * bounded, rtol=1e-5)  # -2 to 4
    each = stats.norm.logpdf(x, 0.0, 0.5 * np.exp(change)) - (np.log(1 - np.tanh(x) ** 2) if kind == "tanh" else 0.0)
    np.testing.assert_allclose(batch.aux.log_prob, (each * mask).sum(-1), rtol=1e-4, atol=1e-4)
    _, bonus = quick(lambda: nets.policies.evaluate(actor, batch.carry0.hidden, data_of(nets, learner, batch)))
    each = stats.norm.entropy(0.0, 0.5 * np.exp(change)) + (np.log(1 - np.tanh(x) ** 2) if kind == "tanh" else 0.0 * x)
    np.testing.assert_allclose(bonus, (each * mask).sum(-1), rtol=1e-4, atol=1e-4)


def test_the_greedy_action_is_that_of_the_mean(kind):
    nets, learner, batch = make(kind)
    actor, carry = learner.params["actor"], batch.carry0
    ts, first = jax.tree.map(lambda x: x[0], (batch.rows, batch.first))

    def both():
        greedy = nets.policies.act(actor, carry, ts, first, KEY, CLOCK, False)
        inputs = carry.hidden, ts.obs[None], carry.last_action[None], first[None]
        return greedy, nets.policies.head.gaussian(nets.policies.actor.apply(actor, *inputs)[1][0]).mean

    (_, action, aux), mean = quick(both)
    bounded = (np.tanh(mean) if kind == "tanh" else np.clip(mean, -1, 1)) * np.asarray(nets.policies.head.mask)
    np.testing.assert_allclose(action, 1.0 + 3.0 * bounded, rtol=1e-5)
    assert aux == () and np.abs(mean).min() > 0.1


@cache
def updater(kind):
    nets, _, _ = make(kind)
    return jax.jit(partial(ppo.update, nets), compiler_options=QUICK)


def test_what_is_no_dimension_no_step_or_no_agent_changes_nothing(kind):
    """Garbage in padded dimensions and where nobody acted; and what a dead agent drew moves no actor."""
    _, learner, batch = make(kind)
    update, aux = updater(kind), batch.aux
    clean = update(learner, batch, KEY, CLOCK)
    mask = PADDED.action.mask
    padded = batch._replace(aux=aux._replace(drawn=jnp.where(jnp.array(mask), aux.drawn, 7.0)))
    assert equal(update(learner, padded, KEY, CLOCK), clean)
    nowhere = batch._replace(aux=aux._replace(
        drawn=aux.drawn.at[1, -1].set(3.0), noise=aux.noise.at[1, -1].set(-2.0),
        log_prob=aux.log_prob.at[1, -1].set(-1.0)))  # fmt: skip
    assert equal(update(learner, nowhere, KEY, CLOCK), clean)
    dead = batch._replace(aux=GaussianAux(
        aux.log_prob.at[:, 0, 0].add(1.0), aux.drawn.at[:, 0, 0].add(1.0), aux.noise.at[:, 0, 0].add(1.0)))  # fmt: skip
    assert equal(update(learner, dead, KEY, CLOCK), clean)
    lives = batch._replace(aux=aux._replace(drawn=aux.drawn.at[:, 1, 0].add(1.0)))
    assert not equal(update(learner, lives, KEY, CLOCK)[0].params["actor"], clean[0].params["actor"])
    assert all(bool(jnp.isfinite(x).all()) for x in jax.tree.leaves(clean))


def test_an_update_keeps_every_shape_and_strong_type(kind):
    nets, _, batch = make(kind)
    check_shapes_stay(partial(ppo.init, nets), partial(ppo.update, nets), batch)


def test_values_read_the_executed_actions_in_units_of_the_range():
    """Inspecting a greedily played batch, which has no aux, gives values; a last action is (u - 1) / 3."""
    nets, learner, batch = make("none")
    last = nets.policies.last_actions(batch)
    np.testing.assert_allclose(last[1:-1, :-1], (batch.action[:-1, :-1] - 1.0) / 3.0, rtol=1e-5, atol=1e-6)
    assert (last[0] == 0).all() and (last[2, -1] == 0).all()
    bare = batch._replace(aux=(), carry0=RnnCarry(batch.carry0.hidden, batch.carry0.last_action))
    assert quick(lambda: ppo.inspect(nets, learner, bare))["value"].shape == (T, B)
