"""MADDPG (Lowe et al. 2017, "Multi-Agent Actor-Critic for Mixed Cooperative-Competitive Environments").

Every agent has a policy mu_i(o_i) and a critic of its own, Q_i(o_1..o_A, u_1..u_A).

| that paper                                                     | here           |
|----------------------------------------------------------------|----------------|
| the gradient of mu_i through Q_i, the others' actions replayed | `_actor_loss`  |
| Q_i against y = r + gamma Q_i'(o', mu'(o'))                    | `_critic_loss` |

As in its official code (github.com/openai/maddpg): critic first, then the policy at the new critic, then the targets;
each weight matrix and bias of each agent has its gradient clipped; 1e-3 times the mean square of what a policy net puts
out is added to its loss (which keeps tanh out of saturation).

What is different here, and why:
* The tasks are cooperative, so all critics learn from the one team reward; each still has its own parameters.
* Actions are bounded, so policies end in tanh. The official code's policies for continuous actions are Gaussians whose
  samples nothing bounds and whose standard deviation is the only exploration (its `DiagGaussianPd`, for Box actions):
  `policy` gaussian, the default, is tanh of it, and acts by its mean in evaluations. Its paper writes deterministic
  policies with noise: `policy` deterministic.
* All agents learn from one batch at once; officially one after the other, each from a batch of its own.
* A time limit is bootstrapped through, as in the official code.
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
from iacjax.algorithms.maddpg.config import MaddpgConfig
from iacjax.networks.continuous import AgentMlp
from iacjax.types import Algorithm, Batch, Clock, Metrics


class Family(NamedTuple):
    """What the functions below share: the networks and what was asked for."""

    spec: EnvSpec
    config: MaddpgConfig
    policy: nn.Module
    critic: nn.Module
    mask: jax.Array  # bool[A, D], False on padded dimensions
    bounds: Bounds
    optimizers: dict[str, optax.GradientTransformation]


class Learner(NamedTuple):
    params: dict[str, Any]  # actor, critic: every leaf has the agents as its first axis
    target: dict[str, Any]
    opt: dict[str, Any]
    updates: jax.Array  # int32[]


def make(spec: EnvSpec, config: MaddpgConfig) -> Algorithm:
    """Builds MADDPG for a continuous world."""
    f = _build(spec, config)
    return Algorithm(
        init=partial(_init, f),
        policy=lambda learner: learner.params["actor"],
        carry=lambda num_envs: (),
        act=partial(_act, f),
        update=partial(_update, f),
        plan=parts.make_plan(config),
        inspect=partial(_inspect, f),
    )


def _build(spec: EnvSpec, config: MaddpgConfig) -> Family:
    outputs = spec.action.dim if config.policy == "deterministic" else 2 * spec.action.dim

    def optimizer(lr):
        return optax.chain(parts.clip_each_agent(config.max_grad_norm, per_variable=True), optax.adam(lr))

    return Family(
        spec,
        config,
        AgentMlp((config.hidden_dim,) * config.policy_layers, outputs),
        AgentMlp((config.hidden_dim,) * config.critic_layers, 1),
        action_mask(spec),
        bounds_of(spec.action),
        {"actor": optimizer(config.lr), "critic": optimizer(config.critic_lr)},
    )


def _init(f: Family, key: jax.Array) -> Learner:
    k_actor, k_critic = jax.random.split(key)
    obs, action = parts.sample_input(f.spec)
    params = {
        "actor": f.policy.init(k_actor, obs),
        "critic": f.critic.init(k_critic, _critic_input(obs, action[..., None, :, :])),
    }
    opt = {name: f.optimizers[name].init(tree) for name, tree in params.items()}
    return Learner(params, jax.tree.map(jnp.copy, params), opt, jnp.zeros((), jnp.int32))


def _greedy(f: Family, actor: Any, obs: jax.Array) -> jax.Array:
    """obs f32[..., A, O] -> f32[..., A, D] in [-1, 1]."""
    return jnp.tanh(f.policy.apply(actor, obs)[..., : f.spec.action.dim]) * f.mask


def _policy(f: Family, actor: Any, obs: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """The action that learning asks for, differentiable, f32[..., A, D] in [-1, 1], and what the nets put out."""
    out = f.policy.apply(actor, obs)
    x = out if f.config.policy == "deterministic" else parts.gaussian(out, f.config).sample(key)
    return jnp.tanh(x) * f.mask, out


def _act(
    f: Family,
    policy: Any,
    carry: Any,
    timestep: TimeStep,
    first: jax.Array,
    key: jax.Array,
    clock: Clock,
    explore: bool,
) -> tuple[Any, jax.Array, Any]:
    if not explore:
        return carry, f.bounds.to_env(_greedy(f, policy, timestep.obs)), ()
    k_policy, k_warm = jax.random.split(key)
    action, _ = _policy(f, policy, timestep.obs, k_policy)
    if f.config.policy == "deterministic":  # which drew nothing with the key
        noise = f.config.noise_scale * jax.random.normal(k_policy, action.shape)
        action = jnp.clip(action + noise, -1.0, 1.0) * f.mask
    return carry, f.bounds.to_env(parts.until_warm(f.config, f.mask, k_warm, clock, action)), ()


def _critic_input(obs: jax.Array, actions: jax.Array) -> jax.Array:
    """obs f32[..., A, O] and, for each critic (or all: 1), joint actions f32[..., A or 1, A, D] -> f32[..., A, F]."""
    lead, num_agents = obs.shape[:-2], obs.shape[-2]
    flat = [obs.reshape(*lead, 1, -1), actions.reshape(*lead, actions.shape[-3], -1)]
    return jnp.concatenate([jnp.broadcast_to(x, (*lead, num_agents, x.shape[-1])) for x in flat], -1)


def _q(f: Family, critic: Any, obs: jax.Array, actions: jax.Array) -> jax.Array:
    """All critics f32[..., A] of the joint actions f32[..., A or 1, A, D] that each is asked about."""
    return f.critic.apply(critic, _critic_input(obs, actions))[..., 0]


def _target(f: Family, target: dict[str, Any], after: TimeStep, key: jax.Array) -> jax.Array:
    """y f32[B, A] of the transitions that lead to `after`."""
    action, _ = _policy(f, target["actor"], after.obs, key)
    value = _q(f, target["critic"], after.obs, action[..., None, :, :])
    return after.reward[:, None] + f.config.gamma * (1.0 - after.terminated)[:, None] * value


def _critic_loss(f: Family, critic: Any, ts: TimeStep, action: jax.Array, target: jax.Array, mask: jax.Array):
    """Squared errors, summed over the agents: critics share no parameters. Also gives Q f32[B, A]."""
    q = _q(f, critic, ts.obs, action[..., None, :, :])
    return parts.agents_mean((target - q) ** 2, mask).sum(), q


def _actor_loss(
    f: Family, actor: Any, critic: Any, ts: TimeStep, action: jax.Array, key: jax.Array, mask: jax.Array
) -> jax.Array:
    """-Q_i summed over the agents: critic i sees agent i's new action beside the others' of the replay."""
    new, out = _policy(f, actor, ts.obs, key)
    own = jnp.eye(f.spec.num_agents, dtype=bool)[:, :, None]
    joint = jnp.where(own, new[:, None], action[:, None])  # [B, critic, agent, D]
    square = parts.agents_mean((out**2).mean(-1), mask)
    return (f.config.regularisation * square - parts.agents_mean(_q(f, critic, ts.obs, joint), mask)).sum()


def _step(f: Family, name: str, learner: Learner, grads: Any) -> tuple[Any, Any]:
    changes, opt = f.optimizers[name].update(grads, learner.opt[name], learner.params[name])
    return optax.apply_updates(learner.params[name], changes), opt


def _update(f: Family, learner: Learner, batch: Batch, key: jax.Array, clock: Clock) -> tuple[Learner, Metrics]:
    """Critics, then policies, then targets, all agents at once."""
    ts, after = transition(batch)
    mask, action = batch.mask[0], f.bounds.from_env(batch.action[0])
    k_target, k_actor = jax.random.split(key)
    target = _target(f, learner.target, after, k_target)
    critic_loss = partial(_critic_loss, f, ts=ts, action=action, target=target, mask=mask)
    (loss_critic, q), grads = jax.value_and_grad(critic_loss, has_aux=True)(learner.params["critic"])
    critic, critic_opt = _step(f, "critic", learner, grads)
    actor_loss = partial(_actor_loss, f, critic=critic, ts=ts, action=action, key=k_actor, mask=mask)
    loss_actor, grads = jax.value_and_grad(actor_loss)(learner.params["actor"])
    actor, actor_opt = _step(f, "actor", learner, grads)
    params, updates = {"actor": actor, "critic": critic}, learner.updates + 1
    target_params = parts.move_targets(f.config, updates, params, learner.target)
    learner = Learner(params, target_params, {"actor": actor_opt, "critic": critic_opt}, updates)
    metrics = {"critic_loss": loss_critic, "actor_loss": loss_actor, "q": parts.agents_mean(q, mask).mean()}
    return learner, metrics


def _inspect(f: Family, learner: Learner, batch: Batch) -> dict[str, jax.Array]:
    """For a batch's own actions: `q` f32[T, B], the mean of the agents' critics, and the greedy action `mean`
    f32[T, B, A, D] in the world's units."""
    obs, action = batch.ts.obs, f.bounds.from_env(batch.action)
    return {
        "q": _q(f, learner.params["critic"], obs, action[..., None, :, :]).mean(-1),
        "mean": f.bounds.to_env(_greedy(f, learner.params["actor"], obs)),
    }
