"""How the agents of IPPO, MAPPO and HAPPO act: by a softmax or by a Gaussian, as the environment's actions ask for.

`heads` says what their outputs mean, `state_std` what the deviations of a Gaussian depend on.

Official codes (github.com/marlbenchmark/on-policy, JaxMARL's ippo_ff_mabrax, HARL) are nearest to `none` with
deviations that are parameters, which start at 1, 1 and 0.37. HARL's are 0.5 / (1 + exp(-x)); here log sigma is kept
within [-5, 2], elsewhere it is free. Their Gaussians are in the environment's units, ours in half ranges around the
middle of the range: the same where it is [-1, 1]. They give the environment what was drawn, which it clips or not
(Multi-Agent MuJoCo's costs are of unclipped actions); here it is clipped to the bounds.
"""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from envs.base import EnvSpec, TimeStep
from iacjax.algorithms.common import actor_critic
from iacjax.algorithms.common.rnn import RnnCarry, init_agents, last_actions, start_carry, step_agents
from iacjax.algorithms.ppo.config import PpoConfig
from iacjax.algorithms.ppo.heads import GaussianHead, gaussian_head
from iacjax.distributions import entropy, take_action
from iacjax.networks.rnn_agent import RnnAgent
from iacjax.types import Batch, Clock


class DrawnData(actor_critic.ActorData, Protocol):
    """What `evaluate` reads of T steps."""

    action: jax.Array  # int32[T, B, A], or the values drawn f32[T, B, A, D]
    noise: jax.Array | None  # f32[T, B, A, D] that made them


class Policies(Protocol):
    """The agents' policies in one kind of action space; `agents` int32[k] are those of the data, None: all."""

    actor: RnnAgent

    def init(self, key: jax.Array) -> Any:
        """The actors' parameters."""

    def carry(self, num_envs: int) -> RnnCarry:
        """What acting begins with."""

    def act(
        self, params: Any, carry: RnnCarry, timestep: TimeStep, first: jax.Array, key: jax.Array, clock: Clock,
        explore: bool,
    ) -> tuple[RnnCarry, jax.Array, Any]:  # fmt: skip
        """See `Algorithm.act`."""

    def last_actions(self, batch: Batch) -> jax.Array:
        """Each row's previous actions as networks read them, [T + 1, B, A] or [T + 1, B, A, D]."""

    def step_data(self, batch: Batch) -> dict[str, Any]:
        """See `actor_critic.step_data`; and `noise`."""

    def evaluate(
        self, params: Any, hidden0: jax.Array, data: DrawnData, agents: jax.Array | None = None
    ) -> tuple[jax.Array, jax.Array]:
        """(log-probabilities of what was drawn, entropies), f32[T, B, A]; `hidden0` as in `log_probs_of`."""


def build_policies(spec: EnvSpec, config: PpoConfig) -> Policies:
    """The policies for the actions of an environment."""
    c, dims = config, spec.action.dim
    options = {"shared": c.shared_actor, "layer_norm": c.layer_norm, "memory": c.actor_memory}
    if spec.action.discrete:
        return SoftmaxPolicies(spec, c, RnnAgent(c.hidden_dim, spec.action.num_actions, **options))
    outputs, free = (2 * dims, 0) if c.state_std else (dims, dims)
    actor = RnnAgent(c.hidden_dim, outputs, **options, free_outputs=free)
    return GaussianPolicies(spec, c, actor, gaussian_head(spec, c))


def _ids(spec: EnvSpec, agents: jax.Array | None) -> jax.Array | None:
    return None if agents is None else jax.nn.one_hot(agents, spec.num_agents)


def _start(spec: EnvSpec, config: PpoConfig, num_envs: int) -> RnnCarry:
    hidden_dim = config.hidden_dim if config.actor_memory else 0
    return start_carry(num_envs, spec.num_agents, hidden_dim, spec.action.dim)


class SoftmaxPolicies(NamedTuple):
    """`Policies` over discrete actions."""

    spec: EnvSpec
    config: PpoConfig
    actor: RnnAgent

    def init(self, key: jax.Array) -> Any:
        return init_agents(self.actor, key, self.spec)

    def carry(self, num_envs: int) -> RnnCarry:
        return _start(self.spec, self.config, num_envs)

    def act(self, params, carry, timestep, first, key, clock, explore):
        return actor_critic.act(self.actor, params, carry, timestep, first, key, None, explore)

    def last_actions(self, batch: Batch) -> jax.Array:
        return last_actions(batch)

    def step_data(self, batch: Batch) -> dict[str, Any]:
        return actor_critic.step_data(batch) | {"noise": None}

    def evaluate(self, params, hidden0, data, agents=None):
        log_probs = actor_critic.log_probs_of(self.actor, params, hidden0, data, _ids(self.spec, agents))
        return take_action(log_probs, data.action), entropy(log_probs)


class GaussianAux(NamedTuple):
    """What acting stores together with a continuous action."""

    log_prob: jax.Array  # f32[E, A]
    drawn: jax.Array  # f32[E, A, D] before clipping or tanh
    noise: jax.Array  # f32[E, A, D] unit noise that made it
    epsilon: None = None  # there are no uniform actions


class GaussianPolicies(NamedTuple):
    """`Policies` over continuous actions."""

    spec: EnvSpec
    config: PpoConfig
    actor: RnnAgent
    head: GaussianHead

    def init(self, key: jax.Array) -> Any:
        return init_agents(self.actor, key, self.spec)

    def carry(self, num_envs: int) -> RnnCarry:
        return _start(self.spec, self.config, num_envs)

    def act(self, params, carry, timestep, first, key, clock, explore):
        hidden, out = step_agents(self.actor, params, carry, timestep, first)
        noise = self.head.noise(key, first.shape) if explore else jnp.zeros((*first.shape, *self.head.mask.shape))
        drawn = self.head.draw(out, noise, self.head.mask)
        action = self.head.to_env(drawn, self.head.mask)
        carry = RnnCarry(hidden, self.head.from_env(action))
        if not explore:
            return carry, action, ()
        log_prob, _ = self.head.evaluate(out, drawn, noise, self.head.mask)
        return carry, action, GaussianAux(log_prob, drawn, noise)

    def last_actions(self, batch: Batch) -> jax.Array:
        return last_actions(batch._replace(action=self.head.from_env(batch.action)))

    def step_data(self, batch: Batch) -> dict[str, Any]:
        shown = batch._replace(action=self.head.from_env(batch.action))
        return actor_critic.step_data(shown) | {"action": batch.aux.drawn, "noise": batch.aux.noise}

    def evaluate(self, params, hidden0, data, agents=None):
        mask = self.head.mask if agents is None else self.head.mask[agents]
        ids = _ids(self.spec, agents)
        _, out = self.actor.apply(params, hidden0, data.obs, data.last_action, data.first, ids)
        return self.head.evaluate(out, data.action, data.noise, mask)
