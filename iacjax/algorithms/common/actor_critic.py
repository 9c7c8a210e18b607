"""What actor-critics share: acting with discrete actions, PPO's actor loss, epochs over minibatches."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple, Protocol, TypeVar

import jax
import jax.numpy as jnp

from envs.base import EnvSpec, TimeStep
from iacjax.algorithms.common.exploration import epsilon_at, greedy_actions, may_explore
from iacjax.algorithms.common.optimizer_step import AnnealingConfig, lr_scale
from iacjax.algorithms.common.rnn import RnnCarry, last_actions, start_carry, step_agents
from iacjax.buffers import rollout_buffer
from iacjax.device_mesh import gather_envs, split_envs
from iacjax.distributions import behaviour_log_probs, entropy, take_action
from iacjax.losses.policy import clipped_policy_loss
from iacjax.networks.rnn_agent import RnnAgent
from iacjax.types import Algorithm, Batch, Clock, Metrics, Plan, masked_mean

LearnerT = TypeVar("LearnerT")


class RolloutConfig(AnnealingConfig, Protocol):
    """The fields of a configuration that `on_policy_algorithm` reads."""

    num_envs: int
    rollout_length: int


class ActorConfig(RolloutConfig, Protocol):
    """The fields of a configuration that `make_algorithm` reads."""

    hidden_dim: int


class EpochConfig(Protocol):
    """The fields of a configuration that `over_minibatches` reads."""

    num_envs: int
    epochs: int
    minibatches: int


class Aux(NamedTuple):
    """What acting stores together with the action."""

    log_prob: jax.Array  # f32[E, A] of the action, under the behaviour policy
    epsilon: jax.Array | None  # f32[E] at acting time; None: never above 0


def act(
    actor: RnnAgent,
    params: Any,
    carry: RnnCarry,
    timestep: TimeStep,
    first: jax.Array,
    key: jax.Array,
    epsilon: jax.Array | None,
    explore: bool,
) -> tuple[RnnCarry, jax.Array, Aux | tuple[()]]:
    """One step in E environments (see `Algorithm.act`), greedily or by the behaviour policy of this `epsilon` f32[].

    An `epsilon` of None is 0 for good.
    """
    hidden, logits = step_agents(actor, params, carry, timestep, first)
    if not explore:
        action = greedy_actions(logits, timestep.avail)
        return RnnCarry(hidden, action), action, ()
    epsilon = None if epsilon is None else jnp.full(first.shape, epsilon)
    log_probs = behaviour_log_probs(logits, timestep.avail, _of_agents(epsilon))
    action = jax.random.categorical(key, log_probs).astype(jnp.int32)
    return RnnCarry(hidden, action), action, Aux(take_action(log_probs, action), epsilon)


def _of_agents(epsilon: jax.Array | None) -> jax.Array | None:
    return None if epsilon is None else epsilon[..., None]


def make_algorithm(
    spec: EnvSpec,
    config: ActorConfig,
    actor: RnnAgent,
    init: Callable,
    update: Callable,
    inspect: Callable,
    explores: bool = False,
) -> Algorithm:
    """An on-policy algorithm of `init`, `update` and `inspect` that acts by `actor`, with discrete actions.

    With `explores` the config has the fields of `exploration.EpsilonConfig`, a share of uniform actions.
    """
    epsilon = partial(epsilon_at, config) if explores else None
    mixes = explores and may_explore(config)

    def act_in(params, carry, timestep, first, key, clock, explore):
        return act(actor, params, carry, timestep, first, key, epsilon(clock) if mixes else None, explore)

    carry = partial(start_carry, num_agents=spec.num_agents, hidden_dim=config.hidden_dim)
    return on_policy_algorithm(config, carry, act_in, init, update, inspect, epsilon)


def on_policy_algorithm(
    config: RolloutConfig,
    carry: Callable,
    act: Callable,
    init: Callable,
    update: Callable,
    inspect: Callable,
    epsilon: Callable[[Clock], jax.Array] | None = None,
) -> Algorithm:
    """An algorithm that learns from each rollout once. The learner's `params["actor"]` are the actor parameters.

    Args:
      carry, act, init, update, inspect: those of the `Algorithm`.
      epsilon: the share of uniform actions, for the log; None: there is none.
    """
    return Algorithm(
        init=init,
        policy=lambda learner: learner.params["actor"],
        carry=carry,
        act=act,
        update=update,
        plan=Plan(config.num_envs, config.rollout_length, rollout_buffer()),
        inspect=inspect,
        schedules=partial(_schedules, config, epsilon),
    )


def _schedules(config: AnnealingConfig, epsilon: Callable[[Clock], jax.Array] | None, clock: Clock) -> Metrics:
    """`epsilon`, where there is one, and `lr_scale`, what annealing has left of the learning rates."""
    shown = {} if epsilon is None else {"epsilon": epsilon(clock)}
    return shown | ({"lr_scale": lr_scale(config, clock)} if config.anneal_steps else {})


class ActorData(Protocol):
    """What `log_probs_of` reads of consecutive rows."""

    obs: jax.Array  # f32[T, B, A, O]
    avail: jax.Array  # bool[T, B, A, U]
    first: jax.Array  # bool[T, B]
    last_action: jax.Array  # int32[T, B, A]
    epsilon: jax.Array | None  # f32[T, B]; None: never above 0


class ActorInputs(NamedTuple):
    """The `ActorData` of all T + 1 rows of a batch, and nothing else."""

    obs: jax.Array
    avail: jax.Array
    first: jax.Array
    last_action: jax.Array
    epsilon: jax.Array | None


def actor_inputs(batch: Batch, epsilon: jax.Array) -> ActorInputs:
    """Of all rows of `batch`; `epsilon` f32[] is the share of uniform actions on the last row, not yet acted on."""
    rows = batch.aux.epsilon
    if rows is not None:
        rows = jnp.concatenate([rows, jnp.full_like(rows[:1], epsilon)])
    return ActorInputs(batch.rows.obs, batch.rows.avail, batch.first, last_actions(batch), rows)


def step_data(batch: Batch) -> dict[str, jax.Array]:
    """The T steps of `batch` as gradient steps read them, [T, B, ...] by name; `weight` is `mask`, and 0 for the dead.

    Raises:
      AttributeError: `batch.aux` is no `Aux`.
    """
    ts = batch.ts
    return {
        "obs": ts.obs,
        "state": ts.state,
        "avail": ts.avail,
        "first": batch.first[:-1],
        "last_action": last_actions(batch)[:-1],
        "action": batch.action,
        "log_prob": batch.aux.log_prob,
        "epsilon": batch.aux.epsilon,
        "mask": batch.mask,
        "weight": batch.mask[..., None] * ts.alive,
    }


def log_probs_of(
    actor: RnnAgent, params: Any, hidden0: jax.Array, data: ActorData, ids: jax.Array | None = None
) -> jax.Array:
    """f32[T, B, A, U] log-probabilities of the behaviour policy; `hidden0` f32[B, A, H] is the memory before row 0.

    `ids` are those of `RnnAgent`.
    """
    _, logits = actor.apply(params, hidden0, data.obs, data.last_action, data.first, ids)
    return behaviour_log_probs(logits, data.avail, _of_agents(data.epsilon))


def next_actions(log_probs: jax.Array, key: jax.Array) -> jax.Array:
    """int32[B, A] actions on the last row, drawn from the policy that made the batch.

    A critic of actions needs them to bootstrap from that row. On earlier rows the batch has them: even where a time
    limit cut an episode, the policy drew an action, which had no consequence.

    Args:
      log_probs: f32[T + 1, B, A, U], `log_probs_of` the `actor_inputs`.
    """
    return jax.random.categorical(key, log_probs[-1]).astype(jnp.int32)


class PolicyData(Protocol):
    """What `policy_loss` reads of T steps; all f32[T, B, A]."""

    log_prob: jax.Array  # at acting time
    advantage: jax.Array
    weight: jax.Array  # 0 for the dead and for padding


class DiscreteData(PolicyData, Protocol):
    """What `actor_loss` reads of T steps."""

    action: jax.Array  # int32[T, B, A]


def actor_loss(
    log_probs: jax.Array, data: DiscreteData, clip: float, entropy_weight: float
) -> tuple[jax.Array, Metrics]:
    """`policy_loss` of log-probabilities f32[T, B, A, U]."""
    return policy_loss(take_action(log_probs, data.action), entropy(log_probs), data, clip, entropy_weight)


def policy_loss(
    log_prob: jax.Array, entropies: jax.Array, data: PolicyData, clip: float, entropy_weight: float
) -> tuple[jax.Array, Metrics]:
    """PPO's clipped loss with an entropy bonus; the dead weigh nothing.

    Args:
      log_prob, entropies: f32[T, B, A], of the actions that were drawn and of the policies that they are drawn from.
    """
    policy = masked_mean(clipped_policy_loss(log_prob, data.log_prob, data.advantage, clip), data.weight)
    bonus = masked_mean(entropies, data.weight)
    change = log_prob - data.log_prob
    clipped = (jnp.abs(jnp.exp(change) - 1.0) > clip).astype(jnp.float32)
    metrics = {
        "actor_loss": policy,
        "entropy": bonus,
        "kl": masked_mean(jnp.exp(change) - 1.0 - change, data.weight),
        "clip_fraction": masked_mean(clipped, data.weight),
    }
    return policy - entropy_weight * bonus, metrics


def over_minibatches(
    step: Callable[[LearnerT, Any, Any], tuple[LearnerT, Metrics]],
    learner: LearnerT,
    start: Any,
    data: Any,
    key: jax.Array,
    config: EpochConfig,
) -> tuple[LearnerT, Metrics]:
    """`config.epochs` passes of `step(learner, start, data) -> (learner, metrics)`; the metrics' means.

    Each pass splits the environments at random into `config.minibatches` parts: axis 0 of `start`, axis 1 of `data`.
    """

    def one(learner, envs):
        if config.minibatches == 1:
            return step(learner, start, data)
        part = jax.tree.map(lambda x: x[envs], start), jax.tree.map(lambda x: x[:, envs], data)
        return step(learner, split_envs(part[0], 0), split_envs(part[1], 1))

    envs = jnp.broadcast_to(jnp.arange(config.num_envs), (config.epochs, config.num_envs))
    if config.minibatches > 1:
        start, data = gather_envs((start, data))
        envs = jax.random.permutation(key, envs, axis=1, independent=True)
    learner, metrics = jax.lax.scan(one, learner, envs.reshape(config.epochs * config.minibatches, -1))
    return learner, jax.tree.map(lambda x: x.mean(0), metrics)
