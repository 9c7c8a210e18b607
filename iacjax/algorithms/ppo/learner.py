"""IPPO (de Witt et al. 2020) and MAPPO (Yu et al. 2022): clipped policy gradients, one learner for both.

Every agent has a value V_i of the team's reward, and GAE's advantage from it; the inputs of V_i are the one choice
(`critic_input`). Actor and critic are separate networks with separate optimisers, as in both papers.

| part                                        | where                                    |
|---------------------------------------------|------------------------------------------|
| clipped policy loss, entropy bonus          | `actor_critic.policy_loss`               |
| softmax or Gaussian, by the action space    | `ppo.policy`                             |
| clipped value loss, Huber (Yu et al., 5.1)  | `losses.value.clipped_value_loss`        |
| GAE(lambda)                                 | `batch_returns` less the value           |
| value normalisation (Yu et al., 5.1)        | `losses.value_norm`                      |

The dead weigh nothing in the policy loss and in the normalisation of advantages. The critic trains on, for dead agents
too, to the end of the episode, since the returns of an agent's last steps bootstrap from those values. The published
StarCraft scripts do the same: their --use_value_active_masks switches the masking of the value loss OFF.

What differs from the published code (github.com/marlbenchmark/on-policy). It cuts a rollout into chunks of 10 steps;
here gradients go back to the rollout's first row, and minibatches are split over environments. Its nets have two layers
before the GRU, ours one; with `layer_norm` (preset `paper`) they have its LayerNorms, of the inputs, after each layer
and after the GRU, but the state and the own observations of a critic are normalised separately. Its value normaliser
moves at every gradient step, ours once per batch; the preset's `value_norm_decay` is that of so many steps. Its
advantages are normalised with 1e-5 added to the deviation, ours with 1e-8 under the root. Its GRU's input weights are
orthogonal, ours normal of variance 1 / inputs. Its observations in StarCraft have the agent's id and last action in
them; here the networks are given both. With --use_proper_time_limits, off by default, the last step of an episode that
the time limit ends is not learned; here (`time_limit` truncate) it bootstraps from its true successor.

HARL's mappo (github.com/PKU-MARL/HARL) is that code with --use_proper_time_limits on. Its critic gives one value of the
state for the team, or one for each agent from states of their own; `ppo.policy` says how its Gaussians differ.

The critic's recurrent state at the rollout's first row is kept in the learner, and an update unrolls it over the batch
with the parameters of before the update.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from envs.base import EnvSpec
from iacjax.algorithms.common.actor_critic import on_policy_algorithm, over_minibatches, policy_loss
from iacjax.algorithms.common.optimizer_step import apply_gradients, lr_scale, make_optimizer
from iacjax.algorithms.common.returns import batch_returns
from iacjax.algorithms.ppo.config import PpoConfig
from iacjax.algorithms.ppo.policy import Policies, build_policies
from iacjax.losses.policy import normalise
from iacjax.losses.value import clipped_value_loss
from iacjax.losses.value_norm import RunningNorm, denormalised, init_norm, normalised, update_norm
from iacjax.networks.recurrent_critic import RecurrentCritic
from iacjax.types import Algorithm, Batch, Clock, Metrics, masked_mean


class Learner(NamedTuple):
    """`params` and `opt` have the keys actor and critic."""

    params: dict[str, Any]
    opt: dict[str, Any]
    norm: RunningNorm
    critic_hidden: jax.Array | tuple[()]  # f32[E, A, H] at the next batch's row 0; () without memory


class PpoData(NamedTuple):
    """What gradient steps read: T steps of B environments."""

    obs: jax.Array  # f32[T, B, A, O]
    state: jax.Array  # f32[T, B, X]
    avail: jax.Array  # bool[T, B, A, U]
    first: jax.Array  # bool[T, B]
    last_action: jax.Array  # int32[T, B, A], or f32[T, B, A, D] in [-1, 1]
    action: jax.Array  # int32[T, B, A], or the values drawn f32[T, B, A, D], before clipping or tanh
    noise: jax.Array | None  # f32[T, B, A, D] that made them; None with discrete actions
    log_prob: jax.Array  # f32[T, B, A] at acting time
    epsilon: jax.Array | None  # f32[T, B]; None, as PPO acts: never above 0
    mask: jax.Array  # f32[T, B]
    weight: jax.Array  # f32[T, B, A]: mask, and 0 for the dead
    advantage: jax.Array  # f32[T, B, A]
    value: jax.Array  # f32[T, B, A] before the update, as the critic predicts
    returns: jax.Array  # f32[T, B, A], normalised as the critic predicts


class Networks(NamedTuple):
    """The networks and optimisers of IPPO or MAPPO, its environment and its configuration."""

    spec: EnvSpec
    config: PpoConfig
    policies: Policies
    critic: RecurrentCritic
    optimizers: dict[str, optax.GradientTransformation]


def build(spec: EnvSpec, config: PpoConfig) -> Networks:
    """The networks and optimisers of `config`; ConfigError where minibatches do not divide the environments."""
    c, num_actions = config, spec.action.num_actions
    config.check_choices()
    rates = {"actor": c.lr, "critic": c.critic_lr}
    return Networks(
        spec,
        config,
        policies=build_policies(spec, c),
        critic=RecurrentCritic(c.critic_dim, num_actions, c.critic_input, c.critic_memory, c.layer_norm),
        optimizers={name: make_optimizer(c.optimizer, rate, c.max_grad_norm) for name, rate in rates.items()},
    )


def make(spec: EnvSpec, config: PpoConfig) -> Algorithm:
    """Builds IPPO or MAPPO, as `config` chooses."""
    nets = build(spec, config)
    parts = (partial(function, nets) for function in (init, update, inspect))
    return on_policy_algorithm(config, nets.policies.carry, nets.policies.act, *parts)


def init(nets: Networks, key: jax.Array) -> Learner:
    """The learner before its first update."""
    k_actor, k_critic = jax.random.split(key)
    c, num_agents = nets.config, nets.spec.num_agents
    obs, state = jnp.zeros((1, 1, num_agents, nets.spec.obs_dim)), jnp.zeros((1, 1, nets.spec.state_dim))
    action, first = nets.policies.carry(1).last_action[None], jnp.zeros((1, 1), bool)
    params = {
        "actor": nets.policies.init(k_actor),
        "critic": nets.critic.init(k_critic, _start_hidden(c, 1, num_agents), state, obs, action, first),
    }
    return Learner(
        params=params,
        opt={name: nets.optimizers[name].init(tree) for name, tree in params.items()},
        norm=init_norm(),
        critic_hidden=_start_hidden(c, c.num_envs, num_agents),
    )


def values_of(nets: Networks, learner: Learner, batch: Batch, hidden0: Any) -> tuple[jax.Array, Any]:
    """(values f32[T + 1, B, A] as the critic predicts them, its memory before the last row); `hidden0` before row 0."""
    rows, params = batch.rows, learner.params["critic"]
    inputs = rows.state, rows.obs, nets.policies.last_actions(batch), batch.first
    hidden, values = nets.critic.apply(params, hidden0, *(x[:-1] for x in inputs))
    _, last = nets.critic.apply(params, hidden, *(x[-1:] for x in inputs))
    return jnp.concatenate([values, last]), hidden


def _start_hidden(c: PpoConfig, num_envs: int, num_agents: int) -> Any:
    return jnp.zeros((num_envs, num_agents, c.critic_dim), jnp.float32) if c.critic_memory else ()


def ppo_data(nets: Networks, learner: Learner, batch: Batch, raw: jax.Array) -> tuple[PpoData, Learner]:
    """The data of the gradient steps, and the learner with its normaliser updated by the returns.

    Args:
      raw: f32[T + 1, B, A] of `values_of`.
    """
    fields, values = nets.policies.step_data(batch), in_reward_units(nets, learner, raw)
    target = batch_returns(nets.config, batch, batch.next.reward, values[1:])
    advantage = normalise(target - values[:-1], fields["weight"])
    if nets.config.value_norm:
        learner = learner._replace(
            norm=update_norm(learner.norm, target, batch.mask[..., None], nets.config.value_norm_decay)
        )
        target = normalised(learner.norm, target)
    return PpoData(**fields, advantage=advantage, value=raw[:-1], returns=target), learner


def critic_loss(nets: Networks, params: Any, hidden0: jax.Array, data: PpoData) -> tuple[jax.Array, Metrics]:
    """The clipped value loss, to the episode's end, for dead agents too."""
    _, value = nets.critic.apply(params, hidden0, data.state, data.obs, data.last_action, data.first)
    loss = clipped_value_loss(value, data.value, data.returns, nets.config.value_clip, nets.config.huber_delta)
    loss = masked_mean(loss, data.mask[..., None])
    return loss, {"critic_loss": loss}


def update(nets: Networks, learner: Learner, batch: Batch, key: jax.Array, clock: Clock) -> tuple[Learner, Metrics]:
    """One batch: advantages at the parameters that acted, then the epochs of actor and critic."""
    c, scale = nets.config, lr_scale(nets.config, clock)
    raw, critic_hidden = values_of(nets, learner, batch, learner.critic_hidden)
    value = masked_mean(in_reward_units(nets, learner, raw[:-1]), batch.mask[..., None])
    data, learner = ppo_data(nets, learner, batch, raw)

    def loss(params, hidden, data):
        evaluated = nets.policies.evaluate(params["actor"], hidden["actor"], data)
        of_actor, metrics = policy_loss(*evaluated, data, c.clip, c.entropy)
        of_critic, more = critic_loss(nets, params["critic"], hidden["critic"], data)
        return of_actor + of_critic, metrics | more  # they share no parameter

    def step(learner, hidden, data):
        grads, metrics = jax.grad(loss, has_aux=True)(learner.params, hidden, data)
        return apply_gradients(nets.optimizers, learner, grads, scale), metrics

    hidden0 = {"actor": batch.carry0.hidden, "critic": learner.critic_hidden}
    learner, metrics = over_minibatches(step, learner, hidden0, data, key, c)
    return learner._replace(critic_hidden=critic_hidden), metrics | {"value": value}


def in_reward_units(nets: Networks, learner: Learner, raw: jax.Array) -> jax.Array:
    """The critic's predictions in units of reward."""
    return denormalised(learner.norm, raw) if nets.config.value_norm else raw


def inspect(nets: Networks, learner: Learner, batch: Batch) -> dict[str, jax.Array]:
    """The team's value f32[T, B], the mean of the agents'; a batch of not E environments must begin with episodes."""
    num_envs, num_agents = batch.action.shape[1:3]
    same = num_envs == nets.config.num_envs
    hidden = learner.critic_hidden if same else _start_hidden(nets.config, num_envs, num_agents)
    raw, _ = values_of(nets, learner, batch, hidden)
    return {"value": in_reward_units(nets, learner, raw[:-1]).mean(-1)}
