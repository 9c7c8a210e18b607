"""The networks of the AIIR-MIX family, what an update computes from a batch, and the critics' losses.

`learner` has the map from equations to functions, and the order in which an update calls these.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from envs.base import EnvSpec
from iacjax.algorithms.common.actor_critic import actor_inputs, log_probs_of, next_actions
from iacjax.algorithms.common.optimizer_step import make_optimizer
from iacjax.algorithms.common.rnn import last_actions
from iacjax.algorithms.intrinsic.config import IntrinsicConfig
from iacjax.losses.value_norm import RunningNorm, denormalised
from iacjax.networks.critic import AgentCritic, TeamCritic
from iacjax.networks.intrinsic_reward import AttentionReward, MlpReward
from iacjax.networks.reward_mixing import LinearCombination, RewardMixing
from iacjax.networks.rnn_agent import RnnAgent
from iacjax.types import Batch, Metrics, masked_mean


class Learner(NamedTuple):
    """`params` and `opt` have the keys actor, total, ex, reward; `target` and `norm` those of the critics."""

    params: dict[str, Any]
    target: dict[str, Any]
    opt: dict[str, Any]
    norm: dict[str, RunningNorm]
    critic_steps: jax.Array  # int32[]


class IntrinsicData(NamedTuple):
    """What gradient steps read: T steps of B environments."""

    obs: jax.Array  # f32[T, B, A, O]
    state: jax.Array  # f32[T, B, X]
    avail: jax.Array  # bool[T, B, A, U]
    first: jax.Array  # bool[T, B]
    last_action: jax.Array  # int32[T, B, A]
    action: jax.Array  # int32[T, B, A]
    log_prob: jax.Array  # f32[T, B, A] at acting time
    epsilon: jax.Array | None  # f32[T, B]; None: never above 0
    mask: jax.Array  # f32[T, B]
    weight: jax.Array  # f32[T, B, A]: mask, and 0 for the dead
    advantage: jax.Array  # f32[T, B, A]
    returns_total: jax.Array  # f32[T, B, A], normalised as the critic predicts
    returns_ex: jax.Array  # f32[T, B], likewise


class Networks(NamedTuple):
    """The networks and optimisers of one member of the family, its environment and its configuration."""

    spec: EnvSpec
    config: IntrinsicConfig
    actor: RnnAgent
    total: AgentCritic
    ex: TeamCritic
    reward: AttentionReward | MlpReward | None
    combine: RewardMixing | LinearCombination | None
    optimizers: dict[str, optax.GradientTransformation]


def build(spec: EnvSpec, config: IntrinsicConfig) -> Networks:
    """The networks and optimisers of `config`; ConfigError where minibatches do not divide the environments."""
    c, num_actions = config, spec.action.num_actions
    config.check_choices()
    reward = {
        "attention": AttentionReward(
            c.embed_dim, num_actions, c.similarity, c.reward_bound, c.embed_end, c.attention_temperature
        ),
        "mlp": MlpReward(c.embed_dim, num_actions, c.reward_bound),
        "none": None,
    }[c.reward_net]
    combine = {
        "mixing": RewardMixing(c.mix_dim, c.mix_activation, c.mix_init, c.intrinsic_weight),
        "linear": LinearCombination(c.intrinsic_weight, learned=True),
        "sum": LinearCombination(c.intrinsic_weight, learned=False),
    }[c.combine]
    rates = {"actor": c.lr, "total": c.critic_lr, "ex": c.critic_lr, "reward": c.reward_lr}
    return Networks(
        spec,
        config,
        actor=RnnAgent(c.hidden_dim, num_actions, c.shared_actor),
        total=AgentCritic(c.critic_dim, num_actions),
        ex=TeamCritic(c.critic_dim),
        reward=reward,
        combine=combine,
        optimizers={name: make_optimizer(c.optimizer, rate, c.max_grad_norm) for name, rate in rates.items()},
    )


def reward_inputs(
    nets: Networks, state: jax.Array, obs: jax.Array, alive: jax.Array, action: jax.Array, last_action: jax.Array
) -> tuple[jax.Array, ...]:
    """The inputs of the reward network; `action` int32[..., A] is the one to reward."""
    inputs = obs, action, alive
    return (*inputs, state, last_action) if nets.config.reward_net == "mlp" else inputs


def rewards(nets: Networks, reward_params: Any, batch: Batch) -> tuple[jax.Array, jax.Array, jax.Array]:
    """(r_total f32[T, B, A], r_in f32[T, B, A], attention f32[T, B, A, A]) of every step; eq. 9 to 14."""
    r_ex, ts = batch.next.reward, batch.ts
    if nets.reward is None:
        zeros = jnp.zeros(batch.action.shape)
        return r_ex[..., None] + zeros, zeros, zeros[..., None] + zeros[..., None, :]
    last_action = last_actions(batch)[:-1]
    action = batch.action if nets.config.reward_action == "taken" else last_action
    inputs = reward_inputs(nets, ts.state, ts.obs, ts.alive, action, last_action)
    r_in, attention = nets.reward.apply(reward_params["net"], *inputs)
    return nets.combine.apply(reward_params["combine"], r_ex, r_in), r_in, attention


class CriticValues(NamedTuple):
    """Both critics over the T + 1 rows, in units of reward; `*_t` are the successors', from the target copies."""

    total_tm1: jax.Array  # f32[T, B, A]
    total_t: jax.Array
    ex_tm1: jax.Array  # f32[T, B]
    ex_t: jax.Array


def action_on_last_row(
    nets: Networks, actor_params: Any, batch: Batch, key: jax.Array, epsilon: jax.Array
) -> jax.Array:
    """int32[B, A] actions of the policy on row T, which was not acted on yet; 0 where V_total reads no actions.

    Row T bootstraps every environment. Without actions there, V_total would get an input that it was never trained on.
    """
    if not nets.config.critic_others_actions:
        return jnp.zeros_like(batch.action[0])
    log_probs = log_probs_of(nets.actor, actor_params, batch.carry0.hidden, actor_inputs(batch, epsilon))
    return next_actions(log_probs, key)


def values_of(nets: Networks, learner: Learner, batch: Batch, last_row_action: jax.Array) -> CriticValues:
    """Both critics on every row, from one pass over the rows; `last_row_action` is that of `action_on_last_row`."""
    rows, last_action = batch.rows, last_actions(batch)
    others = jnp.concatenate([batch.action, last_row_action[None]]) if nets.config.critic_others_actions else None

    def both(params):
        total = nets.total.apply(params["total"], rows.state, rows.obs, last_action, others)
        ex = nets.ex.apply(params["ex"], rows.state)
        if nets.config.value_norm:
            return denormalised(learner.norm["total"], total), denormalised(learner.norm["ex"], ex)
        return total, ex

    total, ex = both(learner.params)
    target_total, target_ex = both(learner.target) if nets.config.critic_target_every else (total, ex)
    return CriticValues(total[:-1], target_total[1:], ex[:-1], target_ex[1:])


def critic_losses(nets: Networks, params: Any, data: IntrinsicData) -> tuple[jax.Array, Metrics]:
    """Eq. 5 and 8, summed: they share no parameter. Trained to the episode's end, for dead agents too."""
    others = data.action if nets.config.critic_others_actions else None
    total = nets.total.apply(params["total"], data.state, data.obs, data.last_action, others)
    ex = nets.ex.apply(params["ex"], data.state)
    loss_total = masked_mean((data.returns_total - total) ** 2, data.mask[..., None])
    loss_ex = masked_mean((data.returns_ex - ex) ** 2, data.mask)
    return loss_total + loss_ex, {"critic_loss": loss_total, "critic_ex_loss": loss_ex}
