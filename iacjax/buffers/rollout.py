"""The buffer of on-policy algorithms: an update sees the newest rollout, and nothing is kept between iterations."""

from iacjax.types import ReplayBuffer


def rollout_buffer() -> ReplayBuffer:
    """A buffer without a state; `sample` returns the newest rollout."""
    return ReplayBuffer(
        init=lambda batch: (),
        add=lambda state, batch, clock: state,
        sample=lambda state, batch, key, clock: batch,
    )
