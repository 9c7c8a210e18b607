"""What updates learn from: one store a file."""

from iacjax.buffers.latest import latest
from iacjax.buffers.reward_moments import normalise_rewards
from iacjax.buffers.ring import ring
from iacjax.buffers.windows import windows

__all__ = ["latest", "normalise_rewards", "ring", "windows"]
