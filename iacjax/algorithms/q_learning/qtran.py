"""QTRAN-base (Son et al. 2019; PyMARL's `qtran_learner`): any joint value, and individual ones with its best action.

The agents, their memory, acting, exploration and the replay are `recurrent.py`'s. Beside them stands a joint value
Q_jt(s, u) that no structure limits, and V_jt(s), the gap between it and the sum of the agents' values.

| loss   | what it asks for                                                        | here              |
|--------|-------------------------------------------------------------------------|-------------------|
| L_td   | Q_jt(s, u) = r + gamma Q_jt'(s', u*'), u* the agents' greedy actions    | `losses`, `td`    |
| L_opt  | sum_i Q_i(u*_i) - Q_jt(s, u*) + V_jt(s) = 0                             | `losses`, `opt`   |
| L_nopt | sum_i Q_i(u_i) - Q_jt(s, u) + V_jt(s) >= 0                              | `losses`, `nopt`  |

Q_jt is a constant in L_opt and L_nopt. As in PyMARL it reads the agents' memories, through which L_td trains the
agents' networks as well. With `td_lambda` L_td takes lambda-returns.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

from envs.base import EnvSpec
from iacjax.algorithms.common.exploration import greedy_actions
from iacjax.algorithms.common.returns import batch_returns
from iacjax.algorithms.common.rnn import init_agents
from iacjax.algorithms.q_learning.blocks import scan_used, used_rows
from iacjax.algorithms.q_learning.common import Learner, Networks, descend, start_learner
from iacjax.algorithms.q_learning.config import QtranConfig
from iacjax.algorithms.q_learning.recurrent import build, make_algorithm, unroll, with_carry, with_last
from iacjax.distributions import take_action
from iacjax.networks.joint_value import JointValue
from iacjax.types import Algorithm, Batch, Clock, Metrics, masked_mean


def make(spec: EnvSpec, config: QtranConfig) -> Algorithm:
    """Builds QTRAN-base.

    Raises:
      ConfigError: agents without memory, or a replay too small for its sequences.
    """
    config.check_choices()
    return make_algorithm(build_networks(spec, config), init, update, inspect)


def build_networks(spec: EnvSpec, config: QtranConfig) -> Networks:
    """The agents, and the joint value in the mixer's place."""
    return build(spec, config, JointValue(config.mixer_dim, spec.action.num_actions))


def init(nets: Networks, key: jax.Array) -> Learner:
    """The learner before its first update."""
    k_agents, k_joint = jax.random.split(key)
    agents = nets.spec.num_agents
    hidden, action = jnp.zeros((1, agents, nets.config.hidden_dim)), jnp.zeros((1, agents), jnp.int32)
    joint = nets.mixer.init(k_joint, hidden, action, jnp.zeros((1, nets.spec.state_dim)))
    return start_learner(nets, {"agents": init_agents(nets.agents, k_agents, nets.spec), "mixer": joint})


class Losses(NamedTuple):
    """The three of one step each, f32[T, B], before masks and weights."""

    td: jax.Array
    opt: jax.Array
    nopt: jax.Array


def losses_of(
    joint: jax.Array, target: jax.Array, best: jax.Array, value: jax.Array, chosen: jax.Array, greedy: jax.Array
) -> Losses:
    """The squared errors; all f32[...].

    Args:
      joint: Q_jt(s, u) of the actions taken.
      target: what it should be, a constant.
      best: Q_jt(s, u*) of the agents' greedy actions.
      value: V_jt(s).
      chosen: the sum of the agents' values of the actions taken.
      greedy: the sum of their values of their greedy actions.
    """
    fixed = jax.lax.stop_gradient
    return Losses(
        td=(joint - fixed(target)) ** 2,
        opt=(greedy - fixed(best) + value) ** 2,
        nopt=jnp.minimum(chosen - fixed(joint) + value, 0.0) ** 2,
    )


def _joint(
    nets: Networks, params: dict[str, Any], hidden: jax.Array, action: jax.Array, batch: Batch, used: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Q_jt and V_jt of all rows, f32[T + 1, B]; 0 far behind the first `used`. `action` int32[T + 1, B, A]."""
    rows = hidden, action, batch.rows.state
    return scan_used(lambda _, rows: ((), nets.mixer.apply(params["mixer"], *rows)), (), rows, used)[1]


def _targets(nets: Networks, target: dict[str, Any], batch: Batch, online_best: jax.Array) -> jax.Array:
    """Returns f32[T, B] of Q_jt'(s', u*); `online_best` int32[T + 1, B, A] are the online agents' greedy actions."""
    used = used_rows(batch.mask)
    q, hidden = unroll(nets, target["agents"], batch, used)
    best = online_best if nets.config.double_q else greedy_actions(q, batch.rows.avail)
    value = _joint(nets, target, hidden, best, batch, used)[0][1:]
    return batch_returns(nets.config, batch, nets.config.reward_scale * batch.next.reward, value)


def losses(nets: Networks, params: dict[str, Any], target: dict[str, Any], batch: Batch) -> tuple[Losses, jax.Array]:
    """The three losses of every step, and Q_jt of the actions taken f32[T, B]; `batch` with carry."""
    used, action = used_rows(batch.mask), with_last(batch.action)
    q, hidden = unroll(nets, params["agents"], batch, used)
    best = greedy_actions(q, batch.rows.avail)
    joint, value = (x[:-1] for x in _joint(nets, params, hidden, action, batch, used))
    joint_best = _joint(nets, params, hidden, best, batch, used)[0][:-1]
    chosen, greedy = (take_action(q[:-1], chosen).sum(-1) for chosen in (batch.action, best[:-1]))
    y = _targets(nets, target, batch, best)
    return losses_of(joint, y, joint_best, value, chosen, greedy), joint


def loss(nets: Networks, params: dict[str, Any], target: dict[str, Any], batch: Batch) -> tuple[jax.Array, Metrics]:
    each, joint = losses(nets, params, target, batch)
    td, opt, nopt = (masked_mean(x, batch.mask) for x in each)
    metrics = {"td_loss": td, "opt_loss": opt, "nopt_loss": nopt, "q_tot": masked_mean(joint, batch.mask)}
    return td + nets.config.opt_weight * opt + nets.config.nopt_weight * nopt, metrics


def update(nets: Networks, learner: Learner, batch: Batch, key: jax.Array, clock: Clock) -> tuple[Learner, Metrics]:
    return descend(nets, learner, partial(loss, nets, target=learner.target, batch=with_carry(nets, batch)))


def inspect(nets: Networks, learner: Learner, batch: Batch) -> dict[str, jax.Array]:
    """For a batch's own actions: Q_jt `q` f32[T, B] and the agents' `individual` values f32[T, B, A]; and `value`
    f32[T, B], Q_jt of the greedy actions."""
    params, state = learner.params, batch.ts.state
    q, hidden = (x[:-1] for x in unroll(nets, params["agents"], with_carry(nets, batch)))
    best = greedy_actions(q, batch.ts.avail)
    return {
        "q": nets.mixer.apply(params["mixer"], hidden, batch.action, state)[0],
        "individual": take_action(q, batch.action),
        "value": nets.mixer.apply(params["mixer"], hidden, best, state)[0],
    }
