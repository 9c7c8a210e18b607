"""The joint policies of IAC and its ablations: Gaussian with a shared low-rank factor, independent, deterministic.

Actions are in [-1, 1] here, and `ActionRange` scales them to the environment's range: the critic sees the actions that
the environment executes and the replay holds. With `squash` tanh every density is that of this action. With `squash`
none it is the Gaussian's own, as in eq. 10, and the action is that Gaussian's value clipped to the range (`bounded`).
"""

from typing import Any, NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.scipy.special import ndtr

from envs.base import EnvSpec
from iacjax.algorithms.common.off_policy import action_mask
from iacjax.algorithms.iac.config import IacConfig
from iacjax.gaussian import squash_correction
from iacjax.low_rank_gaussian import LowRankGaussian
from iacjax.networks.exploration import ExplorationNet
from iacjax.networks.mlp import AgentMlp


class Noise(NamedTuple):
    """Unit Gaussian noise of one step: each agent's own, and the one vector that all agents share (eq. 14)."""

    own: jax.Array  # f32[..., A, D]
    shared: jax.Array  # f32[..., m]


class Joint(NamedTuple):
    """A sampled joint action. `log_prob` is f32[...] (joint) or f32[..., A] (individual), 0 if deterministic."""

    action: jax.Array  # f32[..., A, D]
    log_prob: jax.Array


class PolicyNets(NamedTuple):
    """theta (`policy`) and psi (`explore`, None where the policy has no shared noise)."""

    policy: nn.Module
    explore: nn.Module | None
    num_agents: int
    dims: int  # D
    mask: jax.Array  # bool[A, D], False on padded dimensions
    config: IacConfig


def build_policy(spec: EnvSpec, config: IacConfig) -> PolicyNets:
    """The networks that `config` asks for; table 7 of the paper has their sizes."""
    num_agents, dims = spec.num_agents, spec.action.dim
    outputs = dims if config.exploration == "deterministic" else 2 * dims
    policy = AgentMlp((config.hidden_dim,) * config.policy_layers, outputs, config.share_policies)
    explore = None
    if config.exploration == "collaborative":
        hidden = (config.hidden_dim,) * config.exploration_layers
        explore = ExplorationNet(
            hidden, num_agents * dims, config.rank, config.factor_limit, config.factor_bound, config.factor_scale
        )
    return PolicyNets(policy, explore, num_agents, dims, action_mask(spec), config)


def init_policy(nets: PolicyNets, key: jax.Array, obs: jax.Array, state: jax.Array) -> dict[str, Any]:
    k_policy, k_explore = jax.random.split(key)
    explore = {} if nets.explore is None else nets.explore.init(k_explore, state)
    return {"policy": nets.policy.init(k_policy, obs), "explore": explore}


def draw_noise(nets: PolicyNets, key: jax.Array, lead: tuple[int, ...]) -> Noise:
    """Independent noise with these leading axes."""
    k_own, k_shared = jax.random.split(key)
    own = jax.random.normal(k_own, (*lead, nets.num_agents, nets.dims))
    return Noise(own, jax.random.normal(k_shared, (*lead, nets.config.rank)))


def next_noise(nets: PolicyNets, noise: Noise, fresh: Noise, first: jax.Array) -> Noise:
    """rho noise + sqrt(1 - rho^2) fresh, so that its variance stays 1; `fresh` where an episode begins."""
    rho = nets.config.noise_correlation

    def one(old, new):
        opens = first.reshape(first.shape + (1,) * (new.ndim - first.ndim))
        return jnp.where(opens, new, rho * old + jnp.sqrt(1.0 - rho**2) * new)

    return jax.tree.map(one, noise, fresh)


def mean_action(nets: PolicyNets, params: dict[str, Any], obs: jax.Array) -> jax.Array:
    """The actions without noise: obs f32[..., A, O] -> f32[..., A, D]. Depends on theta and obs, not on the state."""
    mean = nets.policy.apply(params["policy"], obs)[..., : nets.dims]
    return _squash(nets, mean) * nets.mask


@jax.custom_vjp
def bounded(x: jax.Array) -> jax.Array:
    """x f32[...] clipped to [-1, 1]; outside, only gradients of a loss that lead back in pass.

    The clip's own gradient is 0 outside: a mean that has left the bounds would never come back. The unclipped
    gradient drives a mean ever further outwards where Q grows towards a bound. Here only the gradient whose descent
    leads inwards is passed on, as with the inverting gradients of Hausknecht and Stone (2016), without their scaling.
    """
    return jnp.clip(x, -1.0, 1.0)


def _bounded_forward(x: jax.Array) -> tuple[jax.Array, jax.Array]:
    return bounded(x), x - jnp.clip(x, -1.0, 1.0)


def _bounded_backward(excess: jax.Array, gradient: jax.Array) -> tuple[jax.Array]:
    return (jnp.where(gradient * excess >= 0.0, gradient, 0.0),)


bounded.defvjp(_bounded_forward, _bounded_backward)


def _squash(nets: PolicyNets, x: jax.Array) -> jax.Array:
    return jnp.tanh(x) if nets.config.squash == "tanh" else bounded(x)


def gaussian(nets: PolicyNets, params: dict[str, Any], obs: jax.Array, state: jax.Array) -> LowRankGaussian:
    """The joint Gaussian before squashing, over A D dimensions: N(mu, L L' + D) (eq. 10, 12); L = 0 without psi."""
    config, lead = nets.config, obs.shape[:-2]
    mean, log_sigma = jnp.split(nets.policy.apply(params["policy"], obs), 2, -1)
    variance = jnp.full(mean.shape, config.diagonal_min)
    if config.diagonal == "sigma":
        sigma = jnp.clip(config.sigma_init * jnp.exp(log_sigma), config.sigma_min, config.sigma_max)
        variance = sigma**2 + config.diagonal_min
    flat = (*lead, nets.num_agents * nets.dims)
    if nets.explore is None:
        factor = jnp.zeros((*flat, config.rank))
    else:
        factor = nets.explore.apply(params["explore"], state) * nets.mask.reshape(-1)[:, None]
    return LowRankGaussian(mean.reshape(flat), variance.reshape(flat), factor)


def sample(nets: PolicyNets, params: dict[str, Any], obs: jax.Array, state: jax.Array, noise: Noise) -> Joint:
    """The joint action of eq. 14 for given noise, and its exact log-probability, differentiable through both.

    A deterministic policy adds `noise_scale` times its own noise after squashing.
    """
    if nets.config.exploration == "deterministic":
        action = mean_action(nets, params, obs) + nets.config.noise_scale * noise.own
        return Joint(jnp.clip(action, -1.0, 1.0) * nets.mask, jnp.zeros(obs.shape[:-2]))
    joint = gaussian(nets, params, obs, state)
    own = noise.own.reshape(joint.loc.shape)
    shape = (*obs.shape[:-2], nets.num_agents, nets.dims)
    if nets.config.entropy == "individual":  # independent agents: one density for each
        x = joint.loc + jnp.sqrt(joint.diag) * own
        per_dim = -0.5 * (own**2 + jnp.log(2 * jnp.pi * joint.diag))
        log_prob = ((per_dim - _correction(nets, x)).reshape(shape) * nets.mask).sum(-1)
    else:
        x, log_prob = joint.sample_from_noise(own, noise.shared, nets.mask.reshape(-1))
        log_prob = log_prob - (_correction(nets, x) * nets.mask.reshape(-1)).sum(-1)
    return Joint(_squash(nets, x).reshape(shape) * nets.mask, log_prob)


def _correction(nets: PolicyNets, x: jax.Array) -> jax.Array:
    """log of the squashing's slope at x, per dimension."""
    return squash_correction(x) if nets.config.squash == "tanh" else jnp.zeros_like(x)


def uniform(nets: PolicyNets, noise: Noise) -> jax.Array:
    """Uniform actions in [-1, 1] made from Gaussian noise, as correlated in time as the noise."""
    return (2.0 * ndtr(noise.own) - 1.0) * nets.mask
