"""HAPPO (Kuba et al. 2022, "Trust Region Policy Optimisation in Multi-Agent Reinforcement Learning").

PPO whose agents learn one after the other, in a random order i_1, ..., i_n, each knowing how those before it changed:

    agent i_m maximises  mean of min(r M, clip(r, 1 - eps, 1 + eps) M),    r = pi_new(a_im | o_im) / pi_old(a_im | o_im)
    M = A * product over j < m of  pi_new(a_ij | o_ij) / pi_old(a_ij | o_ij)

(eq. 10 and 11, pseudocode in appendix D.3; the product is what the advantage decomposition, lemma 1, asks for). A is
GAE's advantage.
By default every agent has parameters and an optimiser of its own; the critic learns after all actors.

| part                                         | where                            |
|----------------------------------------------|----------------------------------|
| the order, and the factor of the next agent  | `train_actors`                   |
| the ratio of one agent, 1 where it is dead   | `ratio_of`                       |
| clipped policy loss, entropy bonus           | `actor_critic.policy_loss`       |
| values, advantages, critic's loss            | `ppo.learner`                    |

What differs from the official code (github.com/PKU-MARL/HARL, on_policy_ha_runner.py and happo.py):

| | HARL | here |
|---|---|---|
| value | one of the state (EP), or each agent's, of its own state (FP) | each agent's, of the state and its id |
| normalised advantages | over each agent's living steps (EP), or all agents' (FP) | over all agents' living steps |
| factor of a dead agent's step | its ratio, which is 1 with SMAC's one legal action | 1 |
| memory | chunks of 10 steps, from stored states | the whole rollout, from its first row |
| network | two or three layers, then the GRU | one layer, then the GRU |
| an agent that is dead throughout a rollout | is left out | has a gradient of 0; Adam's momentum may move it |
| ratio over action dimensions | their product, or their mean (`action_aggregation`) | their product |
| `time_limit` truncate | the last step's advantage is 0, its return its own value | its successor's value is added |

The value normaliser, the weights at the start and the rest are as `ppo.learner` says of MAPPO's code, and continuous
actions as `ppo.policy` says.

With `shared_actor` (HARL's share_param) an agent's step moves the others' policies too; as there, an agent's factor is
the change that its own steps made.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from envs.base import EnvSpec
from iacjax.algorithms.common.actor_critic import on_policy_algorithm, over_minibatches, policy_loss
from iacjax.algorithms.common.optimizer_step import apply_gradients, lr_scale, optimizer_step
from iacjax.algorithms.ppo import learner as ppo
from iacjax.algorithms.ppo.config import HappoConfig
from iacjax.algorithms.ppo.learner import Learner, Networks, PpoData
from iacjax.types import Algorithm, Batch, Clock, Metrics, masked_mean

OF_AGENTS = ("obs", "avail", "last_action", "action", "noise", "log_prob", "weight", "advantage")  # axis 2 is A


class Actor(NamedTuple):
    """Parameters and optimiser state: of all agents, or of one, as the first axis of every leaf; shared: without it."""

    params: Any
    opt: Any


def make(spec: EnvSpec, config: HappoConfig) -> Algorithm:
    """Builds HAPPO for discrete or continuous actions."""
    nets = ppo.build(spec, config)
    parts = (partial(function, nets) for function in (init, update, ppo.inspect))
    return on_policy_algorithm(config, nets.policies.carry, nets.policies.act, *parts)


def init(nets: Networks, key: jax.Array) -> Learner:
    """The learner before its first update; each agent has an optimiser, unless they share an actor."""
    learner = ppo.init(nets, key)
    if nets.config.shared_actor:
        return learner
    opt = jax.vmap(nets.optimizers["actor"].init)(learner.params["actor"])
    return learner._replace(opt={**learner.opt, "actor": opt})


def of_agent(data: PpoData, agent: jax.Array) -> PpoData:
    """What one agent's gradient steps read: the axis A is 1 long; `agent` int32[]."""
    mine = {name: _take(getattr(data, name), agent, 2) for name in OF_AGENTS}
    return data._replace(**mine, state=(), value=(), returns=())


def _take(tree: Any, agent: jax.Array, axis: int) -> Any:
    return jax.tree.map(lambda x: jax.lax.dynamic_index_in_dim(x, agent, axis, keepdims=True), tree)


def _put(tree: Any, part: Any, agent: jax.Array) -> Any:
    return jax.tree.map(lambda x, new: jax.lax.dynamic_update_slice_in_dim(x, new, agent, 0), tree, part)


def ratio_of(log_prob: jax.Array, old_log_prob: jax.Array, weight: jax.Array) -> jax.Array:
    """pi_new / pi_old of one agent's actions, f32[T, B, 1] each -> f32[T, B, 1]; 1 where `weight` is 0."""
    return jnp.where(weight > 0.0, jnp.exp(log_prob - old_log_prob), 1.0)


def train_agent(
    nets: Networks, actor: Actor, hidden0: jax.Array, data: PpoData, agent: jax.Array, key: jax.Array, scale: jax.Array
) -> tuple[Actor, Metrics]:
    """The epochs of one agent; `hidden0` f32[B, 1, H], `data` those of `of_agent`, its advantage times the factor."""
    c, optimizer = nets.config, nets.optimizers["actor"]
    step_of = optimizer_step if c.shared_actor else jax.vmap(optimizer_step, in_axes=(None, 0, 0, 0, None))

    def loss(params, hidden0, data):
        evaluated = nets.policies.evaluate(params, hidden0, data, agent[None])
        return policy_loss(*evaluated, data, c.clip, c.entropy)

    def step(actor, hidden0, data):
        grads, metrics = jax.grad(loss, has_aux=True)(actor.params, hidden0, data)
        return Actor(*step_of(optimizer, actor.params, actor.opt, grads, scale)), metrics

    return over_minibatches(step, actor, hidden0, data, key, c)


def train_actors(
    nets: Networks, actor: Actor, hidden0: jax.Array, data: PpoData, key: jax.Array, scale: jax.Array
) -> tuple[Actor, jax.Array, Metrics]:
    """(the actors after all agents' epochs, the product of all agents' ratios f32[T, B, 1], metrics).

    Args:
      hidden0: f32[B, A, H] memories before row 0.
    """
    shared, count = nets.config.shared_actor, nets.spec.num_agents
    k_order, k_epochs = jax.random.split(key)
    order = jnp.arange(count)
    order = jax.random.permutation(k_order, order) if nets.config.agent_order == "random" else order

    def one(carry, agent_and_key):
        (actor, factor), (agent, key) = carry, agent_and_key
        own = actor if shared else _take(actor, agent, 0)
        mine, memory = of_agent(data, agent), _take(hidden0, agent, 1)

        def log_prob(own):
            return nets.policies.evaluate(own.params, memory, mine, agent[None])[0]

        before = log_prob(own)
        with_factor = mine._replace(advantage=mine.advantage * factor)
        own, metrics = train_agent(nets, own, memory, with_factor, agent, key, scale)
        factor = factor * ratio_of(log_prob(own), before, mine.weight)
        return (own if shared else _put(actor, own, agent), factor), metrics

    start = actor, jnp.ones((*data.mask.shape, 1), jnp.float32)
    (actor, factor), metrics = jax.lax.scan(one, start, (order, jax.random.split(k_epochs, count)))
    return actor, factor, jax.tree.map(lambda x: x.mean(0), metrics)


def update(nets: Networks, learner: Learner, batch: Batch, key: jax.Array, clock: Clock) -> tuple[Learner, Metrics]:
    """One batch: advantages at the parameters that acted, the actors one after the other, then the critic."""
    c, scale = nets.config, lr_scale(nets.config, clock)
    k_actors, k_critic = jax.random.split(key)
    raw, critic_hidden = ppo.values_of(nets, learner, batch, learner.critic_hidden)
    value = masked_mean(ppo.in_reward_units(nets, learner, raw[:-1]), batch.mask[..., None])
    data, learner = ppo.ppo_data(nets, learner, batch, raw)
    actor = Actor(learner.params["actor"], learner.opt["actor"])
    actor, factor, metrics = train_actors(nets, actor, batch.carry0.hidden, data, k_actors, scale)
    metrics["factor_deviation"] = masked_mean(jnp.abs(factor - 1.0), batch.mask[..., None])

    def step(learner, hidden, data):
        loss = partial(ppo.critic_loss, nets)
        grads, more = jax.grad(loss, has_aux=True)(learner.params["critic"], hidden, data)
        return apply_gradients(nets.optimizers, learner, {"critic": grads}, scale), more

    learner = learner._replace(
        params={**learner.params, "actor": actor.params}, opt={**learner.opt, "actor": actor.opt}
    )
    learner, more = over_minibatches(step, learner, learner.critic_hidden, data, k_critic, c)
    return learner._replace(critic_hidden=critic_hidden), metrics | more | {"value": value}
