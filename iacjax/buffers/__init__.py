"""What updates learn from: one store a file."""

from iacjax.buffers.reward_moments import normalise_rewards
from iacjax.buffers.rollout import latest
from iacjax.buffers.sequences import windows
from iacjax.buffers.transitions import ring

__all__ = ["latest", "normalise_rewards", "ring", "windows"]
