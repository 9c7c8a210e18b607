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
| 13  L = f_psi(s)                                | `networks.exploration.ExplorationNet`                |
| 14  u = mu + sigma eps_N + L eps_M              | `policy.sample`                                      |
| 15  the actor's loss, times alpha               | `actor_loss`                                         |
| 19 to 21  attention over the others             | `networks.attention_critic.AttentionCritic`          |
| 22  mixing on the state                         | `networks.mixing.QMixer`                             |
| 23  the critic's loss                           | `common.mixed_critic.critic_loss`                    |
| 24  its target                                  | `td_target`                                          |
| 25, 26  individual entropies inside the mixer   | `actor_loss`, `td_target` with entropy individual    |

Readings. Eq. 24 has no entropy in its target though eq. 5, 6 and 8 do: `entropy_in_target`. The sum over agents around
MIX in eq. 26 is a misprint: MIX takes all Q_i. With individual entropies V' = MIX(Q_i' - alpha log pi_i'), the online
Q_tot has none, and the actors maximise MIX(Q_i - alpha log pi_i). A deterministic policy's target takes its mean.
At execution both noises are 0 and agent i acts by tanh(mu_i(o_i)) alone.

Where this differs from the paper, or the paper does not say:
* Actions end in tanh (`squash`). The paper names no bounds; unsquashed ones are clipped to the environment's, for the
  critic too, with a gradient that leads back in (`policy.bounded`), and their density is the Gaussian's.
* Until the first update, at as many steps as a batch (algorithm 1), actions are uniform (`warmup_actions`); algorithm 1
  acts by the policy from the start, as preset `paper` does.
* Simple World's 10 hidden units do not divide into table 5's 4 heads, so it has 2. With two agents each attends to the
  one other with weight 1, so that the number of heads has no effect.
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
from iacjax.algorithms.common.mixed_critic import critic_loss, individual_values, init_critic, q_tot_of
from iacjax.algorithms.common.off_policy import ActionRange, action_range, transition, transition_plan, until_warm
from iacjax.algorithms.common.optimizer_step import apply_gradients
from iacjax.algorithms.common.targets import copy_every
from iacjax.algorithms.iac import policy as iac_policy
from iacjax.algorithms.iac.config import IacConfig
from iacjax.algorithms.iac.policy import Noise, PolicyNets
from iacjax.networks.attention_critic import AttentionCritic, PlainCritic
from iacjax.networks.mixing import QMixer
from iacjax.types import Algorithm, Batch, Clock, Metrics, masked_mean


class Networks(NamedTuple):
    """IAC's networks and optimisers, its environment and its configuration."""

    spec: EnvSpec
    config: IacConfig
    policy: PolicyNets
    critic: nn.Module
    mixer: nn.Module
    range: ActionRange
    optimizers: dict[str, optax.GradientTransformation]


class Learner(NamedTuple):
    """Parameters, their targets (of actor and critic), optimiser states, and the number of updates."""

    params: dict[str, Any]  # actor {policy: theta, explore: psi}, critic {agents: phi, mixer: vartheta}
    target: dict[str, Any]
    opt: dict[str, Any]
    updates: jax.Array  # int32[]


def make(spec: EnvSpec, config: IacConfig) -> Algorithm:
    """Builds IAC, SQ, Attn-QMIX, SIQ, SIAQ or DDPG-MIX, as `config` chooses."""
    nets = build(spec, config)
    return Algorithm(
        init=partial(init, nets),
        policy=lambda learner: learner.params["actor"],
        carry=partial(no_noise, nets),
        act=partial(act, nets),
        update=partial(update, nets),
        plan=transition_plan(config, spec.state_is_obs),
        inspect=partial(inspect, nets),
    )


def build(spec: EnvSpec, config: IacConfig) -> Networks:
    """The networks and optimisers that `config` chooses; ConfigError where they do not fit the environment."""
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
    return Networks(spec, config, policy, critic, mixer, action_range(spec.action), optimizers)


def no_noise(nets: Networks, num_envs: int) -> Noise:
    """The carry before the first step."""
    own = jnp.zeros((num_envs, nets.spec.num_agents, nets.spec.action.dim), jnp.float32)
    return Noise(own, jnp.zeros((num_envs, nets.config.rank), jnp.float32))


def init(nets: Networks, key: jax.Array) -> Learner:
    """The learner before its first update."""
    k_actor, k_critic, k_mixer = jax.random.split(key, 3)
    obs = jnp.zeros((1, nets.spec.num_agents, nets.spec.obs_dim))
    action = jnp.zeros((1, nets.spec.num_agents, nets.spec.action.dim))
    state = jnp.zeros((1, nets.spec.state_dim))
    params = {
        "actor": iac_policy.init_policy(nets.policy, k_actor, obs, state),
        "critic": init_critic(nets, k_critic, k_mixer, obs, action, state),
    }
    opt = {name: nets.optimizers[name].init(tree) for name, tree in params.items()}
    return Learner(params, jax.tree.map(jnp.copy, params), opt, jnp.zeros((), jnp.int32))


def act(
    nets: Networks,
    params: Any,
    carry: Noise,
    timestep: TimeStep,
    first: jax.Array,
    key: jax.Array,
    clock: Clock,
    explore: bool,
) -> tuple[Noise, jax.Array, Any]:
    """One step in E environments (see `Algorithm.act`)."""
    if not explore:
        return carry, nets.range.to_env(iac_policy.mean_action(nets.policy, params, timestep.obs)), ()
    fresh = iac_policy.draw_noise(nets.policy, key, first.shape)
    noise = iac_policy.next_noise(nets.policy, carry, fresh, first)
    action = iac_policy.sample(nets.policy, params, timestep.obs, timestep.state, noise).action
    if nets.config.warmup_actions == "uniform":
        action = until_warm(nets.config.warmup, clock, action, iac_policy.uniform(nets.policy, noise))
    return noise, nets.range.to_env(action), ()


def _soft_q_tot(nets: Networks, critic: Any, ts: TimeStep, joint: iac_policy.Joint) -> jax.Array:
    """The objective of the actors, f32[B]: Q_tot - alpha log pi (eq. 15), or MIX(Q_i - alpha log pi_i) (eq. 26)."""
    q = individual_values(nets, critic, ts.obs, joint.action)
    if nets.config.entropy == "individual":
        return nets.mixer.apply(critic["mixer"], q - nets.config.temperature * joint.log_prob, ts.state)
    q_tot = nets.mixer.apply(critic["mixer"], q, ts.state)
    return q_tot - nets.config.temperature * joint.log_prob if nets.config.entropy == "joint" else q_tot


def td_target(nets: Networks, target: dict[str, Any], ts: TimeStep, noise: Noise) -> jax.Array:
    """y_tot of eq. 24 for the transitions that lead to `ts`: f32[B]. A time limit is bootstrapped through."""
    if nets.config.exploration == "deterministic":
        action = iac_policy.mean_action(nets.policy, target["actor"], ts.obs)
        value = q_tot_of(nets, target["critic"], ts.obs, ts.state, action)
    else:
        joint = iac_policy.sample(nets.policy, target["actor"], ts.obs, ts.state, noise)
        if nets.config.entropy == "individual" or nets.config.entropy_in_target:
            value = _soft_q_tot(nets, target["critic"], ts, joint)
        else:
            value = q_tot_of(nets, target["critic"], ts.obs, ts.state, joint.action)
    return ts.reward + nets.config.gamma * (1.0 - ts.terminated) * value


def actor_loss(
    nets: Networks, actor: Any, critic: Any, ts: TimeStep, noise: Noise, mask: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Eq. 15 times alpha; all agents' actions are drawn again together, the critic is constant. Also gives log pi."""
    joint = iac_policy.sample(nets.policy, actor, ts.obs, ts.state, noise)
    if nets.config.exploration == "deterministic":
        joint = joint._replace(action=iac_policy.mean_action(nets.policy, actor, ts.obs))
    return -masked_mean(_soft_q_tot(nets, critic, ts, joint), mask), joint.log_prob


def update(nets: Networks, learner: Learner, batch: Batch, key: jax.Array, clock: Clock) -> tuple[Learner, Metrics]:
    """Lines 10 to 22 of algorithm 1: actors at the critics before the update, critics, and at times the targets."""
    ts, after = transition(batch)
    mask, action = batch.mask[0], nets.range.from_env(batch.action[0])
    # Both draws in one loop, which is short work with a long overhead.
    both = jax.vmap(lambda key: iac_policy.draw_noise(nets.policy, key, mask.shape))(jax.random.split(key))
    noise, noise_after = (jax.tree.map(lambda x, i=i: x[i], both) for i in (0, 1))
    critic = learner.params["critic"]
    loss = partial(actor_loss, nets, critic=critic, ts=ts, noise=noise, mask=mask)
    (loss_actor, log_prob), grads = jax.value_and_grad(loss, has_aux=True)(learner.params["actor"])
    learner = apply_gradients(nets.optimizers, learner, {"actor": grads})
    target = td_target(nets, learner.target, after, noise_after)
    loss = partial(critic_loss, nets, ts=ts, action=action, target=target, mask=mask)
    (loss_critic, q_tot), grads = jax.value_and_grad(loss, has_aux=True)(critic)
    learner = apply_gradients(nets.optimizers, learner, {"critic": grads})
    updates = learner.updates + 1
    copied = copy_every(nets.config.target_every, updates, learner.params, learner.target)
    learner = learner._replace(target=copied, updates=updates)
    metrics = {"critic_loss": loss_critic, "actor_loss": loss_actor, "q_tot": masked_mean(q_tot, mask)}
    if nets.config.entropy != "none":
        log_prob = log_prob.sum(-1) if nets.config.entropy == "individual" else log_prob
        metrics["entropy"] = -masked_mean(log_prob, mask)
    return learner, metrics


def inspect(nets: Networks, learner: Learner, batch: Batch) -> dict[str, jax.Array]:
    """For a batch's own actions: `q` f32[T, B], the greedy action `mean` f32[T, B, A, D] (the environment's units),
    `attention` f32[T, B, heads, A, A], and (stochastic policies) the `covariance` before squashing
    f32[T, B, A D, A D] (figures 3 and 5)."""
    ts, params = batch.ts, learner.params
    individual, attention = nets.critic.apply(params["critic"]["agents"], ts.obs, nets.range.from_env(batch.action))
    shown = {
        "q": nets.mixer.apply(params["critic"]["mixer"], individual, ts.state),
        "mean": nets.range.to_env(iac_policy.mean_action(nets.policy, params["actor"], ts.obs)),
        "attention": attention,
    }
    if nets.config.exploration != "deterministic":
        shown["covariance"] = iac_policy.gaussian(nets.policy, params["actor"], ts.obs, ts.state).covariance()
    return shown
