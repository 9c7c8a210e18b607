"""What the on-policy learners of discrete worlds share: acting, lambda-returns, PPO's actor loss, gradient steps.

`f` below is a learner's family: a NamedTuple with the fields `spec`, `config`, `actor` and `optimizers`.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from envs.base import TimeStep
from iacjax.buffers import rollout_buffer
from iacjax.distributions import behaviour_log_probs, entropy, mask_logits, take_action
from iacjax.losses.policy import clipped_policy_loss
from iacjax.losses.returns import lambda_returns
from iacjax.networks.actor import RecurrentActor
from iacjax.types import Algorithm, Batch, Clock, Metrics, Plan, masked_mean


class Carry(NamedTuple):
    hidden: jax.Array  # f32[E, A, H]
    last_action: jax.Array  # int32[E, A], -1 before the first


class Aux(NamedTuple):
    log_prob: jax.Array  # f32[E, A] of the action, under the behaviour policy
    epsilon: jax.Array  # f32[E] at acting time


def start_carry(num_envs: int, num_agents: int, hidden_dim: int) -> Carry:
    """What acting remembers before its first step."""
    shape = (num_envs, num_agents)
    return Carry(jnp.zeros((*shape, hidden_dim), jnp.float32), jnp.full(shape, -1, jnp.int32))


def epsilon_at(config: Any, clock: Clock) -> jax.Array:
    """f32[]: linear from `epsilon_start` to `epsilon_end` over `epsilon_steps` env steps."""
    progress = jnp.clip(clock.env_steps / config.epsilon_steps, 0.0, 1.0)
    return jnp.float32(config.epsilon_start + progress * (config.epsilon_end - config.epsilon_start))


def act(
    actor: RecurrentActor,
    policy: Any,
    carry: Carry,
    timestep: TimeStep,
    first: jax.Array,
    key: jax.Array,
    epsilon: jax.Array,
    explore: bool,
) -> tuple[Carry, jax.Array, Aux | tuple[()]]:
    """One step of E lanes (see `Algorithm.act`) by the behaviour policy of this `epsilon` f32[], or greedily."""
    last_action = jnp.where(first[:, None], -1, carry.last_action)
    hidden, logits = actor.apply(policy, carry.hidden, timestep.obs[None], last_action[None], first[None])
    if not explore:
        action = mask_logits(logits[0], timestep.avail).argmax(-1).astype(jnp.int32)
        return Carry(hidden, action), action, ()
    epsilon = jnp.full(first.shape, epsilon)
    log_probs = behaviour_log_probs(logits[0], timestep.avail, epsilon[:, None])
    action = jax.random.categorical(key, log_probs).astype(jnp.int32)
    return Carry(hidden, action), action, Aux(take_action(log_probs, action), epsilon)


def _no_epsilon(clock: Clock) -> jax.Array:
    return jnp.zeros((), jnp.float32)


def assemble(f: Any, init: Callable, update: Callable, inspect: Callable, epsilon: Callable = _no_epsilon) -> Algorithm:
    """The algorithm of these functions: it acts by `f.actor`, with the share `epsilon(clock)` f32[] of uniform actions,
    and learns from each rollout once. The learner's `params["actor"]` is the policy."""
    c = f.config

    def act_in(policy, carry, timestep, first, key, clock, explore):
        return act(f.actor, policy, carry, timestep, first, key, epsilon(clock), explore)

    return Algorithm(
        init=init,
        policy=lambda learner: learner.params["actor"],
        carry=lambda num_envs: start_carry(num_envs, f.spec.num_agents, c.hidden_dim),
        act=act_in,
        update=update,
        plan=Plan(c.num_envs, c.rollout_length, rollout_buffer()),
        inspect=inspect,
        schedules=partial(_schedules, c, epsilon),
    )


def _schedules(config: Any, epsilon: Callable, clock: Clock) -> Metrics:
    """`epsilon`, where there is one, and `lr_scale`, what annealing has left of the learning rates."""
    shown = {} if epsilon is _no_epsilon else {"epsilon": epsilon(clock)}
    return shown | ({"lr_scale": annealed(config, clock)} if config.anneal_steps else {})


def last_actions(batch: Batch) -> jax.Array:
    """int32[T + 1, B, A]: what each row was acted with as its last action."""
    last = jnp.concatenate([batch.carry0.last_action[None], batch.action])
    return jnp.where(batch.first[..., None], -1, last)


class Rows(NamedTuple):
    """What the actor is unrolled over: the T + 1 rows of a batch."""

    obs: jax.Array  # f32[T + 1, B, A, O]
    avail: jax.Array  # bool[T + 1, B, A, U]
    first: jax.Array  # bool[T + 1, B]
    last_action: jax.Array  # int32[T + 1, B, A]
    epsilon: jax.Array  # f32[T + 1, B]


def actor_rows(batch: Batch, epsilon: jax.Array) -> Rows:
    """All rows of `batch`; `epsilon` f32[] is the share of uniform actions on the last row, not yet acted on."""
    epsilon = jnp.concatenate([batch.aux.epsilon, jnp.full_like(batch.aux.epsilon[:1], epsilon)])
    return Rows(batch.rows.obs, batch.rows.avail, batch.first, last_actions(batch), epsilon)


def next_actions(log_probs: jax.Array, key: jax.Array) -> jax.Array:
    """int32[B, A] actions on the last row, drawn from the policy that made the batch.

    A critic that reads actions needs them there, to bootstrap from the row. The rows before have theirs: a row where an
    episode was cut by its time limit has the action that the policy drew on it, though it had no consequence.

    Args:
      log_probs: f32[T + 1, B, A, U] of `log_probs_of` the `actor_rows`.
    """
    return jax.random.categorical(key, log_probs[-1]).astype(jnp.int32)


def returns(f: Any, batch: Batch, r_t: jax.Array, v_t: jax.Array) -> jax.Array:
    """lambda-returns of the shape of `v_t`, [T, B] or [T, B, A]; less V(s_{t-1}), they are GAE's advantages.

    r_t has that shape, or is the team's reward [T, B]. `config.time_limit` says what a time limit is.
    """
    successor = batch.next
    ended = successor.boundary if f.config.time_limit == "terminate" else successor.terminated
    discount, boundary = f.config.gamma * (1.0 - ended), successor.boundary
    if v_t.ndim == 3:
        discount, boundary = discount[..., None], boundary[..., None]
        r_t = r_t if r_t.ndim == 3 else r_t[..., None]
    return lambda_returns(r_t, discount, boundary, v_t, f.config.td_lambda)


def log_probs_of(f: Any, actor_params: Any, hidden0: jax.Array, seq: Any) -> jax.Array:
    """f32[T, B, A, U] log-probabilities of the behaviour policy."""
    _, logits = f.actor.apply(actor_params, hidden0, seq.obs, seq.last_action, seq.first)
    return behaviour_log_probs(logits, seq.avail, seq.epsilon[..., None])


def actor_loss(f: Any, actor_params: Any, hidden0: jax.Array, seq: Any) -> tuple[jax.Array, Metrics]:
    """PPO's clipped loss with an entropy bonus; the dead weigh nothing.

    `seq` has what `log_probs_of` reads, and `action` int32, `log_prob`, `advantage`, `weight` f32, all [T, B, A].
    """
    log_probs = log_probs_of(f, actor_params, hidden0, seq)
    log_prob = take_action(log_probs, seq.action)
    policy = masked_mean(clipped_policy_loss(log_prob, seq.log_prob, seq.advantage, f.config.clip), seq.weight)
    bonus = masked_mean(entropy(log_probs), seq.weight)
    change = log_prob - seq.log_prob
    clipped = (jnp.abs(jnp.exp(change) - 1.0) > f.config.clip).astype(jnp.float32)
    metrics = {
        "actor_loss": policy,
        "entropy": bonus,
        "kl": masked_mean(jnp.exp(change) - 1.0 - change, seq.weight),
        "clip_fraction": masked_mean(clipped, seq.weight),
    }
    return policy - f.config.entropy * bonus, metrics


def annealed(config: Any, clock: Clock) -> jax.Array:
    """f32[]: the fraction of the learning rates that is left: linear to `anneal_to` over `anneal_steps`."""
    if not config.anneal_steps:
        return jnp.ones((), jnp.float32)
    return 1.0 - (1.0 - config.anneal_to) * jnp.minimum(clock.env_steps / config.anneal_steps, 1.0)


def apply_gradients(f: Any, learner: Any, grads: dict[str, Any], scale: jax.Array) -> Any:
    """One optimiser step for each name in `grads`; `scale` anneals the learning rates."""
    params, opt = dict(learner.params), dict(learner.opt)
    for name, grad in grads.items():
        updates, opt[name] = f.optimizers[name].update(grad, opt[name], params[name])
        params[name] = optax.apply_updates(params[name], jax.tree.map(lambda u: u * scale, updates))
    return learner._replace(params=params, opt=opt)


def count_critic_step(learner: Any, every: int) -> Any:
    """Counts, and every so many critic steps (0: never) copies the critics into their targets."""
    steps = learner.critic_steps + 1
    if not every:
        return learner._replace(critic_steps=steps)
    due = steps % every == 0
    online = {name: learner.params[name] for name in learner.target}
    target = jax.tree.map(lambda new, old: jnp.where(due, new, old), online, learner.target)
    return learner._replace(critic_steps=steps, target=target)


def over_minibatches(
    step: Callable, learner: Any, start: Any, seq: Any, key: jax.Array, config: Any
) -> tuple[Any, Metrics]:
    """`config.epochs` passes of `step(learner, start, seq) -> (learner, metrics)`; the metrics' means.

    Each pass splits the lanes at random into `config.minibatches` parts: axis 0 of `start`, axis 1 of `seq`.
    """

    def one(learner, lanes):
        if config.minibatches == 1:
            return step(learner, start, seq)
        return step(learner, jax.tree.map(lambda x: x[lanes], start), jax.tree.map(lambda x: x[:, lanes], seq))

    lanes = jnp.broadcast_to(jnp.arange(config.num_envs), (config.epochs, config.num_envs))
    if config.minibatches > 1:
        lanes = jax.random.permutation(key, lanes, axis=1, independent=True)
    learner, metrics = jax.lax.scan(one, learner, lanes.reshape(config.epochs * config.minibatches, -1))
    return learner, jax.tree.map(lambda x: x.mean(0), metrics)
