"""AIIR-MIX and its family (Li et al. 2022; LIIR, Du et al. 2019): learned individual rewards, by meta-gradient.

One learner, two choices: the network of r_in (`reward_net`) and how r_total is made of it (`combine`).

| equation                                             | where                                             |
|------------------------------------------------------|---------------------------------------------------|
| 5  loss of V_total,i on r_total                      | `model.critic_losses`                             |
| 6, 7  actor on A_total,i                             | `actor_critic.actor_loss`                         |
| 8  loss of V_ex on r_ex                              | `model.critic_losses`                             |
| 9 to 12  attention, r_in                             | `networks.intrinsic_reward.AttentionReward`       |
| LIIR's r_in                                          | `networks.intrinsic_reward.MlpReward`             |
| 13  r_ex + lambda r_in                               | `networks.reward_mixing.LinearCombination`        |
| 14  mixing network                                   | `networks.reward_mixing.RewardMixing`             |
| the outer objective of the reward nets               | `losses.meta.meta_gradient`, in `reward_gradient` |

| row        | r_in of     | r_total of                             |
|------------|-------------|----------------------------------------|
| `aiir_mix` | attention   | mixing network, eq. 14                 |
| `rmix`     | LIIR's net  | mixing network, eq. 14                 |
| `aiir`     | attention   | a r_ex + b r_in, a and b learned       |
| `liir`     | LIIR's net  | r_ex + lambda r_in, eq. 13             |

Readings. Eq. 6 prints r_ex in the actor's advantage and swaps V(s) and V(s'); as printed r_in would never reach the
policy, so the actor's advantage is A_total,i, from r_total and V_total, and A_ex enters the outer objective alone.
Eq. 5 and 8 write Q(s, u); the advantage of section 3.1 needs V, as LIIR's code has it.
Order within a batch: rewards at the current parameters; the meta-gradient once, at the parameters that acted; then
actor and critics on a constant r_total; the reward nets take their step last.

LIIR's published code (github.com/yalidu/liir) is not the gradient of LIIR's paper: it multiplies one number for the
whole batch, the inner product of the mean gradients of log pi and of J_ex, with the mean lambda-return, descends
along the result, and moves the last layer of its reward net only. `liir` and `rmix` take the exact gradient of
the paper, and train the whole network by it. That code also normalises advantages over padding, and explores
over illegal actions too before it masks them. Its critics differ from ours, with `--preset paper` too:

* They train first, the actor after them, on advantages from the values that V_total had before the step of its own time
  index; here both use the values before the update, and the actor goes first.
* V_ex is one layer on the hidden layers of V_total, of all agents side by side (so it reads their observations and
  actions); it takes one step per batch, by the reward net's optimiser, unclipped. Here it is a separate network on the
  state, trained with V_total by the critics' optimiser, and every gradient is clipped.
* The targets are copied after the first batch that brings the critic's steps to 200 since the last copy; here in the
  middle of a batch, at every 200th step.
* A batch is 32 whole episodes; here 32 environments of 64 rows. On the last row V_total reads actions that the policy
  draws there in the update (`action_on_last_row`).
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from envs.base import EnvSpec
from iacjax.algorithms.common.actor_critic import (
    actor_loss,
    log_probs_of,
    make_algorithm,
    over_minibatches,
    step_data,
)
from iacjax.algorithms.common.exploration import epsilon_at
from iacjax.algorithms.common.optimizer_step import apply_gradients, lr_scale
from iacjax.algorithms.common.returns import batch_returns
from iacjax.algorithms.common.rnn import init_agents
from iacjax.algorithms.common.targets import count_critic_step
from iacjax.algorithms.intrinsic.config import IntrinsicConfig
from iacjax.algorithms.intrinsic.model import (
    CriticValues,
    IntrinsicData,
    Learner,
    Networks,
    action_on_last_row,
    build,
    critic_losses,
    reward_inputs,
    rewards,
    values_of,
)
from iacjax.distributions import take_action
from iacjax.losses.meta import meta_gradient
from iacjax.losses.policy import normalise
from iacjax.losses.value_norm import init_norm, normalised, update_norm
from iacjax.types import Algorithm, Batch, Clock, Metrics, masked_mean


def make(spec: EnvSpec, config: IntrinsicConfig) -> Algorithm:
    """Builds LIIR, RMIX, AIIR, AIIR-MIX or the plain actor-critic without intrinsic rewards, as `config` chooses."""
    nets = build(spec, config)
    parts = (partial(function, nets) for function in (init, update, inspect))
    return make_algorithm(spec, config, nets.actor, *parts, explores=True)


def init(nets: Networks, key: jax.Array) -> Learner:
    """The learner before its first update."""
    k_actor, k_total, k_ex, k_reward, k_combine = jax.random.split(key, 5)
    num_agents = nets.spec.num_agents
    obs = jnp.zeros((1, 1, num_agents, nets.spec.obs_dim))
    state = jnp.zeros((1, 1, nets.spec.state_dim))
    action = jnp.zeros((1, 1, num_agents), jnp.int32)
    others = action if nets.config.critic_others_actions else None
    params = {
        "actor": init_agents(nets.actor, k_actor, nets.spec),
        "total": nets.total.init(k_total, state, obs, action, others),
        "ex": nets.ex.init(k_ex, state),
        "reward": {},
    }
    if nets.reward is not None:
        params["reward"] = {
            "net": nets.reward.init(k_reward, *reward_inputs(nets, state, obs, action == 0, action, action)),
            "combine": nets.combine.init(k_combine, jnp.zeros((1, 1)), jnp.zeros((1, 1, num_agents))),
        }
    target = {name: jax.tree.map(jnp.copy, params[name]) for name in ("total", "ex")}
    return Learner(
        params=params,
        target=target if nets.config.critic_target_every else {},
        opt={name: nets.optimizers[name].init(tree) for name, tree in params.items()},
        norm={"total": init_norm(), "ex": init_norm()},
        critic_steps=jnp.zeros((), jnp.int32),
    )


def intrinsic_data(
    nets: Networks, learner: Learner, batch: Batch, values: CriticValues, r_total: jax.Array
) -> tuple[IntrinsicData, Learner]:
    """The data of the gradient steps, and the learner with its normalisers updated by the value targets."""
    fields = step_data(batch)
    returns_total = batch_returns(nets.config, batch, r_total, values.total_t)
    returns_ex = batch_returns(nets.config, batch, batch.next.reward, values.ex_t)
    advantage = normalise(returns_total - values.total_tm1, fields["weight"])
    if nets.config.value_norm:
        norm = {
            "total": update_norm(learner.norm["total"], returns_total, batch.mask[..., None]),
            "ex": update_norm(learner.norm["ex"], returns_ex, batch.mask),
        }
        returns_total, returns_ex = normalised(norm["total"], returns_total), normalised(norm["ex"], returns_ex)
        learner = learner._replace(norm=norm)
    data = IntrinsicData(**fields, advantage=advantage, returns_total=returns_total, returns_ex=returns_ex)
    return data, learner


def reward_gradient(
    nets: Networks, learner: Learner, batch: Batch, data: IntrinsicData, values: CriticValues
) -> tuple[Any, Metrics]:
    """The meta-gradient of the reward nets, at the actor that acted; V_total, V_ex and A_ex are constants."""

    def log_prob(actor_params):
        return take_action(log_probs_of(nets.actor, actor_params, batch.carry0.hidden, data), batch.action)

    def advantage(reward_params):
        r_total = rewards(nets, reward_params, batch)[0]
        return normalise(batch_returns(nets.config, batch, r_total, values.total_t) - values.total_tm1, data.weight)

    advantage_ex = normalise(
        batch_returns(nets.config, batch, batch.next.reward, values.ex_t) - values.ex_tm1, data.mask
    )
    ascent, objective = meta_gradient(
        log_prob, advantage, learner.params["actor"], learner.params["reward"],
        advantage_ex, data.weight, data.mask, nets.config.lookahead_lr,
    )  # fmt: skip
    leaves = jax.tree.leaves(ascent)
    rms = jnp.sqrt(sum((x**2).sum() for x in leaves) / sum(x.size for x in leaves))
    return jax.tree.map(jnp.negative, ascent), {"meta_gradient_rms": rms, "meta_objective": objective}


def train_epochs(
    nets: Networks, learner: Learner, hidden0: jax.Array, data: IntrinsicData, key: jax.Array, scale: jax.Array
) -> tuple[Learner, Metrics]:
    """The actor's epochs over minibatches of environments, the critics' with them unless they train per time index."""
    c = nets.config
    with_critics = c.critic_update == "epochs"
    names = ("actor", "total", "ex") if with_critics else ("actor",)

    def loss(params, hidden0, data):
        log_probs = log_probs_of(nets.actor, params["actor"], hidden0, data)
        of_actor, metrics = actor_loss(log_probs, data, c.clip, c.entropy)
        if not with_critics:
            return of_actor, metrics
        of_critics, critic_metrics = critic_losses(nets, params, data)
        return of_actor + of_critics, metrics | critic_metrics

    def step(learner, hidden0, data):
        params = {name: learner.params[name] for name in names}
        grads, metrics = jax.grad(loss, has_aux=True)(params, hidden0, data)
        learner = apply_gradients(nets.optimizers, learner, grads, scale)
        return (count_critic_step(learner, c.critic_target_every) if with_critics else learner), metrics

    return over_minibatches(step, learner, hidden0, data, key, c)


def train_critics_per_time_index(
    nets: Networks, learner: Learner, data: IntrinsicData, scale: jax.Array
) -> tuple[Learner, Metrics]:
    """LIIR's code: one critic step per time index of the batch, last first."""

    def step(learner, row):
        params = {name: learner.params[name] for name in ("total", "ex")}
        grads, metrics = jax.grad(lambda params: critic_losses(nets, params, row), has_aux=True)(params)
        learner = apply_gradients(nets.optimizers, learner, grads, scale)
        return count_critic_step(learner, nets.config.critic_target_every), metrics

    learner, metrics = jax.lax.scan(step, learner, data, reverse=True)
    return learner, jax.tree.map(lambda x: x.mean(0), metrics)


def update(nets: Networks, learner: Learner, batch: Batch, key: jax.Array, clock: Clock) -> tuple[Learner, Metrics]:
    """One batch: rewards, meta-gradient, actor, critics, reward nets, in this order."""
    c = nets.config
    k_action, k_epochs = jax.random.split(key)
    scale, epsilon = lr_scale(c, clock), epsilon_at(c, clock)
    action = action_on_last_row(nets, learner.params["actor"], batch, k_action, epsilon)
    values = values_of(nets, learner, batch, action)
    r_total, r_in, _ = rewards(nets, learner.params["reward"], batch)
    data, learner = intrinsic_data(nets, learner, batch, values, r_total)
    metrics = _reward_metrics(batch, data, values, r_total, r_in)
    if nets.reward is not None:
        reward_grads, meta_metrics = reward_gradient(nets, learner, batch, data, values)
        metrics |= meta_metrics
    learner, more = train_epochs(nets, learner, batch.carry0.hidden, data, k_epochs, scale)
    metrics |= more
    if c.critic_update == "per_time_index":
        learner, more = train_critics_per_time_index(nets, learner, data, scale)
        metrics |= more
    if nets.reward is not None:
        learner = apply_gradients(nets.optimizers, learner, {"reward": reward_grads}, jnp.ones((), jnp.float32))
    return learner, metrics


def _reward_metrics(
    batch: Batch, data: IntrinsicData, values: CriticValues, r_total: jax.Array, r_in: jax.Array
) -> Metrics:
    """Statistics of the learned rewards; a negative `reward_correlation` shows that r_total falls as r_ex rises."""
    r_ex = jnp.broadcast_to(batch.next.reward[..., None], r_total.shape)
    mean_in = masked_mean(r_in, data.weight)
    return {
        "intrinsic_mean": mean_in,
        "intrinsic_std": jnp.sqrt(masked_mean((r_in - mean_in) ** 2, data.weight)),
        "total_reward_mean": masked_mean(r_total, data.weight),
        "reward_correlation": masked_mean(normalise(r_total, data.weight) * normalise(r_ex, data.weight), data.weight),
        "value_total": masked_mean(values.total_tm1, data.mask[..., None]),
        "value_ex": masked_mean(values.ex_tm1, data.mask),
    }


def inspect(nets: Networks, learner: Learner, batch: Batch) -> dict[str, jax.Array]:
    """The paper's figure 5: attention f32[T, B, A, A], r_in and r_total f32[T, B, A]; and the critics' values."""
    r_total, r_in, attention = rewards(nets, learner.params["reward"], batch)
    values = values_of(nets, learner, batch, batch.action[-1])  # the last row's value is not used
    return {
        "attention": attention,
        "intrinsic_reward": r_in,
        "total_reward": r_total,
        "value_total": values.total_tm1,
        "value_ex": values.ex_tm1,
    }
