"""The on-policy store: an update sees the rollout just made, and nothing is kept between iterations."""

from iacjax.types import Store


def rollout_buffer() -> Store:
    """A store without a state; `sample` hands back the newest rollout."""
    return Store(
        init=lambda batch: (),
        add=lambda state, batch, clock: state,
        sample=lambda state, batch, key, clock: batch,
    )
