"""IAC and its ablations (Ma et al. 2021): collaborative exploration, and an attention-QMIX critic.

One learner, three choices:

| algorithm | `exploration` | `critic` | `entropy` |
|-----------|---------------|-----------|------------|
| IAC       | collaborative | attention | joint      |
| SQ        | collaborative | plain     | joint      |
| Attn-QMIX | deterministic | attention | none       |
| SIAQ      | individual    | attention | individual |
| SIQ       | individual    | plain     | individual |
| DDPG-MIX  | deterministic | plain     | none       |

| equation                                        | where                                                |
|-------------------------------------------------|------------------------------------------------------|
| 10, 12  covariance L L' + D                     | `low_rank_gaussian.LowRankGaussian`                  |
| 13  L = f_psi(s)                                | `networks.continuous.ExplorationNet`                 |
| 14  u = mu + sigma eps_N + L eps_M              | `iac_policy.sample`                                  |
| 15  the actor's loss, times alpha               | `_actor_loss`                                        |
| 19 to 21  attention over the others             | `networks.continuous.AttentionCritic`                |
| 22  mixing on the state                         | `networks.mixing.QMixer`                             |
| 23  the critic's loss                           | `_critic_loss`                                       |
| 24  its target                                  | `_target`                                            |
| 25, 26  individual entropies inside the mixer   | `_actor_loss` and `_target` with entropy individual  |

Readings. Eq. 24 has no entropy in its target though eq. 5, 6 and 8 do: `entropy_in_target`. The sum over agents around
MIX in eq. 26 is a misprint: MIX takes all Q_i. With individual entropies V' = MIX(Q_i' - alpha log pi_i'), the online
Q_tot has none, and the actors maximise MIX(Q_i - alpha log pi_i). A deterministic policy's target takes its mean.
At execution both noises are 0 and agent i acts by tanh(mu_i(o_i)) alone.

Not the paper's, or not told there:
* Actions end in tanh (`squash`). The paper names no bounds; unsquashed ones are clipped to the world's for the critic
  too, with a gradient that leads back in (`iac_policy.bounded`), and their density is the Gaussian's.
* Until the first update, at as many steps as a batch (algorithm 1), actions are uniform (`warmup_actions`); algorithm 1
  acts by the policy from the start, as preset `paper` does.
* Simple World's 10 hidden units do not divide into table 5's 4 heads: 2 there. Of two agents each attends to the one
  other with weight 1, so that the number of heads changes nothing.
* sigma starts at 1 (Simple World: 0.3) between 1e-4 and 7; the paper names neither.
"""

from functools import partial
from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from envs.base import EnvSpec, TimeStep
from envs.errors import ConfigError
from iacjax.algorithms.common.config import updates_per_iteration
from iacjax.algorithms.common.off_policy import Bounds, bounds_of, copy_every, transition
from iacjax.algorithms.iac import policy as iac_policy
from iacjax.algorithms.iac.config import IacConfig
from iacjax.algorithms.iac.policy import Noise, PolicyNets
from iacjax.buffers.transitions import transition_buffer
from iacjax.networks.continuous import AttentionCritic, PlainCritic
from iacjax.networks.mixing import QMixer
from iacjax.types import Algorithm, Batch, Clock, Metrics, Plan, masked_mean


class Family(NamedTuple):
    """What the functions below share: the networks and what was asked for."""

    spec: EnvSpec
    config: IacConfig
    policy: PolicyNets
    critic: nn.Module
    mixer: nn.Module
    bounds: Bounds
    optimizers: dict[str, optax.GradientTransformation]


class Learner(NamedTuple):
    params: dict[str, Any]  # actor {policy: theta, explore: psi}, critic {agents: phi, mixer: vartheta}
    target: dict[str, Any]
    opt: dict[str, Any]
    updates: jax.Array  # int32[]


def make(spec: EnvSpec, config: IacConfig) -> Algorithm:
    """Builds IAC, SQ, Attn-QMIX, SIQ, SIAQ or DDPG-MIX, as `config` chooses."""
    f = _build(spec, config)
    num_envs, length = config.num_envs, config.rollout_length
    return Algorithm(
        init=partial(_init, f),
        policy=lambda learner: learner.params["actor"],
        carry=partial(_no_noise, f),
        act=partial(_act, f),
        update=partial(_update, f),
        plan=Plan(
            num_envs,
            length,
            transition_buffer(config.buffer_size, config.batch_size, num_envs, length, spec.state_is_obs),
            updates_per_iteration(config.updates_per_step, num_envs, length),
            config.warmup,
        ),
        inspect=partial(_inspect, f),
    )


def _build(spec: EnvSpec, config: IacConfig) -> Family:
    config.check_choices()
    dims = spec.num_agents * spec.action.dim
    if config.exploration == "collaborative" and config.rank > dims:
        raise ConfigError(f"--rank {config.rank} is more than the {dims} dimensions of {spec.name}'s joint action")
    if config.critic == "attention":
        critic = AttentionCritic(
            config.hidden_dim, config.heads, config.attention_scale, config.attention_layers, config.output_layers
        )
    else:
        critic = PlainCritic((config.hidden_dim,) * config.critic_layers)
    mixer = QMixer(config.hidden_dim, config.hidden_dim, config.mixer_layers)
    clip = [optax.clip_by_global_norm(config.max_grad_norm)] if config.max_grad_norm else []
    optimizers = {
        "actor": optax.chain(*clip, optax.adam(config.lr)),
        "critic": optax.chain(*clip, optax.adam(config.critic_lr)),
    }
    policy = iac_policy.build_policy(spec, config)
    return Family(spec, config, policy, critic, mixer, bounds_of(spec.action), optimizers)


def _no_noise(f: Family, num_envs: int) -> Noise:
    own = jnp.zeros((num_envs, f.spec.num_agents, f.spec.action.dim), jnp.float32)
    return Noise(own, jnp.zeros((num_envs, f.config.rank), jnp.float32))


def _init(f: Family, key: jax.Array) -> Learner:
    k_actor, k_critic, k_mixer = jax.random.split(key, 3)
    obs = jnp.zeros((1, f.spec.num_agents, f.spec.obs_dim))
    action = jnp.zeros((1, f.spec.num_agents, f.spec.action.dim))
    state = jnp.zeros((1, f.spec.state_dim))
    params = {
        "actor": iac_policy.init_policy(f.policy, k_actor, obs, state),
        "critic": {
            "agents": f.critic.init(k_critic, obs, action),
            "mixer": f.mixer.init(k_mixer, jnp.zeros((1, f.spec.num_agents)), state),
        },
    }
    opt = {name: f.optimizers[name].init(tree) for name, tree in params.items()}
    return Learner(params, jax.tree.map(jnp.copy, params), opt, jnp.zeros((), jnp.int32))


def _act(
    f: Family,
    policy: Any,
    carry: Noise,
    timestep: TimeStep,
    first: jax.Array,
    key: jax.Array,
    clock: Clock,
    explore: bool,
) -> tuple[Noise, jax.Array, Any]:
    if not explore:
        return carry, f.bounds.to_env(iac_policy.mean_action(f.policy, policy, timestep.obs)), ()
    fresh = iac_policy.draw_noise(f.policy, key, first.shape)
    noise = iac_policy.next_noise(f.policy, carry, fresh, first)
    action = iac_policy.sample(f.policy, policy, timestep.obs, timestep.state, noise).action
    if f.config.warmup_actions == "uniform":
        warm = clock.env_steps >= f.config.warmup
        action = jnp.where(warm, action, iac_policy.uniform(f.policy, noise))
    return noise, f.bounds.to_env(action), ()


def _individual(f: Family, critic: Any, obs: jax.Array, action: jax.Array) -> jax.Array:
    return f.critic.apply(critic["agents"], obs, action)[0]


def _q_tot(f: Family, critic: Any, obs: jax.Array, state: jax.Array, action: jax.Array) -> jax.Array:
    """Eq. 22: the mixed value f32[B] of actions f32[B, A, D] in [-1, 1]."""
    return f.mixer.apply(critic["mixer"], _individual(f, critic, obs, action), state)


def _soft_q_tot(f: Family, critic: Any, ts: TimeStep, joint: iac_policy.Joint) -> jax.Array:
    """What the actors maximise, f32[B]: Q_tot - alpha log pi (eq. 15), or MIX(Q_i - alpha log pi_i) (eq. 26)."""
    q = _individual(f, critic, ts.obs, joint.action)
    if f.config.entropy == "individual":
        return f.mixer.apply(critic["mixer"], q - f.config.temperature * joint.log_prob, ts.state)
    q_tot = f.mixer.apply(critic["mixer"], q, ts.state)
    return q_tot - f.config.temperature * joint.log_prob if f.config.entropy == "joint" else q_tot


def _target(f: Family, target: dict[str, Any], ts: TimeStep, noise: Noise) -> jax.Array:
    """y_tot of eq. 24 for the transitions that lead to `ts`: f32[B]. A time limit is bootstrapped through."""
    if f.config.exploration == "deterministic":
        action = iac_policy.mean_action(f.policy, target["actor"], ts.obs)
        value = _q_tot(f, target["critic"], ts.obs, ts.state, action)
    else:
        joint = iac_policy.sample(f.policy, target["actor"], ts.obs, ts.state, noise)
        if f.config.entropy == "individual" or f.config.entropy_in_target:
            value = _soft_q_tot(f, target["critic"], ts, joint)
        else:
            value = _q_tot(f, target["critic"], ts.obs, ts.state, joint.action)
    return ts.reward + f.config.gamma * (1.0 - ts.terminated) * value


def _critic_loss(f: Family, critic: Any, ts: TimeStep, action: jax.Array, target: jax.Array, mask: jax.Array):
    """Eq. 23, as a mean over the batch. Also gives Q_tot f32[B]."""
    q_tot = _q_tot(f, critic, ts.obs, ts.state, action)
    return masked_mean((target - q_tot) ** 2, mask), q_tot


def _actor_loss(f: Family, actor: Any, critic: Any, ts: TimeStep, noise: Noise, mask: jax.Array):
    """Eq. 15 times alpha; all agents' actions are drawn anew together, the critic is constant. Also gives log pi."""
    joint = iac_policy.sample(f.policy, actor, ts.obs, ts.state, noise)
    if f.config.exploration == "deterministic":
        joint = joint._replace(action=iac_policy.mean_action(f.policy, actor, ts.obs))
    return -masked_mean(_soft_q_tot(f, critic, ts, joint), mask), joint.log_prob


def _step(f: Family, name: str, learner: Learner, grads: Any) -> tuple[Any, Any]:
    changes, opt = f.optimizers[name].update(grads, learner.opt[name], learner.params[name])
    return optax.apply_updates(learner.params[name], changes), opt


def _update(f: Family, learner: Learner, batch: Batch, key: jax.Array, clock: Clock) -> tuple[Learner, Metrics]:
    """Lines 10 to 22 of algorithm 1: actors at the critics that were, critics, and every so often the targets."""
    ts, after = transition(batch)
    mask, action = batch.mask[0], f.bounds.from_env(batch.action[0])
    k_actor, k_target = jax.random.split(key)
    critic = learner.params["critic"]
    noise = iac_policy.draw_noise(f.policy, k_actor, mask.shape)
    actor_loss = partial(_actor_loss, f, critic=critic, ts=ts, noise=noise, mask=mask)
    (loss_actor, log_prob), grads = jax.value_and_grad(actor_loss, has_aux=True)(learner.params["actor"])
    actor, actor_opt = _step(f, "actor", learner, grads)
    target = _target(f, learner.target, after, iac_policy.draw_noise(f.policy, k_target, mask.shape))
    critic_loss = partial(_critic_loss, f, ts=ts, action=action, target=target, mask=mask)
    (loss_critic, q_tot), grads = jax.value_and_grad(critic_loss, has_aux=True)(critic)
    critic, critic_opt = _step(f, "critic", learner, grads)
    params, updates = {"actor": actor, "critic": critic}, learner.updates + 1
    learner = Learner(
        params,
        copy_every(f.config.target_every, updates, params, learner.target),
        {"actor": actor_opt, "critic": critic_opt},
        updates,
    )
    metrics = {"critic_loss": loss_critic, "actor_loss": loss_actor, "q_tot": masked_mean(q_tot, mask)}
    if f.config.entropy != "none":
        log_prob = log_prob.sum(-1) if f.config.entropy == "individual" else log_prob
        metrics["entropy"] = -masked_mean(log_prob, mask)
    return learner, metrics


def _inspect(f: Family, learner: Learner, batch: Batch) -> dict[str, jax.Array]:
    """For a batch's own actions: `q` f32[T, B], the greedy action `mean` f32[T, B, A, D] (the world's units),
    `attention` f32[T, B, heads, A, A], and (stochastic policies) the `covariance` before squashing
    f32[T, B, A D, A D] (figures 3 and 5)."""
    ts, params = batch.ts, learner.params
    individual, attention = f.critic.apply(params["critic"]["agents"], ts.obs, f.bounds.from_env(batch.action))
    shown = {
        "q": f.mixer.apply(params["critic"]["mixer"], individual, ts.state),
        "mean": f.bounds.to_env(iac_policy.mean_action(f.policy, params["actor"], ts.obs)),
        "attention": attention,
    }
    if f.config.exploration != "deterministic":
        shown["covariance"] = iac_policy.gaussian(f.policy, params["actor"], ts.obs, ts.state).covariance()
    return shown
