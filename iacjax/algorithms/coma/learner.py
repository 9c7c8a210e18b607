"""COMA (Foerster et al. 2018): a central critic of joint actions, and a counterfactual baseline for every agent.

| part                                                        | where                                         |
|-------------------------------------------------------------|-----------------------------------------------|
| A_i = Q(s, u) - sum_a pi_i(a) Q(s, (u_-i, a)), eq. 4        | `counterfactual_advantage`                    |
| all of an agent's actions in one pass of the critic, fig. 1c| `networks.counterfactual_critic`              |
| TD(lambda) targets from a target critic, sec. 2 and 5       | `batch_returns` of Q(s', u'), in `critic_data`|
| policy gradient, eq. 5                                      | `policy_loss`                                 |
| pi = (1 - eps) softmax + eps / n                            | `distributions.behaviour_log_probs`           |

The reference is PyMARL's coma_learner: the critic takes one step per time index, last first, and the policy gradient
uses the values it had before the step of their own index (`critic_update`); the actor then takes one step.

What differs. Illegal actions are masked before the softmax, and the dead weigh nothing; PyMARL's mask_before_softmax
is False (it explores over illegal actions too, then renormalises), and the dead, whose one action has advantage 0,
count in its means. The batch is T rows of E environments whose episodes continue, not whole episodes; the
action that the bootstrap of the last row needs is drawn in the update.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from envs.base import EnvSpec
from iacjax.algorithms.coma.config import ComaConfig
from iacjax.algorithms.common.actor_critic import (
    ActorInputs,
    actor_inputs,
    log_probs_of,
    make_algorithm,
    next_actions,
    over_minibatches,
)
from iacjax.algorithms.common.exploration import epsilon_at
from iacjax.algorithms.common.optimizer_step import apply_gradients, lr_scale, make_optimizer
from iacjax.algorithms.common.returns import batch_returns
from iacjax.algorithms.common.rnn import init_agents
from iacjax.algorithms.common.targets import count_critic_step
from iacjax.distributions import entropy, take_action
from iacjax.networks.counterfactual_critic import CounterfactualCritic
from iacjax.networks.rnn_agent import RnnAgent
from iacjax.types import Algorithm, Batch, Clock, Metrics, masked_mean


class Learner(NamedTuple):
    """`params` and `opt` have the keys actor and critic, `target` has critic."""

    params: dict[str, Any]
    target: dict[str, Any]
    opt: dict[str, Any]
    critic_steps: jax.Array  # int32[]


class CriticData(NamedTuple):
    """What the critic's gradient steps read: T steps of B environments."""

    state: jax.Array  # f32[T, B, X]
    obs: jax.Array  # f32[T, B, A, O]
    last_action: jax.Array  # int32[T, B, A]
    action: jax.Array  # int32[T, B, A]
    mask: jax.Array  # f32[T, B]
    target: jax.Array  # f32[T, B, A]


class Networks(NamedTuple):
    """COMA's networks and optimisers, its environment and its configuration."""

    spec: EnvSpec
    config: ComaConfig
    actor: RnnAgent
    critic: CounterfactualCritic
    optimizers: dict[str, optax.GradientTransformation]


def build(spec: EnvSpec, config: ComaConfig) -> Networks:
    """The networks and optimisers of `config`; ConfigError where minibatches do not divide the environments."""
    c, num_actions = config, spec.action.num_actions
    config.check_choices()
    rates = {"actor": c.lr, "critic": c.critic_lr}
    return Networks(
        spec,
        config,
        actor=RnnAgent(c.hidden_dim, num_actions, c.shared_actor),
        critic=CounterfactualCritic(c.critic_dim, num_actions),
        optimizers={name: make_optimizer(c.optimizer, rate, c.max_grad_norm) for name, rate in rates.items()},
    )


def make(spec: EnvSpec, config: ComaConfig) -> Algorithm:
    """Builds COMA."""
    nets = build(spec, config)
    parts = (partial(function, nets) for function in (init, update, inspect))
    return make_algorithm(spec, config, nets.actor, *parts, explores=True)


def init(nets: Networks, key: jax.Array) -> Learner:
    """The learner before its first update."""
    k_actor, k_critic = jax.random.split(key)
    num_agents = nets.spec.num_agents
    obs, state = jnp.zeros((1, 1, num_agents, nets.spec.obs_dim)), jnp.zeros((1, 1, nets.spec.state_dim))
    action = jnp.zeros((1, 1, num_agents), jnp.int32)
    params = {
        "actor": init_agents(nets.actor, k_actor, nets.spec),
        "critic": nets.critic.init(k_critic, state, obs, action, action),
    }
    return Learner(
        params=params,
        target={"critic": jax.tree.map(jnp.copy, params["critic"])},
        opt={name: nets.optimizers[name].init(tree) for name, tree in params.items()},
        critic_steps=jnp.zeros((), jnp.int32),
    )


def counterfactual_advantage(q: jax.Array, log_probs: jax.Array, action: jax.Array) -> jax.Array:
    """Eq. 4: Q(s, u) - sum_a pi_i(a) Q(s, (u_-i, a)); q, log_probs f32[..., U], action int32[...] -> f32[...]."""
    return take_action(q, action) - (jnp.exp(log_probs) * q).sum(-1)


def policy_loss(log_probs: jax.Array, q: jax.Array, batch: Batch, entropy_weight: float) -> tuple[jax.Array, Metrics]:
    """Eq. 5 and an entropy bonus; the critic's `q` f32[T, B, A, U] and the baseline are constants, the dead weigh 0."""
    weight = batch.mask[..., None] * batch.ts.alive
    advantage = jax.lax.stop_gradient(counterfactual_advantage(q, log_probs, batch.action))
    policy = -masked_mean(advantage * take_action(log_probs, batch.action), weight)
    bonus = masked_mean(entropy(log_probs), weight)
    size = jnp.sqrt(masked_mean(advantage**2, weight))
    metrics = {"actor_loss": policy, "entropy": bonus, "advantage_rms": size}
    return policy - entropy_weight * bonus, metrics


def critic_loss(
    critic: CounterfactualCritic, params: Any, data: CriticData
) -> tuple[jax.Array, tuple[Metrics, jax.Array]]:
    """Squared errors of Q(s, u), to the episode's end, for dead agents too; and q f32[T, B, A, U] itself."""
    q = critic.apply(params, data.state, data.obs, data.last_action, data.action)
    taken, mask = take_action(q, data.action), data.mask[..., None]
    loss = masked_mean((data.target - taken) ** 2, mask)
    return loss, ({"critic_loss": loss, "q_taken": masked_mean(taken, mask)}, q)


def critic_data(
    nets: Networks, learner: Learner, batch: Batch, inputs: ActorInputs, next_action: jax.Array
) -> CriticData:
    """The critic's data; `next_action` int32[B, A] is chosen on the last row, whose value ends the TD(lambda) sum."""
    action = jnp.concatenate([batch.action, next_action[None]])
    q = nets.critic.apply(learner.target["critic"], batch.rows.state, inputs.obs, inputs.last_action, action)
    target = batch_returns(nets.config, batch, batch.next.reward, take_action(q, action)[1:])
    return CriticData(batch.ts.state, batch.ts.obs, inputs.last_action[:-1], batch.action, batch.mask, target)


def train_critic(
    nets: Networks, learner: Learner, data: CriticData, key: jax.Array, scale: jax.Array
) -> tuple[Learner, jax.Array, Metrics]:
    """(learner, q f32[T, B, A, U] that the policy gradient uses, metrics)."""

    def step(learner, data):
        grads, (metrics, q) = jax.grad(partial(critic_loss, nets.critic), has_aux=True)(learner.params["critic"], data)
        learner = apply_gradients(nets.optimizers, learner, {"critic": grads}, scale)
        return count_critic_step(learner, nets.config.target_every), (metrics, q)

    if nets.config.critic_update == "per_time_index":
        learner, (metrics, q) = jax.lax.scan(step, learner, data, reverse=True)
        return learner, q, jax.tree.map(lambda x: x.mean(0), metrics)

    def on_part(learner, start, data):
        learner, (metrics, _) = step(learner, data)
        return learner, metrics

    learner, metrics = over_minibatches(on_part, learner, (), data, key, nets.config)
    return learner, critic_loss(nets.critic, learner.params["critic"], data)[1][1], metrics


def update(nets: Networks, learner: Learner, batch: Batch, key: jax.Array, clock: Clock) -> tuple[Learner, Metrics]:
    """One batch: the critic's targets, the critic's steps, the actor's one step."""
    k_action, k_critic = jax.random.split(key)
    scale, epsilon = lr_scale(nets.config, clock), epsilon_at(nets.config, clock)
    inputs = actor_inputs(batch, epsilon)
    # One pass over the rows gives the next action now and the gradient later: the actor does not change in between.
    log_probs, back = jax.vjp(
        lambda params: log_probs_of(nets.actor, params, batch.carry0.hidden, inputs), learner.params["actor"]
    )
    data = critic_data(nets, learner, batch, inputs, next_actions(log_probs, k_action))
    learner, q, metrics = train_critic(nets, learner, data, k_critic, scale)
    slope, more = jax.grad(lambda x: policy_loss(x[:-1], q, batch, nets.config.entropy), has_aux=True)(log_probs)
    learner = apply_gradients(nets.optimizers, learner, {"actor": back(slope)[0]}, scale)
    return learner, metrics | more


def inspect(nets: Networks, learner: Learner, batch: Batch) -> dict[str, jax.Array]:
    """The baselines' mean over the agents, f32[T, B], under the policy without exploration: the value of the state."""
    inputs = actor_inputs(batch, jnp.zeros((), jnp.float32))
    inputs = inputs._replace(epsilon=None)
    log_probs = log_probs_of(nets.actor, learner.params["actor"], batch.carry0.hidden, inputs)[:-1]
    q = nets.critic.apply(learner.params["critic"], batch.ts.state, batch.ts.obs, inputs.last_action[:-1], batch.action)
    return {"value": (jnp.exp(log_probs) * q).sum(-1).mean(-1)}
