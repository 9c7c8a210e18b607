"""MASAC and HASAC: soft actor-critics whose twin critics know the state and all agents' actions.

HASAC is "Maximum Entropy Heterogeneous-Agent Reinforcement Learning" (Liu et al. 2024). One learner, one choice:
`actor_update` simultaneous is MASAC, sequential is HASAC. alpha_i are the agents' temperatures, pi_i(u_i | o_i) their
Gaussians squashed by tanh.

| SAC (Haarnoja et al. 2018), and HASAC's additions                                       | here               |
|-----------------------------------------------------------------------------------------|--------------------|
| y = r + gamma (min_k Q_k'(s', u') - sum_i alpha_i log pi_i(u_i')), u' of today's pi     | `td_target`        |
| sum over k = 1, 2 of (y - Q_k(s, u))^2                                                  | `critic_loss`      |
| all pi_i: sum_i alpha_i log pi_i(u_i) - min_k Q_k(s, u), u of today's policies          | `actor_loss`       |
| the agents in an order drawn anew; agent i: alpha_i log pi_i(u_i) - min_k Q_k(s, u),    | `sequential_grads` |
| the agents before it act by their new policies already, those after it by their old ones|                    |
| alpha_i: -log alpha_i (log pi_i(u_i) + H), H the target entropy                         | `temperature_loss` |

The loss of MASAC has the gradient of each agent's own loss at the same draw of actions, since no parameter is shared.
A policy learns from the steps in which its agent lives; critics and temperatures learn from all steps.

| in the code of HASAC's authors (github.com/PKU-MARL/HARL)  | here                                                 |
|------------------------------------------------------------|------------------------------------------------------|
| critic, policies in turn, the dead, soft targets           | the same                                             |
| returns of 5 to 20 steps in the targets                    | of one step: the replay holds single transitions     |
| the target's entropy is that of all agents times a         | each agent's entropy times its own temperature, as   |
| temperature of its own, learned beside the agents'         | in the policies' losses; fixed ones are the same     |
| the last hidden layer of a policy ends in tanh             | in ReLU                                              |
| weights and biases uniform, of variance 1 / (3 inputs)     | weights normal, of variance 1 / inputs; biases 0     |
| critics read actions in the environment's units            | in [-1, 1], which log-probabilities are of in both   |
| Huber loss and normalised returns for StarCraft            | squared errors of returns as they are                |
| one critic for all, or one value for each agent's state    | one for all                                          |
| parameters shared by the policies, as an option            | each agent has its own                               |
| discrete actions too                                       | continuous ones                                      |

HARL has no MASAC; here it is HASAC without turns. A time limit is bootstrapped through, as there.
"""

from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from envs.base import EnvSpec, TimeStep
from iacjax.algorithms.common.continuous_actors import act, agents_mean, greedy, sample_input
from iacjax.algorithms.common.off_policy import (
    ActionRange,
    action_mask,
    action_range,
    no_carry,
    transition,
    transition_plan,
)
from iacjax.algorithms.common.optimizer_step import apply_gradients, optimizer_step
from iacjax.algorithms.common.targets import move_every
from iacjax.algorithms.masac.config import MasacConfig
from iacjax.gaussian import gaussian
from iacjax.networks.critic import TwinCritic
from iacjax.networks.mlp import AgentMlp
from iacjax.types import Algorithm, Batch, Clock, Metrics, masked_mean


class Networks(NamedTuple):
    """The networks and optimisers, the environment and the configuration."""

    spec: EnvSpec
    config: MasacConfig
    policy: nn.Module
    critic: nn.Module
    mask: jax.Array  # bool[A, D], False on padded dimensions
    range: ActionRange
    optimizers: dict[str, optax.GradientTransformation]


class Learner(NamedTuple):
    """Parameters, the critics' targets, optimiser states, and the number of updates."""

    params: dict[str, Any]  # actor (every leaf has the agents as its first axis), critic, temperature (log) f32[A]
    target: Any
    opt: dict[str, Any]
    updates: jax.Array  # int32[]


def make(spec: EnvSpec, config: MasacConfig) -> Algorithm:
    """Builds MASAC or HASAC, as `config` chooses, for an environment with continuous actions."""
    nets = build(spec, config)
    return Algorithm(
        init=partial(init, nets),
        policy=lambda learner: learner.params["actor"],
        carry=no_carry,
        act=partial(act, nets, explore),
        update=partial(update, nets),
        plan=transition_plan(config, spec.state_is_obs),
        inspect=partial(inspect, nets),
    )


def build(spec: EnvSpec, config: MasacConfig) -> Networks:
    """The networks and optimisers that `config` chooses."""
    rates = {"actor": config.lr, "critic": config.critic_lr, "temperature": config.temperature_lr}
    return Networks(
        spec,
        config,
        AgentMlp((config.hidden_dim,) * config.policy_layers, 2 * spec.action.dim),
        TwinCritic((config.hidden_dim,) * config.critic_layers),
        action_mask(spec),
        action_range(spec.action),
        {name: optax.adam(rate) for name, rate in rates.items()},
    )


def init(nets: Networks, key: jax.Array) -> Learner:
    """The learner before its first update."""
    k_actor, k_critic = jax.random.split(key)
    obs, action = sample_input(nets.spec)
    params = {
        "actor": nets.policy.init(k_actor, obs),
        "critic": nets.critic.init(k_critic, jnp.zeros((1, nets.spec.state_dim)), action),
        "temperature": jnp.full(nets.spec.num_agents, jnp.log(nets.config.temperature), jnp.float32),
    }
    opt = {name: nets.optimizers[name].init(tree) for name, tree in params.items()}
    return Learner(params, jax.tree.map(jnp.copy, params["critic"]), opt, jnp.zeros((), jnp.int32))


def sample(nets: Networks, actor: Any, obs: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Actions f32[..., A, D] in [-1, 1], differentiable, and their log-probabilities f32[..., A]."""
    policies = gaussian(nets.policy.apply(actor, obs), nets.config.sigma_min, nets.config.sigma_max)
    x = policies.sample(key)
    return jnp.tanh(x) * nets.mask, policies.squashed_log_prob(x, nets.mask)


def explore(nets: Networks, actor: Any, obs: jax.Array, key: jax.Array) -> jax.Array:
    """Actions f32[..., A, D] of the policies."""
    return sample(nets, actor, obs, key)[0]


def soft_value(nets: Networks, critic: Any, state: jax.Array, action: jax.Array, cost: jax.Array) -> jax.Array:
    """min_k Q_k - sum_i alpha_i log pi_i, f32[B]: `cost` f32[B, A] is alpha_i log pi_i."""
    return nets.critic.apply(critic, state, action).min(0) - cost.sum(-1)


def td_target(nets: Networks, params: dict[str, Any], target: Any, after: TimeStep, key: jax.Array) -> jax.Array:
    """y f32[B] of the transitions that lead to `after`, by the targets of the critics and today's policies."""
    action, log_prob = sample(nets, params["actor"], after.obs, key)
    value = soft_value(nets, target, after.state, action, jnp.exp(params["temperature"]) * log_prob)
    return after.reward + nets.config.gamma * (1.0 - after.terminated) * value


def critic_loss(
    nets: Networks, critic: Any, ts: TimeStep, action: jax.Array, target: jax.Array, mask: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Squared errors, summed over the two critics. Also gives Q f32[2, B]."""
    q = nets.critic.apply(critic, ts.state, action)
    return 2.0 * masked_mean((target - q) ** 2, mask[None]), q


def actor_loss(
    nets: Networks, actor: Any, critic: Any, alpha: jax.Array, ts: TimeStep, key: jax.Array, mask: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """sum_i alpha_i log pi_i - min_k Q_k of one draw of all agents' actions. Also gives log pi f32[B, A].

    A mean over all steps, in which a step weighs `share` in an agent's gradient, is a mean over the steps it lives in.
    """
    action, log_prob = sample(nets, actor, ts.obs, key)
    living = mask[:, None] * ts.alive
    share = living * mask.sum() / jnp.maximum(living.sum(0), 1.0)
    fixed = jax.lax.stop_gradient(action)
    action = fixed + share[..., None] * (action - fixed)
    return -masked_mean(soft_value(nets, critic, ts.state, action, alpha * share * log_prob), mask), log_prob


def simultaneous_grads(
    nets: Networks, learner: Learner, ts: TimeStep, key: jax.Array, mask: jax.Array
) -> tuple[Any, jax.Array, jax.Array]:
    """The policies' gradients, the loss f32[], and log pi f32[B, A] before the step."""
    alpha = jnp.exp(learner.params["temperature"])
    loss = partial(actor_loss, nets, critic=learner.params["critic"], alpha=alpha, ts=ts, key=key, mask=mask)
    (loss, log_prob), grads = jax.value_and_grad(loss, has_aux=True)(learner.params["actor"])
    return grads, loss, log_prob


def sequential_grads(
    nets: Networks, learner: Learner, ts: TimeStep, key: jax.Array, mask: jax.Array
) -> tuple[Any, jax.Array, jax.Array]:
    """As `simultaneous_grads`, agent by agent, each at the newest actions of all others; the mean of their losses.

    Adam moves every number by itself, and no two agents share one. So one step by all gradients together is what each
    agent's step in its turn would be, and a step by the gradients so far gives the policies of agents that had theirs.
    """
    actor, alpha, count = learner.params["actor"], jnp.exp(learner.params["temperature"]), nets.spec.num_agents
    k_order, k_start, k_turns = jax.random.split(key, 3)
    order = jnp.arange(count)
    order = order if nets.config.order == "fixed" else jax.random.permutation(k_order, order)

    def turn(carry, agent_and_key):
        grads, action, log_prob = carry
        own = jnp.arange(count) == agent_and_key[0]
        k_old, k_new = jax.random.split(agent_and_key[1])

        def loss(actor):
            new, log_new = sample(nets, actor, ts.obs, k_old)
            joint = jnp.where(own[:, None], new, action)
            value = soft_value(nets, learner.params["critic"], ts.state, joint, own * alpha * log_new)
            return -masked_mean(value, mask * (ts.alive & own).any(-1)), log_new

        (cost, log_new), change = jax.value_and_grad(loss, has_aux=True)(actor)
        grads = jax.tree.map(jnp.add, grads, change)
        moved, _ = optimizer_step(nets.optimizers["actor"], actor, learner.opt["actor"], grads)
        newest, _ = sample(nets, moved, ts.obs, k_new)
        return (grads, jnp.where(own[:, None], newest, action), jnp.where(own, log_new, log_prob)), cost

    start = (jax.tree.map(jnp.zeros_like, actor), *sample(nets, actor, ts.obs, k_start))
    (grads, _, log_prob), costs = jax.lax.scan(turn, start, (order, jax.random.split(k_turns, count)))
    return grads, costs.mean(), log_prob


def temperature_loss(nets: Networks, log_alpha: jax.Array, log_prob: jax.Array, mask: jax.Array) -> jax.Array:
    """-log alpha_i (log pi_i + H_i) summed over the agents: log_alpha f32[A], log_prob f32[B, A]. H_i is
    `target_entropy` times the agent's number of action dimensions."""
    excess = agents_mean(log_prob + nets.config.target_entropy * nets.mask.sum(-1), mask)
    return -(log_alpha * jax.lax.stop_gradient(excess)).sum()


def update(nets: Networks, learner: Learner, batch: Batch, key: jax.Array, clock: Clock) -> tuple[Learner, Metrics]:
    """Critics, then policies, then temperatures, then the critics' targets."""
    ts, after = transition(batch)
    mask, action = batch.mask[0], nets.range.from_env(batch.action[0])
    k_target, k_actor = jax.random.split(key)
    target = td_target(nets, learner.params, learner.target, after, k_target)
    loss = partial(critic_loss, nets, ts=ts, action=action, target=target, mask=mask)
    (loss_critic, q), grads = jax.value_and_grad(loss, has_aux=True)(learner.params["critic"])
    learner = apply_gradients(nets.optimizers, learner, {"critic": grads})
    find = sequential_grads if nets.config.actor_update == "sequential" else simultaneous_grads
    grads, loss_actor, log_prob = find(nets, learner, ts, k_actor, mask)
    learner = apply_gradients(nets.optimizers, learner, {"actor": grads})
    if nets.config.auto_temperature:
        loss = partial(temperature_loss, nets, log_prob=log_prob, mask=mask)
        learner = apply_gradients(
            nets.optimizers, learner, {"temperature": jax.grad(loss)(learner.params["temperature"])}
        )
    updates = learner.updates + 1
    moved = move_every(nets.config.target_every, nets.config.tau, updates, learner.params["critic"], learner.target)
    metrics = {
        "critic_loss": loss_critic,
        "actor_loss": loss_actor,
        "q": masked_mean(q.min(0), mask),
        "entropy": -agents_mean(log_prob, mask).mean(),
        "temperature": jnp.exp(learner.params["temperature"]).mean(),
    }
    return learner._replace(target=moved, updates=updates), metrics


def inspect(nets: Networks, learner: Learner, batch: Batch) -> dict[str, jax.Array]:
    """For a batch's own actions: `q` f32[T, B], the lower of the two critics, and the greedy action `mean`
    f32[T, B, A, D] in the environment's units."""
    ts, action = batch.ts, nets.range.from_env(batch.action)
    return {
        "q": nets.critic.apply(learner.params["critic"], ts.state, action).min(0),
        "mean": nets.range.to_env(greedy(nets, learner.params["actor"], ts.obs)),
    }
