"""Q-learners with feed-forward agents (IQL, VDN, QMIX, QMIXs): they learn from single transitions of a replay.

QMIXs (IAC's appendix A) lets Q_i read the others' actions too. Eq. 27 prints (r - sum_i MIX(Q_i(u_i, u_-i)))^2; MIX
takes all Q_i and gives one number, so the sum is read as a misprint, like that of eq. 26: (r - MIX(Q_1, ..., Q_n))^2.
Such agents cannot act by themselves: which of their actions is best depends on the others'. So QMIXs acts, explores and
bootstraps by the best of all JOINT actions. This is centralised, and for small games only. Its mixer reads all
observations side by side instead of the state, so that acting needs nothing but observations.
"""

import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from envs.base import ConfigError, EnvSpec, TimeStep
from iacjax.algorithms.common.exploration import epsilon_at, epsilon_greedy, greedy_actions
from iacjax.algorithms.common.off_policy import no_carry, transition_plan
from iacjax.algorithms.common.optimizer_step import make_optimizer
from iacjax.algorithms.q_learning.common import Learner, Networks, descend, mix, schedules, start_learner
from iacjax.algorithms.q_learning.config import QmixConfig
from iacjax.distributions import take_action
from iacjax.networks.mixing import QMixer
from iacjax.networks.mlp import AgentMlp
from iacjax.types import Algorithm, Batch, Clock, Metrics, masked_mean

MAX_JOINT_ACTIONS = 4096  # that QMIXs evaluates for a single choice


def make(spec: EnvSpec, config: QmixConfig) -> Algorithm:
    """Builds feed-forward IQL, VDN, QMIX or QMIXs, as `config` chooses.

    Raises:
      ConfigError: choices that do not go together, or more joint actions than QMIXs can try.
    """
    nets = build(spec, config)
    return Algorithm(
        init=partial(init, nets),
        policy=lambda learner: learner.params if config.others_actions else {"agents": learner.params["agents"]},
        carry=no_carry,
        act=partial(act, nets),
        update=partial(update, nets),
        plan=transition_plan(config, spec.state_is_obs),
        inspect=partial(inspect, nets),
        schedules=partial(schedules, config),
    )


def build(spec: EnvSpec, config: QmixConfig) -> Networks:
    """The networks and what belongs to them; raises as `make` does."""
    _check(spec, config)
    agents = AgentMlp((config.hidden_dim,) * config.agent_layers, spec.action.num_actions, config.share_agents)
    mixer = QMixer(config.mixer_dim, config.hyper_dim, config.mixer_layers, config.mixer_scale)
    optimizer = make_optimizer(config.optimizer, config.lr, config.max_grad_norm)
    return Networks(spec, config, agents, mixer, optimizer)


def _check(spec: EnvSpec, config: QmixConfig) -> None:
    config.check_choices()
    if not config.others_actions:
        return
    joint = spec.action.num_actions**spec.num_agents
    if joint > MAX_JOINT_ACTIONS:
        raise ConfigError(
            f"with --others-actions every one of {spec.name}'s {joint} joint actions would be tried for each choice, "
            f"and {MAX_JOINT_ACTIONS} is the most: use --no-others-actions or --algo qmix"
        )


def init(nets: Networks, key: jax.Array) -> Learner:
    """The learner before its first update."""
    k_agents, k_mixer = jax.random.split(key)
    agents, spec = nets.spec.num_agents, nets.spec
    obs = jnp.zeros((1, agents, spec.obs_dim))
    action = jnp.zeros((1, agents), jnp.int32)
    state = jnp.zeros((1, agents * spec.obs_dim if nets.config.others_actions else spec.state_dim))
    params = {
        "agents": nets.agents.init(k_agents, agent_inputs(nets, obs, action)),
        "mixer": nets.mixer.init(k_mixer, jnp.zeros((1, agents)), state) if nets.config.mixer == "qmix" else {},
    }
    return start_learner(nets, params)


def agent_inputs(nets: Networks, obs: jax.Array, action: jax.Array) -> jax.Array:
    """The agents' inputs f32[..., A, F]: observations, and for QMIXs the others' actions, one-hot.

    obs f32[..., A, O]; action int32[..., A], of which agent i's input leaves u_i out.
    """
    if not nets.config.others_actions:
        return obs
    agents, actions = nets.spec.num_agents, nets.spec.action.num_actions
    chosen = jax.nn.one_hot(action, actions).reshape(*action.shape[:-1], 1, agents * actions)
    others = chosen * jnp.repeat(1.0 - jnp.eye(agents), actions, axis=1)
    obs = jnp.broadcast_to(obs, (*action.shape, obs.shape[-1]))
    return jnp.concatenate([obs, others], -1)


def _mix(nets: Networks, params: Any, q: jax.Array, ts: TimeStep) -> jax.Array:
    """`common.mix`; for QMIXs all observations side by side stand for the state."""
    return mix(nets, params, q, ts.obs.reshape(*ts.obs.shape[:-2], -1) if nets.config.others_actions else ts.state)


def individual_values(nets: Networks, params: Any, ts: TimeStep, action: jax.Array) -> jax.Array:
    """Every agent's value of its own action, f32[..., A]; for QMIXs given the others'. `action` int32[..., A]."""
    return take_action(nets.agents.apply(params["agents"], agent_inputs(nets, ts.obs, action)), action)


def team_value(nets: Networks, params: Any, ts: TimeStep, action: jax.Array) -> jax.Array:
    """Q_tot f32[..., K] (see `_mix`) of joint actions int32[..., A]."""
    return _mix(nets, params, individual_values(nets, params, ts, action), ts)


def best_actions(nets: Networks, params: Any, ts: TimeStep) -> jax.Array:
    """The best legal action of every agent, int32[..., A]; for QMIXs the best joint action.

    A mixer that is monotone in each agent's value lets each choose by itself.
    """
    if not nets.config.others_actions:
        return greedy_actions(nets.agents.apply(params["agents"], ts.obs), ts.avail)
    agents, actions = nets.spec.num_agents, nets.spec.action.num_actions
    table = jnp.array(list(itertools.product(range(actions), repeat=agents)), jnp.int32)  # [J, A]
    lead = ts.obs.shape[:-2]
    joint = jnp.broadcast_to(table.reshape(-1, *(1 for _ in lead), agents), (len(table), *lead, agents))
    avail = ts.avail | ~ts.avail.any(-1, keepdims=True)  # nothing is legal in padding: there everything is
    legal = (jax.nn.one_hot(joint, actions, dtype=bool) & avail).any(-1).all(-1)
    value = jnp.where(legal, team_value(nets, params, ts, joint)[..., 0], -jnp.inf)
    return table[value.argmax(0)]


def act(
    nets: Networks,
    params: Any,
    carry: tuple[()],
    timestep: TimeStep,
    first: jax.Array,
    key: jax.Array,
    clock: Clock,
    explore: bool,
) -> tuple[tuple[()], jax.Array, tuple[()]]:
    """One step in E environments (see `Algorithm.act`)."""
    greedy = best_actions(nets, params, timestep)
    if not explore:
        return (), greedy, ()
    return (), epsilon_greedy(greedy, timestep.avail, epsilon_at(nets.config, clock), key), ()


def td_target(nets: Networks, learner: Learner, after: TimeStep) -> jax.Array:
    """y = r + gamma Q_tot'(s', u*) for what leads to `after`, f32[..., K]; see `config.time_limit`."""
    ended = after.boundary if nets.config.time_limit == "terminate" else after.terminated
    best = best_actions(nets, learner.params if nets.config.double_q else learner.target, after)
    value = team_value(nets, learner.target, after, best)
    return nets.config.reward_scale * after.reward[..., None] + nets.config.gamma * (1.0 - ended)[..., None] * value


def loss(
    nets: Networks, params: Any, ts: TimeStep, action: jax.Array, target: jax.Array, mask: jax.Array
) -> tuple[jax.Array, Metrics]:
    """Mean of (y - Q_tot)^2 where `mask` is 1 (eq. 27 with r for y)."""
    q = team_value(nets, params, ts, action)
    return masked_mean((target - q) ** 2, mask[..., None]), {"q_tot": masked_mean(q, mask[..., None])}


def update(nets: Networks, learner: Learner, batch: Batch, key: jax.Array, clock: Clock) -> tuple[Learner, Metrics]:
    target = td_target(nets, learner, batch.next)
    return descend(nets, learner, partial(loss, nets, ts=batch.ts, action=batch.action, target=target, mask=batch.mask))


def inspect(nets: Networks, learner: Learner, batch: Batch) -> dict[str, jax.Array]:
    """For a batch's own actions: the team's value `q` f32[T, B] (IQL: mean over agents), the agents' `individual`
    values f32[T, B, A]; and `value` f32[T, B], the team's value of the greedy actions."""
    params, ts = learner.params, batch.ts
    individual = individual_values(nets, params, ts, batch.action)
    return {
        "q": _mix(nets, params, individual, ts).mean(-1),
        "individual": individual,
        "value": team_value(nets, params, ts, best_actions(nets, params, ts)).mean(-1),
    }
