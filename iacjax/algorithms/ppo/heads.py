"""What the outputs of an actor mean: the logits of a softmax, or the numbers of a Gaussian.

With discrete actions: a softmax over the legal ones. With continuous ones: a diagonal Gaussian in units in which the
range of every dimension is [-1, 1]. `squash` says how actions keep to it.

| `squash` | the action is            | its log-probability          | entropy bonus                                   |
|----------|--------------------------|------------------------------|-------------------------------------------------|
| none     | the value drawn, clipped | of the value before clipping | exact, of the Gaussian before clipping          |
| tanh     | tanh of the value drawn  | log N(x) - log(1 - tanh^2 x) | an estimate: exact for N, one sample for tanh   |

The ratios of PPO are the same with and without the correction, which does not depend on the parameters; the entropies
are not. Greedy actions are those of the Gaussian's mean, its mode. Dimensions that an agent has not (`ActionSpec.mask`)
are 0, and left out of log-probabilities and entropies.
"""

from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from envs.base import EnvSpec
from iacjax.algorithms.common.off_policy import ActionRange, action_mask, action_range
from iacjax.distributions import behaviour_log_probs, entropy, take_action
from iacjax.gaussian import Gaussian
from iacjax.networks.last_action import action_features

MIN_LOG_STD, MAX_LOG_STD = -5.0, 2.0


class Head(Protocol):
    """What the outputs f32[..., R] of an actor mean.

    What is drawn, a number int32[...] or a vector f32[..., D], makes the action. `legal` bool[..., U] are the legal
    actions, or bool[..., D] the dimensions that an agent has.
    """

    def legal(self, avail: jax.Array) -> jax.Array:
        """Of all agents, with the axes [..., A] of `avail` bool[..., A, U]."""

    def noise(self, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        """What `draw` reads, f32[*shape, A, U or D]; 0 draws the greedy action."""

    def draw(self, out: jax.Array, noise: jax.Array, legal: jax.Array) -> jax.Array:
        """What that noise draws."""

    def features(self, drawn: jax.Array, legal: jax.Array) -> jax.Array:
        """f32[..., F], the actions as networks read them."""

    def to_env(self, drawn: jax.Array, legal: jax.Array) -> jax.Array:
        """The environment's actions."""

    def from_env(self, action: jax.Array) -> jax.Array:
        """The environment's actions as last actions, int32[...] or f32[..., D] in [-1, 1]."""

    def evaluate(
        self, out: jax.Array, drawn: jax.Array, noise: jax.Array | None, legal: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        """(log-probabilities of what was drawn, entropies), f32[...] each."""


class SoftmaxHead(NamedTuple):
    """A softmax over the legal of U discrete actions."""

    num_actions: int
    num_agents: int

    def legal(self, avail: jax.Array) -> jax.Array:
        return avail

    def noise(self, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return jax.random.gumbel(key, (*shape, self.num_agents, self.num_actions))

    def draw(self, out: jax.Array, noise: jax.Array, legal: jax.Array) -> jax.Array:
        return (behaviour_log_probs(out, legal, None) + noise).argmax(-1).astype(jnp.int32)

    def features(self, drawn: jax.Array, legal: jax.Array) -> jax.Array:
        return action_features(drawn, self.num_actions)

    def to_env(self, drawn: jax.Array, legal: jax.Array) -> jax.Array:
        return drawn

    def from_env(self, action: jax.Array) -> jax.Array:
        return action

    def evaluate(
        self, out: jax.Array, drawn: jax.Array, noise: jax.Array | None, legal: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        log_probs = behaviour_log_probs(out, legal, None)
        return take_action(log_probs, drawn), entropy(log_probs)


class GaussianConfig(Protocol):
    """The fields of a configuration that `GaussianHead` reads."""

    squash: str
    sigma_init: float


class GaussianHead(NamedTuple):
    """A diagonal Gaussian over D dimensions. Outputs are means, and log sigma less that of the start."""

    config: GaussianConfig
    mask: jax.Array  # bool[A, D], False on padded dimensions
    range: ActionRange

    def gaussian(self, out: jax.Array) -> Gaussian:
        """Of outputs f32[..., 2 D]."""
        mean, change = jnp.split(out, 2, -1)
        log_std = jnp.log(self.config.sigma_init) + change
        return Gaussian(mean, jnp.clip(log_std, MIN_LOG_STD, MAX_LOG_STD))

    def legal(self, avail: jax.Array) -> jax.Array:
        return jnp.broadcast_to(self.mask, (*avail.shape[:-1], self.mask.shape[-1]))

    def noise(self, key: jax.Array, shape: tuple[int, ...]) -> jax.Array:
        return jax.random.normal(key, (*shape, *self.mask.shape)) * self.mask

    def draw(self, out: jax.Array, noise: jax.Array, legal: jax.Array) -> jax.Array:
        return self.gaussian(out).at(noise)

    def features(self, drawn: jax.Array, legal: jax.Array) -> jax.Array:
        bounded = jnp.tanh(drawn) if self.config.squash == "tanh" else jnp.clip(drawn, -1.0, 1.0)
        return bounded * legal

    def to_env(self, drawn: jax.Array, legal: jax.Array) -> jax.Array:
        return self.range.to_env(self.features(drawn, legal))

    def from_env(self, action: jax.Array) -> jax.Array:
        return self.range.from_env(action)

    def evaluate(
        self, out: jax.Array, drawn: jax.Array, noise: jax.Array | None, legal: jax.Array
    ) -> tuple[jax.Array, jax.Array]:
        policy = self.gaussian(out)
        if self.config.squash == "tanh":
            return policy.squashed_log_prob(drawn, legal), policy.squashed_entropy(noise, legal)
        return policy.log_prob(drawn, legal), policy.entropy(legal)


def gaussian_head(spec: EnvSpec, config: GaussianConfig) -> GaussianHead:
    """The head for an environment's continuous actions."""
    return GaussianHead(config, action_mask(spec), action_range(spec.action))


def make_head(spec: EnvSpec, config: Any) -> Head:
    """The head for an environment's actions; see `GaussianConfig`."""
    if spec.action.discrete:
        return SoftmaxHead(spec.action.num_actions, spec.num_agents)
    return gaussian_head(spec, config)
