"""Optimisers with the semantics of the papers' code, and the one place where gradients change parameters."""

from typing import Any, Protocol, TypeVar

import jax
import jax.numpy as jnp
import optax

from iacjax.types import Clock


class Trained(Protocol):
    """A learner, a NamedTuple, whose networks' parameters and optimiser states are named alike."""

    params: dict[str, Any]
    opt: dict[str, Any]


LearnerT = TypeVar("LearnerT", bound=Trained)


class AnnealingConfig(Protocol):
    """The fields of a configuration that `lr_scale` reads."""

    anneal_steps: int
    anneal_to: float


def make_optimizer(name: str, lr: float, max_grad_norm: float) -> optax.GradientTransformation:
    """`adam`, `radam`, or PyMARL's `rmsprop` (decay 0.99, eps 1e-5 OUTSIDE the root), behind a global-norm clip."""
    if name == "rmsprop":
        rule = optax.rmsprop(lr, decay=0.99, eps=1e-5, eps_in_sqrt=False)
    elif name == "radam":
        rule = optax.radam(lr)
    else:
        rule = optax.adam(lr, eps=1e-5)
    return optax.chain(optax.clip_by_global_norm(max_grad_norm), rule)


def lr_scale(config: AnnealingConfig, clock: Clock) -> jax.Array:
    """f32[]: the fraction of the learning rates that is left: linear to `anneal_to` over `anneal_steps`."""
    if not config.anneal_steps:
        return jnp.ones((), jnp.float32)
    return 1.0 - (1.0 - config.anneal_to) * jnp.minimum(clock.env_steps / config.anneal_steps, 1.0)


def optimizer_step(
    optimizer: optax.GradientTransformation, params: Any, opt: Any, grads: Any, scale: jax.Array | None = None
) -> tuple[Any, Any]:
    """One step: (params, opt) after it; `scale` f32[] multiplies the change, None leaves it as it is."""
    updates, opt = optimizer.update(grads, opt, params)
    if scale is not None:
        updates = jax.tree.map(lambda u: u * scale, updates)
    return optax.apply_updates(params, updates), opt


def apply_gradients(
    optimizers: dict[str, optax.GradientTransformation],
    learner: LearnerT,
    grads: dict[str, Any],
    scale: jax.Array | None = None,
) -> LearnerT:
    """The learner after one step of each network that `grads` names, by its own optimiser; see `optimizer_step`."""
    params, opt = dict(learner.params), dict(learner.opt)
    for name, grad in grads.items():
        params[name], opt[name] = optimizer_step(optimizers[name], params[name], opt[name], grad, scale)
    return learner._replace(params=params, opt=opt)
