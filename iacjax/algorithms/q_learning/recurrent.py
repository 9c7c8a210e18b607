"""IQL, VDN and QMIX with recurrent agents that learn from sequences, as PyMARL's. QTRAN shares the agents.

| PyMARL                                          | here                                                        |
|-------------------------------------------------|-------------------------------------------------------------|
| agent: FC-ReLU-GRU-FC of obs, last action, id   | `networks.rnn_agent.RnnAgent`                             |
| replay of whole episodes                        | `buffers.sequences`                                         |
| r + gamma Q_tot'(s', best by the online agents) | `td_targets`, with td_lambda 0                                |
| PyMARL2's TD(lambda) target                     | `td_targets`, its lambda-returns of the target nets' values   |

The sequence is unrolled once with the online and once with the target parameters, over all of its rows: the last one,
an episode's end included, is only bootstrapped from. A dead agent continues with its only legal action, whose value
takes part in the mixing, as in PyMARL; no other value of dead agents reaches a loss. Squares are as in PyMARL; PyMARL2
halves them.
"""

import math
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from envs.base import ConfigError, EnvSpec, TimeStep
from iacjax.algorithms.common.config import updates_per_iteration
from iacjax.algorithms.common.exploration import epsilon_at, epsilon_greedy, greedy_actions
from iacjax.algorithms.common.optimizer_step import make_optimizer
from iacjax.algorithms.common.returns import batch_returns
from iacjax.algorithms.common.rnn import RnnCarry, init_agents, last_actions, start_carry, step_agents
from iacjax.algorithms.q_learning.blocks import BLOCK, scan_used, used_rows
from iacjax.algorithms.q_learning.common import Learner, Networks, descend, mix, schedules, start_learner
from iacjax.algorithms.q_learning.config import QmixConfig
from iacjax.buffers import sequence_buffer
from iacjax.distributions import take_action
from iacjax.networks.mixing import QMixer
from iacjax.networks.rnn_agent import RnnAgent
from iacjax.types import Algorithm, Batch, Clock, Metrics, Plan, ReplayBuffer, masked_mean


def make(spec: EnvSpec, config: QmixConfig) -> Algorithm:
    """Builds recurrent IQL, VDN or QMIX, as `config.mixer` chooses.

    Raises:
      ConfigError: choices that do not go together, or a replay too small for its sequences.
    """
    config.check_choices()
    nets = build(spec, config, QMixer(config.mixer_dim, config.hyper_dim, config.mixer_layers, config.mixer_scale))
    return make_algorithm(nets, init, update, inspect)


def build(spec: EnvSpec, config: QmixConfig, mixer: Any) -> Networks:
    """The agents and the optimiser, around this mixer."""
    # At 0.01, where a policy's last layer starts, little of the first gradients would reach the memory.
    agents = RnnAgent(config.hidden_dim, spec.action.num_actions, config.share_agents, out_scale=0.5)
    return Networks(spec, config, agents, mixer, make_optimizer(config.optimizer, config.lr, config.max_grad_norm))


def make_algorithm(nets: Networks, init: Callable, update: Callable, inspect: Callable) -> Algorithm:
    """An algorithm of these functions, which take `nets` first; acting and replay do not depend on the mixing."""
    c = nets.config
    buffer, rows = _replay(nets)
    return Algorithm(
        init=partial(init, nets),
        policy=lambda learner: {"agents": learner.params["agents"]},
        carry=lambda num_envs: start_carry(num_envs, nets.spec.num_agents, c.hidden_dim),
        act=partial(act, nets),
        update=partial(update, nets),
        plan=Plan(
            c.num_envs,
            c.rollout_length,
            buffer,
            updates_per_iteration(c.updates_per_step, c.num_envs, c.rollout_length),
            max(c.warmup, c.num_envs * rows),  # from then on a whole window is kept
        ),
        inspect=partial(inspect, nets),
        schedules=partial(schedules, c),
    )


def _replay(nets: Networks) -> tuple[ReplayBuffer, int]:
    """The replay, and the rows of its windows.

    Sequences begin with an episode: with shorter ones the ends of long episodes would be bootstrapped from but
    never learned, and their values would diverge.
    """
    c = nets.config
    rows = c.window or nets.spec.horizon + 1
    if rows <= nets.spec.horizon:
        raise ConfigError(f"--window {rows} cuts episodes of up to {nets.spec.horizon} steps: give 0, or more rows")
    lanes = math.ceil(c.batch_size / 2) if c.whole_episodes else 0  # two episodes in each
    buffer = sequence_buffer(
        c.buffer_size, c.batch_size, rows, c.num_envs, c.rollout_length, nets.spec.horizon,
        nets.spec.state_is_obs, c.storage, c.whole_episodes, lanes, BLOCK,
    )  # fmt: skip
    return buffer, rows


def init(nets: Networks, key: jax.Array) -> Learner:
    """The learner before its first update."""
    k_agents, k_mixer = jax.random.split(key)
    params = {"agents": init_agents(nets.agents, k_agents, nets.spec), "mixer": {}}
    if nets.config.mixer == "qmix":
        params["mixer"] = nets.mixer.init(
            k_mixer, jnp.zeros((1, nets.spec.num_agents)), jnp.zeros((1, nets.spec.state_dim))
        )
    return start_learner(nets, params)


def act(
    nets: Networks,
    params: Any,
    carry: RnnCarry,
    timestep: TimeStep,
    first: jax.Array,
    key: jax.Array,
    clock: Clock,
    explore: bool,
) -> tuple[RnnCarry, jax.Array, tuple[()]]:
    """Greedy over legal actions, or epsilon-greedy, agent by agent (see `Algorithm.act`)."""
    hidden, q = step_agents(nets.agents, params["agents"], carry, timestep, first)
    action = greedy_actions(q, timestep.avail)
    if explore:
        action = epsilon_greedy(action, timestep.avail, epsilon_at(nets.config, clock), key)
    return RnnCarry(hidden, action), action, ()


def with_carry(nets: Networks, batch: Batch) -> Batch:
    """The batch with the memory of its first row: empty for the replay's windows, which begin with an episode."""
    empty = start_carry(batch.mask.shape[1], nets.spec.num_agents, nets.config.hidden_dim)
    return batch._replace(carry0=batch.carry0 or empty)


def unroll(nets: Networks, agents: Any, batch: Batch, used: jax.Array | None = None) -> tuple[jax.Array, jax.Array]:
    """(values f32[T + 1, B, A, U], memories after each row f32[T + 1, B, A, H]) of all rows of a batch with carry.

    Rows far behind the first `used` int32[] (None: all) are left out (`scan_used`).
    """

    def block(hidden, rows):
        (hidden, q), seen = nets.agents.apply(agents, hidden, *rows, mutable=["intermediates"])
        return hidden, (q, jax.tree.leaves(seen)[0])

    rows = batch.rows.obs, last_actions(batch), batch.first
    return scan_used(block, batch.carry0.hidden, rows, used)[1]


def with_last(action: jax.Array) -> jax.Array:
    """int32[T, B, A] -> int32[T + 1, B, A]: action 0 in the last row, which has none."""
    return jnp.pad(action, [(0, 1), (0, 0), (0, 0)])


def mix_used(nets: Networks, params: dict[str, Any], q: jax.Array, state: jax.Array, used: jax.Array) -> jax.Array:
    """`common.mix` of all rows, f32[R, B, A] -> f32[R, B, K]; 0 far behind the first `used`."""
    return scan_used(lambda _, rows: ((), mix(nets, params, *rows)), (), (q, state), used)[1]


def td_targets(nets: Networks, target: dict[str, Any], batch: Batch, online_q: jax.Array) -> jax.Array:
    """lambda-returns f32[T, B, K] of the target nets' value of the greedy actions (`batch_returns`; K: see `mix`)."""
    used = used_rows(batch.mask)
    q = unroll(nets, target["agents"], batch, used)[0]
    best = greedy_actions(online_q if nets.config.double_q else q, batch.rows.avail)
    value = mix_used(nets, target, take_action(q, best), batch.rows.state, used)[1:]
    return batch_returns(nets.config, batch, nets.config.reward_scale * batch.next.reward, value)


def loss(nets: Networks, params: dict[str, Any], target: dict[str, Any], batch: Batch) -> tuple[jax.Array, Metrics]:
    """Mean of (y - Q_tot)^2 over the steps in which an action was taken; `batch` with carry."""
    used = used_rows(batch.mask)
    q = unroll(nets, params["agents"], batch, used)[0]
    team = mix_used(nets, params, take_action(q, with_last(batch.action)), batch.rows.state, used)[:-1]
    y = jax.lax.stop_gradient(td_targets(nets, target, batch, q))
    mask = batch.mask[..., None]
    metrics = {"q_tot": masked_mean(team, mask), "target": masked_mean(y, mask)}
    return masked_mean((y - team) ** 2, mask), metrics


def update(nets: Networks, learner: Learner, batch: Batch, key: jax.Array, clock: Clock) -> tuple[Learner, Metrics]:
    return descend(nets, learner, partial(loss, nets, target=learner.target, batch=with_carry(nets, batch)))


def inspect(nets: Networks, learner: Learner, batch: Batch) -> dict[str, jax.Array]:
    """For a batch's own actions: the team's value `q` f32[T, B] (IQL: mean over agents), the agents' `individual`
    values f32[T, B, A]; and `value` f32[T, B], the team's value of the greedy actions."""
    params, state = learner.params, batch.ts.state
    q = unroll(nets, params["agents"], with_carry(nets, batch))[0][:-1]
    individual = take_action(q, batch.action)
    best = take_action(q, greedy_actions(q, batch.ts.avail))
    return {
        "q": mix(nets, params, individual, state).mean(-1),
        "individual": individual,
        "value": mix(nets, params, best, state).mean(-1),
    }
