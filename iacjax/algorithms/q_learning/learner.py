"""IQL, VDN, QMIX and QMIXs: one Q-learner for discrete actions; how the agents' values are mixed is the choice.

With `recurrent` the agents have a memory and learn from sequences: `q_recurrent`. Without it, here, their networks are
feed-forward and learn from single transitions of a replay.

QMIXs (IAC's appendix A) lets Q_i read the others' actions too. Eq. 27 prints (r - sum_i MIX(Q_i(u_i, u_-i)))^2; MIX
takes all Q_i and gives one number, so the sum is read as a misprint, like that of eq. 26: (r - MIX(Q_1, ..., Q_n))^2.
Such agents cannot act by themselves: which of their actions is best hangs on the others'. So QMIXs acts, explores and
bootstraps by the best of all JOINT actions. This is centralised, and for small games only. Its mixer reads all
observations in a row instead of the state, so that acting reads nothing that no player sees.
"""

import itertools
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from envs.base import ConfigError, EnvSpec, TimeStep
from iacjax.algorithms.common.actor_critic import epsilon_at
from iacjax.algorithms.common.config import updates_per_iteration
from iacjax.algorithms.common.optimizer_step import make_optimizer
from iacjax.algorithms.q_learning import recurrent
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
from iacjax.buffers import transition_buffer
from iacjax.distributions import take_action
from iacjax.networks.continuous import AgentMlp
from iacjax.networks.mixing import QMixer
from iacjax.types import Algorithm, Batch, Clock, Metrics, Plan, masked_mean

MAX_JOINT_ACTIONS = 4096  # that QMIXs evaluates for a single choice


def make(spec: EnvSpec, config: QmixConfig) -> Algorithm:
    """Builds IQL, VDN, QMIX or QMIXs, as `config` chooses.

    Raises:
      ConfigError: choices that do not go together, or more joint actions than QMIXs can try.
    """
    if config.recurrent:
        return recurrent.make(spec, config)
    f = _build(spec, config)
    num_envs, length = config.num_envs, config.rollout_length
    return Algorithm(
        init=partial(_init, f),
        policy=lambda learner: learner.params if config.others_actions else {"agents": learner.params["agents"]},
        carry=lambda num_envs: (),
        act=partial(_act, f),
        update=partial(_update, f),
        plan=Plan(
            num_envs,
            length,
            transition_buffer(config.buffer_size, config.batch_size, num_envs, length, spec.state_is_obs),
            updates_per_iteration(config.updates_per_step, num_envs, length),
            config.warmup,
        ),
        inspect=partial(_inspect, f),
        schedules=partial(schedules, config),
    )


def _build(spec: EnvSpec, config: QmixConfig) -> Family:
    """The networks and what belongs to them; raises as `make` does."""
    _check(spec, config)
    agents = AgentMlp((config.hidden_dim,) * config.agent_layers, spec.action.num_actions, config.share_agents)
    mixer = QMixer(config.mixer_dim, config.hyper_dim, config.mixer_layers, config.mixer_scale)
    optimizer = make_optimizer(config.optimizer, config.lr, config.max_grad_norm)
    return Family(spec, config, agents, mixer, optimizer)


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


def _init(f: Family, key: jax.Array) -> Learner:
    k_agents, k_mixer = jax.random.split(key)
    agents, spec = f.spec.num_agents, f.spec
    obs = jnp.zeros((1, agents, spec.obs_dim))
    action = jnp.zeros((1, agents), jnp.int32)
    state = jnp.zeros((1, agents * spec.obs_dim if f.config.others_actions else spec.state_dim))
    params = {
        "agents": f.agents.init(k_agents, _inputs(f, obs, action)),
        "mixer": f.mixer.init(k_mixer, jnp.zeros((1, agents)), state) if f.config.mixer == "qmix" else {},
    }
    return start_learner(f, params)


def _inputs(f: Family, obs: jax.Array, action: jax.Array) -> jax.Array:
    """What the agents' networks read, f32[..., A, F]: observations, and for QMIXs the others' actions, one-hot.

    obs f32[..., A, O]; action int32[..., A], of which agent i's input leaves u_i out.
    """
    if not f.config.others_actions:
        return obs
    agents, actions = f.spec.num_agents, f.spec.action.num_actions
    chosen = jax.nn.one_hot(action, actions).reshape(*action.shape[:-1], 1, agents * actions)
    others = chosen * jnp.repeat(1.0 - jnp.eye(agents), actions, axis=1)
    obs = jnp.broadcast_to(obs, (*action.shape, obs.shape[-1]))
    return jnp.concatenate([obs, others], -1)


def _mix(f: Family, params: Any, q: jax.Array, ts: TimeStep) -> jax.Array:
    """`q_parts.mix`, for QMIXs by all observations in a row."""
    return mix(f, params, q, ts.obs.reshape(*ts.obs.shape[:-2], -1) if f.config.others_actions else ts.state)


def _individual(f: Family, params: Any, ts: TimeStep, action: jax.Array) -> jax.Array:
    """Every agent's value of its own action, f32[..., A]; for QMIXs given the others'. `action` int32[..., A]."""
    return take_action(f.agents.apply(params["agents"], _inputs(f, ts.obs, action)), action)


def _team(f: Family, params: Any, ts: TimeStep, action: jax.Array) -> jax.Array:
    """Q_tot f32[..., K] (see `_mix`) of joint actions int32[..., A]."""
    return _mix(f, params, _individual(f, params, ts, action), ts)


def _greedy(f: Family, params: Any, ts: TimeStep) -> jax.Array:
    """The best legal action of every agent, int32[..., A]; for QMIXs the best joint action.

    A mixer that is monotone in each agent's value lets each choose by itself.
    """
    if not f.config.others_actions:
        return greedy_actions(f.agents.apply(params["agents"], ts.obs), ts.avail)
    agents, actions = f.spec.num_agents, f.spec.action.num_actions
    table = jnp.array(list(itertools.product(range(actions), repeat=agents)), jnp.int32)  # [J, A]
    lead = ts.obs.shape[:-2]
    joint = jnp.broadcast_to(table.reshape(-1, *(1 for _ in lead), agents), (len(table), *lead, agents))
    avail = ts.avail | ~ts.avail.any(-1, keepdims=True)  # nothing is legal in padding: there everything is
    legal = (jax.nn.one_hot(joint, actions, dtype=bool) & avail).any(-1).all(-1)
    value = jnp.where(legal, _team(f, params, ts, joint)[..., 0], -jnp.inf)
    return table[value.argmax(0)]


def _act(
    f: Family,
    policy: Any,
    carry: tuple[()],
    timestep: TimeStep,
    first: jax.Array,
    key: jax.Array,
    clock: Clock,
    explore: bool,
) -> tuple[tuple[()], jax.Array, tuple[()]]:
    greedy = _greedy(f, policy, timestep)
    if not explore:
        return (), greedy, ()
    return (), explore_from(greedy, timestep.avail, epsilon_at(f.config, clock), key), ()


def _target(f: Family, learner: Learner, after: TimeStep) -> jax.Array:
    """y = r + gamma Q_tot'(s', u*) for what leads to `after`, f32[..., K]; `config.time_limit` says what a limit is."""
    ended = after.boundary if f.config.time_limit == "terminate" else after.terminated
    best = _greedy(f, learner.params if f.config.double_q else learner.target, after)
    value = _team(f, learner.target, after, best)
    return f.config.reward_scale * after.reward[..., None] + f.config.gamma * (1.0 - ended)[..., None] * value


def _loss(
    f: Family, params: Any, ts: TimeStep, action: jax.Array, target: jax.Array, mask: jax.Array
) -> tuple[jax.Array, Metrics]:
    """Mean of (y - Q_tot)^2 where `mask` is 1 (eq. 27 with r for y)."""
    q = _team(f, params, ts, action)
    return masked_mean((target - q) ** 2, mask[..., None]), {"q_tot": masked_mean(q, mask[..., None])}


def _update(f: Family, learner: Learner, batch: Batch, key: jax.Array, clock: Clock) -> tuple[Learner, Metrics]:
    target = _target(f, learner, batch.next)
    return descend(f, learner, partial(_loss, f, ts=batch.ts, action=batch.action, target=target, mask=batch.mask))


def _inspect(f: Family, learner: Learner, batch: Batch) -> dict[str, jax.Array]:
    """For a batch's own actions: the team's value `q` f32[T, B] (IQL: mean over agents), the agents' `individual`
    values f32[T, B, A]; and `value` f32[T, B], the team's value of the greedy actions."""
    params, ts = learner.params, batch.ts
    individual = _individual(f, params, ts, batch.action)
    return {
        "q": _mix(f, params, individual, ts).mean(-1),
        "individual": individual,
        "value": _team(f, params, ts, _greedy(f, params, ts)).mean(-1),
    }
