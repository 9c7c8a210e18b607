"""MAAC (Iqbal and Sha 2019, "Actor-Attention-Critic for Multi-Agent Reinforcement Learning"), for continuous actions.

Soft policies pi_i(u_i | o_i), and one critic for all whose Q_i attends to the other agents (`networks.maac`). After the
official code (github.com/shariqiqbal2810/MAAC): critic first, then the policies at the new critic, then the targets;
all agents' actions are drawn from the current policies for the policies' loss; gradients of the critic's shared parts
are divided by the number of agents; the attention's scores and the policy networks' outputs are kept small.

| in that code                                        | here                                                        |
|-----------------------------------------------------|-------------------------------------------------------------|
| discrete actions                                    | a Gaussian for each agent, squashed by tanh                 |
| Q_i of all own actions from an encoding of o_i      | Q_i of (o_i, u_i): `networks.maac.MaacCritic`               |
| score function; baseline: mean over all own actions | gradient through u_i (as SAC, whose objective this is), the |
|                                                     | others' actions constant; `policy_gradient` score: as there,|
|                                                     | with a mean over `baseline_samples` own actions             |
| reward_scale 100                                    | `temperature` 0.01, its inverse                             |
| rewards (r - mean) / std over the whole replay, to  | the same (`buffers.reward_moments`); 0 where all rewards are|
| which that scale applies (0 / 0 if all are the same)| the same; `normalise_rewards` False: rewards as they are    |
| target r + gamma Q - log pi / reward_scale, also of | r + gamma (Q - alpha log pi), as its paper has it and as    |
| a last step                                         | SAC; `entropy_in_target` undiscounted: as there             |
| BatchNorm of observations and actions               | observations by running statistics of replayed batches;     |
|                                                     | actions lie in [-1, 1] already                              |
| a reward for each agent                             | the one team reward                                         |

A time limit is bootstrapped through. Normalised rewards change what Q means (it is no return any more), and also
the task where the length of an episode depends on the actions, since their mean is subtracted at every step. The
official code does so too, but all its episodes have 25 steps.
"""

from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from envs.base import EnvSpec, TimeStep
from iacjax.algorithms.common.continuous_actors import (
    agents_mean,
    clip_each_agent,
    sample_input,
    warmup_action,
)
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
from iacjax.algorithms.maac.config import MaacConfig
from iacjax.gaussian import Gaussian, gaussian
from iacjax.networks.maac import LeakyMlp, MaacCritic, MaacValues, scale_shared
from iacjax.types import Algorithm, Batch, Clock, Metrics

MOMENTUM = 0.1  # of the running statistics, torch's BatchNorm
EPS = 1e-5


class Networks(NamedTuple):
    """MAAC's networks and optimisers, its environment and its configuration."""

    spec: EnvSpec
    config: MaacConfig
    policy: nn.Module
    critic: nn.Module
    mask: jax.Array  # bool[A, D], False on padded dimensions
    range: ActionRange
    optimizers: dict[str, optax.GradientTransformation]


class Stats(NamedTuple):
    """Running statistics of each agent's observations."""

    mean: jax.Array  # f32[A, O]
    var: jax.Array


class Acting(NamedTuple):
    """The actor parameters, and what normalises their observations."""

    actor: Any
    stats: Stats


class Learner(NamedTuple):
    """As MADDPG's, with the running statistics of the observations."""

    params: dict[str, Any]  # actor (every leaf has the agents as its first axis), critic
    target: dict[str, Any]
    opt: dict[str, Any]
    stats: Stats
    updates: jax.Array  # int32[]


def make(spec: EnvSpec, config: MaacConfig) -> Algorithm:
    """Builds MAAC for an environment with continuous actions.

    Raises:
      ConfigError: the hidden units do not divide into the attention heads.
    """
    nets = build(spec, config)
    return Algorithm(
        init=partial(init, nets),
        policy=lambda learner: Acting(learner.params["actor"], learner.stats),
        carry=no_carry,
        act=partial(act, nets),
        update=partial(update, nets),
        # The state is never read, so the replay need not keep it.
        plan=transition_plan(config, state_is_obs=True, normalised_rewards=config.normalise_rewards),
        inspect=partial(inspect, nets),
    )


def build(spec: EnvSpec, config: MaacConfig) -> Networks:
    """The networks and optimisers that `config` chooses; raises as `make` does."""
    config.check_choices()
    return Networks(
        spec,
        config,
        LeakyMlp((config.hidden_dim,) * config.policy_layers, 2 * spec.action.dim),
        MaacCritic(config.hidden_dim, config.heads),
        action_mask(spec),
        action_range(spec.action),
        {
            "actor": optax.chain(clip_each_agent(config.max_grad_norm, per_variable=False), optax.adam(config.lr)),
            "critic": optax.chain(
                optax.clip_by_global_norm(config.critic_max_grad_norm * spec.num_agents),
                optax.add_decayed_weights(config.weight_decay),  # before Adam: torch's L2, not AdamW's
                optax.adam(config.critic_lr),
            ),
        },
    )


def init(nets: Networks, key: jax.Array) -> Learner:
    """The learner before its first update."""
    k_actor, k_critic = jax.random.split(key)
    obs, action = sample_input(nets.spec)
    params = {"actor": nets.policy.init(k_actor, obs), "critic": nets.critic.init(k_critic, obs, action)}
    opt = {name: nets.optimizers[name].init(tree) for name, tree in params.items()}
    shape = (nets.spec.num_agents, nets.spec.obs_dim)
    stats = Stats(jnp.zeros(shape, jnp.float32), jnp.ones(shape, jnp.float32))
    return Learner(params, jax.tree.map(jnp.copy, params), opt, stats, jnp.zeros((), jnp.int32))


def track(nets: Networks, stats: Stats, obs: jax.Array, mask: jax.Array) -> Stats:
    """The statistics after one more batch of observations f32[B, A, O]; f32[B] `mask` is 1 on real ones."""
    if not nets.config.normalise_obs:
        return stats
    weight = mask[:, None, None] / jnp.maximum(mask.sum(), 1.0)
    mean = (weight * obs).sum(0)
    var = (weight * (obs - mean) ** 2).sum(0)
    share = MOMENTUM * (mask.sum() > 0)
    return Stats(stats.mean + share * (mean - stats.mean), stats.var + share * (var - stats.var))


def normalise_obs(nets: Networks, stats: Stats, obs: jax.Array) -> jax.Array:
    """Observations f32[..., A, O] as the networks see them."""
    return (obs - stats.mean) * jax.lax.rsqrt(stats.var + EPS) if nets.config.normalise_obs else obs


def policies_at(nets: Networks, actor: Any, obs: jax.Array) -> tuple[Gaussian, jax.Array]:
    """The policies at normalised observations f32[..., A, O], and the networks' outputs."""
    out = nets.policy.apply(actor, obs)
    return gaussian(out, nets.config.sigma_min, nets.config.sigma_max), out


def _squash(nets: Networks, x: jax.Array) -> jax.Array:
    return jnp.tanh(x) * nets.mask


def act(
    nets: Networks,
    params: Acting,
    carry: Any,
    timestep: TimeStep,
    first: jax.Array,
    key: jax.Array,
    clock: Clock,
    explore: bool,
) -> tuple[Any, jax.Array, Any]:
    """One step in E environments (see `Algorithm.act`)."""
    policies, _ = policies_at(nets, params.actor, normalise_obs(nets, params.stats, timestep.obs))
    if not explore:
        return carry, nets.range.to_env(_squash(nets, policies.mean)), ()
    k_policy, k_warm = jax.random.split(key)
    action = warmup_action(nets.config, nets.mask, k_warm, clock, _squash(nets, policies.sample(k_policy)))
    return carry, nets.range.to_env(action), ()


def values_of(
    nets: Networks, critic: Any, obs: jax.Array, action: jax.Array, own: jax.Array | None = None
) -> MaacValues:
    """The critic at normalised observations; see `MaacCritic`."""
    return nets.critic.apply(critic, obs, action, own)


def td_target(nets: Networks, target: dict[str, Any], obs: jax.Array, after: TimeStep, key: jax.Array) -> jax.Array:
    """y f32[B, A] of the transitions that lead to `after`, whose observations the networks see as `obs`."""
    policies, _ = policies_at(nets, target["actor"], obs)
    x = policies.sample(key)
    value = values_of(nets, target["critic"], obs, _squash(nets, x)).q
    bonus = -nets.config.temperature * policies.squashed_log_prob(x, nets.mask)
    reward, discount = after.reward[:, None], nets.config.gamma * (1.0 - after.terminated)[:, None]
    if nets.config.entropy_in_target == "discounted":
        return reward + discount * (value + bonus)
    return reward + discount * value + (bonus if nets.config.entropy_in_target == "undiscounted" else 0.0)


def critic_loss(
    nets: Networks, critic: Any, obs: jax.Array, action: jax.Array, target: jax.Array, mask: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Squared errors, summed over the agents, and the regulariser of the attention's scores. Also gives Q f32[B, A]."""
    values = values_of(nets, critic, obs, action)
    loss = agents_mean((target - values.q) ** 2, mask).sum()
    square = (values.scores**2).sum((1, 3)) / max(nets.spec.num_agents - 1, 1)  # of all heads, mean over the others
    return loss + nets.config.attention_regularisation * agents_mean(square, mask).sum(), values.q


def actor_loss(
    nets: Networks, actor: Any, critic: Any, obs: jax.Array, key: jax.Array, mask: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """alpha log pi_i - Q_i, summed over the agents, each through its own action alone; or the score function's loss,
    whose gradient has the same mean. Also gives log pi_i f32[B, A]."""
    k_action, k_baseline = jax.random.split(key)
    policies, out = policies_at(nets, actor, obs)
    x = policies.sample(k_action)
    if nets.config.policy_gradient == "score":
        x = jax.lax.stop_gradient(x)
    log_prob, action = policies.squashed_log_prob(x, nets.mask), _squash(nets, x)
    q = values_of(nets, critic, obs, jax.lax.stop_gradient(action), own=action).q
    if nets.config.policy_gradient == "score":
        advantage = q - _baseline(nets, critic, obs, action, policies, k_baseline)
        loss = log_prob * jax.lax.stop_gradient(nets.config.temperature * log_prob - advantage)
    else:
        loss = nets.config.temperature * log_prob - q
    loss = loss + nets.config.regularisation * (out**2).mean(-1)
    return agents_mean(loss, mask).sum(), log_prob


def _baseline(
    nets: Networks, critic: Any, obs: jax.Array, action: jax.Array, policies: Gaussian, key: jax.Array
) -> jax.Array:
    """b f32[B, A]: mean of Q_i over new own actions of agent i, the others' being those of `action`."""

    def one(key):
        return values_of(nets, critic, obs, action, own=_squash(nets, policies.sample(key))).q

    return jax.vmap(one)(jax.random.split(key, nets.config.baseline_samples)).mean(0)


def update(nets: Networks, learner: Learner, batch: Batch, key: jax.Array, clock: Clock) -> tuple[Learner, Metrics]:
    """Critic, then policies, then targets."""
    ts, after = transition(batch)
    mask, action = batch.mask[0], nets.range.from_env(batch.action[0])
    stats = track(nets, learner.stats, ts.obs, mask)
    obs, next_obs = normalise_obs(nets, stats, ts.obs), normalise_obs(nets, stats, after.obs)
    k_target, k_actor = jax.random.split(key)
    target = td_target(nets, learner.target, next_obs, after, k_target)
    loss = partial(critic_loss, nets, obs=obs, action=action, target=target, mask=mask)
    (loss_critic, q), grads = jax.value_and_grad(loss, has_aux=True)(learner.params["critic"])
    learner = apply_gradients(nets.optimizers, learner, {"critic": scale_shared(grads, 1.0 / nets.spec.num_agents)})
    loss = partial(actor_loss, nets, critic=learner.params["critic"], obs=obs, key=k_actor, mask=mask)
    (loss_actor, log_prob), grads = jax.value_and_grad(loss, has_aux=True)(learner.params["actor"])
    learner = apply_gradients(nets.optimizers, learner, {"actor": grads})
    updates = learner.updates + 1
    moved = move_every(nets.config.target_every, nets.config.tau, updates, learner.params, learner.target)
    learner = learner._replace(target=moved, stats=stats, updates=updates)
    metrics = {
        "critic_loss": loss_critic,
        "actor_loss": loss_actor,
        "q": agents_mean(q, mask).mean(),
        "entropy": -agents_mean(log_prob, mask).mean(),
    }
    return learner, metrics


def inspect(nets: Networks, learner: Learner, batch: Batch) -> dict[str, jax.Array]:
    """For a batch's own actions: `q` f32[T, B], the mean of the agents' values (of normalised rewards, if those are
    learned); the greedy action `mean` f32[T, B, A, D] in the environment's units; and `attention`
    f32[T, B, heads, A, A]."""
    obs = normalise_obs(nets, learner.stats, batch.ts.obs)
    values = values_of(nets, learner.params["critic"], obs, nets.range.from_env(batch.action))
    policies, _ = policies_at(nets, learner.params["actor"], obs)
    return {
        "q": values.q.mean(-1),
        "mean": nets.range.to_env(_squash(nets, policies.mean)),
        "attention": values.weights,
    }
