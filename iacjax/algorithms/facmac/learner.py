"""FACMAC (Peng et al. 2021, "FACMAC: Factored Multi-Agent Centralised Policy Gradients").

Deterministic policies mu_i(o_i), individual values Q_i(o_i, u_i), and a mixing network that makes the team's of them:

| that paper                                                              | here                           |
|-------------------------------------------------------------------------|--------------------------------|
| Q_tot(o, u, s) = g(s, Q_1(o_1, u_1), ..., Q_A(o_A, u_A)): a centralised | `common.mixed_critic.q_tot_of`,|
| but factored critic; g monotone, free of that constraint, or a sum      | `networks.mixing`, `mixer`     |
| (y - Q_tot(o, u, s))^2, its mean over the replay                        | `common.mixed_critic`          |
| y = r + gamma Q_tot'(o', mu'(o'), s')                                   | `td_target`                    |
| gradient of Q_tot(o, mu_1(o_1), ..., mu_A(o_A), s) in all policies at   | `actor_loss`                   |
| once: centralised policy gradients (MADDPG's leave the others' actions) |                                |

IAC's DDPG-MIX has the same critic and policies. FACMAC updates its critic first and the policies by the new critic, its
targets follow slowly, and its actions and gradients are kept small.

| in the official code (github.com/oxwhirl/facmac)   | here                                                        |
|----------------------------------------------------|-------------------------------------------------------------|
| critic first, then policies, then soft targets     | the same                                                    |
| 1e-3 times the mean square of tanh's actions       | the same (`regularisation`)                                 |
| one policy and one critic for all agents; on       | one for each, as the paper's formulas have it, or shared,   |
| MuJoCo both without the agent's id                 | with the id as input (`share_networks`)                     |
| on predator-prey: GRU policies that read the last  | feed-forward policies and single transitions, as there on   |
| action too, batches of whole episodes              | MuJoCo                                                      |
| all initial weights and biases uniform in +-1 /    | weights (truncated) normal of variance 1 / fan_in, three    |
| root of fan_in, PyTorch's                          | times as much, biases 0; hypernetworks' last layers for a   |
|                                                    | layer of n inputs: 1 / (n fan_in) (`networks.mixing`)       |
| noise of 0.1 in the units of the actions           | in units of half their range                                |
| no mixer where there is a single agent             | a mixer of one value                                        |
| also discrete actions, by Gumbel-softmax, and the  | neither                                                     |
| mixer vdn-s (a sum and a value of the state)       |                                                             |
| on MuJoCo: updates after 1000 steps, uniform       | both change at `warmup`                                     |
| actions for 10 000                                 |                                                             |

A time limit is bootstrapped through, as there on MuJoCo and on predator-prey.
"""

from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from envs.base import EnvSpec, TimeStep
from iacjax.algorithms.common.continuous_actors import act, greedy, noisy, sample_input
from iacjax.algorithms.common.mixed_critic import critic_loss, init_critic, q_tot_of
from iacjax.algorithms.common.off_policy import (
    ActionRange,
    action_mask,
    action_range,
    no_carry,
    transition,
    transition_plan,
)
from iacjax.algorithms.common.optimizer_step import apply_gradients
from iacjax.algorithms.common.targets import move_every
from iacjax.algorithms.facmac.config import FacmacConfig
from iacjax.networks.attention_critic import PlainCritic
from iacjax.networks.mixing import QMixer, SumMixer
from iacjax.networks.mlp import AgentMlp
from iacjax.types import Algorithm, Batch, Clock, Metrics, masked_mean


class Networks(NamedTuple):
    """FACMAC's networks and optimisers, its environment and its configuration."""

    spec: EnvSpec
    config: FacmacConfig
    policy: nn.Module
    critic: nn.Module
    mixer: nn.Module
    mask: jax.Array  # bool[A, D], False on padded dimensions
    range: ActionRange
    optimizers: dict[str, optax.GradientTransformation]


class Learner(NamedTuple):
    """Parameters, their targets (of actor and critic), optimiser states, and the number of updates."""

    params: dict[str, Any]  # actor, critic {agents, mixer}
    target: dict[str, Any]
    opt: dict[str, Any]
    updates: jax.Array  # int32[]


def make(spec: EnvSpec, config: FacmacConfig) -> Algorithm:
    """Builds FACMAC for an environment with continuous actions."""
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


def build(spec: EnvSpec, config: FacmacConfig) -> Networks:
    """The networks and optimisers that `config` chooses."""
    if config.mixer == "vdn":
        mixer = SumMixer()
    else:
        monotone = config.mixer == "monotonic"
        mixer = QMixer(config.mixer_dim, config.hyper_dim, config.mixer_layers, monotone=monotone)

    def optimizer(lr):
        return optax.chain(optax.clip_by_global_norm(config.max_grad_norm), optax.adam(lr, eps=config.adam_eps))

    return Networks(
        spec,
        config,
        AgentMlp((config.hidden_dim,) * config.policy_layers, spec.action.dim, config.share_networks),
        PlainCritic((config.hidden_dim,) * config.critic_layers, config.share_networks),
        mixer,
        action_mask(spec),
        action_range(spec.action),
        {"actor": optimizer(config.lr), "critic": optimizer(config.critic_lr)},
    )


def init(nets: Networks, key: jax.Array) -> Learner:
    """The learner before its first update."""
    k_actor, k_critic, k_mixer = jax.random.split(key, 3)
    obs, action = sample_input(nets.spec)
    state = jnp.zeros((1, nets.spec.state_dim))
    params = {
        "actor": nets.policy.init(k_actor, obs),
        "critic": init_critic(nets, k_critic, k_mixer, obs, action, state),
    }
    opt = {name: nets.optimizers[name].init(tree) for name, tree in params.items()}
    return Learner(params, jax.tree.map(jnp.copy, params), opt, jnp.zeros((), jnp.int32))


def explore(nets: Networks, actor: Any, obs: jax.Array, key: jax.Array) -> jax.Array:
    """mu(o) plus noise: f32[..., A, D] in [-1, 1]."""
    return noisy(greedy(nets, actor, obs), nets.config.noise_scale, nets.mask, key)


def td_target(nets: Networks, target: dict[str, Any], after: TimeStep) -> jax.Array:
    """y f32[B] = r + gamma Q_tot'(o', mu'(o'), s') of the transitions that lead to `after`."""
    value = q_tot_of(nets, target["critic"], after.obs, after.state, greedy(nets, target["actor"], after.obs))
    return after.reward + nets.config.gamma * (1.0 - after.terminated) * value


def actor_loss(nets: Networks, actor: Any, critic: Any, ts: TimeStep, mask: jax.Array) -> jax.Array:
    """-Q_tot of the actions that all policies choose now, and `regularisation` times their mean square, f32[]."""
    action = greedy(nets, actor, ts.obs)
    square = nets.config.regularisation * (action**2).mean((-2, -1))
    return masked_mean(square - q_tot_of(nets, critic, ts.obs, ts.state, action), mask)


def update(nets: Networks, learner: Learner, batch: Batch, key: jax.Array, clock: Clock) -> tuple[Learner, Metrics]:
    """Critic, then policies, then targets. Nothing is drawn: `key` is not used."""
    ts, after = transition(batch)
    mask, action = batch.mask[0], nets.range.from_env(batch.action[0])
    target = td_target(nets, learner.target, after)
    loss = partial(critic_loss, nets, ts=ts, action=action, target=target, mask=mask)
    (loss_critic, q_tot), grads = jax.value_and_grad(loss, has_aux=True)(learner.params["critic"])
    learner = apply_gradients(nets.optimizers, learner, {"critic": grads})
    loss = partial(actor_loss, nets, critic=learner.params["critic"], ts=ts, mask=mask)
    loss_actor, grads = jax.value_and_grad(loss)(learner.params["actor"])
    learner = apply_gradients(nets.optimizers, learner, {"actor": grads})
    updates = learner.updates + 1
    moved = move_every(nets.config.target_every, nets.config.tau, updates, learner.params, learner.target)
    learner = learner._replace(target=moved, updates=updates)
    return learner, {"critic_loss": loss_critic, "actor_loss": loss_actor, "q_tot": masked_mean(q_tot, mask)}


def inspect(nets: Networks, learner: Learner, batch: Batch) -> dict[str, jax.Array]:
    """For a batch's own actions: `q` f32[T, B], the team's value, and the greedy action `mean` f32[T, B, A, D] in the
    environment's units."""
    ts, action = batch.ts, nets.range.from_env(batch.action)
    return {
        "q": q_tot_of(nets, learner.params["critic"], ts.obs, ts.state, action),
        "mean": nets.range.to_env(greedy(nets, learner.params["actor"], ts.obs)),
    }
