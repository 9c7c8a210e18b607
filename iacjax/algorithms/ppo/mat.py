"""MAT (Wen et al. 2022, "Multi-Agent Reinforcement Learning is a Sequence Modeling Problem").

PPO of one network for all agents, a transformer whose sequence is the agents in the order of their numbers. An encoder
of all agents' observations gives each agent a representation x_i and a value V_i; a decoder gives the policies

    pi(a_i | x_1, ..., x_n, a_1, ..., a_i-1)

so that the joint policy is any distribution, not a product of independent ones (figure 2; pseudocode in appendix A).
**Execution is centralised**: an agent's action depends on the observations of all agents, and on the actions of those
before it. There is no memory of the episode. The loss is the mean over steps and agents of

    -min(r A_i, clip(r, 1 - eps, 1 + eps) A_i) - beta H_i + c (R_i - V_i)^2 / 2,    r = pi_new / pi_old

where A_i = R_i - V_i is GAE's advantage, and r is given what the agents before it did.

| part                                                     | where                                      |
|----------------------------------------------------------|--------------------------------------------|
| encoder, decoder, both masks, the shifted actions        | `networks.transformer`                     |
| acting: agent by agent, a scan                           | `TransformerPolicies.decode`               |
| ratios: all agents at once, given what they did          | `TransformerPolicies.evaluate`             |
| softmax or Gaussian                                      | `ppo.heads`                                |
| values, advantages, value normalisation                  | `ppo.learner.ppo_data`                     |
| clipped policy loss, entropy; clipped value loss, Huber  | `loss_of`                                  |

As in the official code, values are learned for the dead too, to the episode's end (its StarCraft script switches the
masking of the value loss OFF). The dead weigh nothing in the policy loss and in the normalisation of advantages, and
they are neither hidden from the others nor left out of the sequence: they have one legal action.

What differs from it (github.com/PKU-MARL/Multi-Agent-Transformer, and Mava's `mat` in JAX):

| | official | Mava | here |
|---|---|---|---|
| acting | the whole decoder for each agent | the same | keys and values of earlier agents are kept |
| agent's id, last action | in SMAC's observations | the id | the id, and the action with `last_action` |
| GELU | by erf | by tanh | by tanh |
| first token, continuous actions | zeros | zeros | a start token, as with discrete ones |
| layer of the action tokens | a bias with continuous actions only | the same | a bias |
| continuous: actions of the environment | what was drawn | its tanh | what was drawn, clipped, or its tanh |
| continuous: the others' actions | as drawn | after tanh | as executed, in [-1, 1] |
| continuous: deviation | 0.5 sigmoid(x), from 0.37 | softplus(x) | exp(x) within bounds, from `sigma_init` |
| continuous: ratio, clipped | of each dimension; losses added | their product | their product |
| continuous: entropy | the sum (MuJoCo script: mean) over dimensions | a sample of the sum | the sum |
| normalised advantages | the living's, 1e-5 added to the deviation | by minibatch | the living's, 1e-8 in the root |
| minibatches | of rows | of rows | of environments (the official preset: 1) |
| order of the agents in an update | fixed | drawn for every epoch, unlike that of acting | fixed |
| value normaliser | moves at every gradient step | none | moves once per batch |
| time limits end the task | yes | yes | `time_limit`; the official preset: terminate |
| state instead of observations, MAT-Dec | options | none | not here |
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax

from envs.base import EnvSpec, TimeStep
from iacjax.algorithms.common import actor_critic
from iacjax.algorithms.common.actor_critic import on_policy_algorithm, over_minibatches, policy_loss
from iacjax.algorithms.common.optimizer_step import apply_gradients, lr_scale, make_optimizer
from iacjax.algorithms.common.rnn import RnnCarry, last_actions, start_carry
from iacjax.algorithms.ppo.config import MatConfig
from iacjax.algorithms.ppo.heads import Head, make_head
from iacjax.algorithms.ppo.learner import Learner, PpoData, in_reward_units, ppo_data
from iacjax.algorithms.ppo.policy import GaussianAux
from iacjax.losses.value import clipped_value_loss
from iacjax.losses.value_norm import init_norm
from iacjax.networks.last_action import where_none
from iacjax.networks.rnn_agent import agent_inputs
from iacjax.networks.transformer import Transformer, action_token, start_token
from iacjax.types import Algorithm, Batch, Clock, Metrics, masked_mean


class TransformerPolicies(NamedTuple):
    """The joint policy and the values of all agents, of one network."""

    spec: EnvSpec
    config: MatConfig
    net: Transformer
    head: Head

    def init(self, key: jax.Array) -> Any:
        """The parameters of encoder and decoder."""
        agents, action = self.spec.num_agents, self.spec.action
        inputs = self.inputs(jnp.zeros((1, agents, self.spec.obs_dim)), self.carry(1).last_action)
        return self.net.init(key, inputs, jnp.zeros((1, agents, action.num_actions if action.discrete else action.dim)))

    def carry(self, num_envs: int) -> RnnCarry:
        """What acting begins with; there is no memory but the last action."""
        return start_carry(num_envs, self.spec.num_agents, 0, self.spec.action.dim)

    def inputs(self, obs: jax.Array, last_action: jax.Array) -> jax.Array:
        """What the encoder reads, f32[..., A, F]."""
        last_action = last_action if self.config.last_action else None
        return agent_inputs(obs, last_action, self.spec.action.num_actions, with_id=True)

    def decode(self, params: Any, inputs: jax.Array, noise: jax.Array, legal: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Agent by agent: (what is drawn [E, A] or [E, A, D], the outputs f32[E, A, R]).

        Args:
          inputs: f32[E, A, F]; noise, legal: [E, A, U or D], see `Head`.
        """
        apply, head = self.net.apply, self.head
        _, encoded = apply(params, inputs, method="encode")

        def one(carry, agent):
            token, memory = carry
            number, encoded, noise, legal = agent
            out, memory = apply(params, token, encoded, memory, number, method="decode_next")
            drawn = head.draw(out, noise, legal)
            token = action_token(head.features(drawn, legal))
            return (token, memory), (drawn, out)

        start = start_token(noise.shape[:1], noise.shape[-1]), apply(params, encoded, method="memory")
        agents = [jnp.moveaxis(x, 1, 0) for x in (encoded, noise, legal)]
        _, found = jax.lax.scan(one, start, (jnp.arange(self.spec.num_agents), *agents))
        drawn, out = (jnp.moveaxis(x, 0, 1) for x in found)
        return drawn, out

    def act(
        self, params: Any, carry: RnnCarry, timestep: TimeStep, first: jax.Array, key: jax.Array, clock: Clock,
        explore: bool,
    ) -> tuple[RnnCarry, jax.Array, Any]:  # fmt: skip
        """See `Algorithm.act`."""
        legal = self.head.legal(timestep.avail)
        noise = self.head.noise(key, first.shape) if explore else jnp.zeros(legal.shape)
        inputs = self.inputs(timestep.obs, where_none(carry.last_action, first))
        drawn, out = self.decode(params, inputs, noise, legal)
        action = self.head.to_env(drawn, legal)
        carry = carry._replace(last_action=self.head.from_env(action))
        if not explore:
            return carry, action, ()
        log_prob, _ = self.head.evaluate(out, drawn, noise, legal)
        discrete = self.spec.action.discrete
        return carry, action, actor_critic.Aux(log_prob, None) if discrete else GaussianAux(log_prob, drawn, noise)

    def step_data(self, batch: Batch) -> dict[str, Any]:
        """See `actor_critic.step_data`; and `noise`, None with discrete actions."""
        fields = actor_critic.step_data(batch._replace(action=self.head.from_env(batch.action)))
        drawn = {} if self.spec.action.discrete else {"action": batch.aux.drawn}
        return fields | {"noise": getattr(batch.aux, "noise", None)} | drawn

    def values(self, params: Any, batch: Batch) -> jax.Array:
        """f32[T + 1, B, A] as the encoder predicts them."""
        last = last_actions(batch._replace(action=self.head.from_env(batch.action)))
        return self.net.apply(params, self.inputs(batch.rows.obs, last), method="encode")[0]

    def evaluate(self, params: Any, data: PpoData) -> tuple[jax.Array, jax.Array, jax.Array]:
        """(values, log-probabilities of what was drawn, entropies), f32[T, B, A]: all agents at once."""
        legal = self.head.legal(data.avail)
        inputs = self.inputs(data.obs, data.last_action)
        value, out = self.net.apply(params, inputs, self.head.features(data.action, legal))
        return value, *self.head.evaluate(out, data.action, data.noise, legal)


class Networks(NamedTuple):
    """The network and optimiser of MAT, its environment and its configuration."""

    spec: EnvSpec
    config: MatConfig
    policies: TransformerPolicies
    optimizers: dict[str, optax.GradientTransformation]  # of "actor": encoder and decoder


def build(spec: EnvSpec, config: MatConfig) -> Networks:
    """The network and optimiser of `config`; ConfigError where its numbers do not divide."""
    c, action = config, spec.action
    config.check_choices()
    outputs, free = (action.num_actions, 0) if action.discrete else (action.dim, action.dim)
    net = Transformer(c.hidden_dim, c.blocks, c.heads, outputs, free)
    optimizers = {"actor": make_optimizer(c.optimizer, c.lr, c.max_grad_norm)}
    return Networks(spec, c, TransformerPolicies(spec, c, net, make_head(spec, c)), optimizers)


def make(spec: EnvSpec, config: MatConfig) -> Algorithm:
    """Builds MAT for discrete or continuous actions."""
    nets = build(spec, config)
    parts = (partial(function, nets) for function in (init, update, inspect))
    return on_policy_algorithm(config, nets.policies.carry, nets.policies.act, *parts)


def init(nets: Networks, key: jax.Array) -> Learner:
    """The learner before its first update."""
    params = nets.policies.init(key)
    return Learner({"actor": params}, {"actor": nets.optimizers["actor"].init(params)}, init_norm(), ())


def loss_of(nets: Networks, params: Any, data: PpoData) -> tuple[jax.Array, Metrics]:
    """Policy loss and value loss of encoder and decoder; values are learned to the episode's end, for the dead too."""
    c = nets.config
    value, log_prob, entropies = nets.policies.evaluate(params, data)
    policy, metrics = policy_loss(log_prob, entropies, data, c.clip, c.entropy)
    loss = clipped_value_loss(value, data.value, data.returns, c.value_clip, c.huber_delta)
    loss = masked_mean(loss, data.mask[..., None])
    return policy + c.value_weight * loss, metrics | {"critic_loss": loss}


def update(nets: Networks, learner: Learner, batch: Batch, key: jax.Array, clock: Clock) -> tuple[Learner, Metrics]:
    """One batch: advantages at the parameters that acted, then the epochs."""
    scale = lr_scale(nets.config, clock)
    raw = nets.policies.values(learner.params["actor"], batch)
    value = masked_mean(in_reward_units(nets, learner, raw[:-1]), batch.mask[..., None])
    data, learner = ppo_data(nets, learner, batch, raw)

    def step(learner, _, data):
        grads, metrics = jax.grad(partial(loss_of, nets), has_aux=True)(learner.params["actor"], data)
        return apply_gradients(nets.optimizers, learner, {"actor": grads}, scale), metrics

    learner, metrics = over_minibatches(step, learner, (), data, key, nets.config)
    return learner, metrics | {"value": value}


def inspect(nets: Networks, learner: Learner, batch: Batch) -> dict[str, jax.Array]:
    """The team's value f32[T, B], the mean of the agents'."""
    raw = nets.policies.values(learner.params["actor"], batch)
    return {"value": in_reward_units(nets, learner, raw[:-1]).mean(-1)}
