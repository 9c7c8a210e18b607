"""PQN-VDN (Gallici et al. 2024, "Simplifying Deep Temporal Difference Learning"): Q(lambda) on the newest rollout.

No replay, and no target networks: the normalised layers of the agents keep off-policy temporal differences stable,
as the paper proves for LayerNorm. Exploration is epsilon-greedy in many parallel environments.

| part                                                                              | where                   |
|-----------------------------------------------------------------------------------|-------------------------|
| agents: (FC-Norm-ReLU) x L, GRU, FC                                               | `networks.pqn_agent`    |
| Q_tot = sum over the living agents of Q_i(o_i, u_i) (VDN, Sunehag et al. 2018)    | `team_values`           |
| G_t = r_t+1 + gamma [l G_t+1 + (1 - l) max_u Q_tot(s_t+1, u)], l = lambda         | `targets`               |
| mean of (G - Q_tot)^2, G a constant; epochs of minibatches                        | `loss`, `update`        |

The targets are computed again in each gradient step, from the same unrolling as the values that they train.

What differs from the official code (github.com/FLAIROx/JaxMARL, baselines/QLearning/pqn_vdn_rnn.py; the same in
github.com/mttga/purejaxql):

| official                                                             | here                                          |
|----------------------------------------------------------------------|-----------------------------------------------|
| the dead take part in Q_tot with their only action                   | the sum is over the living                    |
| time limits end the task                                             | `time_limit`; the official preset: terminate  |
| a rollout's last observation is not used: the last step but one      | all T steps are learned, the last one         |
| bootstraps from the last, which is learned with the next rollout     | bootstraps from the observation after it      |
| the last 4 rows of the rollout before (MEMORY_WINDOW) come first,    | none; the memory of the first row is that of  |
| from a memory that older parameters computed                         | acting, which the newest parameters computed  |
| the first rollout begins with these 4 rows of 132 random steps,      | none: it begins with the first episodes       |
| which are not counted; their rewards are not scaled                  |                                               |
| SMAX: a dead agent's memory and inputs are zeroed, id included       | both go on: no value of the dead is used      |
| SMAX: survivors keep their memory in the next episode; agents that   | each episode begins with an empty memory and  |
| had died see zeros on its first row                                  | with its own first observation                |
| inputs: observation, agent's id                                      | and the last action, as our other Q-learners  |
| norm_input is BatchNorm, whatever the layers' norm is                | of the layers' kind (`norm`)                  |
| LayerNorm's epsilon 1e-6                                             | 1e-5                                          |
| BatchNorm's statistics are those of all rows                         | of the rows and agents that are learned       |
| the learning rate falls with each gradient step, to 1e-10            | with each iteration, to 0                     |
| a rollout's rows are all steps                                       | an episode's end takes a row without a step   |
| optionally a duelling head (DUELING, off in its settings)            | none                                          |

With `mixer` none each agent learns its own value of the team's reward, to the episode's end even if it has died, since
its last steps bootstrap from there (as IQL here).
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from envs.base import EnvSpec, TimeStep
from iacjax.algorithms.common.actor_critic import over_minibatches
from iacjax.algorithms.common.exploration import epsilon_at, epsilon_greedy, greedy_actions
from iacjax.algorithms.common.optimizer_step import lr_scale, make_optimizer, optimizer_step
from iacjax.algorithms.common.returns import batch_returns
from iacjax.algorithms.common.rnn import RnnCarry, init_agents, last_actions, start_carry, step_agents
from iacjax.algorithms.q_learning.pqn_config import PqnVdnConfig
from iacjax.buffers import rollout_buffer
from iacjax.distributions import take_action
from iacjax.networks.pqn_agent import PqnAgent
from iacjax.types import Algorithm, Batch, Clock, Metrics, Plan, masked_mean


class Networks(NamedTuple):
    """The agents and the optimiser, the environment and the configuration."""

    spec: EnvSpec
    config: PqnVdnConfig
    agents: PqnAgent
    optimizer: optax.GradientTransformation


class Learner(NamedTuple):
    """The agents' variables, `params` and with BatchNorm `batch_stats`, and the state of the optimiser."""

    agents: dict[str, Any]
    opt: Any


def make(spec: EnvSpec, config: PqnVdnConfig) -> Algorithm:
    """Builds PQN-VDN, or independent PQN.

    Raises:
      ConfigError: minibatches do not divide the environments.
    """
    nets, c = build(spec, config), config
    return Algorithm(
        init=partial(init, nets),
        policy=lambda learner: learner.agents,
        carry=lambda num_envs: start_carry(num_envs, spec.num_agents, c.hidden_dim),
        act=partial(act, nets),
        update=partial(update, nets),
        plan=Plan(c.num_envs, c.rollout_length, rollout_buffer()),
        inspect=partial(inspect, nets),
        schedules=partial(schedules, c),
    )


def build(spec: EnvSpec, config: PqnVdnConfig) -> Networks:
    """The agents and the optimiser of `config`; raises as `make` does."""
    c, num_actions = config, spec.action.num_actions
    c.check_choices()
    agents = PqnAgent(c.hidden_dim, num_actions, c.agent_layers, c.norm, c.norm_input, c.share_agents)
    return Networks(spec, config, agents, make_optimizer(c.optimizer, c.lr, c.max_grad_norm))


def init(nets: Networks, key: jax.Array) -> Learner:
    """The learner before its first update."""
    agents = init_agents(nets.agents, key, nets.spec)
    return Learner(agents, nets.optimizer.init(agents["params"]))


def schedules(config: PqnVdnConfig, clock: Clock) -> Metrics:
    """`epsilon`, and `lr_scale` where the learning rate is annealed, for the logs."""
    shown = {"lr_scale": lr_scale(config, clock)} if config.anneal_steps else {}
    return {"epsilon": epsilon_at(config, clock)} | shown


def act(
    nets: Networks,
    agents: Any,
    carry: RnnCarry,
    timestep: TimeStep,
    first: jax.Array,
    key: jax.Array,
    clock: Clock,
    explore: bool,
) -> tuple[RnnCarry, jax.Array, tuple[()]]:
    """Greedy over legal actions, or epsilon-greedy, agent by agent (see `Algorithm.act`)."""
    hidden, q = step_agents(nets.agents, agents, carry, timestep, first)
    action = greedy_actions(q, timestep.avail)
    if explore:
        action = epsilon_greedy(action, timestep.avail, epsilon_at(nets.config, clock), key)
    return RnnCarry(hidden, action), action, ()


def unroll(nets: Networks, agents: dict[str, Any], batch: Batch, train: bool) -> tuple[jax.Array, dict[str, Any]]:
    """(values f32[T + 1, B, A, U] of all rows, the agents' variables but for `params`, moved by the batch).

    With `train` BatchNorm normalises by this batch, without it by its running statistics.
    """
    rows, counted = batch.rows, None
    if train:
        taken = jnp.concatenate([batch.mask > 0.0, jnp.zeros_like(batch.first[:1])])
        counted = taken[..., None] & _takes_part(nets, rows)
    inputs = batch.carry0.hidden, rows.obs, last_actions(batch), batch.first, counted
    (_, q), moved = nets.agents.apply(agents, *inputs, mutable=["batch_stats"])
    return q, dict(moved)


def _takes_part(nets: Networks, ts: TimeStep) -> jax.Array:
    """bool[..., A]: the agents whose values learn."""
    return ts.alive if nets.config.mixer == "vdn" else jnp.ones_like(ts.alive)


def team_values(nets: Networks, q: jax.Array, ts: TimeStep) -> jax.Array:
    """f32[..., A] -> f32[..., K]: the values that learn from the team's reward: one, the sum over the living (vdn), or
    each agent's (none)."""
    return (q * ts.alive).sum(-1, keepdims=True) if nets.config.mixer == "vdn" else q


def targets(nets: Networks, q: jax.Array, batch: Batch) -> jax.Array:
    """Q(lambda) returns f32[T, B, K] of the greedy actions' values; `q` f32[T + 1, B, A, U]."""
    value = team_values(nets, take_action(q, greedy_actions(q, batch.rows.avail)), batch.rows)
    return batch_returns(nets.config, batch, nets.config.reward_scale * batch.next.reward, value[1:])


def loss(nets: Networks, params: Any, fixed: dict[str, Any], batch: Batch) -> tuple[jax.Array, tuple[Metrics, dict]]:
    """Mean of (G - Q_tot)^2 over the steps in which an action was taken; `fixed` are the agents' other variables.

    Returns:
      (f32[], (metrics, `fixed` moved by this batch)).
    """
    q, moved = unroll(nets, {**fixed, "params": params}, batch, train=True)
    target = targets(nets, jax.lax.stop_gradient(q), batch)
    team = team_values(nets, take_action(q[:-1], batch.action), batch.ts)
    mask = batch.mask[..., None]
    error = masked_mean((target - team) ** 2, mask)
    return error, ({"loss": error, "q_tot": masked_mean(team, mask), "target": masked_mean(target, mask)}, moved)


def update(nets: Networks, learner: Learner, batch: Batch, key: jax.Array, clock: Clock) -> tuple[Learner, Metrics]:
    """The epochs of one rollout."""
    scale = lr_scale(nets.config, clock)

    def step(learner, carry0, data):
        params, fixed = learner.agents["params"], {k: v for k, v in learner.agents.items() if k != "params"}
        part = data._replace(carry0=carry0)
        grads, (metrics, moved) = jax.grad(partial(loss, nets), has_aux=True)(params, fixed, part)
        params, opt = optimizer_step(nets.optimizer, params, learner.opt, grads, scale)
        return Learner({**moved, "params": params}, opt), metrics

    data = batch._replace(carry0=(), rows=batch.rows._replace(info={}, state=()))
    return over_minibatches(step, learner, batch.carry0, data, key, nets.config)


def inspect(nets: Networks, learner: Learner, batch: Batch) -> dict[str, jax.Array]:
    """For a batch's own actions: the team's value `q` f32[T, B] (none: mean over agents), the agents' `individual`
    values f32[T, B, A]; and `value` f32[T, B], the team's value of the greedy actions."""
    q, ts = unroll(nets, learner.agents, batch, train=False)[0][:-1], batch.ts
    individual = take_action(q, batch.action)
    best = take_action(q, greedy_actions(q, ts.avail))
    return {
        "q": team_values(nets, individual, ts).mean(-1),
        "individual": individual,
        "value": team_values(nets, best, ts).mean(-1),
    }
