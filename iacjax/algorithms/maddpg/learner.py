"""MADDPG (Lowe et al. 2017, "Multi-Agent Actor-Critic for Mixed Cooperative-Competitive Environments").

Every agent has a policy mu_i(o_i) and a critic of its own, Q_i(o_1..o_A, u_1..u_A).

| that paper                                                     | here           |
|----------------------------------------------------------------|----------------|
| the gradient of mu_i through Q_i, the others' actions replayed | `actor_loss`   |
| Q_i against y = r + gamma Q_i'(o', mu'(o'))                    | `critic_loss`  |

As in its official code (github.com/openai/maddpg): critic first, then the policy at the new critic, then the targets;
each weight matrix and bias of each agent has its gradient clipped; 1e-3 times the mean square of a policy network's
outputs is added to its loss (which keeps tanh out of saturation).

What is different here, and why:
* The tasks are cooperative, so all critics learn from the one team reward; each still has its own parameters.
* Actions are bounded, so policies end in tanh. The official code's policies for continuous actions are Gaussians whose
  samples are unbounded and whose standard deviation is the only exploration (its `DiagGaussianPd`, for Box actions):
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
from iacjax.algorithms.common.continuous_actors import (
    act,
    agents_mean,
    clip_each_agent,
    greedy,
    noisy,
    sample_input,
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
from iacjax.algorithms.maddpg.config import MaddpgConfig
from iacjax.gaussian import gaussian
from iacjax.networks.mlp import AgentMlp
from iacjax.types import Algorithm, Batch, Clock, Metrics


class Networks(NamedTuple):
    """MADDPG's networks and optimisers, its environment and its configuration."""

    spec: EnvSpec
    config: MaddpgConfig
    policy: nn.Module
    critic: nn.Module
    mask: jax.Array  # bool[A, D], False on padded dimensions
    range: ActionRange
    optimizers: dict[str, optax.GradientTransformation]


class Learner(NamedTuple):
    """Parameters, their targets (of actor and critic), optimiser states, and the number of updates."""

    params: dict[str, Any]  # actor, critic: every leaf has the agents as its first axis
    target: dict[str, Any]
    opt: dict[str, Any]
    updates: jax.Array  # int32[]


def make(spec: EnvSpec, config: MaddpgConfig) -> Algorithm:
    """Builds MADDPG for an environment with continuous actions."""
    nets = build(spec, config)
    return Algorithm(
        init=partial(init, nets),
        policy=lambda learner: learner.params["actor"],
        carry=no_carry,
        act=partial(act, nets, explore),
        update=partial(update, nets),
        plan=transition_plan(config, state_is_obs=True),  # the state is never read, so the replay need not keep it
        inspect=partial(inspect, nets),
    )


def build(spec: EnvSpec, config: MaddpgConfig) -> Networks:
    """The networks and optimisers that `config` chooses."""
    outputs = spec.action.dim if config.policy == "deterministic" else 2 * spec.action.dim

    def optimizer(lr):
        return optax.chain(clip_each_agent(config.max_grad_norm, per_variable=True), optax.adam(lr))

    return Networks(
        spec,
        config,
        AgentMlp((config.hidden_dim,) * config.policy_layers, outputs),
        AgentMlp((config.hidden_dim,) * config.critic_layers, 1),
        action_mask(spec),
        action_range(spec.action),
        {"actor": optimizer(config.lr), "critic": optimizer(config.critic_lr)},
    )


def init(nets: Networks, key: jax.Array) -> Learner:
    """The learner before its first update."""
    k_actor, k_critic = jax.random.split(key)
    obs, action = sample_input(nets.spec)
    params = {
        "actor": nets.policy.init(k_actor, obs),
        "critic": nets.critic.init(k_critic, _critic_input(obs, action[..., None, :, :])),
    }
    opt = {name: nets.optimizers[name].init(tree) for name, tree in params.items()}
    return Learner(params, jax.tree.map(jnp.copy, params), opt, jnp.zeros((), jnp.int32))


def sample(nets: Networks, actor: Any, obs: jax.Array, key: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Actions f32[..., A, D] in [-1, 1], differentiable (of a Gaussian policy: sampled), and the networks' outputs."""
    out = nets.policy.apply(actor, obs)
    c = nets.config
    x = out if c.policy == "deterministic" else gaussian(out, c.sigma_min, c.sigma_max).sample(key)
    return jnp.tanh(x) * nets.mask, out


def explore(nets: Networks, actor: Any, obs: jax.Array, key: jax.Array) -> jax.Array:
    """Exploring actions f32[..., A, D] in [-1, 1]: of a deterministic policy its own plus noise."""
    action, _ = sample(nets, actor, obs, key)
    if nets.config.policy == "gaussian":
        return action
    return noisy(action, nets.config.noise_scale, nets.mask, key)  # `sample` did not use the key


def _critic_input(obs: jax.Array, actions: jax.Array) -> jax.Array:
    """obs f32[..., A, O] and, for each critic (or all: 1), joint actions f32[..., A or 1, A, D] -> f32[..., A, F]."""
    lead, num_agents = obs.shape[:-2], obs.shape[-2]
    flat = [obs.reshape(*lead, 1, -1), actions.reshape(*lead, actions.shape[-3], -1)]
    return jnp.concatenate([jnp.broadcast_to(x, (*lead, num_agents, x.shape[-1])) for x in flat], -1)


def q_values(nets: Networks, critic: Any, obs: jax.Array, actions: jax.Array) -> jax.Array:
    """The values f32[..., A] that the critics give to a joint action each, or to the same: f32[..., A or 1, A, D]."""
    return nets.critic.apply(critic, _critic_input(obs, actions))[..., 0]


def td_target(nets: Networks, target: dict[str, Any], after: TimeStep, key: jax.Array) -> jax.Array:
    """y f32[B, A] of the transitions that lead to `after`."""
    action, _ = sample(nets, target["actor"], after.obs, key)
    value = q_values(nets, target["critic"], after.obs, action[..., None, :, :])
    return after.reward[:, None] + nets.config.gamma * (1.0 - after.terminated)[:, None] * value


def critic_loss(
    nets: Networks, critic: Any, ts: TimeStep, action: jax.Array, target: jax.Array, mask: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Squared errors, summed over the agents: critics share no parameters. Also gives Q f32[B, A]."""
    q = q_values(nets, critic, ts.obs, action[..., None, :, :])
    return agents_mean((target - q) ** 2, mask).sum(), q


def actor_loss(
    nets: Networks, actor: Any, critic: Any, ts: TimeStep, action: jax.Array, key: jax.Array, mask: jax.Array
) -> jax.Array:
    """-Q_i summed over the agents: critic i sees agent i's new action and the others' replayed ones."""
    new, out = sample(nets, actor, ts.obs, key)
    own = jnp.eye(nets.spec.num_agents, dtype=bool)[:, :, None]
    joint = jnp.where(own, new[:, None], action[:, None])  # [B, critic, agent, D]
    square = agents_mean((out**2).mean(-1), mask)
    return (nets.config.regularisation * square - agents_mean(q_values(nets, critic, ts.obs, joint), mask)).sum()


def update(nets: Networks, learner: Learner, batch: Batch, key: jax.Array, clock: Clock) -> tuple[Learner, Metrics]:
    """Critics, then policies, then targets, all agents at once."""
    ts, after = transition(batch)
    mask, action = batch.mask[0], nets.range.from_env(batch.action[0])
    k_target, k_actor = jax.random.split(key)
    target = td_target(nets, learner.target, after, k_target)
    loss = partial(critic_loss, nets, ts=ts, action=action, target=target, mask=mask)
    (loss_critic, q), grads = jax.value_and_grad(loss, has_aux=True)(learner.params["critic"])
    learner = apply_gradients(nets.optimizers, learner, {"critic": grads})
    critic = learner.params["critic"]
    loss = partial(actor_loss, nets, critic=critic, ts=ts, action=action, key=k_actor, mask=mask)
    loss_actor, grads = jax.value_and_grad(loss)(learner.params["actor"])
    learner = apply_gradients(nets.optimizers, learner, {"actor": grads})
    updates = learner.updates + 1
    moved = move_every(nets.config.target_every, nets.config.tau, updates, learner.params, learner.target)
    learner = learner._replace(target=moved, updates=updates)
    metrics = {"critic_loss": loss_critic, "actor_loss": loss_actor, "q": agents_mean(q, mask).mean()}
    return learner, metrics


def inspect(nets: Networks, learner: Learner, batch: Batch) -> dict[str, jax.Array]:
    """For a batch's own actions: `q` f32[T, B], the mean of the agents' critics, and the greedy action `mean`
    f32[T, B, A, D] in the environment's units."""
    obs, action = batch.ts.obs, nets.range.from_env(batch.action)
    return {
        "q": q_values(nets, learner.params["critic"], obs, action[..., None, :, :]).mean(-1),
        "mean": nets.range.to_env(greedy(nets, learner.params["actor"], obs)),
    }
