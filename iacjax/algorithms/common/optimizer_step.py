"""Optimisers with the semantics of the papers' code."""

import optax


def make_optimizer(name: str, lr: float, max_grad_norm: float) -> optax.GradientTransformation:
    """`adam`, or PyMARL's `rmsprop` (decay 0.99, eps 1e-5 OUTSIDE the root), behind a global-norm clip."""
    if name == "rmsprop":
        rule = optax.rmsprop(lr, decay=0.99, eps=1e-5, eps_in_sqrt=False)
    else:
        rule = optax.adam(lr, eps=1e-5)
    return optax.chain(optax.clip_by_global_norm(max_grad_norm), rule)
