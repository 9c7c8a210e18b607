"""AIIR-MIX and its family (Li et al. 2022; LIIR, Du et al. 2019): learned individual rewards, by meta-gradient.

One learner, two choices: the net that makes r_in (`reward_net`) and the way to r_total (`combine`).

| equation                                             | where                                             |
|------------------------------------------------------|---------------------------------------------------|
| 5  loss of V_total,i on r_total                      | `intrinsic_parts.critic_losses`                   |
| 6, 7  actor on A_total,i                             | `on_policy.actor_loss`                            |
| 8  loss of V_ex on r_ex                              | `intrinsic_parts.critic_losses`                   |
| 9 to 12  attention, r_in                             | `networks.intrinsic_reward.AttentionReward`       |
| LIIR's r_in                                          | `networks.intrinsic_reward.MlpReward`             |
| 13  r_ex + lambda r_in                               | `networks.reward_mixing.LinearCombination`        |
| 14  mixing network                                   | `networks.reward_mixing.RewardMixing`             |
| the outer objective of the reward nets               | `losses.meta.meta_gradient`, in `_update_rewards` |

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
along the result, and moves the last layer of its reward net only. The rows `liir` and `rmix` take the paper's
gradient, exactly, and by it train the whole net. That code also normalises advantages over padding, and explores
over illegal actions too before it masks them. Its critics differ from ours, with `--preset paper` too:

* They train first, the actor after them, on advantages from the values that V_total had before the step of its own time
  index; here both use the values of before the update, and the actor goes first.
* V_ex is one layer on the hidden layers of V_total, of all agents side by side (so it reads their observations and
  actions); it takes one step a batch, by the reward net's optimiser, unclipped. Here it is a net of its own on the
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
    annealed,
    apply_gradients,
    assemble,
    count_critic_step,
    epsilon_at,
    last_actions,
    log_probs_of,
    over_minibatches,
    returns,
)
from iacjax.algorithms.intrinsic.config import IntrinsicConfig
from iacjax.algorithms.intrinsic.model import (
    Family,
    Learner,
    Sequences,
    Values,
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
    """Builds LIIR, RMIX, AIIR, AIIR-MIX or the plain actor-critic beneath them, as `config` chooses."""
    f = build(spec, config)
    return assemble(f, partial(_init, f), partial(_update, f), partial(_inspect, f), partial(epsilon_at, config))


def _init(f: Family, key: jax.Array) -> Learner:
    k_actor, k_total, k_ex, k_reward, k_combine = jax.random.split(key, 5)
    num_agents = f.spec.num_agents
    obs = jnp.zeros((1, 1, num_agents, f.spec.obs_dim))
    state = jnp.zeros((1, 1, f.spec.state_dim))
    action = jnp.zeros((1, 1, num_agents), jnp.int32)
    others = action if f.config.critic_others_actions else None
    hidden = jnp.zeros((1, num_agents, f.config.hidden_dim))
    params = {
        "actor": f.actor.init(k_actor, hidden, obs, action, jnp.zeros((1, 1), bool)),
        "total": f.total.init(k_total, state, obs, action, others),
        "ex": f.ex.init(k_ex, state),
        "reward": {},
    }
    if f.reward is not None:
        params["reward"] = {
            "net": f.reward.init(k_reward, *reward_inputs(f, state, obs, action == 0, action, action)),
            "combine": f.combine.init(k_combine, jnp.zeros((1, 1)), jnp.zeros((1, 1, num_agents))),
        }
    target = {name: jax.tree.map(jnp.copy, params[name]) for name in ("total", "ex")}
    return Learner(
        params=params,
        target=target if f.config.critic_target_every else {},
        opt={name: f.optimizers[name].init(tree) for name, tree in params.items()},
        norm={"total": init_norm(), "ex": init_norm()},
        critic_steps=jnp.zeros((), jnp.int32),
    )


def _sequences(
    f: Family, learner: Learner, batch: Batch, values: Values, r_total: jax.Array
) -> tuple[Sequences, Learner]:
    """The data of the gradient steps, and the learner with the value targets taken into its normalisers."""
    ts, weight = batch.ts, batch.mask[..., None] * batch.ts.alive
    returns_total = returns(f, batch, r_total, values.total_t)
    returns_ex = returns(f, batch, batch.next.reward, values.ex_t)
    advantage = normalise(returns_total - values.total_tm1, weight)
    if f.config.value_norm:
        norm = {
            "total": update_norm(learner.norm["total"], returns_total, batch.mask[..., None]),
            "ex": update_norm(learner.norm["ex"], returns_ex, batch.mask),
        }
        returns_total, returns_ex = normalised(norm["total"], returns_total), normalised(norm["ex"], returns_ex)
        learner = learner._replace(norm=norm)
    seq = Sequences(
        ts.obs, ts.state, ts.avail, batch.first[:-1], last_actions(batch)[:-1], batch.action,
        batch.aux.log_prob, batch.aux.epsilon, batch.mask, weight, advantage, returns_total, returns_ex,
    )  # fmt: skip
    return seq, learner


def _reward_gradient(f: Family, learner: Learner, batch: Batch, seq: Sequences, values: Values) -> tuple[Any, Metrics]:
    """The meta-gradient of the reward nets, at the actor that acted; V_total, V_ex and A_ex are constants."""

    def log_prob(actor_params):
        return take_action(log_probs_of(f, actor_params, batch.carry0.hidden, seq), batch.action)

    def advantage(reward_params):
        r_total = rewards(f, reward_params, batch)[0]
        return normalise(returns(f, batch, r_total, values.total_t) - values.total_tm1, seq.weight)

    advantage_ex = normalise(returns(f, batch, batch.next.reward, values.ex_t) - values.ex_tm1, seq.mask)
    ascent, objective = meta_gradient(
        log_prob, advantage, learner.params["actor"], learner.params["reward"],
        advantage_ex, seq.weight, seq.mask, f.config.lookahead_lr,
    )  # fmt: skip
    leaves = jax.tree.leaves(ascent)
    rms = jnp.sqrt(sum((x**2).sum() for x in leaves) / sum(x.size for x in leaves))
    return jax.tree.map(jnp.negative, ascent), {"meta_gradient_rms": rms, "meta_objective": objective}


def _train_epochs(
    f: Family, learner: Learner, hidden0: jax.Array, seq: Sequences, key: jax.Array, scale: jax.Array
) -> tuple[Learner, Metrics]:
    """The actor's epochs over minibatches of lanes, the critics' with them unless they train per time index."""
    c = f.config
    with_critics = c.critic_update == "epochs"
    names = ("actor", "total", "ex") if with_critics else ("actor",)

    def loss(params, hidden0, seq):
        of_actor, metrics = actor_loss(f, params["actor"], hidden0, seq)
        if not with_critics:
            return of_actor, metrics
        of_critics, critic_metrics = critic_losses(f, params, seq)
        return of_actor + of_critics, metrics | critic_metrics

    def step(learner, hidden0, seq):
        params = {name: learner.params[name] for name in names}
        grads, metrics = jax.grad(loss, has_aux=True)(params, hidden0, seq)
        learner = apply_gradients(f, learner, grads, scale)
        return (count_critic_step(learner, c.critic_target_every) if with_critics else learner), metrics

    return over_minibatches(step, learner, hidden0, seq, key, c)


def _train_critics_per_time_index(
    f: Family, learner: Learner, seq: Sequences, scale: jax.Array
) -> tuple[Learner, Metrics]:
    """LIIR's code: one critic step per time index of the batch, last first."""

    def step(learner, row):
        params = {name: learner.params[name] for name in ("total", "ex")}
        grads, metrics = jax.grad(lambda params: critic_losses(f, params, row), has_aux=True)(params)
        learner = apply_gradients(f, learner, grads, scale)
        return count_critic_step(learner, f.config.critic_target_every), metrics

    learner, metrics = jax.lax.scan(step, learner, seq, reverse=True)
    return learner, jax.tree.map(lambda x: x.mean(0), metrics)


def _update(f: Family, learner: Learner, batch: Batch, key: jax.Array, clock: Clock) -> tuple[Learner, Metrics]:
    """One batch: rewards, meta-gradient, actor, critics, reward nets, in this order."""
    c = f.config
    k_action, k_epochs = jax.random.split(key)
    scale, epsilon = annealed(c, clock), epsilon_at(c, clock)
    action = action_on_last_row(f, learner.params["actor"], batch, k_action, epsilon)
    values = values_of(f, learner, batch, action)
    r_total, r_in, _ = rewards(f, learner.params["reward"], batch)
    seq, learner = _sequences(f, learner, batch, values, r_total)
    metrics = _reward_metrics(batch, seq, values, r_total, r_in)
    if f.reward is not None:
        reward_grads, meta_metrics = _reward_gradient(f, learner, batch, seq, values)
        metrics |= meta_metrics
    learner, more = _train_epochs(f, learner, batch.carry0.hidden, seq, k_epochs, scale)
    metrics |= more
    if c.critic_update == "per_time_index":
        learner, more = _train_critics_per_time_index(f, learner, seq, scale)
        metrics |= more
    if f.reward is not None:
        learner = apply_gradients(f, learner, {"reward": reward_grads}, jnp.ones((), jnp.float32))
    return learner, metrics


def _reward_metrics(batch: Batch, seq: Sequences, values: Values, r_total: jax.Array, r_in: jax.Array) -> Metrics:
    """Where the learned rewards stand; a falling `reward_correlation` (r_total, r_ex) shows a mixing turned round."""
    r_ex = jnp.broadcast_to(batch.next.reward[..., None], r_total.shape)
    mean_in = masked_mean(r_in, seq.weight)
    return {
        "intrinsic_mean": mean_in,
        "intrinsic_std": jnp.sqrt(masked_mean((r_in - mean_in) ** 2, seq.weight)),
        "total_reward_mean": masked_mean(r_total, seq.weight),
        "reward_correlation": masked_mean(normalise(r_total, seq.weight) * normalise(r_ex, seq.weight), seq.weight),
        "value_total": masked_mean(values.total_tm1, seq.mask[..., None]),
        "value_ex": masked_mean(values.ex_tm1, seq.mask),
    }


def _inspect(f: Family, learner: Learner, batch: Batch) -> dict[str, jax.Array]:
    """The paper's figure 5: attention f32[T, B, A, A], r_in and r_total f32[T, B, A]; and the critics' values."""
    r_total, r_in, attention = rewards(f, learner.params["reward"], batch)
    values = values_of(f, learner, batch, batch.action[-1])  # the last row's value is not looked at
    return {
        "attention": attention,
        "intrinsic_reward": r_in,
        "total_reward": r_total,
        "value_total": values.total_tm1,
        "value_ex": values.ex_tm1,
    }
