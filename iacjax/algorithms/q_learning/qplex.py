"""QPLEX (Wang et al. 2021, "QPLEX: Duplex Dueling Multi-Agent Q-Learning"): any value whose best action is the agents'.

The agents, their memory, acting, exploration and the replay are `recurrent.py`'s.

| part                                                                       | where                                  |
|----------------------------------------------------------------------------|----------------------------------------|
| Q_tot(s, u) = sum_i V_i^T + sum_i lambda_i(s, u) A_i: the transformation   | `networks.duplex_mixing.DuplexMixer`   |
| (V_i^T, A_i) and the duelling mixing network (their sums)                  |                                        |
| V_i = max_u Q_i over the legal actions, a constant                         | `team_values`                          |
| y = r + gamma Q_tot'(s', u*), u* best by the online agents (double_q)      | `targets`, with td_lambda 0            |
| mean of (y - Q_tot)^2                                                      | `loss`                                 |

What differs from the official code (github.com/wjh720/QPLEX, mixer `dmaq`):

| official                                                       | here                                                |
|----------------------------------------------------------------|-----------------------------------------------------|
| its StarCraft results: w_i and b by Qatten's attention over    | w_i and b_i by a network of the state, as its       |
| the units' features in the state, a part of SMAC's state       | `qplex_sc2`: states here are any vectors            |
| each kernel of lambda has networks of its own                  | the same with one layer (`advantage_layers` 1);     |
|                                                                | with more, kernels share the hidden ones            |
| without double Q: the sum of V_i^T                             | the same, since A_i is 0                            |
| one update per episode (two where it sets num_circle=2);       | `updates_per_step`; copied every so many updates    |
| targets are copied every 200 episodes                          | (`target_every`)                                    |
| initial weights and biases uniform in +-1 / root of fan_in,    | agents' layers orthogonal, the GRU's inputs and the |
| PyTorch's                                                      | mixer lecun-normal; biases 0                        |

A dead agent has one legal action, whose A_i is 0: lambda_i does not matter there, and its Q_i takes part in the first
sum, as in the official code.
"""

from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from envs.base import EnvSpec
from iacjax.algorithms.common.exploration import greedy_actions
from iacjax.algorithms.common.returns import batch_returns
from iacjax.algorithms.common.rnn import init_agents
from iacjax.algorithms.q_learning.blocks import scan_used, used_rows
from iacjax.algorithms.q_learning.common import Learner, Networks, descend, start_learner
from iacjax.algorithms.q_learning.config import QplexConfig
from iacjax.algorithms.q_learning.recurrent import build, make_algorithm, unroll, with_carry, with_last
from iacjax.distributions import take_action
from iacjax.networks.duplex_mixing import DuplexMixer
from iacjax.types import Algorithm, Batch, Clock, Metrics, masked_mean


def make(spec: EnvSpec, config: QplexConfig) -> Algorithm:
    """Builds QPLEX.

    Raises:
      ConfigError: agents without memory, or a replay too small for its sequences.
    """
    config.check_choices()
    return make_algorithm(build_networks(spec, config), init, update, inspect)


def build_networks(spec: EnvSpec, config: QplexConfig) -> Networks:
    """The agents, and the duplex duelling mixer."""
    c = config
    mixer = DuplexMixer(
        spec.action.num_actions,
        c.kernels,
        c.hyper_dim,
        c.mixer_layers,
        c.advantage_dim,
        c.advantage_layers,
        c.mixer_scale,
    )
    return build(spec, config, mixer)


def init(nets: Networks, key: jax.Array) -> Learner:
    """The learner before its first update."""
    k_agents, k_mixer = jax.random.split(key)
    q = jnp.zeros((1, nets.spec.num_agents))
    mixer = nets.mixer.init(k_mixer, q, q, jnp.zeros(q.shape, jnp.int32), jnp.zeros((1, nets.spec.state_dim)))
    return start_learner(nets, {"agents": init_agents(nets.agents, k_agents, nets.spec), "mixer": mixer})


def team_values(
    nets: Networks, params: dict[str, Any], q: jax.Array, action: jax.Array, batch: Batch, used: jax.Array | None
) -> jax.Array:
    """Q_tot f32[T + 1, B] of `action` int32[T + 1, B, A] in all rows, 0 far behind the first `used` (None: all).

    Args:
      q: f32[T + 1, B, A, U], the agents' values.
    """
    rows = batch.rows
    best = jax.lax.stop_gradient(take_action(q, greedy_actions(q, rows.avail)))
    inputs = take_action(q, action), best, action, rows.state
    return scan_used(lambda _, rows: ((), nets.mixer.apply(params["mixer"], *rows)), (), inputs, used)[1]


def targets(nets: Networks, target: dict[str, Any], batch: Batch, online_q: jax.Array) -> jax.Array:
    """lambda-returns f32[T, B] of the target nets' value of the greedy actions (`batch_returns`)."""
    used = used_rows(batch.mask)
    q = unroll(nets, target["agents"], batch, used)[0]
    best = greedy_actions(online_q if nets.config.double_q else q, batch.rows.avail)
    value = team_values(nets, target, q, best, batch, used)[1:]
    return batch_returns(nets.config, batch, nets.config.reward_scale * batch.next.reward, value)


def loss(nets: Networks, params: dict[str, Any], target: dict[str, Any], batch: Batch) -> tuple[jax.Array, Metrics]:
    """Mean of (y - Q_tot)^2 over the steps in which an action was taken; `batch` with carry."""
    used = used_rows(batch.mask)
    q = unroll(nets, params["agents"], batch, used)[0]
    team = team_values(nets, params, q, with_last(batch.action), batch, used)[:-1]
    y = jax.lax.stop_gradient(targets(nets, target, batch, q))
    metrics = {"q_tot": masked_mean(team, batch.mask), "target": masked_mean(y, batch.mask)}
    return masked_mean((y - team) ** 2, batch.mask), metrics


def update(nets: Networks, learner: Learner, batch: Batch, key: jax.Array, clock: Clock) -> tuple[Learner, Metrics]:
    return descend(nets, learner, partial(loss, nets, target=learner.target, batch=with_carry(nets, batch)))


def inspect(nets: Networks, learner: Learner, batch: Batch) -> dict[str, jax.Array]:
    """For a batch's own actions: Q_tot `q` f32[T, B] and the agents' `individual` values f32[T, B, A]; and `value`
    f32[T, B], Q_tot of the greedy actions."""
    q = unroll(nets, learner.params["agents"], with_carry(nets, batch))[0]
    team = partial(team_values, nets, learner.params, q, batch=batch, used=None)
    return {
        "q": team(with_last(batch.action))[:-1],
        "individual": take_action(q[:-1], batch.action),
        "value": team(greedy_actions(q, batch.rows.avail))[:-1],
    }
