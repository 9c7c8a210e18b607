"""IPPO (de Witt et al. 2020) and MAPPO (Yu et al. 2022): clipped policy gradients, one learner for both.

Every agent has a value V_i of the team's reward, and GAE's advantage from it; what V_i reads is the one choice
(`critic_input`). Actor and critic are nets of their own with optimisers of their own, as in both papers.

| part                                        | where                                    |
|---------------------------------------------|------------------------------------------|
| clipped policy loss, entropy bonus          | `on_policy.actor_loss`                   |
| clipped value loss, Huber (Yu et al., 5.1)  | `losses.value.clipped_value_loss`        |
| GAE(lambda)                                 | `on_policy.returns` less the value       |
| value normalisation (Yu et al., 5.1)        | `losses.normaliser`                      |

The dead weigh nothing in the policy loss and in the normalisation of advantages. The critic trains on, for dead agents
too, to the end of the episode, since the returns of an agent's last steps pass those values. So do the published
StarCraft scripts: their --use_value_active_masks switches the masking of the value loss OFF.

What differs from the published code (github.com/marlbenchmark/on-policy). It cuts a rollout into chunks of 10 steps;
here gradients go back to the rollout's first row, and minibatches are split over environments. Its nets have two layers
before the GRU, ours one; with `layer_norm` (preset `paper`) they have its LayerNorms, of the inputs, after each layer
and after the GRU, but the state and the own observations of a critic are normalised apart. Its value normaliser moves
at every gradient step, ours once a batch; the preset's `value_norm_decay` is that of so many steps. Its
advantages are normalised with 1e-5 beside the deviation, ours with 1e-8 under the root.

A critic's memory is a function of what an episode showed: that of the rollout's first row stays in the learner, and an
update unrolls it over the batch with the parameters that valued it.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from envs.base import EnvSpec
from iacjax.algorithms.common.actor_critic import (
    actor_loss,
    annealed,
    apply_gradients,
    assemble,
    last_actions,
    over_minibatches,
    returns,
)
from iacjax.algorithms.common.optimizer_step import make_optimizer
from iacjax.algorithms.ppo.config import PpoConfig
from iacjax.losses.policy import normalise
from iacjax.losses.value import clipped_value_loss
from iacjax.losses.value_norm import RunningNorm, denormalised, init_norm, normalised, update_norm
from iacjax.networks.actor import RecurrentActor
from iacjax.networks.recurrent_critic import RecurrentCritic
from iacjax.types import Algorithm, Batch, Clock, Metrics, masked_mean


class Learner(NamedTuple):
    """`params` and `opt` have the keys actor and critic."""

    params: dict[str, Any]
    opt: dict[str, Any]
    norm: RunningNorm
    critic_hidden: jax.Array | tuple[()]  # f32[E, A, H] with which the next batch's row 0 is valued; () without memory


class Sequences(NamedTuple):
    """What gradient steps read, of B lanes over T steps."""

    obs: jax.Array  # f32[T, B, A, O]
    state: jax.Array  # f32[T, B, X]
    avail: jax.Array  # bool[T, B, A, U]
    first: jax.Array  # bool[T, B]
    last_action: jax.Array  # int32[T, B, A]
    action: jax.Array  # int32[T, B, A]
    log_prob: jax.Array  # f32[T, B, A] at acting time
    epsilon: jax.Array  # f32[T, B], 0
    mask: jax.Array  # f32[T, B]
    weight: jax.Array  # f32[T, B, A]: mask, and 0 for the dead
    advantage: jax.Array  # f32[T, B, A]
    value: jax.Array  # f32[T, B, A] before the update, as the critic predicts
    returns: jax.Array  # f32[T, B, A], normalised as the critic predicts


class Family(NamedTuple):
    """The networks and optimisers of IPPO or MAPPO."""

    spec: EnvSpec
    config: PpoConfig
    actor: RecurrentActor
    critic: RecurrentCritic
    optimizers: dict[str, optax.GradientTransformation]


def build(spec: EnvSpec, config: PpoConfig) -> Family:
    """The nets and optimisers that `config` chooses; ConfigError where minibatches do not divide the environments."""
    c, num_actions = config, spec.action.num_actions
    config.check_choices()
    rates = {"actor": c.lr, "critic": c.critic_lr}
    return Family(
        spec,
        config,
        actor=RecurrentActor(c.hidden_dim, num_actions, c.shared_actor, layer_norm=c.layer_norm),
        critic=RecurrentCritic(c.critic_dim, num_actions, c.critic_input, c.critic_memory, c.layer_norm),
        optimizers={name: make_optimizer(c.optimizer, rate, c.max_grad_norm) for name, rate in rates.items()},
    )


def make(spec: EnvSpec, config: PpoConfig) -> Algorithm:
    """Builds IPPO or MAPPO, as `config` chooses."""
    f = build(spec, config)
    return assemble(f, partial(_init, f), partial(_update, f), partial(_inspect, f))


def _init(f: Family, key: jax.Array) -> Learner:
    k_actor, k_critic = jax.random.split(key)
    c, num_agents = f.config, f.spec.num_agents
    obs, state = jnp.zeros((1, 1, num_agents, f.spec.obs_dim)), jnp.zeros((1, 1, f.spec.state_dim))
    action, first = jnp.zeros((1, 1, num_agents), jnp.int32), jnp.zeros((1, 1), bool)
    hidden = jnp.zeros((1, num_agents, c.hidden_dim))
    params = {
        "actor": f.actor.init(k_actor, hidden, obs, action, first),
        "critic": f.critic.init(k_critic, _start_hidden(c, 1, num_agents), state, obs, action, first),
    }
    return Learner(
        params=params,
        opt={name: f.optimizers[name].init(tree) for name, tree in params.items()},
        norm=init_norm(),
        critic_hidden=_start_hidden(c, c.num_envs, num_agents),
    )


def values_of(f: Family, learner: Learner, batch: Batch, hidden0: Any) -> tuple[jax.Array, Any]:
    """(values f32[T + 1, B, A] as the critic predicts them, its memory before the last row); `hidden0` before row 0."""
    rows, params = batch.rows, learner.params["critic"]
    inputs = rows.state, rows.obs, last_actions(batch), batch.first
    hidden, values = f.critic.apply(params, hidden0, *(x[:-1] for x in inputs))
    _, last = f.critic.apply(params, hidden, *(x[-1:] for x in inputs))
    return jnp.concatenate([values, last]), hidden


def _start_hidden(c: PpoConfig, num_envs: int, num_agents: int) -> Any:
    return jnp.zeros((num_envs, num_agents, c.critic_dim), jnp.float32) if c.critic_memory else ()


def _sequences(f: Family, learner: Learner, batch: Batch, raw: jax.Array) -> tuple[Sequences, Learner]:
    """The data of the gradient steps, and the learner with the returns taken into its normaliser.

    `raw` are `values_of` the rows.
    """
    ts, weight = batch.ts, batch.mask[..., None] * batch.ts.alive
    values = _values(f, learner, raw)
    target = returns(f, batch, batch.next.reward, values[1:])
    advantage = normalise(target - values[:-1], weight)
    if f.config.value_norm:
        learner = learner._replace(
            norm=update_norm(learner.norm, target, batch.mask[..., None], f.config.value_norm_decay)
        )
        target = normalised(learner.norm, target)
    seq = Sequences(
        ts.obs, ts.state, ts.avail, batch.first[:-1], last_actions(batch)[:-1], batch.action, batch.aux.log_prob,
        batch.aux.epsilon, batch.mask, weight, advantage, raw[:-1], target,
    )  # fmt: skip
    return seq, learner


def critic_loss(f: Family, critic_params: Any, hidden0: jax.Array, seq: Sequences) -> tuple[jax.Array, Metrics]:
    """The clipped value loss, to the episode's end, for dead agents too."""
    _, value = f.critic.apply(critic_params, hidden0, seq.state, seq.obs, seq.last_action, seq.first)
    loss = clipped_value_loss(value, seq.value, seq.returns, f.config.value_clip, f.config.huber_delta)
    loss = masked_mean(loss, seq.mask[..., None])
    return loss, {"critic_loss": loss}


def _update(f: Family, learner: Learner, batch: Batch, key: jax.Array, clock: Clock) -> tuple[Learner, Metrics]:
    """One batch: advantages at the parameters that acted, then the epochs of actor and critic."""
    scale = annealed(f.config, clock)
    raw, critic_hidden = values_of(f, learner, batch, learner.critic_hidden)
    value = masked_mean(_values(f, learner, raw[:-1]), batch.mask[..., None])
    seq, learner = _sequences(f, learner, batch, raw)

    def loss(params, hidden, seq):
        of_actor, metrics = actor_loss(f, params["actor"], hidden["actor"], seq)
        of_critic, more = critic_loss(f, params["critic"], hidden["critic"], seq)
        return of_actor + of_critic, metrics | more  # they share no parameter

    def step(learner, hidden, seq):
        grads, metrics = jax.grad(loss, has_aux=True)(learner.params, hidden, seq)
        return apply_gradients(f, learner, grads, scale), metrics

    hidden0 = {"actor": batch.carry0.hidden, "critic": learner.critic_hidden}
    learner, metrics = over_minibatches(step, learner, hidden0, seq, key, f.config)
    return learner._replace(critic_hidden=critic_hidden), metrics | {"value": value}


def _values(f: Family, learner: Learner, raw: jax.Array) -> jax.Array:
    """What the critic predicts, in units of reward."""
    return denormalised(learner.norm, raw) if f.config.value_norm else raw


def _inspect(f: Family, learner: Learner, batch: Batch) -> dict[str, jax.Array]:
    """The team's value f32[T, B], the mean of its agents'; another number of lanes than E must open episodes."""
    num_envs, num_agents = batch.action.shape[1:]
    same = num_envs == f.config.num_envs
    hidden = learner.critic_hidden if same else _start_hidden(f.config, num_envs, num_agents)
    raw, _ = values_of(f, learner, batch, hidden)
    return {"value": _values(f, learner, raw[:-1]).mean(-1)}
