"""MAAC (Iqbal and Sha 2019, "Actor-Attention-Critic for Multi-Agent Reinforcement Learning"), for continuous actions.

Soft policies pi_i(u_i | o_i), and one critic for all whose Q_i attends to the other agents (`networks.maac`). After the
official code (github.com/shariqiqbal2810/MAAC): critic first, then the policies at the new critic, then the targets;
all agents' actions are drawn from the current policies for the policies' loss; gradients of the critic's shared parts
are divided by the number of agents; the attention's scores and what the policy nets put out are kept small.

| in that code                                        | here                                                        |
|-----------------------------------------------------|-------------------------------------------------------------|
| discrete actions                                    | Gaussians an agent, squashed by tanh                        |
| Q_i of all own actions from an encoding of o_i      | Q_i of (o_i, u_i): `networks.maac.MaacCritic`               |
| score function; baseline: mean over all own actions | gradient through u_i (as SAC, whose objective this is), the |
|                                                     | others' actions constant; `policy_gradient` score: as there,|
|                                                     | with a mean over `baseline_samples` own actions             |
| reward_scale 100                                    | `temperature` 0.01, its inverse                             |
| rewards (r - mean) / std over the whole replay, on  | the same (`buffers.reward_moments`); 0 where all rewards are|
| which that scale stands (division by 0 if all alike)| alike; `normalise_rewards` False: rewards as they are       |
| target r + gamma Q - log pi / reward_scale, also of | r + gamma (Q - alpha log pi), as its paper has it and as    |
| a last step                                         | SAC; `entropy_in_target` undiscounted: as there             |
| BatchNorm of observations and actions               | observations by running statistics of replayed batches;     |
|                                                     | actions lie in [-1, 1] already                              |
| rewards an agent                                    | the one team reward                                         |

A time limit is bootstrapped through. Normalised rewards change what Q means (it is no return any more), and with them
the task wherever the length of an episode depends on the actions, since their mean is taken off every step: so they do
in the official code, whose episodes all have 25 steps.
"""

from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from envs.base import EnvSpec, TimeStep
from iacjax.algorithms.common import continuous_actors as parts
from iacjax.algorithms.common.off_policy import Bounds, action_mask, bounds_of, transition
from iacjax.algorithms.maac.config import MaacConfig
from iacjax.networks.maac import LeakyMlp, MaacCritic, Values, scale_shared
from iacjax.types import Algorithm, Batch, Clock, Metrics

MOMENTUM = 0.1  # of the running statistics, torch's BatchNorm
EPS = 1e-5


class Family(NamedTuple):
    """What the functions below share: the networks and what was asked for."""

    spec: EnvSpec
    config: MaacConfig
    policy: nn.Module
    critic: nn.Module
    mask: jax.Array  # bool[A, D], False on padded dimensions
    bounds: Bounds
    optimizers: dict[str, optax.GradientTransformation]


class Stats(NamedTuple):
    """Running statistics of each agent's observations."""

    mean: jax.Array  # f32[A, O]
    var: jax.Array


class Acting(NamedTuple):
    """What acting reads."""

    actor: Any
    stats: Stats


class Learner(NamedTuple):
    params: dict[str, Any]  # actor (every leaf has the agents as its first axis), critic
    target: dict[str, Any]
    opt: dict[str, Any]
    stats: Stats
    updates: jax.Array  # int32[]


def make(spec: EnvSpec, config: MaacConfig) -> Algorithm:
    """Builds MAAC for a continuous world.

    Raises:
      ConfigError: the hidden units do not divide into the attention heads.
    """
    f = _build(spec, config)
    return Algorithm(
        init=partial(_init, f),
        policy=lambda learner: Acting(learner.params["actor"], learner.stats),
        carry=lambda num_envs: (),
        act=partial(_act, f),
        update=partial(_update, f),
        plan=parts.make_plan(config, config.normalise_rewards),
        inspect=partial(_inspect, f),
    )


def _build(spec: EnvSpec, config: MaacConfig) -> Family:
    config.check_choices()
    return Family(
        spec,
        config,
        LeakyMlp((config.hidden_dim,) * config.policy_layers, 2 * spec.action.dim),
        MaacCritic(config.hidden_dim, config.heads),
        action_mask(spec),
        bounds_of(spec.action),
        {
            "actor": optax.chain(
                parts.clip_each_agent(config.max_grad_norm, per_variable=False), optax.adam(config.lr)
            ),
            "critic": optax.chain(
                optax.clip_by_global_norm(config.critic_max_grad_norm * spec.num_agents),
                optax.add_decayed_weights(config.weight_decay),  # before Adam: torch's L2, not AdamW's
                optax.adam(config.critic_lr),
            ),
        },
    )


def _init(f: Family, key: jax.Array) -> Learner:
    k_actor, k_critic = jax.random.split(key)
    obs, action = parts.sample_input(f.spec)
    params = {"actor": f.policy.init(k_actor, obs), "critic": f.critic.init(k_critic, obs, action)}
    opt = {name: f.optimizers[name].init(tree) for name, tree in params.items()}
    shape = (f.spec.num_agents, f.spec.obs_dim)
    stats = Stats(jnp.zeros(shape, jnp.float32), jnp.ones(shape, jnp.float32))
    return Learner(params, jax.tree.map(jnp.copy, params), opt, stats, jnp.zeros((), jnp.int32))


def _track(f: Family, stats: Stats, obs: jax.Array, mask: jax.Array) -> Stats:
    """The statistics after one more batch of observations f32[B, A, O]; f32[B] `mask` is 1 on real ones."""
    if not f.config.normalise_obs:
        return stats
    weight = mask[:, None, None] / jnp.maximum(mask.sum(), 1.0)
    mean = (weight * obs).sum(0)
    var = (weight * (obs - mean) ** 2).sum(0)
    share = MOMENTUM * (mask.sum() > 0)
    return Stats(stats.mean + share * (mean - stats.mean), stats.var + share * (var - stats.var))


def _seen(f: Family, stats: Stats, obs: jax.Array) -> jax.Array:
    """Observations as the networks see them."""
    return (obs - stats.mean) * jax.lax.rsqrt(stats.var + EPS) if f.config.normalise_obs else obs


def _gaussian(f: Family, actor: Any, obs: jax.Array) -> tuple[parts.Gaussian, jax.Array]:
    """The policies at normalised observations f32[..., A, O], and what the nets put out."""
    out = f.policy.apply(actor, obs)
    return parts.gaussian(out, f.config), out


def _squash(f: Family, x: jax.Array) -> jax.Array:
    return jnp.tanh(x) * f.mask


def _act(
    f: Family,
    policy: Acting,
    carry: Any,
    timestep: TimeStep,
    first: jax.Array,
    key: jax.Array,
    clock: Clock,
    explore: bool,
) -> tuple[Any, jax.Array, Any]:
    policies, _ = _gaussian(f, policy.actor, _seen(f, policy.stats, timestep.obs))
    if not explore:
        return carry, f.bounds.to_env(_squash(f, policies.mean)), ()
    k_policy, k_warm = jax.random.split(key)
    action = parts.until_warm(f.config, f.mask, k_warm, clock, _squash(f, policies.sample(k_policy)))
    return carry, f.bounds.to_env(action), ()


def _values(f: Family, critic: Any, obs: jax.Array, action: jax.Array, own: jax.Array | None = None) -> Values:
    return f.critic.apply(critic, obs, action, own)


def _target(f: Family, target: dict[str, Any], obs: jax.Array, after: TimeStep, key: jax.Array) -> jax.Array:
    """y f32[B, A] of the transitions that lead to `after`, whose observations the networks see as `obs`."""
    policies, _ = _gaussian(f, target["actor"], obs)
    x = policies.sample(key)
    value = _values(f, target["critic"], obs, _squash(f, x)).q
    bonus = -f.config.temperature * policies.log_prob(x, f.mask)
    reward, discount = after.reward[:, None], f.config.gamma * (1.0 - after.terminated)[:, None]
    if f.config.entropy_in_target == "discounted":
        return reward + discount * (value + bonus)
    return reward + discount * value + (bonus if f.config.entropy_in_target == "undiscounted" else 0.0)


def _critic_loss(f: Family, critic: Any, obs: jax.Array, action: jax.Array, target: jax.Array, mask: jax.Array):
    """Squared errors, summed over the agents, and the regulariser of the attention's scores. Also gives Q f32[B, A]."""
    values = _values(f, critic, obs, action)
    loss = parts.agents_mean((target - values.q) ** 2, mask).sum()
    square = (values.scores**2).sum((1, 3)) / max(f.spec.num_agents - 1, 1)  # of all heads, mean over the others
    return loss + f.config.attention_regularisation * parts.agents_mean(square, mask).sum(), values.q


def _actor_loss(f: Family, actor: Any, critic: Any, obs: jax.Array, key: jax.Array, mask: jax.Array):
    """alpha log pi_i - Q_i, summed over the agents, each through its own action alone; or the score function's loss,
    whose gradient has the same mean. Also gives log pi_i f32[B, A]."""
    k_action, k_baseline = jax.random.split(key)
    policies, out = _gaussian(f, actor, obs)
    x = policies.sample(k_action)
    if f.config.policy_gradient == "score":
        x = jax.lax.stop_gradient(x)
    log_prob, action = policies.log_prob(x, f.mask), _squash(f, x)
    q = _values(f, critic, obs, jax.lax.stop_gradient(action), own=action).q
    if f.config.policy_gradient == "score":
        advantage = q - _baseline(f, critic, obs, action, policies, k_baseline)
        loss = log_prob * jax.lax.stop_gradient(f.config.temperature * log_prob - advantage)
    else:
        loss = f.config.temperature * log_prob - q
    loss = loss + f.config.regularisation * (out**2).mean(-1)
    return parts.agents_mean(loss, mask).sum(), log_prob


def _baseline(
    f: Family, critic: Any, obs: jax.Array, action: jax.Array, policies: parts.Gaussian, key: jax.Array
) -> jax.Array:
    """b f32[B, A]: mean of Q_i over new own actions of agent i, the others' being those of `action`."""

    def one(key):
        return _values(f, critic, obs, action, own=_squash(f, policies.sample(key))).q

    return jax.vmap(one)(jax.random.split(key, f.config.baseline_samples)).mean(0)


def _step(f: Family, name: str, learner: Learner, grads: Any) -> tuple[Any, Any]:
    changes, opt = f.optimizers[name].update(grads, learner.opt[name], learner.params[name])
    return optax.apply_updates(learner.params[name], changes), opt


def _update(f: Family, learner: Learner, batch: Batch, key: jax.Array, clock: Clock) -> tuple[Learner, Metrics]:
    """Critic, then policies, then targets."""
    ts, after = transition(batch)
    mask, action = batch.mask[0], f.bounds.from_env(batch.action[0])
    stats = _track(f, learner.stats, ts.obs, mask)
    obs, next_obs = _seen(f, stats, ts.obs), _seen(f, stats, after.obs)
    k_target, k_actor = jax.random.split(key)
    target = _target(f, learner.target, next_obs, after, k_target)
    critic_loss = partial(_critic_loss, f, obs=obs, action=action, target=target, mask=mask)
    (loss_critic, q), grads = jax.value_and_grad(critic_loss, has_aux=True)(learner.params["critic"])
    critic, critic_opt = _step(f, "critic", learner, scale_shared(grads, 1.0 / f.spec.num_agents))
    actor_loss = partial(_actor_loss, f, critic=critic, obs=obs, key=k_actor, mask=mask)
    (loss_actor, log_prob), grads = jax.value_and_grad(actor_loss, has_aux=True)(learner.params["actor"])
    actor, actor_opt = _step(f, "actor", learner, grads)
    params, updates = {"actor": actor, "critic": critic}, learner.updates + 1
    target_params = parts.move_targets(f.config, updates, params, learner.target)
    learner = Learner(params, target_params, {"actor": actor_opt, "critic": critic_opt}, stats, updates)
    metrics = {
        "critic_loss": loss_critic,
        "actor_loss": loss_actor,
        "q": parts.agents_mean(q, mask).mean(),
        "entropy": -parts.agents_mean(log_prob, mask).mean(),
    }
    return learner, metrics


def _inspect(f: Family, learner: Learner, batch: Batch) -> dict[str, jax.Array]:
    """For a batch's own actions: `q` f32[T, B], the mean of the agents' values (of normalised rewards, where those are
    learned from); the greedy action `mean`
    f32[T, B, A, D] in the world's units; and `attention` f32[T, B, heads, A, A]."""
    obs = _seen(f, learner.stats, batch.ts.obs)
    values = _values(f, learner.params["critic"], obs, f.bounds.from_env(batch.action))
    policies, _ = _gaussian(f, learner.params["actor"], obs)
    return {
        "q": values.q.mean(-1),
        "mean": f.bounds.to_env(_squash(f, policies.mean)),
        "attention": values.weights,
    }
