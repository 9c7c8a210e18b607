"""IQL, VDN and QMIX with recurrent agents that learn from sequences, as PyMARL's; QTRAN has its agents from here.

| PyMARL                                          | here                                                        |
|-------------------------------------------------|-------------------------------------------------------------|
| agent: FC-ReLU-GRU-FC of obs, last action, id   | `networks.actor.RecurrentActor`                             |
| replay of whole episodes                        | `buffers.sequences`                                         |
| r + gamma Q_tot'(s', best by the online agents) | `_targets`, with td_lambda 0                                |
| PyMARL2's TD(lambda) target                     | `_targets`, its lambda-returns of the target nets' values   |

The sequence is unrolled once with the online and once with the target parameters, over all of its rows: the last one,
an episode's end included, is only bootstrapped from. A dead agent goes on with its only legal action, whose value takes
part in the mixing, as in PyMARL; no other value of the dead reaches a loss. Squares are PyMARL's; PyMARL2 halves them.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from envs.base import ConfigError, EnvSpec, TimeStep
from iacjax.algorithms.common.actor_critic import Carry, epsilon_at, last_actions, returns, start_carry
from iacjax.algorithms.common.config import updates_per_iteration
from iacjax.algorithms.common.optimizer_step import make_optimizer
from iacjax.algorithms.q_learning.common import (
    Family,
    Learner,
    descend,
    explore_from,
    greedy_actions,
    mix,
    schedules,
    start_learner,
)
from iacjax.algorithms.q_learning.config import QmixConfig
from iacjax.buffers import sequence_buffer
from iacjax.distributions import take_action
from iacjax.networks.actor import RecurrentActor
from iacjax.networks.mixing import QMixer
from iacjax.types import Algorithm, Batch, Clock, Metrics, Plan, Store, masked_mean


def make(spec: EnvSpec, config: QmixConfig) -> Algorithm:
    """Builds recurrent IQL, VDN or QMIX, as `config.mixer` chooses.

    Raises:
      ConfigError: choices that do not go together, or a replay too small for its sequences.
    """
    config.check_choices()
    f = build(spec, config, QMixer(config.mixer_dim, config.hyper_dim, config.mixer_layers, config.mixer_scale))
    return assemble(f, partial(_init, f), partial(_update, f), partial(_inspect, f))


def build(spec: EnvSpec, config: QmixConfig, mixer: Any) -> Family:
    """The agents and the optimiser, around this mixer."""
    # At 0.01, where a policy's last layer starts, little of the first gradients would reach the memory.
    agents = RecurrentActor(config.hidden_dim, spec.action.num_actions, config.share_agents, out_scale=0.5)
    return Family(spec, config, agents, mixer, make_optimizer(config.optimizer, config.lr, config.max_grad_norm))


def assemble(f: Family, init: Any, update: Any, inspect: Any) -> Algorithm:
    """The algorithm of these functions; acting, memory and replay are the same whatever the values are mixed by."""
    c = f.config
    store, rows = _store(f)
    return Algorithm(
        init=init,
        policy=lambda learner: {"agents": learner.params["agents"]},
        carry=lambda num_envs: start_carry(num_envs, f.spec.num_agents, c.hidden_dim),
        act=partial(act, f),
        update=update,
        plan=Plan(
            c.num_envs,
            c.rollout_length,
            store,
            updates_per_iteration(c.updates_per_step, c.num_envs, c.rollout_length),
            max(c.warmup, c.num_envs * rows),  # from when on there is a whole window
        ),
        inspect=inspect,
        schedules=partial(schedules, c),
    )


def _store(f: Family) -> tuple[Store, int]:
    """The replay, and the rows of its windows.

    Sequences open with an episode: what a shorter one leaves out of every long episode would be bootstrapped from and
    never learned, and its values would run away.
    """
    c = f.config
    rows = c.window or f.spec.horizon + 1
    if rows <= f.spec.horizon:
        raise ConfigError(f"--window {rows} cuts episodes of up to {f.spec.horizon} steps: give 0, or more rows")
    store = sequence_buffer(
        c.buffer_size, c.batch_size, rows, c.num_envs, c.rollout_length, f.spec.horizon,
        f.spec.state_is_obs, c.storage, c.whole_episodes,
    )  # fmt: skip
    return store, rows


def init_agents(f: Family, key: jax.Array) -> Any:
    """The agents' first parameters."""
    agents = f.spec.num_agents
    hidden, obs = jnp.zeros((1, agents, f.config.hidden_dim)), jnp.zeros((1, 1, agents, f.spec.obs_dim))
    return f.agents.init(key, hidden, obs, jnp.zeros((1, 1, agents), jnp.int32), jnp.zeros((1, 1), bool))


def _init(f: Family, key: jax.Array) -> Learner:
    k_agents, k_mixer = jax.random.split(key)
    params = {"agents": init_agents(f, k_agents), "mixer": {}}
    if f.config.mixer == "qmix":
        params["mixer"] = f.mixer.init(k_mixer, jnp.zeros((1, f.spec.num_agents)), jnp.zeros((1, f.spec.state_dim)))
    return start_learner(f, params)


def act(
    f: Family,
    policy: Any,
    carry: Carry,
    timestep: TimeStep,
    first: jax.Array,
    key: jax.Array,
    clock: Clock,
    explore: bool,
) -> tuple[Carry, jax.Array, tuple[()]]:
    """Greedy over legal actions, or epsilon-greedy, agent by agent (see `Algorithm.act`)."""
    last_action = jnp.where(first[:, None], -1, carry.last_action)
    hidden, q = f.agents.apply(policy["agents"], carry.hidden, timestep.obs[None], last_action[None], first[None])
    action = greedy_actions(q[0], timestep.avail)
    if explore:
        action = explore_from(action, timestep.avail, epsilon_at(f.config, clock), key)
    return Carry(hidden, action), action, ()


def with_carry(f: Family, batch: Batch) -> Batch:
    """The batch with the memory of its first row: empty for the replay's windows, which open with an episode."""
    empty = start_carry(batch.mask.shape[1], f.spec.num_agents, f.config.hidden_dim)
    return batch._replace(carry0=batch.carry0 or empty)


def unroll(f: Family, agents: Any, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """(values f32[T + 1, B, A, U], memories after each row f32[T + 1, B, A, H]) of all rows of a batch with carry."""
    inputs = batch.carry0.hidden, batch.rows.obs, last_actions(batch), batch.first
    (_, q), seen = f.agents.apply(agents, *inputs, mutable=["intermediates"])
    return q, jax.tree.leaves(seen)[0]


def _targets(f: Family, target: dict[str, Any], batch: Batch, online_q: jax.Array) -> jax.Array:
    """lambda-returns f32[T, B, K] of the target nets' value of the greedy actions (`returns`; K: see `mix`)."""
    q = unroll(f, target["agents"], batch)[0][1:]
    best = greedy_actions(online_q[1:] if f.config.double_q else q, batch.next.avail)
    value = mix(f, target, take_action(q, best), batch.next.state)
    return returns(f, batch, f.config.reward_scale * batch.next.reward, value)


def loss(f: Family, params: dict[str, Any], target: dict[str, Any], batch: Batch) -> tuple[jax.Array, Metrics]:
    """Mean of (y - Q_tot)^2 over the steps in which an action was taken; `batch` with carry."""
    q = unroll(f, params["agents"], batch)[0]
    team = mix(f, params, take_action(q[:-1], batch.action), batch.ts.state)
    y = jax.lax.stop_gradient(_targets(f, target, batch, q))
    mask = batch.mask[..., None]
    metrics = {"q_tot": masked_mean(team, mask), "target": masked_mean(y, mask)}
    return masked_mean((y - team) ** 2, mask), metrics


def _update(f: Family, learner: Learner, batch: Batch, key: jax.Array, clock: Clock) -> tuple[Learner, Metrics]:
    return descend(f, learner, partial(loss, f, target=learner.target, batch=with_carry(f, batch)))


def _inspect(f: Family, learner: Learner, batch: Batch) -> dict[str, jax.Array]:
    """For a batch's own actions: the team's value `q` f32[T, B] (IQL: mean over agents), the agents' `individual`
    values f32[T, B, A]; and `value` f32[T, B], the team's value of the greedy actions."""
    params, state = learner.params, batch.ts.state
    q = unroll(f, params["agents"], with_carry(f, batch))[0][:-1]
    individual = take_action(q, batch.action)
    best = take_action(q, greedy_actions(q, batch.ts.avail))
    return {
        "q": mix(f, params, individual, state).mean(-1),
        "individual": individual,
        "value": mix(f, params, best, state).mean(-1),
    }
